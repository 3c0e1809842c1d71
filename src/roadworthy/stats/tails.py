"""The few distribution functions this room needs, without scipy (the base install has none)."""

import math
from statistics import NormalDist

_NORMAL = NormalDist()
_TINY = 1e-300
_LARGE_DF = 2_000
_CONVERGED = 1e-14


def normal_tail(z: float) -> float:
    """Return P(Z > z) for a standard normal Z; exact also far out (erfc does not cancel)."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def normal_quantile(p: float) -> float:
    """Return z with P(Z <= z) = p.

    Raises:
        ValueError: p is not strictly between 0 and 1.

    Source: Wichura 1988, algorithm AS 241, as the standard library has it.
    """
    if not 0 < p < 1:
        raise ValueError(f"a probability strictly between 0 and 1 is needed, got {p}")
    return _NORMAL.inv_cdf(p)


def chi_square_tail(x: float, df: int) -> float:
    """Return P(X > x) for a chi-square X with `df` degrees of freedom, to about 1 % of the tail at 1e-3.

    Source: Wilson and Hilferty 1931 (the cube root of X / df is nearly normal).
    """
    _degrees(df)
    spread = 2 / (9 * df)
    return normal_tail(((max(x, 0.0) / df) ** (1 / 3) - (1 - spread)) / math.sqrt(spread))


def chi_square_quantile(p: float, df: int) -> float:
    """Return x with P(X <= x) = p for a chi-square X with `df` degrees of freedom; inverts the tail above."""
    _degrees(df)
    spread = 2 / (9 * df)
    return df * max(0.0, 1 - spread + normal_quantile(p) * math.sqrt(spread)) ** 3


def student_quantile(p: float, df: float) -> float:
    """Return t with P(T <= t) = p for Student's T with `df` degrees of freedom.

    Method: bisection on the incomplete beta function; above 2,000 degrees of freedom the first
    Cornish-Fisher term, whose error is then below 1e-6.

    Raises:
        ValueError: df is not positive, or p is not strictly between 0 and 1.
    """
    _degrees(df)
    z = normal_quantile(p)
    if df > _LARGE_DF:
        return z + (z**3 + z) / (4 * df)
    tail, low, high = min(p, 1 - p), 0.0, 1.0
    while _student_tail(high, df) > tail:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_tail(middle, df) > tail else (low, middle)
    return math.copysign((low + high) / 2, z)


def binomial_tail(k: int, n: int, p: float) -> float:
    """Return P(X >= k) for X ~ Binomial(n, p), exact.

    Raises:
        ValueError: p is outside [0, 1].
    """
    if not 0 <= p <= 1:
        raise ValueError(f"a probability between 0 and 1 is needed, got {p}")
    if k <= 0:
        return 1.0
    return 0.0 if k > n else incomplete_beta(k, n - k + 1, p)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b).

    Source: continued fraction by Lentz's method, Press et al., Numerical Recipes, §6.4.
    """
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(scale) * _beta_fraction(a, b, x) / a


def _beta_fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value, m, change = d, 0, 0.0
    while abs(change - 1) > _CONVERGED:
        m += 1
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for step in (even, odd):
            d = 1 / _away_from_zero(1 + step * d)
            c = _away_from_zero(1 + step / c)
            change *= d * c
        value *= change
    return value


def _away_from_zero(x: float) -> float:
    return x if abs(x) > _TINY else _TINY


def _student_tail(t: float, df: float) -> float:
    return 0.5 * incomplete_beta(df / 2, 0.5, df / (df + t * t))


def _degrees(df: float) -> None:
    if df <= 0:
        raise ValueError(f"degrees of freedom must be positive, got {df}")
