"""Outcomes: how many answers are known to have been right or wrong by now."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.signals import no_data, share
from roadworthy.ports.monitor import View


class OutcomesMonitor:
    """The share of answers in the window whose outcome has come. Without outcomes a system's decisions are blind."""

    name = "outcomes"
    light = Light.DECISION

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `outcomes`; no data, with the word *blind*, where answers exist and not one outcome came."""
        records = sum(bucket.records for bucket in view.quality)
        joined = sum(bucket.outcomes for bucket in view.quality)
        if records and not joined:
            return (no_data(view, self.name, f"blind: {records} answers, no outcome yet", light=self.light, n=records),)
        return (share(view, self.name, min(joined, records), records, light=self.light),)
