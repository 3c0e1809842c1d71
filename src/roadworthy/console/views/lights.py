"""The two lights of a system and the objectives behind them; never merged, and no data is never ok.

Which standing a light has is decided by `lifecycle.status`; here it gets its word and the sentence why, with figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from roadworthy.console.words import measured, spell_span
from roadworthy.domain.exposure import answering
from roadworthy.domain.moment import Micros
from roadworthy.domain.objective import Light, Signal, Standing
from roadworthy.domain.release import Release
from roadworthy.domain.response import actions_for
from roadworthy.domain.route import Route
from roadworthy.domain.system import Policy
from roadworthy.lifecycle import present
from roadworthy.lifecycle.status import LightStatus, ObjectiveStatus, Serving, Status


class State(StrEnum):
    """What a light shows: a word and a shape of its own for each."""

    OK = "ok"
    RISK = "at risk"
    BROKEN = "broken"
    NO_DATA = "no data"
    STOPPED = "stopped"


_STATES: Final = {
    Standing.BREACH: State.BROKEN,
    Standing.PENDING: State.RISK,
    Standing.NO_DATA: State.NO_DATA,
    Standing.OK: State.OK,
}
_WORST_FIRST: Final = (Standing.BREACH, Standing.NO_DATA, Standing.PENDING, Standing.OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How one objective stands for one release. `answers` says whether callers get that release's answers."""

    objective: str
    when: str
    light: Light
    release: str
    standing: Standing
    since: Micros | None
    value: float | None
    unit: str
    n: int
    why: str
    assumption: str
    actions: tuple[str, ...]
    answers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LightView:
    """One light: its state and the one sentence why."""

    light: Light
    state: State
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A system with a route, and what names and rules its page needs beside the status."""

    policy: Policy
    route: Route
    known: Mapping[str, Release]
    signals: Sequence[Signal]
    now: Micros

    @property
    def front(self) -> str:
        """Name the release whose answers callers get; the champion while the system is stopped."""
        return next(iter(answering(self.route)), self.route.champion)

    def name(self, release: str) -> str:
        """Write a release as people say it; the whole system for none."""
        return present.name_of(dict(self.known), release) if release else self.route.system

    def signal(self, name: str, release: str) -> Signal | None:
        """Return the newest signal of a release."""
        return next((one for one in self.signals if one.name == name and one.release == release), None)


def objectives(status: Status, policy: Policy, known: Mapping[str, Release]) -> tuple[Kept, ...]:
    """Return each objective for each release it was looked at for: those callers feel first, the worst first.

    A release that waits in reserve answers nobody and so has no data; saying so for each objective helps nobody.
    """
    route = status.route
    front = answering(route) if route else ()
    trial = (route.challenger, route.shadow.release if route.shadow else "") if route else ()
    looked = [one for one in status.objectives if one.signal or not one.release or one.release in (*front, *trial)]
    rows = [_kept(one, status, policy, known, front) for one in looked]
    return tuple(sorted(rows, key=lambda row: (not row.answers, _WORST_FIRST.index(row.standing), row.objective)))


def lights(status: Status, kept: Sequence[Kept]) -> tuple[LightView, ...]:
    """Return operations and decision."""
    return tuple(_light(one, status, kept) for one in status.lights)


def _light(light: LightStatus, status: Status, kept: Sequence[Kept]) -> LightView:
    if status.serving is Serving.STOPPED and status.route is not None:
        why = f"it answers 503 on purpose: {status.route.stopped_for}"
        return LightView(light=light.light, state=State.STOPPED, why=why)
    mine = [row for row in kept if row.light is light.light and row.answers]
    rows = [row for row in mine if row.standing is light.standing]
    is_told = bool(rows) and status.route is not None
    why = _sentence(light.standing, rows, mine, status.at) if is_told else light.reason
    return LightView(light=light.light, state=_STATES[light.standing], why=why)


def _sentence(standing: Standing, rows: Sequence[Kept], mine: Sequence[Kept], now: Micros) -> str:
    first = rows[0]
    more = f"; and {len(rows) - 1} more" if len(rows) > 1 else ""
    span = f" for {spell_span(now - first.since)}" if first.since is not None else ""
    if standing is Standing.BREACH:
        return f"{first.objective} of {first.release} is in breach{span}: {first.why}{more}"
    if standing is Standing.PENDING:
        return f"“{first.when}” has held{span}, not yet long enough to count: {first.why}{more}"
    if standing is Standing.NO_DATA:
        kept = sum(row.standing is Standing.OK for row in mine)
        head = f"{kept} of {len(mine)} objectives are kept, but " if kept else ""
        return f"{head}no data for {', '.join(row.objective for row in rows)}: {first.why}"
    shown = [f"{row.objective} {measured(row.value, row.unit)}" for row in mine if row.value is not None]
    return f"all {len(mine)} objectives are kept: {', '.join(shown[:4])}" if shown else "all objectives are kept"


def _kept(
    one: ObjectiveStatus, status: Status, policy: Policy, known: Mapping[str, Release], front: Sequence[str]
) -> Kept:
    signal = one.signal
    return Kept(
        objective=one.name,
        when=one.condition,
        light=one.light,
        release=present.name_of(dict(known), one.release) if one.release else status.system,
        standing=one.standing,
        since=one.since,
        value=signal.value if signal else None,
        unit=signal.unit if signal else "",
        n=signal.n if signal else 0,
        why=_why(one.name, signal),
        assumption=one.assumption,
        actions=tuple(str(action) for action in actions_for(policy.failure, one.name)),
        answers=not one.release or one.release in front,
    )


def _why(name: str, signal: Signal | None) -> str:
    if signal is None:
        return f"{name} was not observed yet"
    if signal.value is None:
        return signal.reason or "no data"
    interval = ""
    if signal.low is not None and signal.high is not None:
        interval = f" [{measured(signal.low, signal.unit)}, {measured(signal.high, signal.unit)}]"
    text = f"{signal.name} {measured(signal.value, signal.unit)}{interval}, n={signal.n:,}"
    return f"{text} ({signal.reason})" if signal.reason else text
