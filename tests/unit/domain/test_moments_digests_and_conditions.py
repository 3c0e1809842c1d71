"""Times, digests and conditions: the small values everything else is written in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.domain.condition import Comparison, Condition
from roadworthy.domain.digest import canonical, digest, digest_bytes, is_digest, short
from roadworthy.domain.moment import (
    DAY,
    HOUR,
    MILLISECOND,
    MINUTE,
    SECOND,
    as_datetime,
    iso,
    micros,
    parse_iso,
    spell_duration,
)


def test_times_are_microseconds_in_utc():
    """An offset is taken off; a time without one is UTC."""
    assert micros(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == SECOND
    assert micros(datetime(1970, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=1)))) == 0
    assert micros(datetime(1970, 1, 2)) == DAY  # noqa: DTZ001 (a naive time is what is tested)
    assert as_datetime(HOUR) == datetime(1970, 1, 1, 1, tzinfo=UTC)


def test_times_are_written_as_people_and_machines_read_them():
    """ISO 8601 with Z, fractions only where there are any."""
    assert iso(parse_iso("2013-02-01T06:00:00Z")) == "2013-02-01T06:00:00Z"
    assert parse_iso("2013-02-01") == parse_iso("2013-02-01T00:00:00+00:00")
    assert iso(1) == "1970-01-01T00:00:00.000001Z"
    with pytest.raises(ValueError, match="nonsense"):
        parse_iso("nonsense")


@given(st.integers(-(10**15), 10**16))
def test_a_time_reads_back_from_its_text(moment):
    """No microsecond is lost."""
    assert parse_iso(iso(moment)) == moment
    assert micros(as_datetime(moment)) == moment


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (50 * MILLISECOND, "50ms"), (5 * MINUTE, "5m"), (26 * HOUR, "26h"), (7 * DAY, "7d"), (90 * SECOND, "90s"),
        (SECOND, "1s"), (24 * HOUR, "1d"), (1, "1us"), (0, "0s"), (DAY + 1, "86400000001us"),
    ],
)  # fmt: skip
def test_durations_use_their_largest_whole_unit(duration, text):
    """A duration is spelled as a manifest writes it."""
    assert spell_duration(duration) == text


class _Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class _Noun:
    name: str
    size: int


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("text", '"text"'),
        ("#5", '"##5"'),
        (5, '"#5"'),
        (5.0, '"#5"'),
        (0.1, '"#0.1"'),
        (Decimal("0.5"), '"#0.5"'),
        (2.0**53, '"#9007199254740992.0"'),
        (2.0**53 - 1, '"#9007199254740991"'),
        (-(2.0**53), '"#-9007199254740992.0"'),
        (_Colour.RED, '"red"'),
        (_Noun("a", 1), '{"name":"a","size":"#1"}'),
        ({"b": 1, "a": (1, [2])}, '{"a":["#1",["#2"]],"b":"#1"}'),
        ({3, 1, 2}, '["#1","#2","#3"]'),
        (frozenset(), "[]"),
        ({None, "a", True}, '["a",null,true]'),
        ({1: "x"}, '{"1":"x"}'),
        ("é", '"é"'),
        ({"\U0001f600": 1, "\uffee": 2}, '{"\U0001f600":"#1","\uffee":"#2"}'),
    ],
)
def test_each_value_has_one_canonical_spelling(value, text):
    """Digests are taken over one spelling: sorted keys, numbers as tagged decimal strings."""
    assert canonical(value).decode() == text
    assert digest(value) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_have_no_digest(value):
    """What cannot be compared cannot be named."""
    with pytest.raises(ValueError, match="a number that is not finite has no canonical form"):
        digest({"x": value})


@pytest.mark.parametrize(("value", "name"), [(b"x", "bytes"), (object(), "object"), (_Noun, "type")])
def test_values_without_a_canonical_form_are_refused(value, name):
    """Nothing is named by accident, such as by its address."""
    with pytest.raises(TypeError, match=f"no canonical form for {name}"):
        digest(value)


def test_digests_are_recognised_and_shortened():
    """A digest says its algorithm and has 64 hex digits."""
    name = digest_bytes(b"x")
    assert is_digest(name)
    assert short(name) == name[7:19]
    for wrong in (
        "",
        "sha256:",
        name[:-1],
        name + "0",
        name.upper(),
        name[7:],
        "sha256:" + "g" * 64,
        "md5:" + name[7:],
    ):
        assert not is_digest(wrong)


@given(st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.booleans(), st.none())))
def test_the_order_of_keys_means_nothing(document):
    """Two documents with the same entries have the same digest."""
    assert digest(document) == digest(dict(reversed(document.items())))


@pytest.mark.parametrize(
    ("comparison", "below", "equal", "above"),
    [
        (Comparison.ABOVE, False, False, True),
        (Comparison.AT_LEAST, False, True, True),
        (Comparison.BELOW, True, False, False),
        (Comparison.AT_MOST, True, True, False),
    ],
)
def test_comparisons_hold_as_they_read(comparison, below, equal, above):
    """The threshold itself belongs to `>=` and `<=` only."""
    assert [comparison.holds(value, 2.0) for value in (1.0, 2.0, 3.0)] == [below, equal, above]


def test_a_condition_says_itself():
    """A condition is printed as it is written in a manifest."""
    assert str(Condition(monitor="errors", comparison=Comparison.ABOVE, threshold=0.02, grace=5 * MINUTE)) == (
        "errors > 0.02 for 5m"
    )
    assert (
        str(Condition(monitor="drift", argument="hour", comparison=Comparison.AT_LEAST, threshold=2))
        == "drift(hour) >= 2"
    )
    assert str(Condition(monitor="quality", no_data=True, grace=3 * DAY)) == "no_data(quality) for 3d"
    assert str(Condition(monitor="quality")) == "no_data(quality)"
    assert str(Condition(monitor="x", comparison=Comparison.BELOW, threshold=1e15)) == "x < 1000000000000000.0"
    assert str(Condition(monitor="x", comparison=Comparison.BELOW, threshold=-1e14)) == "x < -100000000000000"
    assert Condition(monitor="drift", argument="hour").signal == "drift(hour)"
    assert Condition(monitor="drift").signal == "drift"
