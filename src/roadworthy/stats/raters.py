"""Does a judge agree with people? Simple agreement, and Cohen's kappa, which takes off what chance agrees on."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from roadworthy.stats.arrays import Floats, pair
from roadworthy.stats.intervals import Interval, wilson
from roadworthy.stats.tails import student_quantile

_IMAGINED = 2.0
_FEWEST = 2


@dataclass(frozen=True, slots=True)
class Raters:
    """How often two raters of n cases gave the same category, and by how much more than chance (None: not defined).

    Kappa is not defined where all ratings of both raters are one category: then chance alone agrees always, and a
    judge that never says "fail" has not shown that it could.
    """

    agreement: Interval
    kappa: Interval | None


def raters(judge: ArrayLike, people: ArrayLike, *, cut: float | None = 0.5, level: float = 0.95) -> Raters:
    """Return how well a judge agrees with people, to be shown beside every judged figure.

    Args:
        judge: shape (n,), the judge's scores of the cases that people scored too.
        people: shape (n,), people's scores.
        cut: scores at or above it are one category, those below the other; None: each distinct score is a category.
        level: of the intervals.

    Raises:
        ValueError: lengths differ, there are no rows, or one is not finite.

    Source: Cohen 1960; variance by Fleiss, Cohen and Everitt 1969, on the table with two imagined cases spread over
    all cells, so that few cases in full agreement do not give an interval without width.
    """
    a, b = pair("judge", judge, "people", people)
    if cut is not None:
        a, b = (a >= cut).astype(np.float64), (b >= cut).astype(np.float64)
    table = _table(a, b)
    n = len(a)
    agreement = wilson(int(np.trace(table)), n, level)
    return Raters(agreement, None if len(table) == 1 else _kappa_interval(table, n, level))


def _table(a: Floats, b: Floats) -> Floats:
    categories, codes = np.unique(np.concatenate((a, b)), return_inverse=True)
    k = len(categories)
    cells = np.bincount(codes[: len(a)] * k + codes[len(a) :], minlength=k * k)
    return cells.reshape(k, k).astype(np.float64)


def _kappa_interval(table: Floats, n: int, level: float) -> Interval:
    estimate = _kappa(table / n)
    if n < _FEWEST:
        return Interval(estimate, -1.0, 1.0, n, level)
    shares = (table + _IMAGINED / table.size) / (n + _IMAGINED)
    middle, half = _kappa(shares), student_quantile((1 + level) / 2, n - 1) * _error(shares, n + _IMAGINED)
    low, high = max(-1.0, middle - half), min(1.0, middle + half)
    return Interval(estimate, min(estimate, low), max(estimate, high), n, level)


def _kappa(shares: Floats) -> float:
    chance = float(shares.sum(axis=1) @ shares.sum(axis=0))
    return (float(np.trace(shares)) - chance) / (1 - chance)


def _error(shares: Floats, n: float) -> float:
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    chance, kappa = float(rows @ columns), _kappa(shares)
    same = np.diag(shares)
    agreed = float((same * np.square(1 - (rows + columns) * (1 - kappa))).sum())
    apart = shares * np.square(columns[:, None] + rows[None, :])
    differed = (1 - kappa) ** 2 * float(apart.sum() - np.trace(apart))
    variance = agreed + differed - (kappa - chance * (1 - kappa)) ** 2
    return math.sqrt(max(0.0, variance) / n) / (1 - chance)
