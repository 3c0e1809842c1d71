"""Frames: what was written is read, in old and new versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.domain.record import FRAME_OUTCOME, FRAME_RECORD, Outcome, Record, StepTaken
from roadworthy.stores.records.frames import aligned, decode_outcome, decode_record, encoder, kind_of

INT64 = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
WORD = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=20)
VALUE = st.one_of(st.none(), st.booleans(), INT64, st.floats(allow_nan=False), st.text(max_size=20))
STEP = st.builds(StepTaken, WORD, WORD, WORD, INT64, WORD)
RECORD = st.builds(
    Record,
    *[WORD] * 6,
    *[INT64] * 6,
    WORD,
    inputs=st.lists(VALUE, max_size=5).map(tuple),
    outputs=st.lists(VALUE, max_size=3).map(tuple),
    violations=st.lists(st.tuples(WORD, WORD), max_size=3).map(tuple),
    ages_ms=st.lists(st.one_of(st.none(), INT64), max_size=3).map(tuple),
    steps=st.lists(STEP, max_size=3).map(tuple),
    entity=WORD,
    cost_micros=INT64,
)
OUTCOME = st.builds(Outcome, WORD, WORD, WORD, WORD, VALUE, INT64, INT64, record=WORD, entity=WORD, event_time=INT64)


@given(record=RECORD)
def test_a_record_survives_its_frame(record: Record) -> None:
    """A record read from its frame equals the record that was written, field by field."""
    payload = encoder().encode((FRAME_RECORD, *record))
    assert kind_of(payload) == FRAME_RECORD
    assert decode_record(payload) == record


@given(outcome=OUTCOME)
def test_an_outcome_survives_its_frame(outcome: Outcome) -> None:
    """An outcome read from its frame equals the outcome that was written."""
    payload = encoder().encode((FRAME_OUTCOME, *outcome))
    assert kind_of(payload) == FRAME_OUTCOME
    assert decode_outcome(payload) == outcome


@given(record=RECORD, extra=st.lists(VALUE, min_size=1, max_size=3))
def test_fields_of_a_newer_version_are_passed_over(record: Record, extra: list[object]) -> None:
    """A frame of a newer version, with fields appended, is read by this one."""
    assert decode_record(encoder().encode((FRAME_RECORD, *record, *extra))) == record


@given(record=RECORD)
def test_fields_that_an_older_version_lacks_take_their_defaults(record: Record) -> None:
    """A frame of an older version, without the newest fields, is read by this one."""
    required = len(Record._fields) - len(Record._field_defaults)
    assert decode_record(encoder().encode((FRAME_RECORD, *record[:required]))) == Record(*record[:required])


def test_a_frame_may_hold_numpy_scalars() -> None:
    """A runtime may hand over NumPy scalars; the record holds the plain numbers."""
    record = Record(*["x"] * 6, *[1] * 6, "i", inputs=(np.int64(3), np.float32(0.5), np.bool_(True)))  # type: ignore[arg-type]
    assert decode_record(encoder().encode((FRAME_RECORD, *record))).inputs == (3, 0.5, True)


def test_an_object_without_a_plain_value_is_refused() -> None:
    """What has no plain value is refused at once rather than written as its repr."""
    with pytest.raises(NotImplementedError, match="cannot hold a object"):
        encoder().encode((FRAME_RECORD, object()))


def test_no_bytes_have_no_kind() -> None:
    """An empty payload is no frame of ours."""
    assert kind_of(b"") == 0
    assert kind_of(b"\xdc\x00") == 0


@given(offset=st.integers(min_value=0, max_value=1 << 40))
def test_frames_start_at_whole_words(offset: int) -> None:
    """A frame starts where one 8-byte store can publish it."""
    assert aligned(offset) % 8 == 0
    assert 0 <= aligned(offset) - offset < 8
