"""The bytes of the log: `[u32 length][u32 crc32][msgpack array [kind, …fields]]`, each frame aligned to 8 bytes.

Length and checksum share one aligned 64-bit word, so that one store publishes a frame: a reader, and whoever reads
after a kill, sees a frame whole or not at all. A newer writer may append fields: they are ignored here; an older one
may lack some: they take their defaults. Kinds that this version does not know are passed over.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, get_type_hints
from zlib import crc32

import msgspec

from roadworthy.domain.record import FRAME_OUTCOME, FRAME_RECORD, Outcome, Record

HEAD_BYTES: Final = 8
LARGEST_PAYLOAD: Final = 1 << 28
_CHUNK: Final = 1 << 18
_HEAD: Final = struct.Struct("=II")
_FIXED_ARRAY: Final = range(0x90, 0xA0)
_ARRAY_16: Final = 0xDC


class Frame(NamedTuple):
    """One published frame: where it starts, where the next one starts, its bytes, and whether its checksum holds."""

    start: int
    end: int
    payload: bytes
    is_whole: bool


def aligned(offset: int) -> int:
    """Return the next place where a frame may start."""
    return (offset + 7) & ~7


def kind_of(payload: bytes) -> int:
    """Return the frame's kind without decoding the rest; 0 for what is no frame of ours."""
    lead = payload[0] if payload else 0
    place = 1 if lead in _FIXED_ARRAY else 3 if lead == _ARRAY_16 else 5
    return payload[place] if len(payload) > place else 0


def _decoder_for(noun: type[Any], kind: int) -> msgspec.msgpack.Decoder[Any]:
    hints = get_type_hints(noun)
    defaults: dict[str, Any] = noun._field_defaults
    fields: list[Any] = [
        (name, hints[name], defaults[name]) if name in defaults else (name, hints[name]) for name in noun._fields
    ]
    shape = msgspec.defstruct(f"{noun.__name__}Frame", fields, array_like=True, tag=kind)
    return msgspec.msgpack.Decoder(shape)


_RECORD_DECODER: Final = _decoder_for(Record, FRAME_RECORD)
_OUTCOME_DECODER: Final = _decoder_for(Outcome, FRAME_OUTCOME)


def decode_record(payload: bytes) -> Record:
    """Turn the payload of a record frame back into the record.

    Raises:
        msgspec.ValidationError: the bytes are whole but not a record.
    """
    return Record._make(msgspec.structs.astuple(_RECORD_DECODER.decode(payload)))


def decode_outcome(payload: bytes) -> Outcome:
    """Turn the payload of an outcome frame back into the outcome.

    Raises:
        msgspec.ValidationError: the bytes are whole but not an outcome.
    """
    return Outcome._make(msgspec.structs.astuple(_OUTCOME_DECODER.decode(payload)))


def plain_value(value: object) -> object:
    """Let the encoder write what carries a plain value, such as a NumPy scalar.

    Raises:
        NotImplementedError: the object has no plain value; the encoder reports it.
    """
    item: Callable[[], object] | None = getattr(value, "item", None)
    if item is None:
        raise NotImplementedError(f"a record cannot hold a {type(value).__name__}")
    return item()


def encoder() -> msgspec.msgpack.Encoder:
    """Return an encoder of frame payloads: `encode((FRAME_RECORD, *record))`."""
    return msgspec.msgpack.Encoder(enc_hook=plain_value)


def read_frames(descriptor: int, offset: int) -> Iterator[Frame]:
    """Return the frames published from an offset on, up to the first unpublished one.

    Reads by `pread`, never through a mapping: the writer cuts a sealed segment to its length, and a mapping past the
    end would kill the reader. A frame whose checksum does not hold is reported, not decoded; the caller decides
    whether its writer is still at it.
    """
    chunk, base = b"", offset
    while True:
        place = offset - base
        if place + HEAD_BYTES > len(chunk):
            chunk, base, place = os.pread(descriptor, _CHUNK, offset), offset, 0
            if len(chunk) < HEAD_BYTES:
                return
        length, checksum = _HEAD.unpack_from(chunk, place)
        if not 0 < length <= LARGEST_PAYLOAD:
            return
        if place + HEAD_BYTES + length > len(chunk):
            chunk = os.pread(descriptor, max(_CHUNK, HEAD_BYTES + length), offset)
            base, place = offset, 0
            if HEAD_BYTES + length > len(chunk):
                return
        payload = chunk[place + HEAD_BYTES : place + HEAD_BYTES + length]
        end = aligned(offset + HEAD_BYTES + length)
        yield Frame(offset, end, payload, crc32(payload) == checksum)
        offset = end
