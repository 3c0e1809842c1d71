"""Quality measures agree with scikit-learn, and their intervals hold the truth as often as they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from roadworthy.stats.quality import (
    accuracy,
    auc_difference,
    auc_interval,
    brier,
    log_loss,
    losses,
    mean_absolute_error,
    paired_difference,
    r_squared,
    roc_auc,
    root_mean_squared_error,
)

GENERATOR = np.random.default_rng(2)
Y = GENERATOR.integers(0, 2, 400)
P = np.clip(0.3 + 0.3 * Y + GENERATOR.normal(0, 0.2, 400), 0.01, 0.99).round(2)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (log_loss, metrics.log_loss),
        (brier, metrics.brier_score_loss),
        (roc_auc, metrics.roc_auc_score),
        (mean_absolute_error, metrics.mean_absolute_error),
        (root_mean_squared_error, metrics.root_mean_squared_error),
        (r_squared, metrics.r2_score),
    ],
)
def test_measures_are_scikit_learns(ours, theirs):
    """A reader may recompute every figure with the library he knows."""
    assert ours(Y, P) == pytest.approx(theirs(Y, P))


def test_accuracy_is_the_share_of_right_labels():
    """Three of four right is 0.75."""
    assert accuracy([0, 1, 2, 1], [0, 1, 2, 2]) == 0.75


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=40))
def test_the_auc_counts_pairs_with_ties_half(rows):
    """It is the share of (1, 0) pairs in the right order, whatever the ties; without pairs there is none."""
    ones, zeros = [s for y, s in rows if y], [s for y, s in rows if not y]
    pairs = [(a > b) + (a == b) / 2 for a in ones for b in zeros]
    found = roc_auc([y for y, _ in rows], [s for _, s in rows])
    assert found == (pytest.approx(sum(pairs) / len(pairs)) if pairs else None)


def test_what_is_not_defined_is_none():
    """One class has no AUC, a constant truth no R squared, and one row per class no interval."""
    assert roc_auc([1, 1], [0.1, 0.2]) is None
    assert r_squared([2, 2], [1, 3]) is None
    assert auc_interval([1, 0, 0], [3, 1, 2]) is None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: losses("log", [0, 2], [0.1, 0.2]),
        lambda: losses("brier", [0, 1], [0.1, 1.2]),
        lambda: losses("squared", [0, 1], [0.1]),
        lambda: accuracy([], []),
        lambda: roc_auc([0, 0.5], [1, 2]),
        lambda: mean_absolute_error([1, math.nan], [1, 2]),
    ],
)
def test_rows_that_cannot_be_judged_are_refused(wrong):
    """Other labels than 0 and 1, no probabilities, unequal rows and NaN are named, never averaged away."""
    with pytest.raises(ValueError, match=r".+"):
        wrong()


def test_a_certain_mistake_is_costly_but_finite():
    """A probability of exactly 0 for what happened does not make the log loss infinite."""
    assert 30 < log_loss([1], [0]) < 40


def delong_by_definition(y, a, b):
    """Return estimate and variance of DeLong's difference straight from the definition, O(mn)."""
    psi = lambda s: (s[y == 1][:, None] > s[y == 0]) + 0.5 * (s[y == 1][:, None] == s[y == 0])  # noqa: E731
    d = psi(a) - psi(b)
    return d.mean(), d.mean(axis=1).var(ddof=1) / len(d) + d.mean(axis=0).var(ddof=1) / d.shape[1]


def test_the_paired_auc_interval_is_delongs():
    """The fast midrank form equals the definition over all pairs."""
    rival = np.clip(P + GENERATOR.normal(0, 0.3, len(P)), 0, 1).round(1)
    estimate, variance = delong_by_definition(Y, P, rival)
    found = auc_difference(Y, P, rival)
    assert found.estimate == pytest.approx(estimate)
    assert found.high - found.estimate == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-5)
    alone = auc_interval(Y, P)
    assert alone.estimate == pytest.approx(metrics.roc_auc_score(Y, P))
    assert 0 <= alone.low < alone.estimate < alone.high <= 1


def test_equally_good_models_are_told_apart_as_rarely_as_said():
    """Of two rivals with the same AUC, about 5 % are called different at 95 %."""
    generator = np.random.default_rng(8)
    different = 0
    for _ in range(600):
        y = generator.integers(0, 2, 200)
        signal = y + generator.normal(0, 1, 200)
        found = auc_difference(y, signal + generator.normal(0, 1, 200), signal + generator.normal(0, 1, 200))
        different += not found.holds(0)
    assert 0.03 <= different / 600 <= 0.075


def test_a_paired_difference_sees_what_two_separate_intervals_would_not():
    """On the same rows a small but steady gain is certain, and noise is not."""
    generator = np.random.default_rng(9)
    hard = generator.normal(10, 5, 500) ** 2
    assert paired_difference(hard - 0.5 + generator.normal(0, 0.1, 500), hard).high < 0
    assert paired_difference(hard + generator.normal(0, 9, 500), hard).holds(0)
