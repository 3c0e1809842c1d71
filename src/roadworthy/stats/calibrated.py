"""A mean of judged scores, moved by how far people's scores of other stated answers lay from the judge's."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from roadworthy.stats.arrays import Floats, unit
from roadworthy.stats.intervals import Interval
from roadworthy.stats.judged import FEWEST_LABELS, Judged, Scores, case_means
from roadworthy.stats.tails import student_quantile

_FEWEST_CASES: Final = 2


def calibrated_mean(scores: Scores, errors: ArrayLike, weights: ArrayLike, *, level: float = 0.95) -> Judged:
    """Return the mean score of answers that nobody labelled, corrected by labels of other answers to the same cases.

    The judge's mean error on the labelled answers is added to the mean of the scores. That is right as far as the
    judge errs on the new answers as it does on the labelled ones; its scores are therefore trusted in full, and the
    labels only move them (with PPI++'s smaller trust, good labels of old answers would stand in for new ones).

    Args:
        scores: per case the whole score, or those of its repeats, in [0, 1].
        errors: shape (n,): people's score minus the judge's of a stated answer to the case, in [-1, 1], NaN where
            nobody looked. Which cases people look at must not depend on the errors.
        weights: shape (n,): the part of the case's score that is the judge's, 0 to 1. Cases with 0 need no labels.
        level: of the interval.

    Raises:
        ValueError: shapes differ, there is no case, or a value is outside its range.

    Source: Angelopoulos et al. 2023, "Prediction-powered inference", with a labelled sample of its own; for few cases
    Student's quantile with Satterthwaite's degrees of freedom and imagined cases, as `stats.judged` says.
    """
    means = case_means("scores", scores)
    part, off = unit("weights", np.asarray(weights, dtype=np.float64)), np.asarray(errors, dtype=np.float64)
    if off.shape != means.shape or part.shape != means.shape:
        raise ValueError(f"{len(means)} cases need as many errors and weights, got {off.shape} and {part.shape}")
    labelled = ~np.isnan(off) & (part > 0)
    unit("errors", np.abs(off[labelled]))
    n, m, plain, share = len(means), int(labelled.sum()), float(means.mean()), float((part > 0).mean())
    if share and (m < FEWEST_LABELS or n < _FEWEST_CASES):
        return Judged(Interval(plain, 0.0, 1.0, n, level), m, 1.0, plain)
    middle, variance = _with_imagined(means, 0.0, 1.0)
    freedom, estimate = float(n - 1), plain
    if share:
        moved, width = part[labelled] * off[labelled], float(part[labelled].max())
        shift, spread = _with_imagined(moved, -width, width)
        together = max(0.0, float(np.cov(moved, means[labelled])[0, 1])) * share / n
        first, second = variance, share**2 * spread
        variance = first + second + 2 * together
        freedom = min(freedom, variance**2 / (first**2 / (n - 1) + second**2 / (m - 1)))
        middle, estimate = middle + share * shift, plain + share * float(moved.mean())
    if n < _FEWEST_CASES:
        return Judged(Interval(plain, 0.0, 1.0, n, level), m, 1.0, plain)
    half = student_quantile((1 + level) / 2, freedom) * math.sqrt(variance)
    inside = min(1.0, max(0.0, estimate))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Judged(Interval(inside, min(inside, low), max(inside, high), n, level), m, 1.0, plain)


def _with_imagined(values: Floats, low: float, high: float) -> tuple[float, float]:
    """Return mean and squared standard error after adding one imagined case at each end."""
    more = np.concatenate((values, (low, high)))
    return float(more.mean()), float(more.var(ddof=1)) / len(more)
