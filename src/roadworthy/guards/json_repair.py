"""Repairs of JSON whose form alone is wrong. Deterministic; no value is guessed, no key is made up."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_FENCE: Final = re.compile(r"```[A-Za-z0-9_-]*[ \t]*\r?\n?(.*?)(?:```|\Z)", re.DOTALL)
_WORDS: Final = {"True": "true", "False": "false", "None": "null"}
_BARE: Final = re.compile(r"[A-Za-z_$][\w$-]*")
_INK: Final = re.compile(r"\S")
_OPEN: Final = {"{": "}", "[": "]"}
_QUOTES: Final = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019"}
_CLOSERS: Final = frozenset("}]")
_ESCAPES: Final = frozenset('"\\/bfnrtu')
_CONTROLS: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Repaired(NamedTuple):
    """The mended text and the names of the steps that changed something, in the order they were taken."""

    text: str
    steps: tuple[str, ...]


def repaired(text: str, opening: str = "{[") -> Repaired:
    """Return the text as JSON as far as its form can be mended; it begins at the first bracket that `opening` holds.

    Steps: `fence` (the first code fence's content), `prose` (what stands around the outermost object or array),
    `quotes` (single or typographic quotes), `word` (Python's True, False, None), `key` (keys without quotes),
    `control` (line breaks within a text), `comment`, `comma` (before a closing bracket), `closed` (texts and brackets
    left open). The result may still be no JSON; the caller parses it.
    """
    steps: list[str] = []
    body = text.strip().removeprefix("\ufeff")
    if fence := _FENCE.search(body):
        inner = fence[1].strip()
        if inner[:1] in _OPEN:
            body = inner
            steps.append("fence")
    begin = min((at for at in map(body.find, opening) if at >= 0), default=-1)
    if begin > 0:
        body = body[begin:]
        steps.append("prose")
    if begin < 0:
        return Repaired(body, tuple(steps))
    writer = _Writer(body)
    mended = writer.write()
    return Repaired(mended, tuple(dict.fromkeys((*steps, *writer.steps))))


class _Writer:
    """Reads a nearly-JSON text once, from left to right, and writes JSON."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._out: list[str] = []
        self._open: list[str] = []
        self.steps: list[str] = []

    def write(self) -> str:
        while self._at < len(self._text):
            self._one()
            if not self._open:
                if self._text[self._at :].strip():
                    self.steps.append("prose")
                break
        if self._open:
            self._drop_comma()
            self._out += reversed(self._open)
            self.steps.append("closed")
        return "".join(self._out)

    def _one(self) -> None:
        letter = self._text[self._at]
        if letter in _QUOTES:
            self._string(letter)
        elif letter in _OPEN:
            self._open.append(_OPEN[letter])
            self._take(1)
        elif letter in _CLOSERS:
            self._close(letter)
        elif self._text.startswith(("//", "/*"), self._at):
            self._comment()
        elif word := _BARE.match(self._text, self._at):
            self._word(word[0])
        else:
            self._take(1)

    def _take(self, size: int) -> None:
        self._out.append(self._text[self._at : self._at + size])
        self._at += size

    def _close(self, letter: str) -> None:
        self._drop_comma()
        while self._open and self._open[-1] != letter and letter in self._open:
            self._out.append(self._open.pop())
            self.steps.append("closed")
        if self._open and self._open[-1] == letter:
            self._open.pop()
            self._out.append(letter)
        self._at += 1

    def _drop_comma(self) -> None:
        """Take back a comma that nothing follows."""
        at = len(self._out)
        while at and not self._out[at - 1].strip():
            at -= 1
        if at and self._out[at - 1] == ",":
            del self._out[at - 1]
            self.steps.append("comma")

    def _comment(self) -> None:
        ending = "\n" if self._text[self._at + 1] == "/" else "*/"
        end = self._text.find(ending, self._at)
        self._at = len(self._text) if end < 0 else end + len(ending)
        self.steps.append("comment")

    def _word(self, word: str) -> None:
        self._at += len(word)
        if self._next() == ":":
            self._out.append(f'"{word}"')
            self.steps.append("key")
        elif word in _WORDS:
            self._out.append(_WORDS[word])
            self.steps.append("word")
        else:
            self._out.append(word)

    def _string(self, quote: str) -> None:
        closing = _QUOTES[quote]
        if quote != '"':
            self.steps.append("quotes")
        self._out.append('"')
        self._at += 1
        while self._at < len(self._text):
            letter = self._text[self._at]
            self._at += 1
            if letter == closing and self._ends(closing):
                self._out.append('"')
                return
            self._out.append(self._escaped(letter))
        self._out.append('"')
        self.steps.append("closed")

    def _ends(self, closing: str) -> bool:
        """Tell whether a quote ends its text: an apostrophe or a stray quote is followed by more of it."""
        if closing == '"':
            return True
        return self._next() in ("", ",", ":", "}", "]")

    def _next(self) -> str:
        """Return the next character that is no space, empty at the end."""
        match = _INK.search(self._text, self._at)
        return match[0] if match else ""

    def _escaped(self, letter: str) -> str:
        if letter == "\\":
            after = self._text[self._at : self._at + 1]
            self._at += 1
            return letter + after if after in _ESCAPES and after else after
        if letter == '"':
            return '\\"'
        if letter in _CONTROLS:
            self.steps.append("control")
            return _CONTROLS[letter]
        return letter
