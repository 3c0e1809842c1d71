"""Columns as they arrive (lists, arrays, objects with nulls) made countable: sorted numbers, or categories."""

import math
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Kind: TypeAlias = Literal["numeric", "categorical", "boolean"]

LONGEST_CATEGORY = 120
_NULL_TYPES = frozenset({"NAType", "NaTType"})
_NUMBERS = (int, float, Decimal, np.integer, np.floating)


def column(values: ArrayLike) -> NDArray[Any]:
    """Return `values` as one column; a plain list keeps its objects, so that NaN beside text stays a null.

    Raises:
        ValueError: there is more than one column.
    """
    row: NDArray[Any] = np.asarray(values) if hasattr(values, "__array__") else np.asarray(values, dtype=object)
    if row.ndim != 1:
        raise ValueError(f"one column of values is needed, got shape {row.shape}")
    return row


def kind_of(values: ArrayLike) -> Kind:
    """Return how a feature with these values is counted: numbers and datetime64 by quantiles, else by category."""
    row = column(values)
    if row.dtype.kind != "O":
        return "boolean" if row.dtype.kind == "b" else "numeric" if row.dtype.kind in "iufMm" else "categorical"
    found: set[type] = {type(value) for value in row.tolist() if not _is_null(value)}
    if found and found <= {bool, np.bool_}:
        return "boolean"
    return "numeric" if found and all(issubclass(t, _NUMBERS) for t in found) else "categorical"


def sorted_numbers(feature: str, row: NDArray[Any]) -> NDArray[Any]:
    """Return the numbers of a column in rising order, nulls left out; datetime64 as µs.

    Raises:
        ValueError: a value is no number; the error names the feature, never the value.
    """
    if row.dtype.kind in "Mm":
        row = row[~np.isnat(row)].astype(f"{row.dtype.kind}8[us]").astype(np.int64)
    elif row.dtype.kind not in "iuf":
        row = _as_numbers(feature, row)
    ordered = np.sort(row)
    # NaN sorts behind every number.
    return ordered[: np.searchsorted(ordered, np.nan)] if ordered.dtype.kind == "f" else ordered


def _as_numbers(feature: str, row: NDArray[Any]) -> NDArray[np.float64]:
    try:
        return row.astype(np.float64)
    except (TypeError, ValueError):
        pass
    try:
        return np.array([math.nan if _is_null(value) else float(value) for value in row.tolist()])
    except (TypeError, ValueError) as wrong:
        raise ValueError(f"feature {feature!r} is counted as numeric but holds a value that is no number") from wrong


def tally(row: NDArray[Any]) -> dict[str, int]:
    """Count each category by its text, nulls left out."""
    if row.dtype.kind in "OT":
        raw: Iterable[tuple[object, int]] = _count_objects(row.tolist()).items()
    else:
        different, how_often = np.unique(row, return_counts=True)
        raw = zip(different.tolist(), how_often.tolist(), strict=True)
    found: dict[str, int] = {}
    for value, count in raw:
        if not _is_null(value):
            text = _category(value)
            found[text] = found.get(text, 0) + count
    return found


def _count_objects(values: list[Any]) -> Counter[object]:
    try:
        return Counter(values)
    except TypeError:  # a list or dict cannot be a key; its text can
        return Counter(None if _is_null(value) else _category(value) for value in values)


def _category(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        # Integer columns with nulls arrive as floats; 3 and 3.0 are one category.
        return str(int(value))
    return str(value)[:LONGEST_CATEGORY]


def _is_null(value: object) -> bool:
    return (
        value is None or (isinstance(value, float) and value != value) or type(value).__name__ in _NULL_TYPES  # noqa: PLR0124
    )
