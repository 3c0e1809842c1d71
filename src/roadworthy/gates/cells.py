"""Rows as callers send them, and rules of the interface that columns break."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from roadworthy.domain.interface import Field, FieldType, Scalar
from roadworthy.domain.moment import iso
from roadworthy.ports.runtime import Columns

_NO_TIME: Final = int(np.iinfo(np.int64).min)


def json_rows(columns: Columns, fields: Sequence[Field], index: NDArray[np.intp]) -> list[dict[str, Scalar]]:
    """Spell some rows as a caller of the HTTP interface sends them; fields that the columns lack are left out."""
    present = [field for field in fields if field.name in columns]
    cells = [_spelled(field, columns[field.name][index]) for field in present]
    names = [field.name for field in present]
    return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]


def take(columns: Columns, index: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    """Return some rows of every column."""
    return {name: np.asarray(values)[index] for name, values in columns.items()}


def spaced(n: int, most: int) -> NDArray[np.intp]:
    """Return at most `most` places in 0..n-1, evenly spaced and the same each time."""
    if n <= most:
        return np.arange(n, dtype=np.intp)
    return np.linspace(0, n - 1, most).astype(np.intp)


def broken(field: Field, values: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
    """Return, per rule of the field that some row breaks, which rows break it: the rules of `domain.interface`."""
    absent = nulls(field, values)
    found: dict[str, NDArray[np.bool_]] = {}
    if not field.nullable:
        found["null"] = absent
    if field.categories:
        known = set(field.categories)
        found["category"] = np.array([value is not None and value not in known for value in values.tolist()], np.bool_)
    if field.type in (FieldType.NUMBER, FieldType.INTEGER, FieldType.TIMESTAMP):
        found.update(_out_of_range(field, values, absent))
    return {rule: rows for rule, rows in found.items() if rows.any()}


def nulls(field: Field, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a column is null."""
    if field.type is FieldType.TIMESTAMP:
        return values == _NO_TIME
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind == "O":
        return np.array([value is None for value in values.tolist()], dtype=np.bool_)
    return np.zeros(len(values), dtype=np.bool_)


def _out_of_range(field: Field, values: NDArray[Any], absent: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    numbers = np.where(absent, np.nan, values.astype(np.float64))
    with np.errstate(invalid="ignore"):
        found = {"finite": np.isinf(numbers)}
        if field.minimum is not None:
            found["minimum"] = numbers < field.minimum
        if field.maximum is not None:
            found["maximum"] = numbers > field.maximum
    return found


def _spelled(field: Field, values: NDArray[Any]) -> list[Scalar]:
    plain: list[Any] = values.tolist()
    if field.type is FieldType.TIMESTAMP:
        return [None if value == _NO_TIME else iso(value) for value in plain]
    if values.dtype.kind == "f":
        whole = field.type is FieldType.INTEGER
        return [None if value != value else int(value) if whole else value for value in plain]  # noqa: PLR0124
    return plain
