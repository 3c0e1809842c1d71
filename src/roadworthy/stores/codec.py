"""Documents: how the nouns are written as JSON and MessagePack and read back, also by older and newer versions.

A document holds JSON built-ins only (dict, list, str, int, float, bool, None). Reading ignores fields it does not
know and fills missing ones with their defaults, so old and new versions read each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from roadworthy.errors import StoreError

T = TypeVar("T")
_TO_JSON = msgspec.json.Encoder(order="deterministic")
_FROM_JSON = msgspec.json.Decoder()
_TO_MSGPACK = msgspec.msgpack.Encoder()


def to_doc(value: object) -> dict[str, Any]:
    """Write a noun (a dataclass or a mapping of such) as JSON built-ins, ready for `Decide.after`.

    Enums become their values, tuples lists, keys text; a NaN becomes None, since JSON has none.

    Raises:
        TypeError: the value holds something JSON cannot, or is no object.
    """
    document = _FROM_JSON.decode(_TO_JSON.encode(value))
    if not isinstance(document, dict):
        raise TypeError(f"{type(value).__name__} is not written as an object")
    return cast("dict[str, Any]", document)


def from_doc(cls: type[T], document: Mapping[str, Any]) -> T:
    """Read a noun back from its document.

    Raises:
        StoreError: a field is missing, of the wrong type or breaks the noun's rule; the message names it.
    """
    try:
        return msgspec.convert(document, cls)
    except (msgspec.ValidationError, TypeError) as problem:
        raise StoreError(
            f"a stored {cls.__name__} cannot be read: {problem}",
            hint="it was written by a newer version or edited by hand; run: roadworthy ledger verify",
        ) from problem


def to_json(document: object) -> bytes:
    """Write a document as JSON with sorted keys, for the columns of the metadata database."""
    return _TO_JSON.encode(document)


def from_json(text: str | bytes) -> Any:
    """Read JSON back.

    Raises:
        ValueError: the text is no JSON.
    """
    return _FROM_JSON.decode(text)


def pack(value: object) -> bytes:
    """Write a noun or a document as MessagePack."""
    return _TO_MSGPACK.encode(value)


@cache
def _unpacker(cls: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(cls)


def unpack(cls: type[T], content: bytes) -> T:
    """Read a noun back from MessagePack.

    Raises:
        StoreError: the bytes are torn, or no such noun.
    """
    try:
        return cast("T", _unpacker(cls).decode(content))
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as problem:
        raise StoreError(f"stored bytes are no {getattr(cls, '__name__', cls)}: {problem}") from problem
