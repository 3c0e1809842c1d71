"""What keys and tokens look like: a prefix to look for, a pattern, and a check where the format has one.

A family is only searched for when one of its anchors is in the text, so that a text without secrets costs a few
substring searches. Sources: the issuers' own documentation of their prefixes; GitHub's and npm's checksum is the
CRC-32 of the body in base 62 (github.blog, "Behind GitHub's new authentication token formats", 2021).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from roadworthy.guards.spans import Span

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VARIED: Final = 8
_END = r"(?![A-Za-z0-9])"


class Family(NamedTuple):
    """One format. `group` is the part of the match that is secret; `check` sees the match and may say no."""

    name: str
    anchors: tuple[str, ...]
    pattern: re.Pattern[str]
    check: Callable[[re.Match[str]], bool] | None = None
    group: int | str = 0


def base62_crc32(body: str) -> str:
    """Return the six characters that GitHub and npm put behind a token's body."""
    number, digits = zlib.crc32(body.encode()), ""
    while number:
        number, rest = divmod(number, 62)
        digits = _BASE62[rest] + digits
    return digits.rjust(6, "0")


def is_varied(text: str, least: int = _VARIED) -> bool:
    """Tell a random token from a stand-in such as `xxxxxxxx`: it has at least this many different characters."""
    return len(set(text)) >= least


def _varied(match: re.Match[str]) -> bool:
    return is_varied(match[0][4:])


def _is_sk(match: re.Match[str]) -> bool:
    """Tell a key from words joined by hyphens: it has digits."""
    return is_varied(match[0][3:]) and any(map(str.isdigit, match[0]))


def _checksummed(match: re.Match[str]) -> bool:
    """Accept what its checksum proves, and any other random body: a mistyped or older token is still a secret."""
    body = match[0].partition("_")[2]
    return base62_crc32(body[:-6]) == body[-6:] or is_varied(body)


def _decoded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        return b""


def _is_jwt(match: re.Match[str]) -> bool:
    """Accept a token whose first part decodes to a JSON object with `alg` or `enc`."""
    try:
        header = json.loads(_decoded(match[0].partition(".")[0]))
    except (ValueError, UnicodeDecodeError):
        return False
    return isinstance(header, dict) and ("alg" in header or "enc" in header)


def _is_discord(match: re.Match[str]) -> bool:
    """Accept a bot token: its first part is a user's number in base64."""
    return _decoded(match[0].partition(".")[0]).isdigit()


_PLACEHOLDER: Final = re.compile(
    r"\A(?:\[|\$|<|\{|%|\*{3}|x{4}|\.{3}|…|os\.|env\.|process\.|getenv|config\.|settings\.|self\.|args\.|secrets?\.|"
    r"your|my[-_]|change|example|placeholder|dummy|none|null|true|false|redacted)",
    re.IGNORECASE,
)


_CODE: Final = re.compile(r"[(\[{]|\w\.[a-z_]+\Z|::|://")


def _is_assigned_secret(value: str, quote: str) -> bool:
    """Accept a value that a person or a generator would choose: letters with digits, no stand-in, no call."""
    if not any(map(str.isdigit, value)) or _kinds(value) < 2 or not is_varied(value, 5):  # noqa: PLR2004
        return False
    return not _PLACEHOLDER.match(value) and (quote != "" or not _CODE.search(value))


def _kinds(value: str) -> int:
    """Count the kinds of characters: small, capital, digit, other."""
    return len({"a" if one.islower() else "A" if one.isupper() else "0" if one.isdigit() else "-" for one in value})


def _is_bearer(match: re.Match[str]) -> bool:
    return _kinds(match["value"]) >= 2 and any(map(str.isdigit, match["value"]))  # noqa: PLR2004


def _url_password(match: re.Match[str]) -> bool:
    return not _PLACEHOLDER.match(match["secret"])


def _of(name: str, anchors: str, pattern: str, check: Callable[[re.Match[str]], bool] | None = None) -> Family:
    compiled = re.compile(pattern)
    group = "secret" if "secret" in compiled.groupindex else 0
    return Family(name, tuple(anchors.split(" ")), compiled, check, group)


KEYWORD: Final = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|api[_-]?key|access[_-]?key|account[_-]?key|private[_-]?key|"
    r"secret[_-]?key|signing[_-]?key|encryption[_-]?key|master[_-]?key|sharedaccesskey|auth|credentials?|token)"
)
_NAMED: Final = re.compile(KEYWORD + r"""(?:[_-]?(?:\w{0,16}))\\?["'`]?\]?[ \t]{0,4}[:=]?\Z""")
_KEYWORD_ANCHORS: Final = ("pass", "pwd", "secret", "key", "token", "credential", "auth")
# What is assigned; the value is only looked at ahead, so that `a: token=…` is seen at its second sign as well.
_VALUE: Final = re.compile(
    r"""(?:[:=]>?|is(?<![A-Za-z]is)[ ])(?=[ \t]{0,4}(?P<quote>\\?["'`]?)"""
    r"""(?P<value>(?<=["'`])[^"'`\s\\]{6,256}(?=\\?["'`])|[^\s"'`<>;,&\\]{8,256}))"""
)
BEARER: Final = Family(
    "bearer",
    ("bearer ", "basic "),
    re.compile(r"(?:bearer|basic) {1,4}(?P<value>[\w.~+/=-]{16,})", re.IGNORECASE),
    _is_bearer,
    "value",
)

_KEY_HEAD = r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
KEY_FOOT: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
PRIVATE_KEY: Final = "private_key"

FAMILIES: Final = (
    _of(
        PRIVATE_KEY,
        "-----BEGIN",
        _KEY_HEAD
        + r"(?=(?:\s|\\[nr]|[\"'+,])*(?:Proc-Type|Version|Comment|[A-Za-z0-9+/=]{16}))[\s\S]*?(?:"
        + KEY_FOOT.pattern
        + r"|\Z)",
    ),
    _of("aws", "AKIA ASIA ABIA ACCA", r"A(?<![A-Za-z0-9].)(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}" + _END, _varied),
    _of("github", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36,251}", _checksummed),
    _of(
        "github",
        "github_pat_",
        r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
        _varied,
    ),
    _of(
        "gitlab",
        "glpat- gldt- glrt- glptt- glcbt- glsoat- glft-",
        r"gl(?:pat|dt|rt|ptt|cbt|soat|ft)-[\w-]{20,}",
        _varied,
    ),
    _of(
        "slack",
        "xoxb- xoxp- xoxa- xoxe xoxs- xoxr- xoxo- xapp-",
        r"(?:xox[abeoprs](?:\.xox[bp])?|xapp)-[A-Za-z0-9-]{12,}",
        _varied,
    ),
    _of(
        "slack",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[A-Za-z0-9/_-]{20,})",
    ),
    _of(
        "stripe",
        "sk_live_ sk_test_ rk_live_ rk_test_ whsec_",
        r"(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,}",
        _varied,
    ),
    _of("anthropic", "sk-ant-", r"sk-ant-[\w-]{20,}", _varied),
    _of(
        "openai",
        "sk-",
        r"sk-(?<![A-Za-z0-9]...)(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,}",
        _is_sk,
    ),
    _of("google", "AIza", r"AIza[\w-]{35}", _varied),
    _of("google", "ya29.", r"ya29\.[\w.-]{20,}", _varied),
    _of("google", "GOCSPX-", r"GOCSPX-[\w-]{20,}", _varied),
    _of("azure", "8Q~", r"[\w.~-]{3}8Q~[\w.~-]{31,34}", _varied),
    _of(
        "azure",
        "AccountKey= SharedAccessKey= SharedAccessSignature",
        r"(?:AccountKey|SharedAccessKey)=(?P<secret>[A-Za-z0-9+/]{40,90}={0,2})",
    ),
    _of("azure", "sig=", r"[?&;]sig=(?P<secret>[A-Za-z0-9%+/]{30,}={0,2})"),
    _of("jwt", "eyJ", r"eyJ(?<![A-Za-z0-9]...)[\w-]{6,}\.[\w-]{6,}\.[\w-]*(?:\.[\w-]+\.[\w-]+)?", _is_jwt),
    _of("npm", "npm_", r"npm_[A-Za-z0-9]{36}", _checksummed),
    _of("pypi", "pypi-", r"pypi-[\w-]{50,}", _varied),
    _of("twilio", "AC SK", r"[AS](?<![A-Za-z0-9].)(?:(?<=A)C|(?<=S)K)[0-9a-f]{32}" + _END, _varied),
    _of("sendgrid", "SG.", r"SG\.(?<![A-Za-z0-9]...)[\w-]{16,32}\.[\w-]{16,64}", _varied),
    _of("telegram", ":AA", r"(?<!\d)\d{8,10}:AA[\w-]{33}(?![\w-])"),
    _of("discord", "M N O", r"[MNO](?<![A-Za-z0-9].)[\w-]{22,27}\.[\w-]{6}\.[\w-]{27,}", _is_discord),
    _of("discord", "/api/webhooks/", r"/api/webhooks/\d{15,20}/(?P<secret>[\w-]{60,})"),
    _of("url", "://", r"://[^\s:/@\[\]\"'<>]{0,64}:(?P<secret>(?!\[)[^\s@\"'<>]{1,128})@(?=[\w\[.-])", _url_password),
    _of("roadworthy", "rw_", r"rw_(?<![A-Za-z0-9]...)[A-Za-z0-9-]{2,64}_[\w-]{20,}", _varied),
    _of("huggingface", "hf_", r"hf_(?<![A-Za-z0-9]...)[A-Za-z0-9]{30,}", _varied),
    _of("digitalocean", "_v1_", r"do[opr]_v1_[0-9a-f]{64}", _varied),
    _of("shopify", "shp", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}", _varied),
    _of("databricks", "dapi", r"dapi(?<![A-Za-z0-9]....)[0-9a-f]{32}(?:-\d)?", _varied),
    _of("mailgun", "key-", r"key-(?<![A-Za-z0-9]....)[0-9a-f]{32}" + _END, _varied),
    _of("mailchimp", "-us", r"[0-9a-f](?<![A-Za-z0-9].)[0-9a-f]{31}-us\d{1,2}" + _END, _varied),
    _of("square", "sq0", r"sq0(?:atp|csp|idp)-[\w-]{22,}", _varied),
    _of("grafana", "glsa_ glc_", r"gl(?:sa|c)_[\w+/=]{32,}", _varied),
    _of("vault", "hvs. hvb.", r"hv[sb]\.(?<![A-Za-z0-9]....)[\w-]{24,}", _varied),
    _of("docker", "dckr_", r"dckr_(?:pat|oat)_[\w-]{24,}", _varied),
    _of("groq", "gsk_", r"gsk_(?<![A-Za-z0-9]....)[A-Za-z0-9]{40,}", _varied),
    _of("linear", "lin_api_", r"lin_api_[A-Za-z0-9]{32,}", _varied),
    _of("atlassian", "ATATT3", r"ATATT3[\w=-]{20,}", _varied),
    _of("newrelic", "NRAK-", r"NRAK-[A-Z0-9]{27}", _varied),
    _of("age", "AGE-SECRET-KEY-", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
)  # fmt: skip
"""In the order in which they claim a place: the first that starts there and is longest gives the name."""


_ANCHORED: Final = tuple((at, anchor) for at, family in enumerate(FAMILIES) for anchor in family.anchors)
_SPACED: Final = tuple((at, anchor) for at, anchor in _ANCHORED if FAMILIES[at].name in (PRIVATE_KEY, "url"))
_SHORTEST: Final = 15


def secret_spans(text: str) -> Iterator[Span]:
    """Yield where keys and tokens stand in a text. Costs some 50 µs on 2,000 characters that hold none."""
    # Every format but these two is one long word, so its anchor is only looked for in long words.
    words = " ".join([word for word in text.split() if len(word) >= _SHORTEST])
    searched = {at for at, anchor in _ANCHORED if anchor in words} if words else set[int]()
    searched |= {at for at, anchor in _SPACED if anchor in text}
    for at in sorted(searched):
        yield from _of_family(FAMILIES[at], text)
    folded = text.lower()
    if len(folded) != len(text):  # a letter such as İ grows when lowered, and places would no longer agree
        folded = text
    if any([anchor in folded for anchor in _KEYWORD_ANCHORS]):  # noqa: C419 (a list is faster where all are short)
        yield from _assigned(text, folded)
    if "bearer " in folded or "basic " in folded:
        yield from _of_family(BEARER, text)


def _assigned(text: str, folded: str) -> Iterator[Span]:
    """Yield the values of `password = …`, `"api_key": "…"`, `the token is …`, whatever their format."""
    for match in _VALUE.finditer(text):
        sign, (start, end) = match.start(), match.span("value")
        if _is_assigned_secret(match["value"], match["quote"]) and _NAMED.search(folded, max(0, sign - 48), sign):
            yield Span(start, end, "key:assignment", "[key:assignment]")


def _of_family(family: Family, text: str) -> Iterator[Span]:
    for match in family.pattern.finditer(text):
        if family.check is None or family.check(match):
            start, end = match.span(family.group)
            yield Span(start, end, f"key:{family.name}", f"[key:{family.name}]")
