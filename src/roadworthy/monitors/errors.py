"""Errors: answers that the intended release did not give."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.signals import share
from roadworthy.ports.monitor import View


class ErrorsMonitor:
    """For a release, the share of requests it failed, also where a fallback saved the answer.

    For the system, the share of callers that got no answer at all: the one error budget of the decision's path.
    """

    name = "errors"
    light = Light.OPERATIONS

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `errors`, and `errors(fallback)`: the share answered by a fallback."""
        answers = sum(bucket.answers for bucket in view.answers)
        of_release = view.release is not None
        failed = sum(bucket.failed if of_release else bucket.unserved for bucket in view.answers)
        fallbacks = sum(sum(bucket.fallbacks.values()) for bucket in view.answers)
        return (
            share(view, self.name, failed, answers, light=self.light),
            share(view, "errors(fallback)", fallbacks, answers, light=self.light),
        )
