"""Violations: requests that break the interface."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.signals import share
from roadworthy.ports.monitor import View

_MOST_FIELDS = 8


class ViolationsMonitor:
    """The share of requests that break the interface, overall and for the fields that break it most."""

    name = "violations"
    light = Light.OPERATIONS

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `violations`, and `violations(field)` for the worst fields."""
        answers = sum(bucket.answers for bucket in view.answers)
        violated = sum(bucket.violated for bucket in view.answers)
        fields: Counter[str] = Counter()
        for bucket in view.answers:
            for name, count in bucket.violations.items():
                fields[name.partition(":")[0]] += count
        worst = (
            share(view, f"violations({field})", min(count, answers), answers, light=self.light)
            for field, count in sorted(fields.most_common(_MOST_FIELDS))
        )
        return (share(view, self.name, violated, answers, light=self.light), *worst)
