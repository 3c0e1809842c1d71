"""Freshness: how old the features were when they were used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from roadworthy.domain.interface import FieldRole
from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.signals import no_data, signal
from roadworthy.ports.monitor import View

_MS_PER_MINUTE = 60_000


class FreshnessMonitor:
    """The mean age of each feature that declares one, in minutes at the time of the answer; `high` is the oldest."""

    name = "freshness"
    light = Light.OPERATIONS

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `freshness(field)` for each field with the role `age`; nothing where none is declared."""
        inputs = view.interface.inputs
        return tuple(self._age(view, field.name) for field in inputs if field.role is FieldRole.AGE)

    def _age(self, view: View, field: str) -> Signal:
        ages = [bucket.ages_ms[field] for bucket in view.answers if field in bucket.ages_ms]
        n, total = sum(age[0] for age in ages), sum(age[1] for age in ages)
        name = f"{self.name}({field})"
        if n == 0:
            return no_data(view, name, "no answer carried this age", light=self.light)
        oldest = max(age[2] for age in ages) / _MS_PER_MINUTE
        mean = signal(view, name, total / n / _MS_PER_MINUTE, n=n, light=self.light, unit="min")
        return replace(mean, high=oldest)
