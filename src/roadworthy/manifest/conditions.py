"""Conditions: `errors > 2% for 5m`, `auc < 0.72`, `drift(hour) > 0.2 for 1d`, `no_data(quality) for 3d`.

    condition := (signal comparison value | "no_data" "(" signal ")") [ "for" duration ]
    signal    := monitor [ "(" argument ")" ]
    value     := number | percentage | duration

The parser is total: each text is a condition or one `ConditionError`. `parse(str(condition)) == condition`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from math import isfinite
from typing import Final

from roadworthy.domain.condition import Comparison, Condition
from roadworthy.domain.moment import MILLISECOND, MINUTE, Micros
from roadworthy.manifest.units import UnitError, duration

NO_DATA: Final = "no_data"
MAX_LENGTH: Final = 400
# In what unit a monitor's signal is; the value of a condition may then be written as a duration.
SIGNAL_UNITS: Final[dict[str, tuple[str, Micros]]] = {
    "latency": ("ms", MILLISECOND),
    "freshness": ("minutes", MINUTE),
    "first_token": ("ms", MILLISECOND),
}
RATES: Final = frozenset({"errors", "violations"})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ARGUMENT: Final = re.compile(r"\(([^()]*)\)")
_COMPARISON: Final = re.compile(r">=|<=|>|<")
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![A-Za-z0-9.%])")
_PERCENT: Final = re.compile(r"([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))\s*%")
_DURATION: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?\s*[a-z]+")
_WORD: Final = re.compile(r"\S+")


class ConditionError(ValueError):
    """A text is no condition. `offset` is where in the text, `hint` what to write."""

    def __init__(self, message: str, offset: int, hint: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.hint = hint


class _Reader:
    """A place in a text, and what may come next."""

    def __init__(self, text: str, installed: Collection[str] | None) -> None:
        self.text = text
        self.installed = installed
        self.at = 0
        self.skip()

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None and found.end() > found.start():
            self.at = found.end()
            self.skip()
            return found
        return None

    def rest(self) -> str:
        left = self.text[self.at : self.at + 30]
        return f"'{left}'" if left else "the end"


def parse(text: str, installed: Collection[str] | None = None) -> Condition:
    """Read a condition; with `installed`, on one of these monitors only.

    Raises:
        ConditionError: the text is none, or names an unknown monitor; says where and what was expected.
    """
    if len(text) > MAX_LENGTH:
        raise ConditionError(f"a condition has at most {MAX_LENGTH} characters", 0)
    reader = _Reader(text, installed)
    name = _monitor(reader)
    if name == NO_DATA:
        monitor, argument = _inside(reader)
        return Condition(monitor=monitor, argument=argument, no_data=True, grace=_grace(reader))
    argument = _argument(reader)
    sign = reader.take(_COMPARISON)
    if sign is None:
        raise ConditionError(f"expected > >= < or <= before {reader.rest()}", reader.at, "such as errors > 2% for 5m")
    threshold = _value(reader, name)
    comparison = Comparison(sign[0])
    return Condition(monitor=name, argument=argument, comparison=comparison, threshold=threshold, grace=_grace(reader))


def _monitor(reader: _Reader) -> str:
    start = reader.at
    name = reader.take(_NAME)
    if name is None:
        raise ConditionError(f"expected the name of a monitor, found {reader.rest()}", start, "such as errors > 2%")
    known = reader.installed
    if known is not None and name[0] != NO_DATA and name[0] not in known:
        near = get_close_matches(name[0], sorted(known), n=1)
        listed = ", ".join(sorted(known)) or "none"
        hint = f"did you mean '{near[0]}'?" if near else ""
        raise ConditionError(f"no monitor called '{name[0]}'; installed: {listed}", start, hint)
    return name[0]


def _argument(reader: _Reader) -> str:
    start = reader.at
    found = reader.take(_ARGUMENT)
    if found is None:
        return ""
    argument = found[1].strip()
    if not argument:
        raise ConditionError("the parentheses are empty", start, "name a field, such as drift(hour)")
    return argument


def _inside(reader: _Reader) -> tuple[str, str]:
    """Read `(signal)` after no_data; the signal may have parentheses of its own."""
    opening = reader.at
    if reader.text[opening : opening + 1] != "(":
        raise ConditionError("expected a signal in parentheses after no_data", opening, "such as no_data(quality)")
    reader.at += 1
    reader.skip()
    monitor, argument = _monitor(reader), _argument(reader)
    if reader.text[reader.at : reader.at + 1] != ")":
        raise ConditionError(f"expected ) before {reader.rest()}", reader.at, "such as no_data(quality) for 3d")
    reader.at += 1
    reader.skip()
    return monitor, argument


def _value(reader: _Reader, monitor: str) -> float:
    start = reader.at
    if percent := reader.take(_PERCENT):
        if monitor in SIGNAL_UNITS:
            unit = SIGNAL_UNITS[monitor][0]
            raise ConditionError(f"'{monitor}' is measured in {unit}, not in per cent", start, f"{monitor} > 50ms")
        return _finite(f"{percent[1]}e-2", start)
    if number := reader.take(_NUMBER):
        return _finite(number[0], start)
    if span := reader.take(_DURATION):
        return _span(span[0], monitor, start)
    raise ConditionError(f"expected a number after the comparison, found {reader.rest()}", start, "such as 2%")


def _finite(text: str, start: int) -> float:
    number = float(text)
    if not isfinite(number):
        raise ConditionError("the number is too large", start)
    return number


def _span(text: str, monitor: str, start: int) -> float:
    if monitor not in SIGNAL_UNITS:
        raise ConditionError(f"'{monitor}' is not measured in time, so {text} means nothing here", start, "0.2 or 2%")
    try:
        return duration(text) / SIGNAL_UNITS[monitor][1]
    except UnitError as error:
        raise ConditionError(str(error), start) from error


def _grace(reader: _Reader) -> Micros:
    start = reader.at
    word = reader.take(_WORD)
    if word is None:
        return 0
    if word[0] != "for":
        raise ConditionError(f"expected 'for' and a duration, found '{word[0][:30]}'", start, "such as for 5m")
    start = reader.at
    try:
        grace = duration(reader.text[start:])
    except UnitError as error:
        raise ConditionError(str(error), start) from error
    return grace
