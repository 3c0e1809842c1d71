"""Intervals hold the truth as often as they say."""

import math

import numpy as np
import pytest
from scipy import stats

from roadworthy.stats.intervals import bootstrap, mean_interval, share_difference, wilson


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (1, 10), (10, 10), (300, 1000)])
def test_wilsons_interval_is_scipys(successes, n):
    """A share of few rows gets the interval a reader can recompute."""
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    found = wilson(successes, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.holds(successes / n)


def test_newcombes_interval_is_the_papers():
    """His example (56/70 against 48/80) has the published interval."""
    found = share_difference(56, 70, 48, 80)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_mean_has_students_interval():
    """Few rows make a wide interval; one row says nothing about spread."""
    values = [1.0, 2.0, 4.0, 8.0]
    low, high = stats.t.interval(0.9, 3, np.mean(values), stats.sem(values))
    found = mean_interval(values, 0.9)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (mean_interval([3]).low, mean_interval([3]).high) == (-math.inf, math.inf)


def test_the_bootstrap_is_the_same_for_the_same_seed_and_close_to_theory():
    """An interval in evidence can be recomputed tomorrow."""
    rows = np.random.default_rng(1).normal(size=400)
    found = bootstrap(lambda x: float(x.mean()), rows, np.random.default_rng(5))
    assert found == bootstrap(lambda x: float(x.mean()), rows, np.random.default_rng(5))
    theory = mean_interval(rows)
    assert (found.low, found.high) == pytest.approx((theory.low, theory.high), abs=0.02)


def test_the_bootstrap_keeps_rows_together():
    """A statistic of two columns sees rows, not shuffled cells."""
    x = np.random.default_rng(1).normal(size=300)
    rows = np.column_stack((x, 2 * x))
    found = bootstrap(lambda r: float(np.corrcoef(r.T)[0, 1]), rows, np.random.default_rng(5), rounds=50)
    assert found.low == pytest.approx(1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: wilson(3, 2),
        lambda: wilson(0, 0),
        lambda: mean_interval([]),
        lambda: bootstrap(np.mean, [], np.random.default_rng(0)),
    ],
)
def test_an_interval_of_nothing_is_refused(wrong):
    """No rows have no mean, and more successes than rows are no share."""
    with pytest.raises(ValueError, match=r".+"):
        wrong()
