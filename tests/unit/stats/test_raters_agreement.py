"""A judge's agreement with people: simple, and beyond chance."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from roadworthy.stats.raters import raters


def test_kappa_is_scikit_learns():
    """An owner can recompute the figure, in two categories and in more."""
    generator = np.random.default_rng(1)
    a = generator.integers(0, 3, 60)
    b = np.where(generator.random(60) < 0.6, a, generator.integers(0, 3, 60))
    assert raters(a, b, cut=None).kappa.estimate == pytest.approx(cohen_kappa_score(a, b))
    assert raters(a, b, cut=1).kappa.estimate == pytest.approx(cohen_kappa_score(a >= 1, b >= 1))


@pytest.mark.parametrize(("n", "wrong"), [(15, 0.1), (30, 0.02), (50, 0.25)])
def test_kappas_interval_holds_the_truth(n, wrong):
    """For judges that are wrong in 2 to 25 of 100 cases the 95 % interval holds kappa in 93 % of runs."""
    generator = np.random.default_rng(3)
    mean = 0.7 * (1 - wrong) + 0.3 * wrong
    chance = 0.7 * mean + 0.3 * (1 - mean)
    truth, held = (1 - wrong - chance) / (1 - chance), 0
    for _ in range(400):
        people = generator.random(n) < 0.7
        judge = people ^ (generator.random(n) < wrong)
        kappa = raters(judge, people).kappa
        held += kappa is None or kappa.holds(truth)
    assert held >= 0.93 * 400


def test_full_agreement_of_few_cases_is_not_certainty():
    """Ten cases in full agreement leave a kappa of 0.6 possible."""
    found = raters([1, 0] * 5, [1, 0] * 5)
    assert found.kappa.estimate == found.kappa.high == 1
    assert found.kappa.low < 0.6
    assert found.agreement.low < 0.75


def test_a_judge_that_knows_one_answer_has_no_kappa():
    """Where all ratings are the same, agreement is 100 % and says nothing beyond chance."""
    found = raters([1.0] * 20, [0.9] * 20)
    assert (found.agreement.estimate, found.kappa) == (1.0, None)


def test_one_case_bounds_nothing():
    """A single case in disagreement leaves every kappa possible."""
    found = raters([1], [0]).kappa
    assert (found.low, found.high) == (-1.0, 1.0)
