"""A judge's scores moved by labels of other answers: the interval holds the truth, and few labels prove little."""

import math

import numpy as np
import pytest

from roadworthy.stats.calibrated import calibrated_mean

RUNS = 200
KEPT = 0.93


def test_a_judge_that_errs_alike_on_old_and_new_answers_is_moved_to_the_truth():
    """At nominal 95 % the interval holds the true mean in 93 % of runs, though the judge passes a third of failures."""
    generator = np.random.default_rng(51)

    def judged(truth):
        return np.where(generator.random(len(truth)) < 1 / 3, 1.0, truth)

    def holds():
        old, new = ((generator.random(100) < 0.6) * 1.0 for _ in range(2))
        errors = np.where(generator.random(100) < 0.4, old - judged(old), math.nan)
        return calibrated_mean(judged(new), errors, np.ones(100)).interval.holds(0.6)

    assert sum(holds() for _ in range(RUNS)) / RUNS >= KEPT


def test_labels_correct_only_the_part_of_a_score_that_is_the_judge_s():
    """A case that is half deterministic checks is moved by half of the judge's error; the judge's mean is kept."""
    scores, errors = np.full(40, 0.8), np.full(40, -0.2)
    whole = calibrated_mean(scores, errors, np.ones(40))
    half = calibrated_mean(scores, errors, np.full(40, 0.5))
    none = calibrated_mean(scores, np.full(40, math.nan), np.zeros(40))
    estimates = [found.interval.estimate for found in (whole, half, none)]
    assert estimates == pytest.approx([0.6, 0.7, 0.8])
    assert [found.judge_mean for found in (whole, half, none)] == pytest.approx([0.8] * 3)
    assert [found.labels for found in (whole, half, none)] == [40, 40, 0]


def test_one_case_without_a_judge_leaves_everything_possible():
    """From one case nothing is known of the others; two bound the mean."""
    single = calibrated_mean([0.8], [math.nan], [0.0]).interval
    assert (single.estimate, single.low, single.high, single.n) == (0.8, 0.0, 1.0, 1)
    many = calibrated_mean(np.full(30, 0.8), np.full(30, math.nan), np.zeros(30)).interval
    assert 0.0 < many.low < 0.8 < many.high < 1.0


@pytest.mark.parametrize("labels", [0, 2])
def test_a_judge_with_fewer_than_three_labels_proves_nothing(labels):
    """The interval is all of [0, 1], so that a gate says undecided."""
    errors = np.full(20, math.nan)
    errors[:labels] = 0.0
    found = calibrated_mean(np.ones(20), errors, np.ones(20))
    assert (found.interval.low, found.interval.high, found.labels) == (0.0, 1.0, labels)


@pytest.mark.parametrize(
    ("scores", "errors", "weights", "message"),
    [
        ([1, 1], [0], [1, 1], "as many errors and weights"),
        ([1, 1], [0, 0], [1], "as many errors and weights"),
        ([1, 1], [0, 2], [1, 1], "errors"),
        ([1, 1], [0, 0], [1, 2], "weights"),
        ([], [], [], "at least one case"),
    ],
)
def test_labels_that_do_not_fit_the_cases_are_refused(scores, errors, weights, message):
    """Unequal rows and values off the scale are the caller's mistake."""
    with pytest.raises(ValueError, match=message):
        calibrated_mean(scores, errors, weights)
