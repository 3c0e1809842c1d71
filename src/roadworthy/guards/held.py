"""Rewriting a stream: what may still become something to replace is held back, everything else leaves at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from roadworthy.guards.spans import Span, counted, hits_of, replaced
from roadworthy.ports.guard import Act, Blocked, Ruling

_SEEN: Final = 64
"""Characters that have left and are still looked at, because a rule may ask what stands before a match."""
_MOST: Final = 4_096
"""Characters held back at most. A longer run without a break is let go but for its newest half."""


class Rewriting(NamedTuple):
    """How a guard rewrites a text.

    `spans` finds what to replace, in order, without overlaps. `open_from` gives the place from which on a text that
    goes on may still be, or become part of, such a span; the length of the text when nothing is open.
    `swallows` says of a span that reaches the end of a text that is too long to hold, whether the next characters
    still belong to it: it returns how many of them do, and whether it may go on after them.
    """

    guard: str
    spans: Callable[[str], Sequence[Span]]
    open_from: Callable[[str], int]
    swallows: Callable[[Span, str], tuple[int, bool]]
    blocks: bool = False


class HeldStream:
    """A stream guard that replaces spans. Joined, its pieces are what the same guard makes of the whole answer.

    That holds as long as no single word, tag or number is longer than what is held back at most; beyond that a secret
    is still replaced, only its end is told by its characters.
    """

    def __init__(self, rewriting: Rewriting) -> None:
        self._how = rewriting
        self._text = ""
        self._left = 0
        self._counts: Counter[str] = Counter()
        self._swallowed: Span | None = None

    def feed(self, piece: str) -> str:
        """Return what may leave now."""
        if self._swallowed is not None:
            piece = self._swallow(piece)
        if not piece:
            return ""
        self._text += piece
        return self._let_out(max(self._left, self._how.open_from(self._text)))

    def close(self) -> str:
        """Return what was held back; it becomes no more than it is."""
        return "" if self._swallowed is not None else self._let_out(len(self._text), closing=True)

    def ruling(self) -> Ruling:
        """Say what was replaced so far."""
        action = Act.ALTER if self._counts else Act.ALLOW
        return Ruling(guard=self._how.guard, action=action, hits=hits_of(self._counts), reason=_said(self._counts))

    def _swallow(self, piece: str) -> str:
        assert self._swallowed is not None
        self._text += piece
        size, goes_on = self._how.swallows(self._swallowed, self._text)
        if goes_on:
            self._text = self._text[-_SEEN:]
            return ""
        self._swallowed = None
        rest, self._text, self._left = self._text[size:], "", 0
        return rest

    def _let_out(self, until: int, *, closing: bool = False) -> str:
        if until <= self._left and not closing and len(self._text) - self._left <= _MOST:
            return ""
        spans = [span for span in self._how.spans(self._text) if span.end > self._left]
        for span in spans:
            # A span at the end of the text may still grow.
            if span.start < until and (until < span.end or (span.end == len(self._text) and not closing)):
                until = max(self._left, span.start)
        if len(self._text) - until > _MOST:
            until = self._overflow(spans, until)
        return self._leave([span for span in spans if span.end <= until], until)

    def _overflow(self, spans: Sequence[Span], until: int) -> int:
        """Let go of what is too long to hold: up to its newest half, or all of it when it is one open secret."""
        last = spans[-1] if spans else None
        if last is not None and last.end == len(self._text):
            self._swallowed = last
            return len(self._text)
        until = max(until, len(self._text) - _MOST // 2)
        return min([until, *(span.start for span in spans if span.start < until < span.end)])

    def _leave(self, due: Sequence[Span], until: int) -> str:
        if due and self._how.blocks:
            self._counts.update(counted(due))
            ruling = self.ruling()
            raise Blocked(replace(ruling, action=Act.BLOCK))
        left = self._left
        moved = [span._replace(start=max(0, span.start - left), end=span.end - left) for span in due]
        out = replaced(self._text[self._left : until], moved)
        self._counts.update(counted(due))
        kept = max(0, until - _SEEN)
        self._text, self._left = self._text[kept:], until - kept
        return out


def _said(counts: Counter[str]) -> str:
    return f"found {', '.join(f'{rule} ({count})' for rule, count in sorted(counts.items()))}" if counts else ""
