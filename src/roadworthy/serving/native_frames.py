"""What goes between a worker and the child that runs a native model: raw numpy buffers and msgpack, never pickle.

A frame is `[u32 length][msgpack]`. An array is `[dtype, shape, bytes]`; an array of objects `["O", shape, list]`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

HEAD: Final = struct.Struct("=I")
LARGEST: Final = 1 << 30
ALLOWED: Final = frozenset({"<f8", "<f4", "<i8", "<i4", "|b1", "|u1", "O"})
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


def frame(message: Mapping[str, Any]) -> bytes:
    """Write one frame."""
    payload = _pack(message)
    return HEAD.pack(len(payload)) + payload


def message(payload: bytes) -> dict[str, Any]:
    """Read a frame's payload back."""
    return _unpack(payload)


def pack_arrays(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Write named arrays; anything that is neither numbers, booleans nor text is refused by msgpack."""
    return {name: _pack_array(np.asarray(values)) for name, values in arrays.items()}


def unpack_arrays(packed: Mapping[str, Any]) -> dict[str, Any]:
    """Read named arrays back.

    Raises:
        ValueError: a dtype that is not allowed.
    """
    return {name: _unpack_array(*entry) for name, entry in packed.items()}


def _pack_array(values: Any) -> tuple[str, list[int], Any]:
    shape = list(values.shape)
    if values.dtype.kind in "OUS":
        return "O", shape, values.ravel().tolist()
    return values.dtype.str, shape, np.ascontiguousarray(values).tobytes()


def _unpack_array(dtype: str, shape: list[int], content: Any) -> Any:
    if dtype not in ALLOWED:
        raise ValueError(f"an array of type {dtype} may not cross")
    if dtype == "O":
        made = np.empty(len(content), dtype=object)
        made[:] = content
        return made.reshape(shape)
    return np.frombuffer(content, dtype=dtype).reshape(shape).copy()
