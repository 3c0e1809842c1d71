"""Anytime-valid tests: look as often as you like, the error rate holds, and real harm is found."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.stats.sample_ratio import Ratio
from roadworthy.stats.sequences import (
    Bernstein,
    Bounds,
    Moments,
    asymptotic_radius,
    difference_bounds,
    judge,
    mean_bounds,
    strict_difference_bounds,
)
from roadworthy.stats.sequential import Bets, bound


def through_json(state):
    """Return the state as a restart would read it."""
    return json.loads(json.dumps(state.to_doc()))


@pytest.mark.parametrize("m0", [0.02, 0.3])
def test_the_betting_test_rarely_cries_wolf_though_it_looks_after_every_outcome(m0):
    """With a true mean of exactly m0, at most 5 % of 1,000 runs of 2,000 outcomes ever reject at 5 %."""
    generator = np.random.default_rng(17)
    rejected = sum(Bets(m0).update(generator.random(2000) < m0).rejects(0.05) for _ in range(1000))
    assert rejected <= 50


def test_the_betting_test_finds_a_harm_of_five_points():
    """A share of 35 % against a defended 30 % is found within 2,500 outcomes in 9 of 10 runs."""
    generator = np.random.default_rng(18)
    found = sum(Bets(0.3).update(generator.random(2500) < 0.35).rejects(0.05) for _ in range(200))
    assert found >= 180


@pytest.mark.parametrize("m0", [0.01, 0.05, 0.2, 0.6])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_all_bad_outcomes_fire_exactly_at_the_printed_bound(m0, alpha):
    """The N that a plan prints is exact for a prefix of bad outcomes: silent at N - 1, fired at N."""
    n = bound(m0, alpha=alpha)
    assert Bets(m0).update(np.ones(n)).rejects(alpha)
    assert not Bets(m0).update(np.ones(n - 1)).rejects(alpha)


def test_good_outcomes_before_delay_the_bound_by_a_known_number():
    """After 500 good outcomes the bound is later, and again exact."""
    n = bound(0.1, alpha=0.01, good_before=500)
    assert n > bound(0.1, alpha=0.01)
    after_good = Bets(0.1).update(np.zeros(500))
    assert after_good.update(np.ones(n)).rejects(0.01)
    assert not after_good.update(np.ones(n - 1)).rejects(0.01)


@given(st.randoms(use_true_random=False), st.sampled_from([0.3, 0.5, 0.9]), st.integers(0, 300), st.booleans())
def test_a_mixed_share_has_fired_by_its_bound_in_any_order(random, m1, more, graded):
    """Whatever the order, and also for grades between 0 and 1, N outcomes with mean m1 or more have fired."""
    m0 = 0.15
    n = bound(m0, m1, 0.05) + more
    if graded:
        outcomes = np.full(n, m1)
    else:
        bad = math.ceil(m1 * n)
        outcomes = np.array([1.0] * bad + [0.0] * (n - bad))
        random.shuffle(outcomes)
    assert Bets(m0).update(outcomes).rejects(0.05)


def test_a_share_that_is_not_above_m0_has_no_bound():
    """A test that never must fire says so instead of printing a number."""
    assert bound(0.2, 0.2) is bound(0.2, 0.1) is bound(0.2, 0.2005) is None


@given(st.lists(st.floats(0, 1), max_size=40), st.integers(0, 40))
def test_bets_do_not_depend_on_batches(outcomes, at):
    """Hourly or row by row, the evidence is the same; it survives a restart as JSON."""
    whole = Bets(0.4).update(outcomes)
    parts = Bets.from_doc(through_json(Bets(0.4).update(outcomes[:at]))).update(outcomes[at:])
    assert (parts.n, parts.p_value) == (whole.n, pytest.approx(whole.p_value))
    assert parts.log_wealth == pytest.approx(whole.log_wealth)


def test_a_long_batch_is_worked_in_chunks():
    """Ten thousand outcomes at once are no special case."""
    outcomes = np.random.default_rng(0).random(10_000)
    stepwise = Bets(0.5)
    for part in np.array_split(outcomes, 7):
        stepwise = stepwise.update(part)
    assert stepwise.peak == pytest.approx(Bets(0.5).update(outcomes).peak)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Bets(0),
        lambda: bound(1.0),
        lambda: Bets(0.5).update([2]),
        lambda: Bernstein().update([-1]),
        lambda: Moments().update([math.nan]),
        lambda: Ratio.start((1.0,)),
        lambda: Ratio.start((0.5, 0.6)),
        lambda: Ratio.start((0.0, 1.0)),
        lambda: Ratio.start((0.5, 0.5)).update((1,)),
        lambda: Ratio.start((0.5, 0.5)).update((1, -1)),
    ],
)
def test_what_breaks_an_assumption_is_refused(wrong):
    """Outcomes outside [0, 1], a senseless m0 or shares are errors: the guarantee would not hold."""
    with pytest.raises(ValueError, match=r".+"):
        wrong()


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_equal_arms_rarely_look_harmful_in_a_hundred_looks(share):
    """A/A: harm's lower bound passes 0 in at most 2.5 % of 2,000 runs of 100 looks; likewise the upper below 0."""
    generator = np.random.default_rng(19)
    n = np.arange(1, 101) * 50
    sums = [generator.binomial(50, share, (2000, 100)).cumsum(axis=1) for _ in range(2)]
    means = [s / n for s in sums]
    squared_error = sum((n * m * (1 - m) + 0.25) / n**2 for m in means)
    half = asymptotic_radius(2 * n, 2 * n * squared_error, 0.025, 4000)
    difference = means[0] - means[1]
    assert ((difference - half) > 0).any(axis=1).mean() <= 0.025
    assert ((difference + half) < 0).any(axis=1).mean() <= 0.025


def test_the_vectorised_simulation_is_what_the_states_compute():
    """What the A/A test simulates is the function that rollouts use."""
    generator = np.random.default_rng(20)
    a, b = generator.random(300) < 0.3, generator.random(500) < 0.3
    found = difference_bounds(Moments().update(a[:100]).update(a[100:]), Moments().update(b))
    squared_error = (a.var() * 300 + 0.25) / 300**2 + (b.var() * 500 + 0.25) / 500**2
    half = asymptotic_radius(800, 800 * squared_error, 0.025, 4000)
    assert (found.estimate, found.low) == pytest.approx((a.mean() - b.mean(), a.mean() - b.mean() - half))


def run(challenger_share, champion_share, generator, looks=40, margin=0.03):
    """Return how a rollout of 100 rows an arm and look ends, and after how many rows an arm."""
    challenger, champion = Moments(), Moments()
    for look in range(1, looks + 1):
        challenger = challenger.update(generator.random(100) < challenger_share)
        champion = champion.update(generator.random(100) < champion_share)
        step = judge(difference_bounds(challenger, champion), margin)
        if step != "wait":
            return step, look * 100
    return "wait", looks * 100


def test_a_harm_of_five_points_aborts_and_an_equal_challenger_goes_on():
    """Half of the harmful rollouts end within 2,000 rows an arm; three of four equal ones pass by 4,000."""
    generator = np.random.default_rng(21)
    harmed = [run(0.20, 0.15, generator) for _ in range(60)]
    assert sum(step == "abort" for step, _ in harmed) >= 54
    assert np.median([n for _, n in harmed]) <= 2000
    assert not any(step == "go on" for step, _ in harmed)
    equal = [run(0.15, 0.15, generator)[0] for _ in range(60)]
    assert equal.count("abort") <= 3
    assert equal.count("go on") >= 45


def test_a_rollout_waits_while_harm_is_neither_certain_nor_excluded():
    """No data and wide bounds both mean wait; the reason differs, the step does not."""
    assert judge(None, 0.1) == "wait"
    assert judge(Bounds(0, -0.1, 0.2, 100, 0.05), 0.1) == "wait"
    assert judge(Bounds(0, -0.1, 0.05, 100, 0.05), 0.1) == "go on"
    assert judge(Bounds(0.2, 0.1, 0.3, 100, 0.05), 0.5) == "abort", "certain harm aborts even within the margin"


def test_few_values_have_no_asymptotic_bounds():
    """Below 50 per arm the approximation is not trusted: no data."""
    few, many = Moments().update(np.ones(49)), Moments().update(np.ones(50))
    assert mean_bounds(few) is difference_bounds(few, many) is difference_bounds(many, few) is None
    assert mean_bounds(many).low < 1, "fifty perfect values are no proof of a perfect mean"
    assert many.update([]) == many
    assert Moments(**through_json(many)) == many


def test_moments_are_the_means_and_deviations_of_all_values():
    """Batches far from 0 lose no precision."""
    values = 1e9 + np.random.default_rng(1).normal(size=1000)
    state = Moments()
    for part in np.array_split(values, 9):
        state = state.update(part)
    assert (state.n, state.mean) == (1000, pytest.approx(values.mean(), rel=1e-15))
    assert state.squares == pytest.approx(values.var() * 1000, rel=1e-6)


def test_mean_bounds_hold_the_mean_at_all_looks():
    """Of 1,000 runs of 100 looks at a skewed mean, at most 5 % ever leave either side."""
    generator = np.random.default_rng(22)
    n = np.arange(1, 101) * 50
    values = generator.exponential(size=(1000, 100, 50))
    mean = values.sum(axis=2).cumsum(axis=1) / n
    variance = np.square(values).sum(axis=2).cumsum(axis=1) / n - mean**2
    half = asymptotic_radius(n, variance, 0.025, 2000)
    assert (np.abs(mean - 1) > half).any(axis=1).mean() <= 0.05


def test_the_strict_bounds_hold_and_shrink():
    """Of 500 runs of 20 looks, at most 5 % ever leave either side, without any approximation."""
    generator = np.random.default_rng(23)
    missed = 0
    for _ in range(500):
        state, out = Bernstein(), False
        for part in generator.random((20, 100)) < 0.1:
            state = state.update(part)
            out = out or not state.bounds().low <= 0.1 <= state.bounds().high
        missed += out
    assert missed <= 25
    assert state.bounds().high - state.bounds().low < 0.1


@given(st.lists(st.floats(0, 1), max_size=40), st.integers(0, 40))
def test_strict_bounds_do_not_depend_on_batches(values, at):
    """Hourly or row by row, the bounds are the same; the state survives a restart as JSON."""
    whole = Bernstein().update(values)
    parts = Bernstein(**through_json(Bernstein().update(values[:at]))).update(values[at:])
    assert parts.n == whole.n
    assert (parts.weighted, parts.penalty) == pytest.approx((whole.weighted, whole.penalty))


def test_the_strict_difference_needs_both_arms_and_finds_large_harm():
    """Ten points of harm are certain after some thousand rows, with no approximation at all."""
    generator = np.random.default_rng(24)
    arms = [Bernstein(0.0125).update(generator.random(6000) < share) for share in (0.25, 0.1)]
    harm = strict_difference_bounds(*arms)
    assert (judge(harm, 0.02), harm.alpha, harm.n) == ("abort", 0.025, 12_000)
    assert strict_difference_bounds(arms[0], Bernstein()) is strict_difference_bounds(Bernstein(), arms[0]) is None


def test_fair_assignment_is_rarely_suspected_and_a_lost_share_is_found():
    """At most 5 % of 1,000 fair runs of 100 looks are suspected at 5 %; 5 points of lost traffic always."""
    generator = np.random.default_rng(25)
    suspected = 0
    for _ in range(1000):
        state = Ratio.start((0.9, 0.1))
        for row in generator.multinomial(100, (0.9, 0.1), 100).tolist():
            state = state.update(tuple(row))
        suspected += state.p_value < 0.05
    assert suspected <= 50
    lost = Ratio.start((0.5, 0.5)).update((5500, 4500))
    assert lost.p_value < 1e-6
    assert Ratio.from_doc(through_json(lost)) == lost
    assert Ratio.start((0.5, 0.5)).p_value == 1
