"""YAML text → plain values in which every value still knows its line and column.

Restricted on purpose: one document, no anchors, aliases, tags or duplicate keys, bounded depth and size; keys and
quoted scalars are text; plain scalars follow YAML 1.2's core schema (`no` stays text). Read from libyaml's events
with a stack of our own, so that nesting costs no recursion: each text is a document or findings, never a traceback.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, TypeAlias

import yaml

from roadworthy.errors import Finding

Path: TypeAlias = tuple[str | int, ...]

MAX_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 16
_MAX_NUMBER_LENGTH: Final = 40
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


@dataclass(frozen=True, slots=True)
class Mark:
    """Where something stands in a text, counted from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Document:
    """What a text says and where. `raw` keeps each scalar as written, for places where `1.10` means a name."""

    file: str
    value: dict[str, Any] = field(default_factory=dict[str, Any])
    marks: dict[Path, Mark] = field(default_factory=dict[Path, Mark])
    keys: dict[Path, Mark] = field(default_factory=dict[Path, Mark])
    raw: dict[Path, str] = field(default_factory=dict[Path, str])
    findings: list[Finding] = field(default_factory=list[Finding])

    def note(self, mark: Mark, message: str, hint: str = "", *, shift: int = 0) -> None:
        """Keep a finding at a mark, `shift` characters to the right of it."""
        self.findings.append(Finding(mark.line, mark.column + shift, message, hint, self.file))

    def mark_of(self, path: Path, *, key: bool = False) -> Mark:
        """Return the mark of a path, or of the nearest parent that is in the text."""
        table = self.keys if key and path in self.keys else self.marks
        for length in range(len(path), 0, -1):
            if path[:length] in table:
                return table[path[:length]]
        return Mark(1, 1)


class _Stopped(Exception):
    """Nothing sensible follows in this text."""


@dataclass(slots=True)
class _Frame:
    path: Path
    mapping: dict[str, Any] | None
    sequence: list[Any] | None
    key: str | None = None
    doubled: bool = False


def read(source: str | bytes, file: str = "") -> Document:
    """Read a text. `findings` of the result lists what is not allowed; `value` is what could be read."""
    document = Document(file)
    text = _decode(source, document)
    if text is None:
        return document
    try:
        _build(text, document)
    except _Stopped:
        pass
    except yaml.MarkedYAMLError as error:
        _note_syntax(error, document)
    except yaml.reader.ReaderError as error:
        mark = _mark_at(text, error.position)
        document.note(mark, "this character is not allowed in YAML", "save the file as plain UTF-8 text")
    return document


def _decode(source: str | bytes, document: Document) -> str | None:
    try:
        content = source.encode() if isinstance(source, str) else source
        text = content.decode()
    except UnicodeEncodeError as error:
        _note_encoding(error.object[: error.start].count("\n"), document)
        return None
    except UnicodeDecodeError as error:
        _note_encoding(error.object[: error.start].count(b"\n"), document)
        return None
    if len(content) > MAX_BYTES:
        document.note(Mark(1, 1), f"the file has {len(content):,} bytes, more than the {MAX_BYTES:,} allowed")
        return None
    return text.removeprefix("\ufeff")


def _note_encoding(lines_before: int, document: Document) -> None:
    document.note(Mark(lines_before + 1, 1), "this line is not UTF-8 text", "save the file as UTF-8")


def _mark_at(text: str, position: int) -> Mark:
    before = text[: max(0, position)]
    return Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _note_syntax(error: yaml.MarkedYAMLError, document: Document) -> None:
    place = error.problem_mark or error.context_mark
    mark = Mark(place.line + 1, place.column + 1) if place else Mark(1, 1)
    problem = str(error.problem or error.context or "this is not YAML")
    hint = "indent with spaces, not tabs" if "\\t" in problem or "tab" in problem else ""
    document.note(
        mark, f"this is not YAML: {problem}", hint or "quote text that holds : # [ ] { } or starts with @ ` % *"
    )


def _build(text: str, document: Document) -> None:
    stack: list[_Frame] = []
    documents = 0
    for event in _events(text):
        mark = Mark(event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            _check_start(event, documents, mark, document)
        elif isinstance(event, yaml.AliasEvent):
            document.note(mark, f"an alias (*{event.anchor}) is not allowed", "write the value out")
            _place(None, mark, stack, document)
        elif isinstance(event, yaml.ScalarEvent):
            _check_node(event, mark, document)
            _scalar(event, mark, stack, document)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            _check_node(event, mark, document)
            _open(isinstance(event, yaml.MappingStartEvent), mark, stack, document)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            stack.pop()
    if not documents:
        document.note(Mark(1, 1), "the file is empty")


def _events(text: str) -> Iterator[Any]:
    yield from yaml.parse(text, Loader=yaml.CSafeLoader)  # pyright: ignore[reportUnknownMemberType]


def _check_start(event: Any, count: int, mark: Mark, document: Document) -> None:
    if count > 1:
        document.note(mark, "a second document (---) is not allowed", "one file declares one system")
        raise _Stopped
    if event.tags:
        document.note(mark, "tag directives (%TAG) are not allowed")


def _check_node(event: Any, mark: Mark, document: Document) -> None:
    if event.anchor is not None:
        document.note(mark, f"an anchor (&{event.anchor}) is not allowed", "write the value out where it is needed")
    if event.tag is not None:
        document.note(mark, f"a tag ({event.tag[:40]}) is not allowed", "the type follows from the key")


def _scalar(event: Any, mark: Mark, stack: list[_Frame], document: Document) -> None:
    frame = stack[-1] if stack else None
    if frame is not None and frame.mapping is not None and frame.key is None:
        _take_key(event.value, mark, frame, document)
        return
    plain = not event.style
    path = _place(_resolve(event.value) if plain else event.value, mark, stack, document)
    document.raw.setdefault(path, event.value)


def _take_key(key: str, mark: Mark, frame: _Frame, document: Document) -> None:
    assert frame.mapping is not None
    frame.key = key
    frame.doubled = key in frame.mapping
    path = (*frame.path, key)
    if frame.doubled:
        first = document.keys[path]
        document.note(mark, f"'{key[:60]}' is given twice", f"it is on line {first.line} already; keep one")
    else:
        document.keys[path] = mark
        frame.mapping[key] = None


def _place(value: Any, mark: Mark, stack: list[_Frame], document: Document) -> Path:
    """Put a value where its parent wants it; the second value of a doubled key is read and dropped."""
    if not stack:
        document.note(mark, "the file must hold keys and values, such as 'system: flights'")
        raise _Stopped
    frame = stack[-1]
    if frame.sequence is not None:
        path: Path = (*frame.path, len(frame.sequence))
        frame.sequence.append(value)
        document.marks[path] = mark
        return path
    if frame.key is None:
        document.note(mark, "a key must be plain text")
        raise _Stopped
    assert frame.mapping is not None
    path = (*frame.path, frame.key)
    if not frame.doubled:
        frame.mapping[frame.key] = value
        document.marks[path] = mark
    frame.key = None
    return path


def _open(is_mapping: bool, mark: Mark, stack: list[_Frame], document: Document) -> None:
    mapping: dict[str, Any] | None = {} if is_mapping else None
    sequence: list[Any] | None = None if is_mapping else []
    if len(stack) >= MAX_DEPTH:
        document.note(mark, f"this is nested deeper than {MAX_DEPTH} levels")
        raise _Stopped
    if stack:
        doubled = stack[-1].doubled
        path = _place(mapping if is_mapping else sequence, mark, stack, document)
        # What hangs under a doubled key gets a path of its own, so that it marks nothing twice.
        path = (*path, "") if doubled and stack[-1].mapping is not None else path
    elif mapping is None:
        document.note(mark, "the file must hold keys and values, such as 'system: flights'")
        raise _Stopped
    else:
        path, document.value = (), mapping
    stack.append(_Frame(path, mapping, sequence))


def _resolve(text: str) -> Any:
    """Give a plain scalar its type by YAML 1.2's core schema; numbers that do not fit stay text."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if len(text) <= _MAX_NUMBER_LENGTH and _FLOAT.fullmatch(text):
        number = float(text)
        return number if isfinite(number) else text
    return text
