"""Places in a text that are to be replaced, and how to replace them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from roadworthy.ports.guard import Hit


class Span(NamedTuple):
    """`text[start:end]` broke `rule` and is replaced by `mark`. The text itself is not kept."""

    start: int
    end: int
    rule: str
    mark: str


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order without overlaps: the earliest wins, of these the longest; one that only overlaps is cut.

    What an earlier span does not cover of a later one is still replaced, so that no half of a secret stays.
    """
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
        elif span.end > kept[-1].end:
            kept[-1] = kept[-1]._replace(end=span.end)
    return kept


def replaced(text: str, spans: Sequence[Span]) -> str:
    """Return the text with each span's mark in its place; the spans are in order and do not overlap."""
    parts: list[str] = []
    at = 0
    for span in spans:
        parts += (text[at : span.start], span.mark)
        at = span.end
    return "".join((*parts, text[at:]))


def hits_of(counts: Mapping[str, int]) -> tuple[Hit, ...]:
    """Return the hits of these counts, by rule."""
    return tuple(Hit(rule, counts[rule]) for rule in sorted(counts))


def counted(spans: Iterable[Span]) -> dict[str, int]:
    """Count the spans of each rule."""
    return dict(Counter(span.rule for span in spans))
