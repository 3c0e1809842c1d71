"""Digests over canonical JSON (RFC 8785 key order and escapes; numbers travel as decimal strings)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias, cast

Digest: TypeAlias = str
PREFIX: Final = "sha256:"
LATER: Final[Mapping[str, object]] = {"later": True}
"""Metadata of a dataclass field that was added after its class had been digested; it needs a default value."""
_HEX_LENGTH: Final = 64


def canonical(value: object) -> bytes:
    """Return the one spelling of a value that digests are taken over.

    Dataclasses become objects, tuples and lists arrays, sets sorted arrays. Numbers become decimal strings
    tagged by a leading `#`, so that a number never equals the text that looks like it. A field marked `LATER` is left
    out while it has its default, so that what was named before the field existed keeps its name.

    Raises:
        TypeError: the value holds something without a canonical form.
        ValueError: the value holds a number that is not finite.
    """
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def digest(value: object) -> Digest:
    """Name a value by the SHA-256 of its canonical form: `sha256:` and 64 hex digits."""
    return digest_bytes(canonical(value))


def digest_bytes(content: bytes) -> Digest:
    """Name bytes by their SHA-256."""
    return PREFIX + hashlib.sha256(content).hexdigest()


def is_digest(text: str) -> bool:
    """Tell whether a text has the form of a digest."""
    tail = text.removeprefix(PREFIX)
    return text.startswith(PREFIX) and len(tail) == _HEX_LENGTH and all(c in "0123456789abcdef" for c in tail)


def short(name: Digest) -> str:
    """Shorten a digest for people: its first 12 hex digits."""
    return name.removeprefix(PREFIX)[:12]


def _plain(value: object) -> object:  # noqa: PLR0911 (one branch a type)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, str):
        return "#" + value if value.startswith("#") else value
    if isinstance(value, int):
        return f"#{value}"
    if isinstance(value, float | Decimal):
        return _number(float(value))
    if isinstance(value, Mapping):
        mapping = cast("Mapping[object, object]", value)
        items = {str(key): _plain(item) for key, item in mapping.items()}
        return {key: items[key] for key in sorted(items, key=lambda key: key.encode("utf-16-be"))}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(
            {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if _counts(field, value)}
        )
    if isinstance(value, tuple | list):
        return [_plain(item) for item in cast("list[object]", value)]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in cast("set[object]", value)), key=repr)
    raise TypeError(f"no canonical form for {type(value).__name__}")


def _counts(field: dataclasses.Field[object], value: object) -> bool:
    return not field.metadata.get("later") or getattr(value, field.name) != field.default


def _number(number: float) -> str:
    if not math.isfinite(number):
        raise ValueError("a number that is not finite has no canonical form")
    return f"#{int(number)}" if number.is_integer() and abs(number) < 2**53 else f"#{number!r}"
