"""Intervals: how far an estimate from n rows may be off."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roadworthy.stats.arrays import Floats, floats
from roadworthy.stats.tails import normal_quantile, student_quantile

_TWO = 2


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its two-sided interval; `level` is the share of such intervals that hold the truth."""

    estimate: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def holds(self, value: float) -> bool:
        """Return whether the data leave this value possible."""
        return self.low <= value <= self.high


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return a share with its interval; good also for few rows and shares near 0 or 1.

    Raises:
        ValueError: n is 0 or successes lie outside 0..n.

    Source: Wilson 1927.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes of {n} are no share")
    z = normal_quantile((1 + level) / 2)
    share, stretch = successes / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / stretch
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / stretch
    # At the ends the algebra gives exactly 0 and 1, the arithmetic nearly.
    low = 0.0 if successes == 0 else middle - half
    return Interval(share, low, 1.0 if successes == n else middle + half, n, level)


def share_difference(successes: int, n: int, other_successes: int, other_n: int, level: float = 0.95) -> Interval:
    """Return the first share minus the second of two independent groups, with its interval.

    Raises:
        ValueError: a group is empty or its successes lie outside 0..n.

    Source: Newcombe 1998, method 10 (from two Wilson intervals).
    """
    a, b = wilson(successes, n, level), wilson(other_successes, other_n, level)
    difference = a.estimate - b.estimate
    low = difference - math.hypot(a.estimate - a.low, b.high - b.estimate)
    high = difference + math.hypot(a.high - a.estimate, b.estimate - b.low)
    return Interval(difference, low, high, n + other_n, level)


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of `values`, shape (n,), with Student's t interval.

    With one row the interval is infinite: one row says nothing about spread.

    Raises:
        ValueError: there are no rows, or one is not finite.
    """
    row = floats("values", values)
    if len(row) == 0:
        raise ValueError("the mean of no rows is not defined")
    mean = float(row.mean())
    if len(row) < _TWO:
        return Interval(mean, -math.inf, math.inf, 1, level)
    half = student_quantile((1 + level) / 2, len(row) - 1) * float(row.std(ddof=1)) / math.sqrt(len(row))
    return Interval(mean, mean - half, mean + half, len(row), level)


def bootstrap(
    statistic: Callable[[Floats], float],
    rows: ArrayLike,
    generator: np.random.Generator,
    *,
    rounds: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Return a statistic with its percentile bootstrap interval.

    Args:
        statistic: from rows, shape (n,) or (n, columns), to one number.
        rows: the data; whole rows are drawn, so that columns stay together.
        generator: seeded by the caller, so that the interval is the same tomorrow.
        rounds: how many resamples.
        level: of the interval.

    Raises:
        ValueError: there are no rows.

    Source: Efron 1979; with few rows it is too narrow, prefer a closed form where there is one.
    """
    data: NDArray[np.float64] = np.asarray(rows, dtype=np.float64)
    n = len(data)
    if n == 0:
        raise ValueError("no rows to resample")
    resampled = [statistic(data[generator.integers(0, n, n)]) for _ in range(rounds)]
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Interval(float(statistic(data)), low, high, n, level)
