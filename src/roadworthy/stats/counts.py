"""Counts over frozen bins: what is kept of a feature instead of its rows.

A few hundred bytes per feature and window, exact when merged: hours add up to weeks and workers to a
whole, in any order, and the cost of a comparison does not depend on history.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roadworthy.stats.arrays import Ints
from roadworthy.stats.columns import Kind, column, kind_of, sorted_numbers, tally

MOST_BINS = 64
MOST_CATEGORIES = 200
_TRUTHS = {"0": "false", "1": "true", "False": "false", "True": "true"}


@dataclass(frozen=True)
class Bins:
    """Where the values of one feature are counted; frozen from the reference, so that counts add up.

    Numeric: bin i holds `cuts[i-1] <= value < cuts[i]`; the outer bins are open, and what lies outside
    `low..high` (the reference's range) is counted as unseen as well. Categorical and boolean: one bin per
    category, most frequent first, then one for all others. `complete` says that the reference held no
    further category, so that any other is unseen.
    """

    feature: str
    kind: Kind
    cuts: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()
    complete: bool = True

    @property
    def size(self) -> int:
        """Return the number of bins, the open or "all others" ones included."""
        return len(self.cuts) + 1 if self.kind == "numeric" else len(self.categories) + 1

    @cached_property
    def identity(self) -> str:
        """Return 16 hex digits that name these bins; counts over other bins do not merge with theirs."""
        return sha256(json.dumps(self.to_doc(), sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def places(self) -> dict[str, int]:
        """Return the bin of each listed category."""
        return {category: place for place, category in enumerate(self.categories)}

    def to_doc(self) -> dict[str, Any]:
        """Return plain builtins that JSON can hold; `from_doc` reads them back."""
        return {**asdict(self), "cuts": list(self.cuts), "categories": list(self.categories)}

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> "Bins":
        """Return the bins that `to_doc` wrote.

        Raises:
            TypeError: a field is missing or unknown.
        """
        fields: dict[str, Any] = {**doc, "cuts": tuple(doc["cuts"]), "categories": tuple(doc["categories"])}
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many values of one feature fell where. `sum(histogram) + nulls == total`, always.

    `unseen` (not in the reference) and `out_of_contract` (against the interface) are counted besides.
    """

    feature: str
    bins: str
    histogram: tuple[int, ...]
    nulls: int = 0
    unseen: int = 0
    out_of_contract: int = 0
    total: int = 0
    kind: Kind = "numeric"

    @property
    def present(self) -> int:
        """Return the number of values that are not null."""
        return self.total - self.nulls

    @property
    def modal_share(self) -> float:
        """Return the share of the fullest bin among present values; 0 if there are none."""
        return max(self.histogram) / self.present if self.present else 0.0

    def to_doc(self) -> dict[str, Any]:
        """Return plain builtins that JSON can hold; `from_doc` reads them back."""
        return {**asdict(self), "histogram": list(self.histogram)}

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> "Counts":
        """Return the counts that `to_doc` wrote.

        Raises:
            TypeError: a field is missing or unknown.
        """
        fields: dict[str, Any] = {**doc, "histogram": tuple(doc["histogram"])}
        return cls(**fields)


def freeze(feature: str, values: ArrayLike, kind: Kind | None = None) -> Bins:
    """Return the bins of a feature, from the values of its reference.

    Args:
        feature: its name.
        values: shape (n,); None, NaN and NaT are nulls.
        kind: how to count it; found from the values if not given.

    Numeric features with at most 64 different values get one bin each, others at most 64 bins of about
    equal counts; categorical ones their 200 most frequent categories (ties by name).

    Raises:
        ValueError: the kind is numeric and a value is no number.
    """
    kind = kind or kind_of(values)
    if kind == "numeric":
        return _freeze_numeric(feature, values)
    if kind == "boolean":
        return Bins(feature, kind, categories=("false", "true"))
    found = tally(column(values))
    ranked = sorted(found, key=lambda category: (-found[category], category))
    return Bins(feature, kind, categories=tuple(ranked[:MOST_CATEGORIES]), complete=len(ranked) <= MOST_CATEGORIES)


def empty(bins: Bins) -> Counts:
    """Return counts of nothing, the neutral element of `merge`."""
    return Counts(bins.feature, bins.identity, (0,) * bins.size, kind=bins.kind)


def fold(
    bins: Bins, values: ArrayLike, *, nulls: ArrayLike | None = None, out_of_contract: ArrayLike | None = None
) -> Counts:
    """Count `values` over `bins`, in one vectorised pass.

    Args:
        bins: from `freeze`.
        values: shape (n,); None, NaN, NaT and masked entries are nulls.
        nulls: shape (n,) of booleans, entries to take as null besides.
        out_of_contract: shape (n,) of booleans, entries that broke the interface's contract.

    Raises:
        ValueError: the bins are numeric and a value is no number, or a mask has another length.
    """
    row = column(values)
    hidden = np.zeros(0, dtype=np.bool_) if nulls is None else _mask("nulls", nulls, len(row))
    if isinstance(values, np.ma.MaskedArray):
        masked = _mask("mask", np.ma.getmaskarray(values), len(row))  # pyright: ignore[reportUnknownArgumentType]
        hidden = masked if nulls is None else hidden | masked
    kept = row[~hidden] if len(hidden) else row
    broken = 0 if out_of_contract is None else int(_mask("out_of_contract", out_of_contract, len(row)).sum())
    histogram, unseen = _fold_numeric(bins, kept) if bins.kind == "numeric" else _fold_categories(bins, kept)
    missing = len(row) - sum(histogram)
    return Counts(bins.feature, bins.identity, histogram, missing, unseen, broken, len(row), bins.kind)


def merge(first: Counts, second: Counts) -> Counts:
    """Return the counts of both together: exact, associative, commutative.

    Raises:
        ValueError: they were counted over different bins.
    """
    return merge_all((first, second))


def merge_all(parts: Iterable[Counts]) -> Counts:
    """Return the counts of all parts together, as one pass over their rows would have counted.

    Raises:
        ValueError: there are no parts, or two were counted over different bins.
    """
    rows = tuple(parts)
    if not rows:
        raise ValueError("no counts to merge; start from empty(bins)")
    first = rows[0]
    for other in rows:
        if other.bins != first.bins:
            raise ValueError(
                f"counts of {first.feature!r} (bins {first.bins}) and of {other.feature!r} (bins {other.bins}) "
                "were made over different bins and do not add up"
            )
    numbers = np.array([(*c.histogram, c.nulls, c.unseen, c.out_of_contract, c.total) for c in rows], np.int64)
    *histogram, nulls, unseen, broken, total = numbers.sum(axis=0).tolist()
    return Counts(first.feature, first.bins, tuple(histogram), nulls, unseen, broken, total, first.kind)


def _freeze_numeric(feature: str, values: ArrayLike) -> Bins:
    ordered = sorted_numbers(feature, column(values)).astype(np.float64)
    ordered = ordered[np.isfinite(ordered)]
    if len(ordered) == 0:
        return Bins(feature, "numeric")
    distinct = np.unique(ordered)
    if len(distinct) > MOST_BINS:
        ranks = np.arange(1, MOST_BINS) * len(ordered) // MOST_BINS
        distinct = np.unique(np.concatenate((ordered[:1], ordered[ranks])))
    return Bins(feature, "numeric", tuple(distinct[1:].tolist()), float(ordered[0]), float(ordered[-1]))


def _fold_numeric(bins: Bins, row: NDArray[Any]) -> tuple[tuple[int, ...], int]:
    # Sorting first and searching the cuts in it is several times faster than searching each value.
    ordered = sorted_numbers(bins.feature, row)
    below: Ints = np.searchsorted(ordered, np.asarray(bins.cuts, dtype=np.float64), side="left")
    histogram = np.diff(below, prepend=0, append=len(ordered))
    if bins.low is None or bins.high is None:
        return tuple(histogram.tolist()), len(ordered)
    too_low = int(np.searchsorted(ordered, bins.low, side="left"))
    too_high = len(ordered) - int(np.searchsorted(ordered, bins.high, side="right"))
    return tuple(histogram.tolist()), too_low + too_high


def _fold_categories(bins: Bins, row: NDArray[Any]) -> tuple[tuple[int, ...], int]:
    histogram, unseen, others = [0] * bins.size, 0, bins.size - 1
    for category, count in tally(row).items():
        known = _TRUTHS.get(category, category) if bins.kind == "boolean" else category
        place = bins.places.get(known, others)
        histogram[place] += count
        unseen += count if place == others and bins.complete else 0
    return tuple(histogram), unseen


def _mask(name: str, given: ArrayLike, length: int) -> NDArray[np.bool_]:
    mask = np.asarray(given, dtype=np.bool_)
    if mask.shape != (length,):
        raise ValueError(f"{name} must have one entry per value: {length}, not shape {mask.shape}")
    return mask
