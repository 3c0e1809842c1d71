"""Rows of JSON values become columns of arrays, and back. The one place where their types are decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from roadworthy.domain.interface import Field, FieldType, Scalar
from roadworthy.domain.moment import iso, parse_iso
from roadworthy.ports.runtime import Columns

NO_TIME: Final = int(np.iinfo(np.int64).min)
"""The null of a timestamp column: the same bits as numpy's NaT."""

_NO_NUMBER: Final = float("nan")


def gather(rows: Sequence[Mapping[str, Scalar]], fields: Iterable[Field]) -> dict[str, NDArray[Any]]:
    """Turn rows of checked JSON values into columns, as `ports.runtime.Columns` describes them.

    A field that a row lacks is null; a timestamp may be ISO 8601 text or µs.

    Raises:
        ValueError, TypeError: a value is not of its field's type (the interface is checked before).
    """
    return {field.name: column(field, [row.get(field.name) for row in rows]) for field in fields}


def column(field: Field, values: Sequence[Scalar]) -> NDArray[Any]:
    """Turn one field's values into an array of its type; see `gather`."""
    if field.type is FieldType.NUMBER:
        return np.array([_NO_NUMBER if value is None else value for value in values], dtype=np.float64)
    if field.type is FieldType.INTEGER:
        if None in values:
            return np.array([_NO_NUMBER if value is None else value for value in values], dtype=np.float64)
        return np.array(values, dtype=np.int64)
    if field.type is FieldType.TIMESTAMP:
        return np.array([_instant(value) for value in values], dtype=np.int64)
    if field.type is FieldType.BOOLEAN and None not in values:
        return np.array(values, dtype=np.bool_)
    cells: NDArray[Any] = np.empty(len(values), dtype=object)
    cells[:] = values
    return cells


def spread(columns: Columns, fields: Iterable[Field]) -> list[dict[str, Scalar]]:
    """Turn columns back into rows of JSON values: NaN becomes null, µs become ISO 8601 text."""
    present = [field for field in fields if field.name in columns]
    cells = [_values(field, columns[field.name]) for field in present]
    names = [field.name for field in present]
    return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]


def take(columns: Columns, index: NDArray[Any] | slice) -> dict[str, NDArray[Any]]:
    """Return some rows of every column, in the order of `index`."""
    return {name: values[index] for name, values in columns.items()}


def count_rows(columns: Columns) -> int:
    """Return the number of rows; 0 if there are no columns."""
    return next((len(values) for values in columns.values()), 0)


def nulls_of(field: Field, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a column is null."""
    if field.type is FieldType.TIMESTAMP:
        return values == NO_TIME
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind == "O":
        return np.array([value is None for value in values.tolist()], dtype=np.bool_)
    return np.zeros(len(values), dtype=np.bool_)


def _instant(value: Scalar) -> int:
    if value is None:
        return NO_TIME
    return parse_iso(value) if isinstance(value, str) else int(value)


def _values(field: Field, values: NDArray[Any]) -> list[Scalar]:
    plain: list[Any] = values.tolist()
    if field.type is FieldType.TIMESTAMP:
        return [None if value == NO_TIME else iso(value) for value in plain]
    if values.dtype.kind == "f":
        whole = field.type is FieldType.INTEGER
        return [None if value != value else int(value) if whole else value for value in plain]  # noqa: PLR0124
    return plain
