"""Rows become columns and come back."""

from __future__ import annotations

import numpy as np

from roadworthy.domain.interface import Field, FieldType
from roadworthy.runtimes.columns import NO_TIME, count_rows, gather, nulls_of, spread, take

FIELDS = (
    Field(name="weight", type=FieldType.NUMBER, nullable=True),
    Field(name="count", type=FieldType.INTEGER, nullable=True),
    Field(name="name", type=FieldType.STRING, nullable=True),
    Field(name="paid", type=FieldType.BOOLEAN, nullable=True),
    Field(name="at", type=FieldType.TIMESTAMP, nullable=True),
)
FULL = {"weight": 1.5, "count": 3, "name": "ü", "paid": True, "at": "2013-02-01T06:00:00Z"}
EMPTY = dict.fromkeys(FULL)


def test_rows_survive_the_way_into_columns_and_back() -> None:
    """What a caller sends is what is recorded: no value changes on its way through the arrays."""
    assert spread(gather([FULL, EMPTY], FIELDS), FIELDS) == [FULL, EMPTY]


def test_columns_without_nulls_have_the_plain_types() -> None:
    """Integers stay int64 and truths bool as long as no null forces another type."""
    kinds = {name: values.dtype.kind for name, values in gather([FULL], FIELDS).items()}
    assert kinds == {"weight": "f", "count": "i", "name": "O", "paid": "b", "at": "i"}


def test_a_missing_field_is_null() -> None:
    """A row may leave out what it does not know."""
    columns = gather([{}], FIELDS)
    assert all(nulls_of(field, columns[field.name]).all() for field in FIELDS)
    assert columns["at"].tolist() == [NO_TIME]


def test_rows_are_counted_and_taken_in_the_asked_order() -> None:
    """A part of the columns keeps their names and types."""
    columns = gather([FULL, EMPTY, FULL], FIELDS)
    assert count_rows(columns) == 3
    assert count_rows({}) == 0
    part = take(columns, np.array([2, 0]))
    assert spread(part, FIELDS) == [FULL, FULL]


def test_large_integers_keep_their_last_digit() -> None:
    """An identifier beyond the precision of a float survives."""
    field = Field(name="id", type=FieldType.INTEGER)
    assert spread(gather([{"id": 2**60 + 1}], [field]), [field]) == [{"id": 2**60 + 1}]
