"""The texts of a question: every place of a chat request where a person or a program may have written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

from roadworthy.ports.chat import Document

_WRITTEN: Final = ("messages", "input", "prompt", "user", "metadata", "prediction")
# Values that say what a part is; altering one would change the kind of the request, not its content.
_STRUCTURE: Final = frozenset(("role", "type", "id", "tool_call_id", "detail", "format"))


def texts_of(request: Document) -> Iterator[str]:
    """Yield every text that the caller wrote: contents, parts, tool calls and their results, names."""
    for key in _WRITTEN:
        if key in request:
            yield from _texts(request[key])


def rewritten(request: Document, rewrite: Callable[[str], str]) -> Document:
    """Return the request with each such text rewritten; parts that do not change are the same objects."""
    changed = {key: _rewritten(request[key], rewrite) for key in _WRITTEN if key in request}
    return {**request, **changed}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, Mapping)):
        for key, inner in cast("Mapping[str, Any]", value).items():
            if key not in _STRUCTURE:
                yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in cast("list[Any]", value):
            yield from _texts(inner)


def _rewritten(value: Any, rewrite: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return rewrite(value)
    if isinstance(value, (dict, Mapping)):
        document = cast("Mapping[str, Any]", value)
        return {
            key: inner
            if key in _STRUCTURE
            else (rewrite(inner) if inner.__class__ is str else _rewritten(inner, rewrite))
            for key, inner in document.items()
        }
    if isinstance(value, list | tuple):
        return [_rewritten(inner, rewrite) for inner in cast("list[Any]", value)]
    return value
