"""A provider's events on their way through: given our names, and their tool calls held until they are whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from roadworthy.ports.chat import Chunk
from roadworthy.serving.gateway.told import encode
from roadworthy.serving.gateway.turn import Turn

_NAMED: Final = re.compile(rb'"(id|model)"\s*:\s*("(?:[^"\\]|\\.)*")')
_SAID: Final = frozenset(("role", "content"))
_DECODE: Final = msgspec.json.Decoder().decode


class Naming:
    """Writes events under the answer's own id and the system's name, so that one stream has one of each.

    The provider's bytes are kept but for these two, which costs a tenth of writing them anew.
    """

    def __init__(self, turn: Turn) -> None:
        self._ours = {"id": f"chatcmpl-{turn.record}", "model": turn.place.name}
        self._pairs: list[tuple[bytes, bytes]] | None = None

    def event(self, chunk: Chunk) -> bytes:
        """Write one event."""
        raw = chunk.raw
        if self._pairs is None:
            self._pairs = self._find(chunk)
        if not raw or not self._pairs:
            return b"data: " + encode({**chunk.document, **self._ours}) + b"\n\n"
        for theirs, ours in self._pairs:
            raw = raw.replace(theirs, ours, 1)
        return b"data: " + raw + b"\n\n"

    def _find(self, chunk: Chunk) -> list[tuple[bytes, bytes]]:
        """Return the provider's spelling of its id and model, each with ours; none where they are not found."""
        found: dict[str, tuple[bytes, bytes]] = {}
        for match in _NAMED.finditer(chunk.raw):
            name = match[1].decode()
            if name not in found and _DECODE(match[2]) == chunk.document.get(name):
                found[name] = (match[0], encode({name: self._ours[name]})[1:-1])
        return list(found.values()) if len(found) == len(self._ours) else []


class HeldCalls:
    """Tool calls of a watched stream. A value may be cut in two by an event, so they leave when they are whole."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self._arguments: dict[Any, list[str]] = {}

    def take(self, chunk: Chunk) -> None:
        """Keep an event."""
        self.chunks.append(chunk)
        delta: Any = chunk.document["choices"][0]["delta"]
        for call in delta.get("tool_calls") or ():
            self._add(call.get("index"), call.get("function"))
        self._add("", delta.get("function_call"))

    def arguments(self) -> list[str]:
        """Return the arguments of each call as they stand now."""
        return ["".join(parts) for parts in self._arguments.values()]

    def _add(self, index: Any, function: Any) -> None:
        if function:
            self._arguments.setdefault(index, []).append(function.get("arguments") or "")


def calls_tools(chunk: Chunk) -> bool:
    """Claim that an event is a part of a tool call."""
    delta = delta_of(chunk)
    return bool(delta.get("tool_calls") or delta.get("function_call"))


def says_more(chunk: Chunk) -> bool:
    """Claim that an event holds words beside its text, such as a model's thoughts, which no guard has seen."""
    choices: Any = chunk.document.get("choices") or ()
    return len(choices) > 1 or any(value and name not in _SAID for name, value in delta_of(chunk).items())


def delta_of(chunk: Chunk) -> Mapping[str, Any]:
    """Return what an event adds to the first choice."""
    choices: Any = chunk.document.get("choices") or ()
    return choices[0].get("delta") or {} if choices else {}
