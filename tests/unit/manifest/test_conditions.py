"""Conditions: a small total grammar, each text a condition or one sentence on what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.domain.condition import Comparison, Condition
from roadworthy.domain.moment import DAY, MINUTE, SECOND
from roadworthy.manifest.conditions import ConditionError, parse
from roadworthy.manifest.units import LONGEST


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        (
            "errors > 2% for 5m",
            Condition(monitor="errors", comparison=Comparison.ABOVE, threshold=0.02, grace=5 * MINUTE),
        ),
        ("auc < 0.72", Condition(monitor="auc", comparison=Comparison.BELOW, threshold=0.72)),
        (
            "drift(hour) > 0.2 for 1d",
            Condition(monitor="drift", argument="hour", comparison=Comparison.ABOVE, threshold=0.2, grace=DAY),
        ),
        ("no_data(quality) for 3d", Condition(monitor="quality", no_data=True, grace=3 * DAY)),
        ("no_data(drift(hour))", Condition(monitor="drift", argument="hour", no_data=True)),
        ("no_data( drift( hour ) )for 1s", Condition(monitor="drift", argument="hour", no_data=True, grace=SECOND)),
        ("latency > 50ms", Condition(monitor="latency", comparison=Comparison.ABOVE, threshold=50)),
        (
            "latency(p50)>=1.5s",
            Condition(monitor="latency", argument="p50", comparison=Comparison.AT_LEAST, threshold=1500),
        ),
        (
            "freshness(age) > 2h",
            Condition(monitor="freshness", argument="age", comparison=Comparison.ABOVE, threshold=120),
        ),
        ("traffic<=-1e-3", Condition(monitor="traffic", comparison=Comparison.AT_MOST, threshold=-0.001)),
        ("  a_b-c  >  .5  for  0s ", Condition(monitor="a_b-c", comparison=Comparison.ABOVE, threshold=0.5)),
        ("quality > 12.5 %", Condition(monitor="quality", comparison=Comparison.ABOVE, threshold=0.125)),
    ],
)
def test_conditions_are_read_as_they_are_said(text, condition):
    """A condition names a signal, how it compares, and for how long."""
    assert parse(text) == condition


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("", 0, "expected the name of a monitor, found the end"),
        ("  5 > 3", 2, "expected the name of a monitor, found '5 > 3'"),
        ("errors", 6, "expected > >= < or <= before the end"),
        ("errors = 5", 7, "expected > >= < or <= before '= 5'"),
        ("errors >", 8, "expected a number after the comparison, found the end"),
        ("errors > much", 9, "expected a number"),
        ("errors > 5ms", 9, "'errors' is not measured in time, so 5ms means nothing here"),
        ("latency > 5%", 10, "'latency' is measured in ms, not in per cent"),
        ("latency > 5 weeks", 12, "expected 'for' and a duration, found 'weeks'"),
        ("latency > 5y", 10, "is not a duration"),
        ("errors > 1e999", 9, "the number is too large"),
        ("errors > 1 during 5m", 11, "expected 'for' and a duration, found 'during'"),
        ("errors > 1 for", 14, "is not a duration"),
        ("errors > 1 for 5", 15, "is not a duration"),
        ("errors > 1 for 5m now", 15, "is not a duration"),
        ("drift() > 1", 5, "the parentheses are empty"),
        ("drift(a(b)) > 1", 5, "expected > >= < or <= before '(a(b)) > 1'"),
        ("no_data", 7, "expected a signal in parentheses after no_data"),
        ("no_data(quality", 15, "expected ) before the end"),
        ("no_data(quality) > 1", 17, "expected 'for'"),
        ("e" * 401, 0, "at most 400 characters"),
    ],
)
def test_a_wrong_condition_says_where_and_what_was_expected(text, offset, message):
    """Whoever mistypes a condition sees the place and the words that go there."""
    with pytest.raises(ConditionError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert caught.value.offset == offset


@pytest.mark.parametrize("text", ["latancy > 5", "latancy > 5ms", "no_data(latancy)", "latancy"])
def test_an_unknown_monitor_is_named_with_the_nearest(text):
    """A typo is answered with what is installed."""
    with pytest.raises(ConditionError, match=r"no monitor called 'latancy'; installed: errors, latency") as caught:
        parse(text, {"errors", "latency"})
    assert caught.value.hint == "did you mean 'latency'?"
    with pytest.raises(ConditionError, match="installed: none") as caught:
        parse(text, set())
    assert caught.value.hint == ""


def test_a_known_monitor_is_taken():
    """Only what is installed may be watched, and no_data is no monitor."""
    assert parse("no_data(errors)", {"errors"}).no_data


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,20}", fullmatch=True).filter(lambda name: name != "no_data")
arguments = st.text(st.characters(blacklist_characters="()", blacklist_categories=("Cs",)), max_size=20).map(str.strip)
graces = st.integers(0, LONGEST)
compared = st.builds(
    Condition,
    monitor=names,
    argument=arguments,
    comparison=st.sampled_from(Comparison),
    threshold=st.floats(allow_nan=False, allow_infinity=False),
    grace=graces,
)
absent = st.builds(Condition, monitor=names, argument=arguments, no_data=st.just(True), grace=graces)


@settings(max_examples=500, deadline=None)
@given(st.one_of(compared, absent))
def test_a_condition_reads_back_from_its_own_words(condition):
    """What is printed means what is in force: parse(str(c)) == c."""
    assert parse(str(condition)) == condition


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=60))
def test_each_text_is_a_condition_or_one_error(text):
    """The parser is total."""
    try:
        condition, offset = parse(text), 0
    except ConditionError as error:
        condition, offset = None, error.offset
    assert 0 <= offset <= len(text)
    assert condition is None or parse(str(condition)) == condition
