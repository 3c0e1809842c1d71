"""Signals, and the objectives that turn them into ok, breach or no data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from roadworthy.domain.condition import Condition
from roadworthy.domain.moment import Micros


class Light(StrEnum):
    """Which of a system's two lights a signal feeds. They are never merged."""

    OPERATIONS = "operations"
    DECISION = "decision"


class Standing(StrEnum):
    """What an objective is in. `pending` is a condition that holds but whose grace has not passed; it is not ok."""

    OK = "ok"
    PENDING = "pending"
    BREACH = "breach"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A monitor's value with its n and interval at a time; `value` None is *no data*, with the reason why.

    `name` is `monitor` or `monitor(argument)`. `release` is empty for a signal of the whole system.
    `threshold` is the monitor's own alarm line where it has one (drift: floor, null quantile and past windows).
    `alarm` is the monitor's own judgement under false discovery control; None where it makes none.
    """

    system: str
    name: str
    at: Micros
    value: float | None
    n: int = 0
    low: float | None = None
    high: float | None = None
    environment: str = "live"
    release: str = ""
    window_start: Micros = 0
    window_end: Micros = 0
    unit: str = ""
    light: Light = Light.OPERATIONS
    threshold: float | None = None
    alarm: bool | None = None
    reason: str = ""

    @property
    def has_data(self) -> bool:
        """Claim that the monitor could say something."""
        return self.value is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A condition that must NOT come true. `assumption` names the assumption it guards, if any.

    `when` is the bad case (`errors > 2% for 5m`): the objective is in breach once it has held for its grace.
    """

    name: str
    when: Condition
    light: Light = Light.OPERATIONS
    assumption: str = ""
    goal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """An objective's memory between looks: since when the bad case has held without a break."""

    objective: str
    release: str = ""
    standing: Standing = Standing.NO_DATA
    holds_since: Micros | None = None
    looked_at: Micros = 0


def look(objective: Objective, signal: Signal | None, before: Watch, now: Micros) -> Watch:
    """Judge an objective at one look. The only place where `for 5m` is evaluated.

    A condition on a value without data is *no data*, never ok, and breaks the run of a pending breach; an
    objective already in breach stays so until data show that the bad case has ended.
    """
    holds = _holds(objective.when, signal)
    if holds is None:
        standing = Standing.BREACH if before.standing is Standing.BREACH else Standing.NO_DATA
        since = before.holds_since if standing is Standing.BREACH else None
    elif not holds:
        standing, since = Standing.OK, None
    else:
        since = now if before.holds_since is None else before.holds_since
        standing = Standing.BREACH if now - since >= objective.when.grace else Standing.PENDING
    return Watch(objective=objective.name, release=before.release, standing=standing, holds_since=since, looked_at=now)


def _holds(condition: Condition, signal: Signal | None) -> bool | None:
    if condition.no_data or condition.comparison is None:
        return signal is None or not signal.has_data
    if signal is None or signal.value is None:
        return None
    return condition.comparison.holds(signal.value, condition.threshold)
