"""Drift: features that moved from the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from roadworthy.domain.interface import Task
from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.signals import no_data, signal
from roadworthy.ports.monitor import FeatureBucket, View
from roadworthy.stats.counts import Counts, merge_all
from roadworthy.stats.drift import ChannelResult, compare, drifted

FEWEST_ROWS = 200
_SHAPE = "shape"
_WAIT = frozenset({"shape", "modal_share"})
_FULL = 0.9


class DriftMonitor:
    """Five channels a feature (shape, nulls, unseen, out of contract, modal share) against the release's reference.

    A channel alarms above a practical floor, above chance at these sample sizes, and above what past clean windows
    showed (clean: the release's decisions kept their promise since); false discoveries are controlled over features
    and channels. Shape and modal share alarm only once the window is full: a morning is not a week, whatever its n.
    Missing, unseen and forbidden values alarm at once.
    """

    name = "drift"
    light = Light.DECISION

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `drift` (the share of features in alarm) and `drift(feature)` (Jensen-Shannon distance, 0 to 1)."""
        if view.release is None:
            return ()
        rows = sum(bucket.rows for bucket in view.features)
        expected = _expected(view)
        if not expected or rows < FEWEST_ROWS:
            why = f"{rows} of {FEWEST_ROWS} rows" if expected else _without_reference(view)
            return (no_data(view, self.name, why, light=self.light, n=rows),)
        results = {feature: _compare(view, feature, counts) for feature, counts in expected.items()}
        every = [result for of_feature in results.values() for result in of_feature]
        trusted = every if is_full(view) else [result for result in every if result.channel not in _WAIT]
        alarms = {(result.feature, result.channel) for result in drifted(trusted)}
        signals = [self._feature(view, feature, found, alarms) for feature, found in results.items() if found]
        moved = [one for one in signals if one.alarm]
        reason = "; ".join(one.reason for one in moved)
        whole = signal(view, self.name, len(moved) / max(1, len(signals)), n=rows, light=self.light, unit="share")
        return (replace(whole, alarm=bool(moved), reason=reason), *signals)

    def _feature(
        self, view: View, feature: str, results: Sequence[ChannelResult], alarms: set[tuple[str, str]]
    ) -> Signal:
        shape = next(result for result in results if result.channel == _SHAPE)
        loud = [result for result in results if (result.feature, result.channel) in alarms]
        found = signal(view, f"{self.name}({feature})", shape.value, n=shape.n, light=self.light, unit="distance")
        why = "" if shape.value is not None else "every value is null"
        return replace(
            found,
            threshold=shape.threshold,
            alarm=bool(loud),
            reason="; ".join(_spell(result) for result in loud) or why,
        )


def _expected(view: View) -> Mapping[str, Mapping[str, Any]]:
    """Return what features looked like; the reference of a text holds its suite's promise, and no counts."""
    if view.reference is not None and view.reference.counts:
        return view.reference.counts
    return view.asked


def _without_reference(view: View) -> str:
    if view.interface.task is not Task.TEXT:
        return "the release has no reference"
    return f"its first questions become its reference: {view.asked_rows} so far"


def _compare(view: View, feature: str, counts: Mapping[str, Any]) -> Sequence[ChannelResult]:
    reference = Counts.from_doc(counts)
    window = counts_of(view.features, feature, reference)
    if window is None:
        return ()
    past = [found for bucket in view.past_features if (found := counts_of([bucket], feature, reference)) is not None]
    return compare(window, reference, past)


def counts_of(buckets: Sequence[FeatureBucket], feature: str, reference: Counts) -> Counts | None:
    """Merge a feature's counts over buckets, leaving out those made over other bins; None if there are none."""
    parts = [Counts.from_doc(bucket.counts[feature]) for bucket in buckets if feature in bucket.counts]
    same = [part for part in parts if part.bins == reference.bins]
    return merge_all(same) if same else None


def is_full(view: View) -> bool:
    """Tell whether the features seen span the window, so that a shape may be compared with the reference's."""
    if not view.features:
        return False
    width = view.policy.watch.drift_window
    return bool(view.past_features) or view.watermark - view.features[0].start >= _FULL * width


def _spell(result: ChannelResult) -> str:
    if result.observed is None or result.expected is None:
        return f"{result.feature}: {result.channel} moved by {result.value or 0:.3f} (limit {result.threshold:.3f})"
    return f"{result.feature}: {result.channel} {result.observed:.1%}, in the reference {result.expected:.1%}"
