"""Traffic: answers a second."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.domain.moment import SECOND
from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.signals import signal
from roadworthy.ports.monitor import View


class TrafficMonitor:
    """Answers a second over the window. None at all is 0, which is data: silence can be a fault upstream."""

    name = "traffic"
    light = Light.OPERATIONS

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `traffic` in answers a second."""
        answers = sum(bucket.answers for bucket in view.answers)
        seconds = max(1.0, view.policy.watch.window / SECOND)
        return (signal(view, self.name, answers / seconds, n=answers, light=self.light, unit="1/s"),)
