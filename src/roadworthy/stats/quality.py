"""How good are predictions? Measures over rows, and intervals for the difference of two models on the same rows."""

import math
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from roadworthy.stats.arrays import Floats, Mask, binary, pair, unit
from roadworthy.stats.intervals import Interval, mean_interval
from roadworthy.stats.tails import normal_quantile

Loss: TypeAlias = Literal["zero_one", "log", "brier", "absolute", "squared"]

# A probability of exactly 0 or 1 would make one wrong row infinitely bad.
_CLIP = 1e-15


def losses(kind: Loss, y: ArrayLike, prediction: ArrayLike) -> Floats:
    """Return each row's loss, shape (n,), lower is better; compare two models' with `paired_difference`.

    Args:
        kind: `zero_one` (labels), `log` and `brier` (probability of 1), `absolute`, `squared`.
        y: the truth, shape (n,): labels coded as numbers, 0/1, or amounts.
        prediction: shape (n,).

    Raises:
        ValueError: no rows, unequal lengths, NaN, or (log, brier) truth other than 0/1 or no probability.
    """
    truth, guess = pair("y", y, "prediction", prediction)
    if kind == "zero_one":
        return (truth != guess).astype(np.float64)
    if kind == "absolute":
        return np.abs(truth - guess)
    if kind == "squared":
        return np.square(truth - guess)
    binary(truth)
    unit("the probabilities", guess)
    if kind == "brier":
        return np.square(truth - guess)
    return -np.log(np.clip(np.where(truth == 1, guess, 1 - guess), _CLIP, 1))


def accuracy(y: ArrayLike, prediction: ArrayLike) -> float:
    """Return the share of labels (coded as numbers, shape (n,)) that are right. Errors as in `losses`."""
    return 1 - float(losses("zero_one", y, prediction).mean())


def log_loss(y: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean negative log-likelihood in nats of 0/1 truth. Errors as in `losses`."""
    return float(losses("log", y, probability).mean())


def brier(y: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean squared error of probabilities of 0/1 truth. Errors as in `losses`."""
    return float(losses("brier", y, probability).mean())


def mean_absolute_error(y: ArrayLike, prediction: ArrayLike) -> float:
    """Return the mean absolute error, in the unit of y. Errors as in `losses`."""
    return float(losses("absolute", y, prediction).mean())


def root_mean_squared_error(y: ArrayLike, prediction: ArrayLike) -> float:
    """Return the root of the mean squared error, in the unit of y. Errors as in `losses`."""
    return math.sqrt(float(losses("squared", y, prediction).mean()))


def r_squared(y: ArrayLike, prediction: ArrayLike) -> float | None:
    """Return the share of y's variance that is explained (negative: worse than the mean), None if y is constant."""
    truth, _ = pair("y", y, "prediction", prediction)
    spread = float(np.square(truth - truth.mean()).sum())
    return 1 - float(losses("squared", y, prediction).sum()) / spread if spread > 0 else None


def roc_auc(y: ArrayLike, score: ArrayLike) -> float | None:
    """Return the chance that a random 1 is scored above a random 0, ties half; None if a class is missing.

    Args:
        y: 0/1, shape (n,).
        score: any numbers, shape (n,), higher means likelier 1.

    Raises:
        ValueError: no rows, unequal lengths, NaN, or truth other than 0/1.

    Source: the Mann-Whitney statistic from midranks.
    """
    truth, guess = pair("y", y, "score", score)
    positive = binary(truth)
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return None
    return (float(_midranks(guess)[positive].sum()) - ones * (ones + 1) / 2) / (ones * zeros)


def auc_interval(y: ArrayLike, score: ArrayLike, level: float = 0.95) -> Interval | None:
    """Return the area under the ROC curve with DeLong's interval; None with fewer than 2 rows of a class.

    Source: DeLong, DeLong and Clarke-Pearson 1988, by the midranks of Sun and Xu 2014. Errors as `roc_auc`.
    """
    return auc_difference(y, score, None, level)


def auc_difference(y: ArrayLike, score: ArrayLike, rival: ArrayLike | None, level: float = 0.95) -> Interval | None:
    """Return the first model's AUC minus the rival's on the same rows, with DeLong's paired interval.

    Args:
        y: 0/1, shape (n,).
        score: of the model, shape (n,).
        rival: scores of the other model on the same rows; None for the model's AUC alone.
        level: of the interval.

    None with fewer than 2 rows of a class. Errors as in `roc_auc`; source as in `auc_interval`.
    """
    truth, guess = pair("y", y, "score", score)
    positive = binary(truth)
    if min(positive.sum(), (~positive).sum()) <= 1:
        return None
    of_ones, of_zeros = _placements(positive, guess)
    if rival is not None:
        _, other = pair("y", y, "rival", rival)
        rival_ones, rival_zeros = _placements(positive, other)
        of_ones, of_zeros = of_ones - rival_ones, of_zeros - rival_zeros
    estimate = float(of_ones.mean())
    variance = float(of_ones.var(ddof=1)) / len(of_ones) + float(of_zeros.var(ddof=1)) / len(of_zeros)
    half = normal_quantile((1 + level) / 2) * math.sqrt(variance)
    lowest = 0.0 if rival is None else -1.0
    return Interval(estimate, max(lowest, estimate - half), min(1.0, estimate + half), len(truth), level)


def paired_difference(loss: ArrayLike, rival_loss: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of (loss - rival's loss) on the same rows, with its t interval.

    Below 0 the model is better. If the interval holds 0 the data cannot tell them apart, and the simpler wins.

    Raises:
        ValueError: no rows, unequal lengths, or a loss that is not finite.
    """
    a, b = pair("loss", loss, "rival_loss", rival_loss)
    return mean_interval(a - b, level)


def _placements(positive: Mask, score: Floats) -> tuple[Floats, Floats]:
    """Return for each 1 the share of 0s below it, and for each 0 the share of 1s above it, ties half."""
    together, ones, zeros = _midranks(score), _midranks(score[positive]), _midranks(score[~positive])
    of_ones = (together[positive] - ones) / len(zeros)
    of_zeros = 1 - (together[~positive] - zeros) / len(ones)
    return of_ones, of_zeros


def _midranks(values: Floats) -> Floats:
    """Return ranks from 1, equal values sharing their mean rank."""
    _, inverse, how_often = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(how_often)
    return (last - (how_often - 1) / 2)[inverse]
