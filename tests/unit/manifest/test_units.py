"""Units are read once, exactly, and spelled as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.domain.moment import DAY, HOUR, MILLISECOND, spell_duration
from roadworthy.manifest import units
from roadworthy.manifest.units import UnitError


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("50ms", 50_000),
        ("5m", 300_000_000),
        ("26h", 26 * HOUR),
        ("7d", 7 * DAY),
        ("0.5s", 500_000),
        ("1 us", 1),
        ("0s", 0),
    ],
)
def test_durations_carry_their_unit(text, micros):
    """A number without a unit means nothing."""
    assert units.duration(text) == micros


@pytest.mark.parametrize(
    "value", ["5", 5, 5.0, None, True, "5 weeks", "-5m", "0.0000001s", "99999999d", "", "m", "1.2.3s"]
)
def test_what_is_no_duration_shows_how_one_is_written(value):
    """The message is an example to copy."""
    with pytest.raises(UnitError, match=r"50ms|microseconds"):
        units.duration(value)


@pytest.mark.parametrize(
    ("value", "share"), [("2%", 0.02), (0.02, 0.02), ("0.02", 0.02), (1, 1.0), ("100%", 1.0), (0, 0.0)]
)
def test_shares_are_percentages_or_parts(value, share):
    """2% and 0.02 are one value."""
    assert units.share(value) == share


@pytest.mark.parametrize("value", [2, "120%", "x", True, None, -0.1, "-1%", [1]])
def test_what_is_no_share_is_refused(value):
    """A share lies between nothing and all."""
    with pytest.raises(UnitError, match=r"2% or 0\.02"):
        units.share(value)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1000 EUR", (1_000_000_000, "EUR")), ("0.000001USD", (1, "USD")), ("1000000000000 EUR", (10**18, "EUR"))],
)
def test_money_is_whole_micro_units_with_a_currency(text, amount):
    """No amount is ever a float."""
    assert units.money(text) == amount


@pytest.mark.parametrize("value", ["1000", 1000, "EUR", "0.0000001 EUR", "1000000000001 EUR", "5 euro", None])
def test_what_is_no_amount_is_refused(value):
    """An amount has a currency and is not absurd."""
    with pytest.raises(UnitError):
        units.money(value)


@pytest.mark.parametrize(
    ("value", "count"),
    [("1MB", 10**6), ("64KiB", 65_536), (5, 5), ("2GB", 2 * 10**9), ("1.5kB", 1500), (1 << 40, 1 << 40)],
)
def test_sizes_are_bytes(value, count):
    """A size may be a number of bytes or have a unit."""
    assert units.size(value) == count


@pytest.mark.parametrize("value", ["0B", 0, -1, True, "1.5B", "2000GB", (1 << 40) + 1, "x", None])
def test_what_is_no_size_is_refused(value):
    """A size is a whole number of bytes above nothing."""
    with pytest.raises(UnitError, match=r"1MB|bytes"):
        units.size(value)


@given(st.integers(0, units.LONGEST))
def test_durations_read_back(micros):
    """What is spelled is what was meant."""
    assert units.duration(spell_duration(micros)) == micros


@given(st.floats(0, 1))
def test_shares_read_back(part):
    """A share keeps its last digit."""
    spelled = units.spell_share(part)
    assert units.share(float(spelled) if not spelled.endswith("%") else spelled) == part


@given(st.integers(0, 10**18))
def test_money_reads_back(micros):
    """An amount keeps its last micro-unit."""
    assert units.money(units.spell_money(micros, "EUR")) == (micros, "EUR")


@given(st.integers(1, 1 << 40))
def test_sizes_read_back(count):
    """A size keeps its last byte."""
    assert units.size(units.spell_size(count)) == count


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back(number):
    """The fewest digits still mean the same number."""
    assert float(units.spell_number(number)) == number


def test_spelling_is_what_people_write():
    """Whole percentages, large units, no trailing zeros."""
    assert units.spell_share(0.25) == "25%"
    assert units.spell_share(0.0001) == "0.01%"
    assert units.spell_money(1_500_000, "EUR") == "1.5 EUR"
    assert units.spell_size(65_536) == "64KiB"
    assert units.spell_size(7) == "7B"
    assert units.spell_number(20.0) == "20"
    assert spell_duration(MILLISECOND) == "1ms"
