"""The distribution functions that stand in for scipy agree with it."""

import pytest
from scipy import stats

from roadworthy.stats.arrays import floats, pair, unit
from roadworthy.stats.tails import (
    binomial_tail,
    chi_square_quantile,
    chi_square_tail,
    incomplete_beta,
    normal_quantile,
    normal_tail,
    student_quantile,
)


@pytest.mark.parametrize("z", [-3, 0, 1.7, 9])
def test_the_normal_tail_is_exact_far_out(z):
    """Nine sigma is a tiny number, not 0."""
    assert normal_tail(z) == pytest.approx(stats.norm.sf(z), rel=1e-12)


@pytest.mark.parametrize("df", [1, 5, 63, 199])
def test_chi_square_by_wilson_and_hilferty_is_good_to_a_tenth_of_the_tail(df):
    """The approximation serves thresholds, and its quantile inverts its tail."""
    for p in (0.05, 0.01, 0.001):
        x = chi_square_quantile(1 - p, df)
        assert stats.chi2.sf(x, df) == pytest.approx(p, rel=0.2 if df == 1 else 0.12)
        assert chi_square_tail(x, df) == pytest.approx(p)
    assert chi_square_quantile(1e-9, 1) == 0


@pytest.mark.parametrize("df", [1, 2.5, 7, 400, 5000])
@pytest.mark.parametrize("p", [0.001, 0.4, 0.5, 0.975, 0.99999])
def test_students_quantiles_are_scipys(df, p):
    """Intervals of few rows are as wide as they must be."""
    assert student_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("k", "n", "p"), [(0, 5, 0.1), (3, 5, 0.5), (6, 5, 0.5), (40, 400, 0.08), (5, 5, 1), (1, 5, 0)]
)
def test_binomial_tails_are_exact(k, n, p):
    """Rare events are judged by counting, not by a bell curve."""
    assert binomial_tail(k, n, p) == pytest.approx(stats.binom.sf(k - 1, n, p), rel=1e-10)


def test_the_incomplete_beta_function_has_its_symmetry():
    """Its pole of arithmetic (a zero in the fraction) is passed safely."""
    assert incomplete_beta(2, 3, 0.3) == pytest.approx(1 - incomplete_beta(3, 2, 0.7))
    assert incomplete_beta(1, 1, 0.5) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: normal_quantile(0),
        lambda: chi_square_tail(1, 0),
        lambda: student_quantile(0.5, -1),
        lambda: binomial_tail(1, 2, 1.5),
        lambda: floats("x", [[1.0]]),
        lambda: floats("x", [float("nan")]),
        lambda: pair("x", [1], "y", [1, 2]),
        lambda: pair("x", [], "y", []),
        lambda: unit("x", [1.5]),
    ],
)
def test_senseless_arguments_are_refused(wrong):
    """A number without meaning is an error at the border, never a wrong answer."""
    with pytest.raises(ValueError, match=r".+"):
        wrong()
