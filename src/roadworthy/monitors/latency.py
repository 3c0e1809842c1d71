"""Latency of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.signals import no_data, signal
from roadworthy.ports.monitor import View
from roadworthy.stats.quantiles import Latencies, merge_latencies

_QUANTILES = (("latency", 0.99), ("latency(p50)", 0.5))


class LatencyMonitor:
    """The 99 % and 50 % quantiles of latency in milliseconds, within 2 %."""

    name = "latency"
    light = Light.OPERATIONS

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `latency` (p99) and `latency(p50)` in ms."""
        merged = merge_latencies(Latencies.from_doc(bucket.latencies) for bucket in view.answers if bucket.latencies)
        return tuple(self._quantile(view, name, merged, q) for name, q in _QUANTILES)

    def _quantile(self, view: View, name: str, merged: Latencies, q: float) -> Signal:
        value = merged.quantile(q)
        if value is None:
            return no_data(view, name, "no answers in the window", light=self.light)
        budget = view.policy.serve.deadline_ms
        found = signal(view, name, value / 1000, n=merged.total, light=self.light, unit="ms")
        return replace(found, threshold=budget if name == self.name else None)
