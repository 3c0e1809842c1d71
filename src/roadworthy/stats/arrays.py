"""The array types of this room, and the checks made once at its border."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


def floats(name: str, values: ArrayLike) -> Floats:
    """Return `values` as one row of float64 numbers.

    Args:
        name: what the caller calls them, for the error.
        values: shape (n,), anything numpy can read as numbers.

    Raises:
        ValueError: not one-dimensional, or not all finite.
    """
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1:
        raise ValueError(f"{name} must be one row of numbers, got shape {row.shape}")
    if not np.isfinite(row).all():
        raise ValueError(f"{name} holds NaN or infinite values; drop those rows first")
    return row


def pair(first_name: str, first: ArrayLike, second_name: str, second: ArrayLike) -> tuple[Floats, Floats]:
    """Return two rows of the same length, at least one entry each.

    Raises:
        ValueError: a row is empty, the lengths differ, or `floats` refuses one of them.
    """
    a, b = floats(first_name, first), floats(second_name, second)
    if len(a) != len(b):
        raise ValueError(f"{first_name} has {len(a)} rows and {second_name} {len(b)}; they must match")
    if len(a) == 0:
        raise ValueError(f"{first_name} is empty: nothing can be measured on no rows")
    return a, b


def binary(truth: Floats) -> Mask:
    """Return which rows are 1.

    Raises:
        ValueError: a row is neither 0 nor 1.
    """
    positive = truth == 1
    if not (positive | (truth == 0)).all():
        raise ValueError("the truth must be 0 or 1 on every row")
    return positive


def unit(name: str, values: ArrayLike) -> Floats:
    """Return `values` as one row of numbers in [0, 1].

    Raises:
        ValueError: a value is below 0 or above 1, or `floats` refuses them.
    """
    row = floats(name, values)
    if len(row) and (row.min() < 0 or row.max() > 1):
        raise ValueError(f"{name} must lie between 0 and 1, got {row.min()} to {row.max()}")
    return row
