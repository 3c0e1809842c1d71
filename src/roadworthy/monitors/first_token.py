"""First token: how long a caller of a streamed answer waits until it begins."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.chats import is_chat, nothing, rate
from roadworthy.ports.monitor import View
from roadworthy.stats.quantiles import Latencies, merge_latencies

_QUANTILES = (("first_token", 0.99), ("first_token(p50)", 0.5))


class FirstTokenMonitor:
    """The 99 % and 50 % quantiles of the time to the first piece that reached the caller, in ms, within 2 %."""

    name = "first_token"
    light = Light.OPERATIONS

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `first_token` (p99) and `first_token(p50)` in ms; only streamed answers have one."""
        if not is_chat(view):
            return ()
        parts = (Latencies.from_doc(bucket.first_token) for bucket in view.chats if bucket.first_token)
        merged = merge_latencies(parts)
        return tuple(self._quantile(view, name, merged, q) for name, q in _QUANTILES)

    def _quantile(self, view: View, name: str, merged: Latencies, q: float) -> Signal:
        value = merged.quantile(q)
        if value is None:
            return nothing(view, name, "no streamed answers in the window", light=self.light)
        return rate(view, name, value / 1000, merged.total, light=self.light, unit="ms")
