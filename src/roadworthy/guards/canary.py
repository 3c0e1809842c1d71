"""The system prompt stays inside: a canary planted in it, in whatever disguise, and the prompt's own words.

The canary is caught exactly, so a disguise that is not on the list passes. The overlap is the share of the prompt's
n-grams of words that the answer gives away, as in the usual tests of memorised text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final, Self

from roadworthy.guards.disguises import (
    View,
    disguises,
    folded,
    has_first_chunk,
    is_escaped,
    shares_chunks,
    views,
    whole_views,
)
from roadworthy.guards.settled import settled
from roadworthy.ports.chat import Document
from roadworthy.ports.guard import Act, Blocked, GuardContext, Hit, Ruling, allowed

_WORD: Final = re.compile(r"\w+")
_LEAST_CANARY: Final = 8
_ESCAPED_LETTER: Final = 8
"""Characters that one letter takes at most in a disguise of a stream, as in `&#x0052;`."""
_PARTS: Final = 4_096
"""Characters of a stream over which the parts of one canary may be spread."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is looked for, prepared once for each system prompt."""

    needles: tuple[str, ...]
    starts: frozenset[str]
    shortest: int
    longest: int
    window: int
    canary: str
    grams: frozenset[tuple[str, ...]]


@lru_cache(maxsize=256)
def prepared(canary: str, system_prompt: str, ngram: int) -> Prompt:
    """Return the disguises of a canary and the n-grams of a prompt."""
    needles = disguises(canary) if len(canary) >= _LEAST_CANARY else ()
    starts = frozenset(needle[:size] for needle in needles for size in range(1, len(needle)))
    grams = frozenset(_grams(_WORD.findall(system_prompt.lower()), ngram))
    return Prompt(
        needles=needles,
        starts=starts,
        shortest=min(map(len, needles), default=0),
        longest=max(map(len, needles), default=0),
        window=_ESCAPED_LETTER * (len(canary) + 2),
        canary=needles[0] if needles else "",
        grams=grams,
    )


def _grams(words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[at:] for at in range(size)), strict=False)


class CanaryGuard:
    """Blocks an answer that holds the canary, or more than `overlap` of the prompt's n-grams of `ngram` words.

    A canary shorter than eight letters and digits is not looked for: it would be found by chance.
    """

    name: ClassVar[str] = "canary"
    needs: ClassVar[str] = "the system prompt does not leave"
    defaults: ClassVar[Mapping[str, Any]] = {"overlap": 0.25, "ngram": 5, "least_grams": 8}

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        given = settled(self.name, self.defaults, parameters or {}, {})
        self._overlap: float = given["overlap"]
        self._ngram: int = max(1, given["ngram"])
        self._least: int = given["least_grams"]

    def configured(self, parameters: Mapping[str, Any]) -> Self:
        """Return this guard with these parameters.

        Raises:
            InputError: a parameter is unknown or of the wrong type.
        """
        return type(self)(parameters)

    def question(self, request: Document, context: GuardContext) -> Ruling:
        """Let every question pass: the prompt itself is part of it."""
        del request, context
        return allowed(self.name)

    def answer(self, text: str, context: GuardContext) -> Ruling:
        """Block an answer that gives the prompt away."""
        stream = self.stream(context)
        try:
            stream.check(text)
        except Blocked as blocked:
            return blocked.ruling
        return Ruling(guard=self.name, text=text)

    def stream(self, context: GuardContext) -> CanaryStream:
        """Watch for both as the answer passes; only what may be the canary's beginning is held back.

        The overlap is a share, so up to that share of the prompt has left before a stream is blocked.
        """
        prompt = prepared(context.canary, context.system_prompt, self._ngram)
        most = max(self._least, self._overlap * len(prompt.grams)) if self._overlap > 0 else float("inf")
        return CanaryStream(prompt, self._ngram, most)


class CanaryStream:
    """Blocks as soon as the canary is whole or the overlap is reached."""

    def __init__(self, prompt: Prompt, ngram: int, most: float) -> None:
        self._prompt, self._ngram, self._most = prompt, ngram, most
        self._text, self._left = "", 0
        self._words: tuple[str, ...] = ()
        self._unfinished = ""
        self._seen: set[tuple[str, ...]] = set()
        self._parts = ""

    def check(self, text: str) -> None:
        """Look at a whole answer at once.

        Raises:
            Blocked: it gives the prompt away.
        """
        if self._prompt.needles:
            found = list(whole_views(text))
            # Searched as one text: what parts them stands in no needle, and a short reading can hold none.
            self._compare("\n".join([view for view in found if len(view) >= self._prompt.shortest]))
            if shares_chunks(found[0], self._prompt.canary):
                raise _in_parts()
        self._overlap(text + " ")

    def feed(self, piece: str) -> str:
        """Return what cannot be the beginning of the canary."""
        self._overlap(piece)
        if not self._prompt.needles or not piece:
            return piece
        self._text += piece
        window = self._prompt.window if is_escaped(self._text) else self._prompt.window // 2
        open_from, before = len(self._text), max(0, len(self._text) - window - len(piece))
        for view in views(self._text[before:]):
            if len(view.text) >= self._prompt.shortest:
                self._compare(view.text)
            open_from = min(open_from, before + self._begun(view))
        self._watch_parts(piece)
        until = max(self._left, open_from)
        out = self._text[self._left : until]
        kept = max(0, min(until, len(self._text) - self._prompt.window))
        self._text, self._left = self._text[kept:], until - kept
        return out

    def close(self) -> str:
        """Return what was held back."""
        self._overlap(" ")
        return self._text[self._left :]

    def ruling(self) -> Ruling:
        """Say that nothing was found: what is found blocks."""
        return allowed(CanaryGuard.name)

    def _compare(self, view: str) -> None:
        for needle in self._prompt.needles:  # a generator would cost more than the searches
            if needle in view:
                raise _blocked("canary", "the answer holds the canary of the system prompt")

    def _watch_parts(self, piece: str) -> None:
        """Look for the canary's parts one after another, from where its first part was seen."""
        self._parts += piece
        view = folded(self._parts)
        if not has_first_chunk(view, self._prompt.canary):
            self._parts = self._parts[-self._prompt.window :]
        elif shares_chunks(view, self._prompt.canary):
            raise _in_parts()
        else:
            self._parts = self._parts[-_PARTS:]

    def _begun(self, view: View) -> int:
        """Return where the longest end of the view that begins a disguise stands in the text."""
        text = view.text
        for size in range(min(len(text), self._prompt.longest - 1), 0, -1):
            if text[-size:] in self._prompt.starts:
                return view.places[len(text) - size]
        return view.end

    def _overlap(self, piece: str) -> None:
        """Count the prompt's n-grams in the words that are complete."""
        if self._most > len(self._prompt.grams):  # a prompt so short is not told from common words
            return
        text = (self._unfinished + piece).lower()
        tail = len(text)
        while tail and (text[tail - 1].isalnum() or text[tail - 1] == "_"):
            tail -= 1
        self._unfinished = text[tail:]
        words = (*self._words, *_WORD.findall(text[:tail]))
        self._seen |= self._prompt.grams.intersection(_grams(words, self._ngram))
        self._words = words[len(words) - min(len(words), self._ngram - 1) :]
        if len(self._seen) >= self._most:
            share = len(self._seen) / len(self._prompt.grams)
            raise _blocked("overlap", f"the answer repeats {share:.0%} of the system prompt")


def _in_parts() -> Blocked:
    return _blocked("canary", "the answer holds the canary of the system prompt in parts")


def _blocked(rule: str, reason: str) -> Blocked:
    return Blocked(Ruling(guard=CanaryGuard.name, action=Act.BLOCK, hits=(Hit(rule),), reason=reason))
