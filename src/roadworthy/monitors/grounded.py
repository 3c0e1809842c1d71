"""Grounded: how much of what answers claim their passages support."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.chats import is_chat
from roadworthy.monitors.signals import no_data, share
from roadworthy.ports.chats import GroundedBucket
from roadworthy.ports.monitor import View
from roadworthy.stats.tails import normal_quantile

FEWEST_ANSWERS = 10
_Z = normal_quantile(0.975)


class GroundedMonitor:
    """The share of sampled claims that the answer's passages support, by their words and numbers.

    Claims of one answer stand or fall together; the interval is that of a ratio over answers (Cochran 1977, §6.4),
    or Wilson's over claims where that is wider.
    """

    name = "grounded"
    light = Light.DECISION

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `grounded`; no data where the release has no index, texts are not kept, or answers are too few."""
        if not is_chat(view):
            return ()
        whole = _sum(view.grounded)
        if whole.answers < FEWEST_ANSWERS:
            return (no_data(view, self.name, _why(view, whole), light=self.light, n=whole.claims),)
        found = share(view, self.name, whole.supported, whole.claims, light=self.light)
        half = _Z * _deviation(whole, whole.supported / whole.claims)
        low, high = found.low or 0.0, 1.0 if found.high is None else found.high
        value = whole.supported / whole.claims
        why = f"{whole.skipped} sampled answers were left out: too many came at once" if whole.skipped else ""
        return (
            replace(found, low=max(0.0, min(low, value - half)), high=min(1.0, max(high, value + half)), reason=why),
        )


def _sum(buckets: Sequence[GroundedBucket]) -> GroundedBucket:
    whole = GroundedBucket(start=0)
    for bucket in buckets:
        whole.answers += bucket.answers
        whole.claims += bucket.claims
        whole.supported += bucket.supported
        whole.claims_squares += bucket.claims_squares
        whole.supported_squares += bucket.supported_squares
        whole.products += bucket.products
        whole.unread += bucket.unread
        whole.skipped += bucket.skipped
    return whole


def _deviation(whole: GroundedBucket, ratio: float) -> float:
    """Return the standard deviation of a ratio of sums over answers."""
    residuals = whole.supported_squares - 2 * ratio * whole.products + ratio * ratio * whole.claims_squares
    n = whole.answers
    return math.sqrt(max(0.0, residuals) * n / (n - 1)) / whole.claims


def _why(view: View, whole: GroundedBucket) -> str:
    if view.release is not None and view.release.candidate.artifact("index") is None:
        return "the release has no index to rest on"
    if whole.unread and not whole.answers:
        return f"{whole.unread} sampled answers cannot be judged: their texts or passages are not kept"
    return f"{whole.answers} of {FEWEST_ANSWERS} sampled answers"
