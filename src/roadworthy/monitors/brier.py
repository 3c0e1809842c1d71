"""Brier score: how far probabilities were from what happened."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.domain.interface import Task
from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.quality import FEWEST_OUTCOMES
from roadworthy.monitors.signals import no_data, signal
from roadworthy.ports.monitor import View


class BrierMonitor:
    """The mean squared error of probabilities over the window's outcomes; it sees what a threshold hides."""

    name = "brier"
    light = Light.DECISION

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `brier`, between 0 and 1; nothing for tasks without a probability."""
        if view.interface.task is not Task.BINARY:
            return ()
        n = sum(bucket.outcomes for bucket in view.quality)
        if n < FEWEST_OUTCOMES:
            return (no_data(view, self.name, f"{n} of {FEWEST_OUTCOMES} outcomes", light=self.light, n=n),)
        value = sum(bucket.brier for bucket in view.quality) / n
        return (signal(view, self.name, value, n=n, light=self.light),)
