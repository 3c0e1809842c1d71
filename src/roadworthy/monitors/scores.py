"""Sums over the score histograms of binary answers, which `auc` and `brier` read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.domain.interface import Task
from roadworthy.ports.monitor import View
from roadworthy.stats.arrays import Ints

FEWEST_OF_A_CLASS = 20


@dataclass(frozen=True, slots=True)
class Scores:
    """Negatives and positives by score bin, shape (50,) each."""

    negatives: Ints
    positives: Ints

    @property
    def n(self) -> int:
        """Return the number of outcomes."""
        return int(self.negatives.sum() + self.positives.sum())


def scores_of(view: View) -> Scores | str:
    """Add up the histograms of the window, or say why there is nothing to add up."""
    if view.interface.task is not Task.BINARY:
        return "only binary answers have a score"
    if not view.quality:
        return "no outcomes in the window"
    counts: Ints = np.array([bucket.scores for bucket in view.quality], dtype=np.int64).sum(axis=0)
    found = Scores(counts[0], counts[1])
    fewest = int(min(found.negatives.sum(), found.positives.sum()))
    if fewest < FEWEST_OF_A_CLASS:
        return f"{fewest} of {FEWEST_OF_A_CLASS} outcomes of the rarer class"
    return found
