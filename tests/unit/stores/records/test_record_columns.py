"""Columns: where rows are kept and what their cells say."""

from __future__ import annotations

import math

import pytest

from roadworthy.domain.moment import HOUR, parse_iso
from roadworthy.domain.record import Outcome
from roadworthy.stores.records.columns import SUBJECT_BUCKETS, number_of, outcome_hour, subject_bucket
from roadworthy.stores.records.ids import new_record_id

NOON = parse_iso("2013-02-01T12:34:56")


def outcome(**changes: object) -> Outcome:
    """Return an outcome without record and event time."""
    plain = Outcome("k", "flights", "live", "label", 1, NOON + HOUR, NOON + 2 * HOUR)
    return plain._replace(**changes)


def test_an_outcome_is_kept_in_the_hour_of_its_record() -> None:
    """However late an outcome comes, it is found by opening its record's hour."""
    assert outcome_hour(outcome(record=new_record_id(0, NOON))) == parse_iso("2013-02-01T12:00:00")


def test_an_outcome_without_a_record_is_kept_in_the_hour_of_its_event() -> None:
    """An outcome by entity and time is kept in the hour of that time, else of its arrival."""
    assert outcome_hour(outcome(event_time=NOON - HOUR)) == parse_iso("2013-02-01T11:00:00")
    assert outcome_hour(outcome()) == parse_iso("2013-02-01T14:00:00")


@pytest.mark.parametrize(
    ("value", "number"),
    [(True, 1.0), (2, 2.0), (0.5, 0.5), ("2", None), (None, None), (math.nan, None), (10**400, None)],
)
def test_a_value_is_a_number_where_it_is_one(value: object, number: float | None) -> None:
    """Numbers and truth values can be averaged; text, nothing and what is not finite cannot."""
    assert number_of(value) == number  # type: ignore[arg-type]


def test_a_subject_always_falls_into_the_same_bucket() -> None:
    """Erasure rewrites one bucket of rows; rows without a subject are in none."""
    assert subject_bucket("") == -1
    assert subject_bucket("abc") == subject_bucket("abc")
    assert {subject_bucket(str(n)) for n in range(2_000)} == set(range(SUBJECT_BUCKETS))
