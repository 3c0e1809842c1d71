"""How good are the answers? Means of scores in [0, 1] over cases, with or without a judge that people correct.

All intervals here are about the cases one could have drawn, not only the ones at hand. All rest on one rule for
few cases: one imagined case is added at each end of what a case could have scored. So five passes of five do not
give [1, 1], and a rare failure that no label has met yet is still possible. For pass or fail this is close to
Agresti and Coull 1998 with Student's quantile: by exact sums its coverage at nominal 95 % is at least 93.7 % for
5 to 200 cases and any share from 2 % to 98 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from roadworthy.stats.arrays import Floats, Mask, unit
from roadworthy.stats.intervals import Interval
from roadworthy.stats.tails import student_quantile

Decision: TypeAlias = Literal["pass", "fail", "undecided"]
Comparison: TypeAlias = Literal["better", "worse", "equal within margin", "undecided"]

# Per case its score, or the scores of its repeats.
Scores: TypeAlias = Sequence[ArrayLike] | Floats

FEWEST_LABELS: Final = 3
_FEWEST_CASES: Final = 2


@dataclass(frozen=True, slots=True)
class Judged:
    """A judge's mean as `labels` people's scores correct it.

    `trust` is the weight the judge got, from 0 (its scores tell nothing, only labels count) to 1; `judge_mean` is
    what the judge alone would have said. `interval.n` counts cases.
    """

    interval: Interval
    labels: int
    trust: float
    judge_mean: float


def scored_mean(scores: Scores, level: float = 0.95) -> Interval:
    """Return the mean score of deterministic checks, for a gate that needs no judge.

    Args:
        scores: per case its score, or the scores of its repeats (numbers may differ); in [0, 1]. Each case weighs
            the same. Repeats of one case are one witness: the spread is taken between cases, so that asking each
            case a hundred times does not narrow the interval beyond what new cases would show.
        level: of the interval.

    Raises:
        ValueError: there is no case, a case has no score, or a score is outside [0, 1].
    """
    return _bounded_mean(case_means("scores", scores), (0.0, 1.0), level)


def scored_difference(scores: Scores, other: Scores, level: float = 0.95) -> Interval:
    """Return the mean of (first - other) over the same cases in the same order; arguments as `scored_mean`.

    Raises:
        ValueError: the numbers of cases differ, or `scored_mean` would refuse one side.
    """
    return _bounded_mean(_paired(scores, other), (-1.0, 1.0), level)


def judged_mean(judge: Scores, labels: ArrayLike, *, tuned: bool = True, level: float = 0.95) -> Judged:
    """Return the true mean score, when a judge scored every case and people a few drawn at random.

    Args:
        judge: per case the judge's score, or those of its repeats, in [0, 1].
        labels: shape (n,), people's score of each case in [0, 1], NaN where nobody looked. Which cases people look
            at must not depend on the scores. Below 3 labels nothing is corrected: the interval is [0, 1].
        tuned: weigh the judge by how well it foretells the labels (PPI++); else trust it fully (PPI).
        level: of the interval.

    Raises:
        ValueError: lengths differ, there is no case, or a score is outside [0, 1].

    Source: Angelopoulos, Bates, Fannjiang, Jordan and Zrnic 2023, "Prediction-powered inference"; Angelopoulos,
    Duchi and Zrnic 2023, "PPI++". Here the labelled cases are among the judged ones. For few labels: Student's
    quantile with Satterthwaite's degrees of freedom, and imagined cases in both terms as the module says.
    """
    scores = case_means("judge", judge)
    truth, labelled = _labels(labels, len(scores))
    return _corrected(scores, truth, labelled, (0.0, 1.0), tuned, level)


def judged_difference(
    judge: Scores,
    labels: ArrayLike,
    other_judge: Scores,
    other_labels: ArrayLike,
    *,
    tuned: bool = True,
    level: float = 0.95,
) -> Judged:
    """Return the true mean of (first - other) over the same cases; arguments and source as `judged_mean`.

    A case counts as labelled where people scored both answers.

    Raises:
        ValueError: the numbers of cases differ, or `judged_mean` would refuse one side.
    """
    scores = _paired(judge, other_judge)
    truth, labelled = _labels(labels, len(scores))
    other_truth, other_labelled = _labels(other_labels, len(scores))
    return _corrected(scores, truth - other_truth, labelled & other_labelled, (-1.0, 1.0), tuned, level)


def decide(interval: Interval, threshold: float) -> Decision:
    """Return what a gate says that defends `threshold` where more is better; undecided cases go to people."""
    if interval.low >= threshold:
        return "pass"
    return "fail" if interval.high < threshold else "undecided"


def decide_difference(interval: Interval, margin: float = 0.0) -> Comparison:
    """Return which of two candidates is better, from an interval of (first - other) where more is better.

    An interval wholly within the margin is equality, even where it excludes 0: such a difference is real but too
    small to matter, and cost may decide. With a margin of 0 nothing is equal.

    Raises:
        ValueError: the margin is negative.
    """
    if margin < 0:
        raise ValueError(f"a margin cannot be negative, got {margin}")
    if -margin < interval.low and interval.high < margin:
        return "equal within margin"
    if interval.low > 0:
        return "better"
    return "worse" if interval.high < 0 else "undecided"


def case_means(name: str, scores: Scores) -> Floats:
    """Return each case's mean over its repeats, shape (n,).

    Raises:
        ValueError: there is no case, a case has no score, or a score is outside [0, 1].
    """
    rows = [np.atleast_1d(np.asarray(one, dtype=np.float64)) for one in scores]
    if not rows or min(row.size for row in rows) == 0:
        raise ValueError(f"{name} must hold at least one case, each with at least one score")
    repeats = np.array([row.size for row in rows])
    every = unit(name, np.concatenate(rows))
    starts = np.concatenate(([0], np.cumsum(repeats)[:-1]))
    return np.add.reduceat(every, starts) / repeats


def _paired(scores: Scores, other: Scores) -> Floats:
    a, b = case_means("scores", scores), case_means("other", other)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} cases cannot be paired; both must answer the same cases")
    return a - b


def _labels(labels: ArrayLike, n: int) -> tuple[Floats, Mask]:
    truth = np.asarray(labels, dtype=np.float64)
    if truth.shape != (n,):
        raise ValueError(f"labels must have shape ({n},), NaN where there is none, got {truth.shape}")
    labelled = ~np.isnan(truth)
    unit("labels", truth[labelled])
    return truth, labelled


def _bounded_mean(values: Floats, reach: tuple[float, float], level: float) -> Interval:
    n = len(values)
    if n < _FEWEST_CASES:
        return Interval(float(values.mean()), *reach, n, level)
    middle, squared_error = _with_imagined(values, reach)
    half = student_quantile((1 + level) / 2, n - 1) * math.sqrt(squared_error)
    return _clipped(float(values.mean()), middle, half, reach, n, level)


def _corrected(
    scores: Floats, truth: Floats, labelled: Mask, reach: tuple[float, float], tuned: bool, level: float
) -> Judged:
    n, m, judge_mean = len(scores), int(labelled.sum()), float(scores.mean())
    if m < FEWEST_LABELS:
        return Judged(Interval(judge_mean, *reach, n, level), m, 0.0, judge_mean)
    seen, real = scores[labelled], truth[labelled]
    low, high = reach
    trust = _slope(seen, real, high - low) if tuned else 1.0
    error = real - trust * seen
    error_middle, error_variance = _with_imagined(error, (low - trust * high, high - trust * low))
    judge_middle, judge_variance = _with_imagined(scores, reach)
    # The labelled cases are among the judged: with a smaller weight than the plain slope, both terms move together.
    together = max(0.0, float(np.cov(error, seen)[0, 1])) / n
    variance = error_variance + trust**2 * judge_variance + 2 * trust * together
    lost = 2 if tuned and trust > 0 else 1
    freedom = variance**2 / (error_variance**2 / (m - lost) + (trust**2 * judge_variance) ** 2 / (n - 1))
    half = student_quantile((1 + level) / 2, min(freedom, n - 1)) * math.sqrt(variance)
    estimate = float(error.mean()) + trust * judge_mean
    interval = _clipped(estimate, error_middle + trust * judge_middle, half, reach, n, level)
    return Judged(interval, m, trust, judge_mean)


def _slope(seen: Floats, real: Floats, width: float) -> float:
    """Return the weight of the judge, in [0, 1], that makes the spread of the corrections smallest.

    The imagined cases count as corrections too: a judge must foretell more than they cost to be believed at all.
    A judge that says the same of every case foretells nothing; nor is a contrary one believed.
    """
    off, imagined = seen - seen.mean(), width**2 / 2
    slope = (float((off * real).sum()) - imagined) / (float(np.square(off).sum()) + imagined)
    return min(1.0, max(0.0, slope))


def _with_imagined(values: Floats, reach: tuple[float, float]) -> tuple[float, float]:
    """Return mean and squared standard error after adding one imagined case at each end."""
    more = np.concatenate((values, reach))
    return float(more.mean()), float(more.var(ddof=1)) / len(more)


def _clipped(estimate: float, middle: float, half: float, reach: tuple[float, float], n: int, level: float) -> Interval:
    inside = min(reach[1], max(reach[0], estimate))
    low, high = max(reach[0], middle - half), min(reach[1], middle + half)
    return Interval(inside, min(inside, low), max(inside, high), n, level)
