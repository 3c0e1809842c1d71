"""Samples for the guards: made keys of each issuer's format, personal values, links, and benign prose."""

from __future__ import annotations

import base64
import json
import random
import re
import string
from functools import cache
from importlib.metadata import distributions
from itertools import pairwise
from pathlib import Path

from roadworthy.domain.principal import spell_key
from roadworthy.guards.secret_formats import base62_crc32
from roadworthy.ports.guard import StreamGuard

ROOT = Path(__file__).parents[1]
WORD = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


def keys() -> dict[str, str]:
    """Make one key of each format; random but the same each time, none was ever issued."""
    dice = random.Random(20)

    def of(size: int, letters: str = WORD) -> str:
        return "".join(dice.choice(letters) for _ in range(size))

    def url64(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    body, npm = of(30), of(30)
    header, claims = json.dumps({"alg": "HS256", "typ": "JWT"}).encode(), json.dumps({"sub": "42"}).encode()
    block = "\n".join(of(64, WORD + "+/") for _ in range(6))
    return {
        "aws": "AKIA" + of(16, string.ascii_uppercase + "234567"),
        "aws temporary": "ASIA" + of(16, string.ascii_uppercase + "234567"),
        "github": f"ghp_{body}{base62_crc32(body)}",
        "github server": "ghs_" + of(36),
        "github fine-grained": f"github_pat_{of(22)}_{of(59)}",
        "gitlab": "glpat-" + of(20),
        "slack": f"xoxb-{of(12, string.digits)}-{of(13, string.digits)}-{of(24)}",
        "slack app": f"xapp-1-A{of(10, string.digits)}-{of(13, string.digits)}-{of(64, HEX)}",
        "stripe": "sk_live_" + of(24),
        "openai": "sk-" + of(48),
        "openai project": "sk-proj-" + of(80, WORD + "_-"),
        "anthropic": "sk-ant-api03-" + of(93, WORD + "_-") + "AA",
        "google": "AIza" + of(35, WORD + "_-"),
        "google oauth": "GOCSPX-" + of(28, WORD + "_-"),
        "azure": f"{of(3)}8Q~{of(34)}",
        "jwt": f"{url64(header)}.{url64(claims)}.{of(43, WORD + '_-')}",
        "private key": f"-----BEGIN RSA PRIVATE KEY-----\n{block}\n-----END RSA PRIVATE KEY-----",
        "npm": f"npm_{npm}{base62_crc32(npm)}",
        "pypi": "pypi-AgEIcHlwaS5vcmc" + of(120, WORD + "_-"),
        "twilio": "SK" + of(32, HEX),
        "sendgrid": f"SG.{of(22, WORD + '_-')}.{of(43, WORD + '_-')}",
        "telegram": f"{of(9, '123456789')}:AA{of(33, WORD + '_-')}",
        "discord": f"{url64(b'123456789012345678')}.{of(6)}.{of(38)}".replace("=", ""),
        "roadworthy": spell_key(of(16, HEX), of(43, WORD + "_-")),
        "hugging face": "hf_" + of(34),
        "digitalocean": "dop_v1_" + of(64, HEX),
        "shopify": "shpat_" + of(32, HEX),
        "databricks": "dapi" + of(32, HEX),
        "mailgun": "key-" + of(32, HEX),
        "vault": "hvs." + of(24),
        "docker": "dckr_pat_" + of(27, WORD + "_-"),
        "groq": "gsk_" + of(52),
    }


PERSONAL = {
    "email": ("ann.lee+news@example.co.uk", "x@y.io", "j_doe@mail.example.org", "müller@beispiel.de"),
    "phone": (
        "+49 30 901820",
        "+14155552671",
        "+44 (20) 7946-0958",
        "0033 1 23 45 67 89",
        "(415) 555-2671",
        "415-555-2671",
        "415.555.2671",
        "020 7946 0958",
        "07700 900123",
        "0171 1234567",
        "030/9018200",
        "01 23 45 67 89",
        "+91 98765 43210",
    ),
    "iban": (
        "GB29 NWBK 6016 1331 9268 19",
        "DE89370400440532013000",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NO9386011117947",
    ),
    "card": ("4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005", "6011111111111117", "2223003122003222"),
    "ssn": ("123-45-6789", "078 05 1120"),
    "ip": ("203.0.113.7", "10.20.30.40", "2001:db8::8a2e:370:7334", "fe80::1ff:fe23:4567:890a"),
    "id_number": ("12345678Z", "X1234567L", "RSSMRA85T10A562S", "529.982.247-25"),
}

SURROUNDINGS = (
    "Here it is: {} - keep it safe.",
    "{}",
    'client = connect("{}")  # for now',
    '{{"note": "use {}", "n": 3}}',
    "| name | {} |",
    "first line\n{}\nlast line",
    "curl -d value={} there",
    "({}), then go on.",
)


@cache
def benign_sentences() -> tuple[str, ...]:
    """Return prose of this repository's pages and of the installed packages' descriptions, a sentence each.

    Sentences that hold a mail address or a link are left out: altering those is what the guards are for.
    """
    texts = [page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").rglob("*.md"))]
    packages = sorted(distributions(), key=lambda one: one.metadata["Name"])
    texts.extend(package.read_text("METADATA") or "" for package in packages)
    found: dict[str, None] = {}
    for text in texts:
        for piece in re.split(r"(?<=[.!?:])\s+|\n\s*\n|\n(?=[#*>|-])", text):
            sentence = " ".join(piece.split())
            if (
                40 <= len(sentence) <= 400
                and sentence.count(" ") > 5
                and not re.search(r"://|@|www\.|mailto:", sentence)
            ):
                found[sentence] = None
    return tuple(found)


def split(text: str, places: list[int]) -> list[str]:
    """Cut a text at these places."""
    cuts = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[a:b] for a, b in pairwise(cuts)]


def drain(stream: StreamGuard, text: str, step: int, out: list[str]) -> None:
    """Feed a text in steps and close, keeping in `out` what left before the stream was blocked."""
    # Piece by piece, so that `out` has what left when a later piece raises.
    out.extend(stream.feed(text[at : at + step]) for at in range(0, len(text), step))
    out.append(stream.close())
