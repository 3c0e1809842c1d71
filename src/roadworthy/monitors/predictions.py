"""Predictions: the distribution of answers against the release's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.signals import no_data, signal
from roadworthy.ports.monitor import FeatureBucket, View
from roadworthy.stats.counts import Counts, merge_all
from roadworthy.stats.drift import compare, drifted

FEWEST_ROWS = 100


class PredictionsMonitor:
    """How far the answers moved from those on the hold-out; constant answers show as one full bin."""

    name = "predictions"
    light = Light.DECISION

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `predictions` (Jensen-Shannon distance) and `predictions(modal_share)`."""
        if view.release is None:
            return ()
        if view.reference is None:
            return (no_data(view, self.name, "the release has no reference", light=self.light),)
        if not view.reference.prediction_counts:
            # A text has a promise and no distribution.
            return ()
        reference = Counts.from_doc(view.reference.prediction_counts)
        window = _answers(view.features, reference)
        n = window.present if window else 0
        if window is None or n < FEWEST_ROWS:
            return (no_data(view, self.name, f"{n} of {FEWEST_ROWS} answers", light=self.light, n=n),)
        past = [found for bucket in view.past_features if (found := _answers([bucket], reference)) is not None]
        results = compare(window, reference, past)
        shape = next(result for result in results if result.channel == "shape")
        loud = [result for result in drifted(results) if result.channel in ("shape", "modal_share")]
        moved = replace(
            signal(view, self.name, shape.value, n=n, light=self.light, unit="distance"),
            threshold=shape.threshold,
            alarm=bool(loud),
            reason="; ".join(f"{result.channel} of the answers moved" for result in loud),
        )
        modal = signal(view, f"{self.name}(modal_share)", window.modal_share, n=n, light=self.light, unit="share")
        return (moved, modal)


def _answers(buckets: Sequence[FeatureBucket], reference: Counts) -> Counts | None:
    parts = [Counts.from_doc(bucket.predictions) for bucket in buckets if bucket.predictions]
    same = [part for part in parts if part.bins == reference.bins]
    return merge_all(same) if same else None
