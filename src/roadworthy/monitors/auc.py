"""AUC: how well the scores rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from roadworthy.domain.interface import Task
from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.scores import Scores, scores_of
from roadworthy.monitors.signals import no_data, signal
from roadworthy.ports.monitor import View
from roadworthy.stats.tails import normal_quantile

_Z = normal_quantile(0.975)


class AucMonitor:
    """The area under the ROC curve over the window's outcomes, from 50 score bins (ties in a bin count half)."""

    name = "auc"
    light = Light.DECISION

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `auc` with the Hanley-McNeil interval; nothing for tasks without a score."""
        if view.interface.task is not Task.BINARY:
            return ()
        scores = scores_of(view)
        if isinstance(scores, str):
            return (no_data(view, self.name, scores, light=self.light),)
        value, error = area(scores)
        found = signal(view, self.name, value, n=scores.n, light=self.light)
        return (replace(found, low=max(0.0, value - _Z * error), high=min(1.0, value + _Z * error)),)


def area(scores: Scores) -> tuple[float, float]:
    """Return the area and its standard error. Source: Hanley and McNeil 1982."""
    positives, negatives = scores.positives.astype(float), scores.negatives.astype(float)
    p, q = positives.sum(), negatives.sum()
    below = np.concatenate(([0.0], np.cumsum(negatives)[:-1]))
    value = float((positives * (below + negatives / 2)).sum() / (p * q))
    first, second = value / (2 - value), 2 * value**2 / (1 + value)
    variance = (value * (1 - value) + (p - 1) * (first - value**2) + (q - 1) * (second - value**2)) / (p * q)
    return value, math.sqrt(max(0.0, variance))
