"""Columns become the pandas DataFrame that a prototype is trained and called with.

Training and serving both pass here, so a model meets the same types in both: numbers float64, integers int64 (float64
with NaN where nulls are), texts pandas' text type with NaN, booleans bool (object with NaN), times datetime64[us], UTC
without a zone.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from roadworthy.domain.interface import Field, FieldType
from roadworthy.ports.runtime import Columns

if TYPE_CHECKING:
    from pandas import DataFrame

# From pandas 3 on, every reader gives text columns this type; before, they were objects.
_TEXT: Any = "str" if int(pd.__version__.split(".", maxsplit=1)[0]) >= 3 else object  # noqa: PLR2004


def frame_of(columns: Columns, fields: Iterable[Field]) -> DataFrame:
    """Return a DataFrame with one column a field, in the order of the fields."""
    return pd.DataFrame({field.name: _series(field, columns[field.name]) for field in fields}, copy=False)


def _series(field: Field, values: NDArray[Any]) -> Any:
    if field.type is FieldType.TIMESTAMP:
        return values.view("datetime64[us]")
    if values.dtype.kind != "O":
        return values
    cells: NDArray[Any] = np.empty(len(values), dtype=object)
    cells[:] = [np.nan if value is None else value for value in values.tolist()]
    return pd.array(cells, dtype=_TEXT) if field.type is FieldType.STRING else cells
