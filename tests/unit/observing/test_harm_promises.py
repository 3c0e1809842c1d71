"""What a release promises, and so what counts as harm."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roadworthy.domain.reference import Figure, Reference
from roadworthy.domain.system import WatchPlan
from roadworthy.monitors.harm import promise

WATCH = WatchPlan(harm_margin=0.05)
LOSS = Figure(value=0.10, low=0.08, high=0.12, n=400)
BASELINE = Figure(value=0.40, low=0.36, high=0.44, n=400)
REFERENCE = Reference(
    rows=1_600, holdout_rows=400, bins={}, counts={}, prediction_bins={}, prediction_counts={}, loss=LOSS,
    baseline_loss=BASELINE,
)  # fmt: skip


def test_a_release_promises_what_it_did_on_the_hold_out() -> None:
    """The promise is the upper end of the release's own loss plus the margin."""
    assert promise(REFERENCE, WATCH) == pytest.approx(0.17)
    assert promise(replace(REFERENCE, baseline_loss=None), WATCH) == pytest.approx(0.17)


def test_a_release_worse_than_its_baseline_is_held_to_the_baseline() -> None:
    """A model that was refused for its errors and forced live cannot excuse itself with having always been bad."""
    worse = replace(REFERENCE, loss=Figure(value=0.92, low=0.90, high=0.94, n=400))
    assert promise(worse, WATCH) == pytest.approx(0.49)
