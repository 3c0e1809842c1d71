"""The promise that the harm monitor holds a release to."""

from __future__ import annotations

import numpy as np
import pytest

from roadworthy.domain.reference import Figure, Reference
from roadworthy.domain.system import WatchPlan
from roadworthy.monitors.harm import TESTS, fold_losses, promise
from roadworthy.ports.monitor import HarmState
from roadworthy.stats.sequential import Bets


def reference(own: tuple[float, float], baseline: tuple[float, float] | None) -> Reference:
    """Return a reference with these intervals of the loss."""

    def figure(interval: tuple[float, float]) -> Figure:
        return Figure(value=sum(interval) / 2, low=interval[0], high=interval[1], n=500)

    return Reference(
        rows=1000, holdout_rows=500, bins={}, counts={}, prediction_bins={}, prediction_counts={},
        loss=figure(own), baseline_loss=figure(baseline) if baseline else None,
    )  # fmt: skip


WATCH = WatchPlan(harm_margin=0.05)


@pytest.mark.parametrize("baseline", [None, (0.25, 0.35)])
def test_a_release_promises_its_own_hold_out_loss(baseline: tuple[float, float] | None) -> None:
    """What a release lost on the hold-out, at most, is its promise."""
    assert promise(reference((0.15, 0.2), baseline), WATCH) == pytest.approx(0.25)


def test_a_release_promises_no_less_than_its_baseline_does() -> None:
    """Whoever forces a bad model live does not lower the bar that it is held to."""
    assert promise(reference((0.7, 0.8), (0.1, 0.2)), WATCH) == pytest.approx(0.25)


def test_a_harm_state_of_other_tests_starts_anew() -> None:
    """A home that an older version observed goes on: its tests of another number are begun again, not mixed."""
    older = HarmState(since="ro1", outcomes=40, bets=[Bets(0.3).to_doc()])
    found = fold_losses(older, np.zeros(3), 0.3, 1e-4, 0)
    assert len(found.bets) == len(TESTS)
    assert {bet["n"] for bet in found.bets} == {3}
