"""Replay flights in time order through HTTP: a request at departure, an outcome at arrival, the clock in between."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec

from roadworthy.domain.moment import HOUR, MINUTE, Micros, iso
from roadworthy.errors import UnavailableError
from roadworthy.wiring.calls import Door, Line

LINES: Final = 8
_OUTCOMES_A_CALL: Final = 500
_SENT: Final = (
    "carrier", "origin", "hour", "distance", "dewp", "humid", "wind_speed", "precip", "visib", "pressure",
    "weather_age_min", "flight_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flight:
    """One flight: what is known before departure, and what turned out."""

    scheduled_at: Micros
    arrived_at: Micros
    late: int
    inputs: dict[str, Any]


@dataclass(slots=True)
class Tally:
    """What a client saw. `failed` counts connection errors, time-outs and answers other than 200, in all."""

    sent: int = 0
    failed: int = 0
    fallback: int = 0
    outcomes: int = 0
    by_release: Counter[str] = field(default_factory=Counter[str])
    bad_outcomes: Counter[str] = field(default_factory=Counter[str])
    last_answer_by: dict[str, float] = field(default_factory=dict[str, float])
    bad_accepted_at: dict[str, list[float]] = field(default_factory=dict[str, "list[float]"])
    last_record: str = ""


@dataclass(frozen=True, slots=True)
class _Landing:
    """An answer whose truth is not known yet."""

    arrived_at: Micros
    late: int
    record: str
    release: str
    label: str


class Replay:
    """Drives one system through its flights. `step` is how much flight time passes between two looks at the clock."""

    def __init__(self, later: Path, port: int, control_port: int, key: str, *, every: int = 4) -> None:
        self._flights = deque(read(later, every))
        self._predict = Door(port, "/v1/systems/flights/predict", key)
        self._outcomes = Door(port, "/v1/systems/flights/outcomes", key)
        self._clock = Door(control_port, "/v1/clock", key)
        self._in_air: list[_Landing] = []
        self.now: Micros = self._flights[0].scheduled_at
        self.seen = Tally()

    @property
    def left(self) -> int:
        """Return how many flights have not departed."""
        return len(self._flights)

    def pass_by(self, duration: Micros, step: Micros = HOUR) -> Tally:
        """Replay a span of flights and return what was seen so far."""
        asyncio.run(self._pass_by(duration, step))
        return self.seen

    async def _pass_by(self, duration: Micros, step: Micros) -> None:
        end = self.now + duration
        lines = [await Line.open(self._predict.port) for _ in range(LINES)]
        clock = await Line.open(self._clock.port)
        try:
            while self.now < end and self._flights:
                self.now += step
                await self._tell_time(clock)
                await self._depart(lines)
                await self._arrive(lines[0])
        finally:
            for line in (*lines, clock):
                line.close()

    async def _tell_time(self, line: Line) -> None:
        status, _, body = await line.call(self._clock.request(msgspec.json.encode({"now": iso(self.now)})))
        if status != 200:  # noqa: PLR2004
            raise UnavailableError(f"the control process did not set the clock: {body.decode(errors='replace')[:200]}")

    async def _depart(self, lines: Sequence[Line]) -> None:
        due: deque[Flight] = deque()
        while self._flights and self._flights[0].scheduled_at <= self.now:
            due.append(self._flights.popleft())

        async def work(line: Line) -> None:
            while due:
                await self._ask(line, due.popleft())

        await asyncio.gather(*(work(line) for line in lines))

    async def _ask(self, line: Line, flight: Flight) -> None:
        body = msgspec.json.encode({"inputs": flight.inputs})
        self.seen.sent += 1
        try:
            status, _, answer = await asyncio.wait_for(line.call(self._predict.request(body)), 10)
        except (OSError, EOFError, TimeoutError):
            self.seen.failed += 1
            raise
        if status != 200:  # noqa: PLR2004
            self.seen.failed += 1
            return
        document = msgspec.json.decode(answer)
        release = str(document["release"])
        self.seen.fallback += bool(document.get("fallback"))
        self.seen.by_release[release] += 1
        self.seen.last_answer_by[release] = time.monotonic()
        self.seen.last_record = str(document["record"])
        label = str(document["outputs"]["label"])
        self._in_air.append(_Landing(flight.arrived_at, flight.late, self.seen.last_record, release, label))

    async def _arrive(self, line: Line) -> None:
        landed = [one for one in self._in_air if one.arrived_at <= self.now]
        self._in_air = [one for one in self._in_air if one.arrived_at > self.now]
        for start in range(0, len(landed), _OUTCOMES_A_CALL):
            part = landed[start : start + _OUTCOMES_A_CALL]
            posted = [{"record": one.record, "value": one.late, "known_at": iso(one.arrived_at)} for one in part]
            status, _, body = await line.call(self._outcomes.request(msgspec.json.encode(posted)))
            if status != 202:  # noqa: PLR2004
                raise UnavailableError(f"outcomes were not accepted: {body.decode(errors='replace')[:200]}")
            at = time.monotonic()
            self.seen.outcomes += len(part)
            for one in part:
                if one.label != str(one.late):
                    self.seen.bad_outcomes[one.release] += 1
                    self.seen.bad_accepted_at.setdefault(one.release, []).append(at)


def read(later: Path, every: int) -> Iterator[Flight]:
    """Read every n-th flight in order of departure."""
    names = ", ".join(_SENT)
    order = "scheduled_at, flight_id"
    rows = duckdb.execute(
        f"select epoch_us(scheduled_at), epoch_us(arrived_at), late, {names} from read_parquet($later)"
        f" qualify (row_number() over (order by {order})) % $every = 0 order by {order}",
        {"later": str(later), "every": every},
    ).fetchall()
    for scheduled_at, arrived_at, late, *values in rows:
        inputs = {**dict(zip(_SENT, values, strict=True)), "scheduled_at": iso(scheduled_at)}
        yield Flight(scheduled_at, max(arrived_at, scheduled_at + MINUTE), int(late), inputs)
