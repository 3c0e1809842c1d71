"""How alike two texts are, by their words: no model, the same number each time."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")
_MOST_WORDS: Final = 2_000
"""The longest common subsequence takes a step for each pair of words: longer texts are compared by their beginnings."""


def words(text: str) -> list[str]:
    """Return a text's words in lower case, letters and digits of any script."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())[:_MOST_WORDS]


def token_f1(text: str, reference: str) -> float:
    """Return the harmonic mean of precision and recall of words, whatever their order; two empty texts are alike.

    Source: Rajpurkar et al. 2016, SQuAD's F1, without its dropping of articles.
    """
    ours, theirs = words(text), words(reference)
    if not ours or not theirs:
        return float(ours == theirs)
    return _f1(sum((Counter(ours) & Counter(theirs)).values()), len(ours), len(theirs))


def rouge_l(text: str, reference: str) -> float:
    """Return the F-measure of the longest common subsequence of words: as `token_f1`, but order counts.

    Source: Lin 2004, ROUGE-L with beta 1.
    """
    ours, theirs = words(text), words(reference)
    if not ours or not theirs:
        return float(ours == theirs)
    return _f1(_common_subsequence(ours, theirs), len(ours), len(theirs))


def _f1(shared: int, ours: int, theirs: int) -> float:
    return 2 * shared / (ours + theirs)


def _common_subsequence(first: list[str], second: list[str]) -> int:
    lengths = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for place, other in enumerate(second, 1):
            kept = lengths[place]
            lengths[place] = diagonal + 1 if word == other else max(kept, lengths[place - 1])
            diagonal = kept
    return lengths[-1]
