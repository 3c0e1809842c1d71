"""Cost: what answers cost, each, by the hour, and for each that somebody found right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from roadworthy.domain.moment import HOUR
from roadworthy.domain.objective import Light, Signal
from roadworthy.domain.pin import PICO
from roadworthy.monitors.chats import NO_ANSWERS, is_chat, nothing, rate, total
from roadworthy.monitors.signals import no_data, signal
from roadworthy.ports.monitor import View

FEWEST_OUTCOMES = 30
_UNIT = "money"
_WHOLE = PICO * 1_000_000


class CostMonitor:
    """Money in the currency of the pins' prices. Calls that failed and answers in the shadow are paid for as well."""

    name = "cost"
    light = Light.OPERATIONS

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `cost` (of an answer), `cost(hour)` and `cost(outcome)` (of an answer that was found right)."""
        if not is_chat(view):
            return ()
        picos, answers = total(view.chats, "cost_picos"), total(view.chats, "answers")
        unpriced = total(view.chats, "unpriced")
        why = f"{unpriced} answers of a model without a known price are counted as free" if unpriced else ""
        # A release's own bucket holds its shadow answers already; the system's holds only what they cost.
        spent = picos + (total(view.chats, "shadow_picos") if view.release is None else 0)
        hours = view.policy.watch.window / HOUR
        each = (
            replace(rate(view, self.name, picos / _WHOLE / answers, answers, light=self.light, unit=_UNIT), reason=why)
            if answers
            else nothing(view, self.name, NO_ANSWERS, light=self.light)
        )
        hourly = rate(view, "cost(hour)", spent / _WHOLE / hours, answers, light=self.light, unit=_UNIT)
        return (each, replace(hourly, reason=why), self._for_outcomes(view))

    def _for_outcomes(self, view: View) -> Signal:
        """Divide what the answers with an outcome cost by how many of them were right, in parts where parts were."""
        name, n = "cost(outcome)", sum(bucket.outcomes for bucket in view.quality)
        if n < FEWEST_OUTCOMES:
            return self._wide(view, no_data(view, name, f"{n} of {FEWEST_OUTCOMES} outcomes", light=self.light, n=n))
        right = n - sum(bucket.loss for bucket in view.quality)
        if right < 1:
            return self._wide(view, no_data(view, name, f"not one of {n} outcomes is good", light=self.light, n=n))
        spent = sum(bucket.cost_picos for bucket in view.quality) / _WHOLE
        return self._wide(view, signal(view, name, spent / right, n=n, light=self.light, unit=_UNIT))

    def _wide(self, view: View, found: Signal) -> Signal:
        start = view.watermark - view.policy.watch.drift_window
        return replace(found, window_start=start, window_end=view.watermark)
