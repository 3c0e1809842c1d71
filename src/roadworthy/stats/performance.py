"""How good is a classifier before its outcomes arrive? Estimated from its own calibrated probabilities.

A probability of 0.8 that is calibrated is right 80 times of 100: so calibrated probabilities tell the
expected accuracy of the rows they were given for. It holds while only the inputs move. When the relation of
inputs to outcomes moves, the estimate is wrong, and `residual` shows it as soon as outcomes arrive.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from roadworthy.stats.arrays import Floats, binary, floats, pair, unit
from roadworthy.stats.intervals import Interval
from roadworthy.stats.quality import losses, paired_difference
from roadworthy.stats.tails import normal_quantile

_MOST_KNOTS = 256


@dataclass(frozen=True, slots=True)
class Estimate:
    """Expected quality of n predictions whose outcomes are not known yet. `auc` is None if undefined."""

    accuracy: Interval
    brier: float
    auc: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Residual:
    """Realised minus estimated quality on the same rows; an interval without 0 is concept drift.

    Accuracy below 0: worse than estimated. Brier above 0: worse than estimated.
    """

    accuracy: Interval
    brier: Interval


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising map from scores to probabilities, as knots; made once from the reference by `calibrate`."""

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def apply(self, score: ArrayLike) -> Floats:
        """Return calibrated probabilities of scores, shape (n,); straight lines between knots, flat outside."""
        return np.interp(floats("score", score), self.scores, self.probabilities)

    def to_doc(self) -> dict[str, Any]:
        """Return plain builtins that JSON can hold; `from_doc` reads them back."""
        return {key: list(value) for key, value in asdict(self).items()}

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> "Calibration":
        """Return the calibration that `to_doc` wrote."""
        return cls(tuple(doc["scores"]), tuple(doc["probabilities"]))


def estimate(probability: ArrayLike, *, threshold: float = 0.5, level: float = 0.95) -> Estimate | None:
    """Return the expected accuracy, Brier score and AUC; None for no rows.

    Args:
        probability: calibrated probabilities of 1, shape (n,).
        threshold: a row is predicted 1 if its probability is at least this.
        level: of the accuracy's interval, which covers chance in the outcomes, not a lost calibration.

    Raises:
        ValueError: a probability is NaN or outside [0, 1].

    Source: CBPE, Białek et al. 2024, "Estimating model performance under covariate shift without labels".
    """
    p = unit("probability", probability)
    if len(p) == 0:
        return None
    right = np.where(p >= threshold, p, 1 - p)
    accuracy, uncertain = float(right.mean()), float((p * (1 - p)).sum())
    half = normal_quantile((1 + level) / 2) * math.sqrt(uncertain) / len(p)
    interval = Interval(accuracy, max(0.0, accuracy - half), min(1.0, accuracy + half), len(p), level)
    return Estimate(interval, uncertain / len(p), _expected_auc(p), len(p))


def residual(y: ArrayLike, probability: ArrayLike, *, threshold: float = 0.5, level: float = 0.95) -> Residual:
    """Return realised minus estimated quality, row by row, with intervals; arguments as `estimate`.

    Args:
        y: 0/1, shape (n,), the outcomes that arrived.
        probability: what was predicted for these rows, shape (n,).
        threshold: a row is predicted 1 if its probability is at least this.
        level: of both intervals.

    Raises:
        ValueError: no rows, unequal lengths, NaN, truth other than 0/1, or no probability.
    """
    _, p = pair("y", y, "probability", probability)
    realised = losses("brier", y, p)
    right = 1 - losses("zero_one", y, (p >= threshold).astype(np.float64))
    expected_right = np.where(p >= threshold, p, 1 - p)
    accuracy = paired_difference(right, expected_right, level)
    return Residual(accuracy, paired_difference(realised, p * (1 - p), level))


def calibrate(score: ArrayLike, y: ArrayLike) -> Calibration:
    """Return the rising map from scores to the share of 1s that fits the reference best.

    Args:
        score: of the model, shape (n,), higher means likelier 1.
        y: 0/1, shape (n,).

    Raises:
        ValueError: no rows, unequal lengths, NaN, or truth other than 0/1.

    Source: pool-adjacent-violators (Ayer et al. 1955), on at most 256 groups of neighbouring scores, so that
    the result holds no row.
    """
    points, truth = pair("score", score, "y", y)
    binary(truth)
    order = np.argsort(points, kind="stable")
    groups = np.array_split(order, min(len(order), _MOST_KNOTS))
    blocks: list[tuple[float, float, int]] = []
    for group in groups:
        block = (float(points[group].sum()), float(truth[group].sum()), len(group))
        while blocks and blocks[-1][1] * block[2] >= block[1] * blocks[-1][2]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    return Calibration(tuple(total / n for total, _, n in blocks), tuple(positive / n for _, positive, n in blocks))


def _expected_auc(p: Floats) -> float | None:
    """Return the expected share of (1, 0) pairs in the right order, over pairs of different rows, ties half."""
    _, inverse = np.unique(p, return_inverse=True)
    ones, zeros = np.bincount(inverse, p), np.bincount(inverse, 1 - p)
    own = float((p * (1 - p)).sum())
    pairs = float(p.sum() * (1 - p).sum()) - own
    if pairs <= 0:
        return None
    below = np.cumsum(zeros) - zeros
    return (float((ones * (below + zeros / 2)).sum()) - own / 2) / pairs
