"""Conditions such as `errors > 2% for 5m` or `no_data(quality) for 3d`, as values.

The parser from text lives in `manifest/conditions.py`; it is total: each text is a condition or a finding.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from roadworthy.domain.moment import Micros, spell_duration


class Comparison(StrEnum):
    """How a signal's value relates to the threshold when the condition holds."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="

    def holds(self, value: float, threshold: float) -> bool:
        """Tell whether `value <op> threshold` is true."""
        return _HOLDS[self](value, threshold)


_HOLDS: Final[Mapping[Comparison, Callable[[float, float], bool]]] = {
    Comparison.ABOVE: operator.gt,
    Comparison.AT_LEAST: operator.ge,
    Comparison.BELOW: operator.lt,
    Comparison.AT_MOST: operator.le,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A statement on one signal that must stay true for `grace` before it counts.

    `no_data` conditions hold while the signal has no data; they carry no comparison.
    """

    monitor: str
    argument: str = ""
    comparison: Comparison | None = None
    threshold: float = 0.0
    grace: Micros = 0
    no_data: bool = False

    @property
    def signal(self) -> str:
        """Name the signal the condition reads: `errors`, `drift(hour)`."""
        return f"{self.monitor}({self.argument})" if self.argument else self.monitor

    def __str__(self) -> str:
        tail = f" for {spell_duration(self.grace)}" if self.grace else ""
        if self.no_data or self.comparison is None:
            return f"no_data({self.signal}){tail}"
        return f"{self.signal} {self.comparison} {_spell(self.threshold)}{tail}"


def _spell(number: float) -> str:
    """Write a number in the fewest digits that read back to the same number."""
    whole = float(number)
    return str(int(whole)) if whole.is_integer() and abs(whole) < 1e15 else repr(whole)  # noqa: PLR2004 (exact there)
