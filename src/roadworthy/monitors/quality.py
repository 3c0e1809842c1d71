"""Quality: how often decisions were wrong, from outcomes that arrive late."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.harm import promise
from roadworthy.monitors.signals import no_data, signal
from roadworthy.ports.monitor import View
from roadworthy.stats.tails import normal_quantile

FEWEST_OUTCOMES = 30
_Z = normal_quantile(0.975)


class QualityMonitor:
    """The mean decision loss: the error rate of labels, or the absolute error over its scale, capped at 1."""

    name = "quality"
    light = Light.DECISION

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `quality`, between 0 (all right) and 1; the threshold is the promise of the hold-out plus margin."""
        n = sum(bucket.outcomes for bucket in view.quality)
        if n < FEWEST_OUTCOMES:
            return (no_data(view, self.name, f"{n} of {FEWEST_OUTCOMES} outcomes", light=self.light, n=n),)
        mean = sum(bucket.loss for bucket in view.quality) / n
        variance = max(0.0, sum(bucket.loss_squares for bucket in view.quality) / n - mean**2)
        half = _Z * math.sqrt((variance + 1 / n) / n)
        promised = None
        if view.reference is not None:
            promised = promise(view.reference, view.policy.watch)
        found = signal(view, self.name, mean, n=n, light=self.light, unit="loss")
        return (replace(found, low=max(0.0, mean - half), high=min(1.0, mean + half), threshold=promised),)
