"""Scores with and without a judge: the interval holds the truth, few labels are not overrated."""

import math

import numpy as np
import pytest

from roadworthy.stats.intervals import Interval
from roadworthy.stats.judged import (
    case_means,
    decide,
    decide_difference,
    judged_difference,
    judged_mean,
    scored_difference,
    scored_mean,
)

RUNS = 200
KEPT = 0.93

JUDGES = {
    "perfect": lambda g, y: y,
    "kind": lambda g, y: np.where(g.random(len(y)) < 0.5, 1.0, y),
    "harsh": lambda g, y: np.where(g.random(len(y)) < 0.3, 0.0, y),
    "noisy": lambda g, y: np.clip(y + g.normal(0, 0.3, len(y)), 0, 1),
    "blind": lambda g, y: g.random(len(y)),
    "always yes": lambda g, y: np.ones(len(y)),
    "contrary": lambda g, y: 1 - y,
    "wrong in one of five": lambda g, y: np.where(g.random(len(y)) < 0.2, 1 - y, y),
    "five repeats": lambda g, y: (g.random((5, len(y))) < 0.1 + 0.8 * y).mean(axis=0),
}


def people(generator, n, mean, kind):
    """Return true scores of n cases: pass or fail, or graded."""
    return (generator.random(n) < mean) * 1.0 if kind == "binary" else generator.beta(mean * 4, (1 - mean) * 4, n)


def asked(generator, truth, labels):
    """Return the truth where one of `labels` people looked, NaN elsewhere."""
    known = np.full(len(truth), math.nan)
    chosen = generator.permutation(len(truth))[:labels]
    known[chosen] = truth[chosen]
    return known


def coverage(draw, truth):
    """Return the share of RUNS intervals that hold the truth."""
    return sum(draw().holds(truth) for _ in range(RUNS)) / RUNS


slow = pytest.mark.slow


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize(
    ("kind", "mean", "n", "labels"),
    [
        ("binary", 0.95, 50, 15),
        pytest.param("binary", 0.05, 100, 20, marks=slow),
        pytest.param("binary", 0.5, 200, 50, marks=slow),
        pytest.param("graded", 0.2, 50, 15, marks=slow),
        ("graded", 0.9, 200, 15),
    ],
)
def test_a_corrected_judge_covers_the_truth_whatever_its_bias(judge, kind, mean, n, labels):
    """At nominal 95 % the interval holds the true mean in 93 % of runs, for every judge, skew and number of labels."""
    generator = np.random.default_rng(41)

    def draw():
        truth = people(generator, n, mean, kind)
        return judged_mean(JUDGES[judge](generator, truth), asked(generator, truth, labels)).interval

    assert coverage(draw, mean) >= KEPT


@pytest.mark.parametrize("judge", ["perfect", "always yes", "wrong in one of five"])
@pytest.mark.parametrize(("first", "second", "alike"), [(0.5, 0.5, False), (0.95, 0.9, True), (0.8, 0.6, False)])
@pytest.mark.parametrize(("n", "labels"), [(50, 15), pytest.param(200, 50, marks=slow)])
def test_a_corrected_difference_covers_the_truth(judge, first, second, alike, n, labels):
    """Two candidates on the same cases get an interval of their true difference in 93 % of runs."""
    generator = np.random.default_rng(42)

    def draw():
        luck = generator.random(n)
        a, b = (luck < first) * 1.0, ((luck if alike else generator.random(n)) < second) * 1.0
        look = ~np.isnan(asked(generator, a, labels))
        known, other = np.where(look, a, math.nan), np.where(look, b, math.nan)
        judges = JUDGES[judge](generator, a), JUDGES[judge](generator, b)
        return judged_difference(judges[0], known, judges[1], other).interval

    assert coverage(draw, first - second) >= KEPT


@pytest.mark.parametrize("tuned", [True, False])
def test_the_untuned_variant_covers_too(tuned):
    """PPI without tuning trusts the judge fully, and pays with width instead of with wrong intervals."""
    generator = np.random.default_rng(43)

    def draw():
        truth = people(generator, 100, 0.7, "binary")
        return judged_mean(JUDGES["noisy"](generator, truth), asked(generator, truth, 30), tuned=tuned).interval

    assert coverage(draw, 0.7) >= KEPT


@pytest.mark.parametrize(("cases", "repeats", "mean"), [(10, 5, 0.9), (30, 1, 0.05), (50, 3, 0.5), (8, 20, 0.7)])
def test_repeats_of_a_case_are_one_witness(cases, repeats, mean):
    """Cases differ in difficulty; the interval still holds the mean over cases in 93 % of runs."""
    generator = np.random.default_rng(44)

    def draw():
        chance = generator.beta(mean * 2, (1 - mean) * 2, cases)
        return scored_mean((generator.random((repeats, cases)) < chance).T * 1.0)

    assert coverage(draw, mean) >= KEPT


def test_a_good_judge_narrows_what_the_labels_alone_allow_and_a_blind_one_does_not_widen_it_much():
    """With 50 labels of 200 cases a perfect judge narrows the interval by a quarter; a blind one costs 10 % at most."""
    generator = np.random.default_rng(45)
    truth = people(generator, 200, 0.7, "binary")
    known = asked(generator, truth, 50)

    def width(interval):
        return interval.high - interval.low

    alone = width(scored_mean(known[~np.isnan(known)]))
    perfect, blind = judged_mean(truth, known), judged_mean(generator.random(200), known)
    assert width(perfect.interval) < 0.75 * alone
    assert width(blind.interval) < 1.1 * alone
    assert (perfect.trust > 0.8, blind.trust < 0.2) == (True, True)


def test_a_biased_judge_is_moved_to_where_people_are():
    """A judge that passes half of all failures is corrected, and its own opinion stays on the record."""
    generator = np.random.default_rng(46)
    truth = people(generator, 200, 0.6, "binary")
    found = judged_mean(JUDGES["kind"](generator, truth), asked(generator, truth, 50))
    assert found.judge_mean > 0.75
    assert abs(found.interval.estimate - 0.6) < 0.08
    assert (found.labels, found.interval.n) == (50, 200)


@pytest.mark.parametrize(("labels", "whole"), [(0, True), (2, True), (6, False)])
def test_without_labels_a_judge_proves_nothing(labels, whole):
    """Below three labels the interval is all of [0, 1], so that a gate says undecided."""
    known = np.full(20, math.nan)
    known[:labels] = 1.0
    found = judged_mean(np.linspace(0.8, 1, 20), known).interval
    assert ((found.low, found.high) == (0.0, 1.0)) is whole
    assert decide(judged_mean(np.ones(20), np.full(20, math.nan)).interval, 0.9) == "undecided"


def test_few_passes_are_not_certainty():
    """Five passes of five leave 46 % possible, thirty of thirty 90 %, and one case everything."""
    assert scored_mean([1, 1, 1, 1, 1]).low == pytest.approx(0.461, abs=0.001)
    assert scored_mean(np.ones(30)).low == pytest.approx(0.905, abs=0.001)
    single = scored_mean([[1, 1, 1, 1, 1]])
    assert (single.estimate, single.low, single.high) == (1.0, 0.0, 1.0)


def test_a_labels_bound_grows_with_labels_also_where_judge_and_people_always_agree():
    """Fifteen agreeing labels exclude less than fifty; neither gives an interval without width."""
    lows = []
    for labels in (15, 50):
        known = np.full(200, math.nan)
        known[:labels] = 1.0
        lows.append(judged_mean(np.ones(200), known).interval.low)
    assert 0.75 < lows[0] < lows[1] < 0.96


def test_paired_scores_see_what_two_intervals_apart_cannot():
    """A candidate that loses a tenth on every case is worse, however hard the cases are."""
    hard = np.linspace(0.1, 1, 60)
    found = scored_difference(hard - 0.1, hard)
    assert found.estimate == pytest.approx(-0.1)
    assert decide_difference(found) == "worse"
    assert scored_mean(hard - 0.1).high > scored_mean(hard).low


def test_cases_may_have_different_numbers_of_repeats():
    """A case counts once, asked once or three times."""
    assert case_means("scores", [[0, 1], 1, [0, 0, 1]]).tolist() == pytest.approx([0.5, 1, 1 / 3])
    assert case_means("scores", np.array([[0.0, 1.0], [1.0, 1.0]])).tolist() == [0.5, 1.0]


@pytest.mark.parametrize(("low", "high", "said"), [(0.8, 0.9, "pass"), (0.7, 0.79, "fail"), (0.7, 0.8, "undecided")])
def test_a_gate_judges_the_intervals_bound(low, high, said):
    """Pass when all that is possible keeps the threshold, fail when nothing is, else undecided."""
    assert decide(Interval(0.78, low, high, 50), 0.8) == said


@pytest.mark.parametrize(
    ("low", "high", "margin", "said"),
    [
        (0.01, 0.2, 0.0, "better"),
        (-0.2, -0.01, 0.0, "worse"),
        (-0.01, 0.02, 0.03, "equal within margin"),
        (0.01, 0.02, 0.03, "equal within margin"),
        (0.01, 0.05, 0.03, "better"),
        (-0.01, 0.05, 0.03, "undecided"),
        (0.0, 0.0, 0.0, "undecided"),
    ],
)
def test_a_comparison_says_equal_only_within_a_margin(low, high, margin, said):
    """Not seen to differ is undecided; equal is claimed only where a margin bounds the difference."""
    assert decide_difference(Interval((low + high) / 2, low, high, 50), margin) == said


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: scored_mean([]), "at least one case"),
        (lambda: scored_mean([[1], []]), "at least one score"),
        (lambda: scored_mean([1.1]), "between 0 and 1"),
        (lambda: scored_difference([1, 1], [1]), "cannot be paired"),
        (lambda: judged_mean([1, 1], [1]), "NaN where there is none"),
        (lambda: judged_mean([1, 1], [1, 2]), "between 0 and 1"),
        (lambda: decide_difference(Interval(0, 0, 0, 5), -0.1), "negative"),
    ],
)
def test_scores_that_cannot_be_judged_are_refused(wrong, message):
    """No cases, scores off the scale and unequal cases are the caller's mistake."""
    with pytest.raises(ValueError, match=message):
        wrong()
