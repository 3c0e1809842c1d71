"""Files into passages: by heading and paragraph, within a bound of words, each with an id that stays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from roadworthy.errors import InputError
from roadworthy.runtimes.rag.words import words

MARKDOWN: Final = frozenset({".md", ".markdown"})
UNTITLED: Final = "start"
"""The slug of text before a file's first heading."""

_HEADING: Final = re.compile(r"^ {0,3}(#{1,6})[ \t]+(\S.*)$")
_CLOSING: Final = re.compile(r"[ \t]#+$")
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_FRONT_MATTER: Final = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+")
_LEAST_WORDS: Final = 20


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a file that is found and cited as one.

    `id` is `<file>#<heading's slug>-<n>`; n counts from 1 per slug in its file, so passages elsewhere do not move it.
    `trail` holds the headings above the text, outermost first.
    """

    id: str
    source: str
    trail: tuple[str, ...]
    text: str


def chunk(files: Mapping[str, str], *, size: int = 80, overlap: int = 0) -> tuple[Passage, ...]:
    """Cut files into passages, in the order of their paths; the same files give the same passages.

    Args:
        files: text by path relative to the corpus' root. Names that end in `.md` or `.markdown` are read as Markdown.
        size: the most words in a passage; paragraphs under one heading are joined up to it, longer ones are cut.
        overlap: how many words of a passage its follower under the same heading repeats; part of `size`.

    Raises:
        InputError: the size is below 20 words, or the overlap is not below half of it.
    """
    if size < _LEAST_WORDS or not 0 <= overlap < size / 2:
        raise InputError(
            f"passages of {size} words that repeat {overlap} cannot be cut",
            hint=f"take {_LEAST_WORDS} words or more, and repeat less than half of them",
        )
    return tuple(passage for path in sorted(files) for passage in _passages(path, files[path], size, overlap))


def slug(heading: str) -> str:
    """Return a heading as an anchor: lower-case words joined by hyphens."""
    return "-".join(words(heading)) or UNTITLED


def _passages(path: str, text: str, size: int, overlap: int) -> Iterator[Passage]:
    is_markdown = PurePosixPath(path).suffix.lower() in MARKDOWN
    taken: dict[str, int] = {}
    for trail, lines in _sections(text.replace("\r\n", "\n"), is_markdown):
        name = slug(trail[-1]) if trail else UNTITLED
        for piece in _pack(_fitting(_blocks(lines, is_markdown), size - overlap), size, overlap):
            taken[name] = taken.get(name, 0) + 1
            yield Passage(f"{path}#{name}-{taken[name]}", path, trail, piece)


def _sections(text: str, is_markdown: bool) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Return the lines below each heading with the headings above them; a `#` in a fenced block is no heading."""
    if not is_markdown:
        yield (), text.split("\n")
        return
    trail: list[tuple[int, str]] = []
    lines: list[str] = []
    fence = ""
    for line in _FRONT_MATTER.sub("", text).split("\n"):
        fence = _fence_after(line, fence)
        heading = None if fence else _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        yield tuple(title for _, title in trail), lines
        depth = len(heading[1])
        title = _CLOSING.sub("", heading[2].rstrip()).rstrip().replace("`", "")
        trail = [*((level, above) for level, above in trail if level < depth), (depth, title)]
        lines = []
    yield tuple(title for _, title in trail), lines


def _fence_after(line: str, fence: str) -> str:
    """Return the fence that is open after a line, empty if none."""
    mark = _FENCE.match(line)
    if mark is None:
        return fence
    if not fence:
        return mark[1]
    return "" if mark[1].startswith(fence) else fence


def _blocks(lines: Sequence[str], is_markdown: bool) -> list[str]:
    """Return paragraphs; a fenced block is one, whatever empty lines it holds."""
    blocks: list[list[str]] = [[]]
    fence = ""
    for line in lines:
        fence = _fence_after(line, fence) if is_markdown else ""
        if line.strip() or fence:
            blocks[-1].append(line.rstrip())
        elif blocks[-1]:
            blocks.append([])
    return ["\n".join(block).strip("\n") for block in blocks if block]


def _fitting(blocks: Sequence[str], size: int) -> Iterator[str]:
    """Cut blocks that are too long: by lines, then by sentences, then by words."""
    for block in blocks:
        if len(block.split()) <= size:
            yield block
            continue
        for separator, parts in (("\n", block.split("\n")), (" ", _SENTENCE_END.split(block)), (" ", block.split())):
            if max(len(part.split()) for part in parts) <= size:
                yield from _filled(parts, separator, size)
                break


def _filled(parts: Sequence[str], separator: str, size: int) -> Iterator[str]:
    """Join parts up to the bound; a table's head is repeated over each of its pieces."""
    longest = max(len(part.split()) for part in parts)
    head = list(parts[:2]) if _is_table(parts) and _count(parts[:2]) + longest <= size else []
    piece: list[str] = []
    for part in parts:
        if piece and _count(piece) + len(part.split()) > size:
            yield separator.join(piece)
            piece = list(head)
        piece.append(part)
    yield separator.join(piece)


def _is_table(lines: Sequence[str]) -> bool:
    return len(lines) > 2 and lines[0].lstrip().startswith("|") and set(lines[1]) <= set("|-: ")  # noqa: PLR2004


def _count(parts: Sequence[str]) -> int:
    return sum(len(part.split()) for part in parts)


def _pack(blocks: Iterator[str], size: int, overlap: int) -> Iterator[str]:
    """Join blocks of one section up to the bound."""
    piece: list[str] = []
    for block in blocks:
        if piece and _count(piece) + len(block.split()) > size:
            yield "\n\n".join(piece)
            tail = " ".join("\n\n".join(piece).split()[-overlap:]) if overlap else ""
            piece = [tail] if tail else []
        piece.append(block)
    if piece:
        yield "\n\n".join(piece)
