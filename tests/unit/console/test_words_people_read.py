"""Words: numbers and times as people read them."""

from __future__ import annotations

import pytest

from roadworthy.console.words import ago, clock, figure, measured, moment, percent, sentence, spell_span
from roadworthy.domain.moment import DAY, HOUR, MINUTE, SECOND, parse_iso

NOW = parse_iso("2013-04-12T08:34:00Z")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "ms", "no data"),
        (0.193, "share", "19.3 %"),
        (0.0039, "share", "0.39 %"),
        (0.0, "share", "0 %"),
        (1.0, "share", "100 %"),
        (12.34, "ms", "12.3 ms"),
        (1234.0, "ms", "1,234 ms"),
        (4.2, "1/s", "252 /min"),
        (0.7423, "", "0.742"),
    ],
)
def test_signals_are_spelled_with_their_unit(value: float | None, unit: str, text: str) -> None:
    """A number never stands without what it means; no value is said as no data."""
    assert measured(value, unit) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.742312, "0.7423"),
        (1e-7, "1e-07"),
        (0.0, "0"),
        (4000, "4,000"),
        (None, "-"),
        (True, "yes"),
        ("late", "late"),
        (123456.7, "123,457"),
    ],
)
def test_figures_are_short(value: object, text: str) -> None:
    """Evidence shows four digits, not seventeen."""
    assert figure(value) == text


def test_shares_of_a_route_are_whole_where_they_can_be() -> None:
    """A quarter is 25 %."""
    assert [percent(share) for share in (0.25, 0.025, 1.0, 0.001)] == ["25 %", "2.5 %", "100 %", "0.10 %"]


def test_spans_have_one_unit() -> None:
    """People read 3 min, not 183 s."""
    spans = (48 * SECOND, 90 * SECOND, 183 * SECOND, 90 * MINUTE, 5 * HOUR, DAY, 40 * DAY)
    assert [spell_span(span) for span in spans] == ["48 s", "90 s", "3 min", "90 min", "5 h", "1 d", "40 d"]


def test_times_say_how_long_ago_and_stay_exact_for_machines() -> None:
    """The past, the future and never."""
    assert ago(NOW - 5 * MINUTE, NOW) == "5 min ago"
    assert ago(NOW + 3 * DAY, NOW) == "in 3 d"
    assert ago(None, NOW) == "never"
    assert moment(NOW) == '<time datetime="2013-04-12T08:34:00Z">2013-04-12 08:34:00</time>'
    assert ">08:34<" in clock(NOW, NOW)
    assert ">04-11 08:34<" in clock(NOW - DAY, NOW)


def test_sentences_begin_with_a_capital_but_names_keep_their_spelling() -> None:
    """`p99` and `flights@v2` are names."""
    assert sentence("it holds.") == "It holds."
    assert sentence("p99 is 12 ms") == "p99 is 12 ms."
    assert sentence("flights@v2 serves") == "flights@v2 serves."
    assert sentence("") == ""
