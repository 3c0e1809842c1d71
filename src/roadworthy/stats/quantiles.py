"""Quantiles: of latencies from counts that merge exactly, and of weighted values exactly."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from roadworthy.stats.arrays import Floats, Ints, floats, pair

RELATIVE_ERROR = 0.02
_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA = math.log(_GAMMA)
SLOWEST_US = 10**9
_SIZE = math.ceil(math.log(SLOWEST_US) / _LOG_GAMMA) + 1


@dataclass(frozen=True, slots=True)
class Latencies:
    """Counts of latencies in fixed, logarithmic bins from 1 µs to 1,000 s; `places` are (bin, count) pairs.

    Any quantile is within 2 % of the exact one. Shorter latencies count as 1 µs; longer ones fall into the
    last bin, and `slowest_us` stays exact.

    Source: the bins of DDSketch (Masson, Rim and Lee 2019), fixed so that every count merges with every other.
    """

    places: tuple[tuple[int, int], ...] = ()
    total: int = 0
    sum_us: int = 0
    slowest_us: int = 0

    @property
    def mean_us(self) -> float | None:
        """Return the mean in µs, or None without data."""
        return self.sum_us / self.total if self.total else None

    def quantile(self, q: float) -> float | None:
        """Return the q-quantile in µs (the value of rank ⌊q(n-1)⌋, within 2 %), or None without data.

        Raises:
            ValueError: q is outside [0, 1].
        """
        _share(q)
        rank = math.floor(q * (self.total - 1)) if self.total else 0
        seen = 0
        for place, count in self.places:
            seen += count
            if seen > rank:
                return min(_middle_us(place), float(self.slowest_us))
        return None

    def share_above(self, budget_us: float) -> float | None:
        """Return the share of latencies above a budget in µs (the budget within 2 %), or None without data."""
        if not self.total:
            return None
        return sum(count for place, count in self.places if _middle_us(place) > budget_us) / self.total

    def to_doc(self) -> dict[str, Any]:
        """Return plain builtins that JSON can hold; `from_doc` reads them back."""
        places = [list(place) for place in self.places]
        return {"places": places, "total": self.total, "sum_us": self.sum_us, "slowest_us": self.slowest_us}

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> "Latencies":
        """Return the latencies that `to_doc` wrote.

        Raises:
            TypeError: a field is missing or unknown.
        """
        fields: dict[str, Any] = {**doc, "places": tuple((place, count) for place, count in doc["places"])}
        return cls(**fields)


def fold_latencies(latencies_us: ArrayLike) -> Latencies:
    """Count latencies, shape (n,), in µs.

    Raises:
        ValueError: one is NaN or infinite.
    """
    row = floats("latencies_us", latencies_us)
    if len(row) == 0:
        return Latencies()
    places = np.clip(np.ceil(np.log(np.maximum(row, 1)) / _LOG_GAMMA), 0, _SIZE - 1).astype(np.int64)
    return _latencies(np.bincount(places), round(float(row.sum())), math.ceil(float(row.max())))


def merge_latencies(parts: Iterable[Latencies]) -> Latencies:
    """Return the latencies of all parts together: exact, in any order; of no parts, none."""
    counts = np.zeros(_SIZE, dtype=np.int64)
    sum_us = slowest_us = 0
    for part in parts:
        for place, count in part.places:
            counts[place] += count
        sum_us, slowest_us = sum_us + part.sum_us, max(slowest_us, part.slowest_us)
    return _latencies(counts, sum_us, slowest_us)


def weighted_quantile(values: ArrayLike, weights: ArrayLike, q: float) -> float:
    """Return the smallest value at or below which lies at least the share q of the weight; exact.

    Args:
        values: shape (n,).
        weights: shape (n,), not negative, not all 0.
        q: between 0 and 1.

    Raises:
        ValueError: no rows, unequal lengths, a negative or no weight, or q outside [0, 1].
    """
    _share(q)
    row, weight = pair("values", values, "weights", weights)
    if weight.min() < 0 or weight.sum() <= 0:
        raise ValueError("weights must not be negative, and one must be positive")
    order = np.argsort(row, kind="stable")
    order = order[weight[order] > 0]
    reached: Floats = np.cumsum(weight[order])
    return float(row[order][np.searchsorted(reached, q * reached[-1], side="left")])


def _latencies(counts: Ints, sum_us: int, slowest_us: int) -> Latencies:
    filled = np.flatnonzero(counts)
    places = tuple(zip(filled.tolist(), counts[filled].tolist(), strict=True))
    return Latencies(places, int(counts.sum()), sum_us, slowest_us)


def _middle_us(place: int) -> float:
    """Return the point of a bin that is within 2 % of all of it."""
    return 2 * _GAMMA**place / (_GAMMA + 1) if place else 1.0


def _share(q: float) -> None:
    if not 0 <= q <= 1:
        raise ValueError(f"a quantile between 0 and 1 is needed, got {q}")
