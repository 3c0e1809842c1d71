"""How well a ranking finds what is relevant: recall, reciprocal rank and discounted gain, each with its interval."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roadworthy.stats.arrays import Floats, floats
from roadworthy.stats.intervals import Interval
from roadworthy.stats.tails import normal_quantile

_TABLE = 2


def recall(gains: ArrayLike, relevant: ArrayLike, k: int, level: float = 0.95) -> Interval:
    """Return the share of the relevant items that stand among the first k, as the mean over questions.

    Args:
        gains: shape (questions, depth): what each place of each ranking gains, best place first; above 0 is relevant.
        relevant: shape (questions,): how many relevant items there are to find, 1 or more.
        k: how many places count; rankings shorter than k found nothing beyond their end.
        level: of the interval.

    Raises:
        ValueError: there is no question, k is below 1, a gain is negative or not finite, or more was found than exists.
    """
    table = _gains(gains, k)
    existing = _existing(relevant, len(table))
    found = (table > 0).sum(axis=1)
    if (found > existing).any():
        raise ValueError("a ranking holds more relevant items than there are")
    return _mean((table[:, :k] > 0).sum(axis=1) / existing, level)


def hit_rate(gains: ArrayLike, k: int, level: float = 0.95) -> Interval:
    """Return the share of questions with at least one relevant item among the first k; `gains` as in `recall`."""
    return _mean((_gains(gains, k)[:, :k] > 0).any(axis=1), level)


def reciprocal_rank(gains: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of 1 / rank of the first relevant item (MRR), 0 where none was found; `gains` as in `recall`."""
    positive = _gains(gains, 1) > 0
    first = positive.argmax(axis=1) + 1
    return _mean(np.where(positive.any(axis=1), 1 / first, 0.0), level)


def discounted_gain(gains: ArrayLike, ideal: ArrayLike, k: int, level: float = 0.95) -> Interval:
    """Return the mean nDCG@k: what the first k places gain, later ones less, over what the best order would.

    Args:
        gains: as in `recall`; graded relevance may be any number from 0.
        ideal: shape (questions, items): the gains of all that is relevant, in any order, padded with 0.
        k: how many places count.
        level: of the interval.

    Raises:
        ValueError: as `recall`; or a question has nothing to gain, or gained more than its ideal.

    Source: Järvelin & Kekäläinen 2002, with the discount 1 / log2(1 + rank).
    """
    table, best = _gains(gains, k), _gains(ideal, k)
    if len(table) != len(best):
        raise ValueError(f"gains of {len(table)} questions and ideals of {len(best)} do not match")
    reached, possible = _discounted(table, k), _discounted(np.sort(best, axis=1)[:, ::-1], k)
    if (possible <= 0).any():
        raise ValueError("a question has nothing relevant to find")
    if (reached > possible * (1 + 1e-9)).any():
        raise ValueError("a ranking gains more than its ideal")
    return _mean((reached / possible).clip(0.0, 1.0), level)


def _discounted(table: NDArray[np.float64], k: int) -> Floats:
    cut = table[:, :k]
    ranks: Floats = np.arange(1, cut.shape[1] + 1, dtype=np.float64)
    return cut @ (1 / np.log2(1 + ranks))


def _gains(values: ArrayLike, k: int) -> NDArray[np.float64]:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != _TABLE or 0 in table.shape:
        raise ValueError(f"gains must be a table of questions by places, got shape {table.shape}")
    if not np.isfinite(table).all() or (table < 0).any():
        raise ValueError("gains must be finite and not negative")
    if k < 1:
        raise ValueError(f"the first {k} places hold nothing")
    return table


def _existing(relevant: ArrayLike, questions: int) -> Floats:
    row = floats("relevant", relevant)
    if len(row) != questions:
        raise ValueError(f"rankings of {questions} questions and counts of {len(row)} do not match")
    if (row < 1).any():
        raise ValueError("a question has nothing relevant to find")
    return row


def _mean(values: ArrayLike, level: float) -> Interval:
    """Return the mean of values in [0, 1] with Wilson's interval, exact for shares and wider than needed else.

    Of all values in [0, 1] with one mean, zeros and ones spread most; so the interval for a share holds for every
    such mean, also where all values are equal and Student's t would claim certainty.
    """
    row = np.asarray(values, dtype=np.float64)
    n, mean = len(row), float(np.mean(row))
    z = normal_quantile((1 + level) / 2)
    stretch = 1 + z * z / n
    middle = (mean + z * z / (2 * n)) / stretch
    half = z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)) / stretch
    return Interval(mean, max(0.0, min(middle - half, mean)), min(1.0, max(middle + half, mean)), n, level)
