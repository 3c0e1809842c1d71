"""Small charts of a signal over time, drawn on the server as SVG: no script, no inline style.

The drawing stretches to its place (`preserveAspectRatio="none"`), so texts stand beside it as HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from markupsafe import Markup

from roadworthy.domain.moment import Micros

WIDTH: Final = 320.0
HEIGHT: Final = 80.0
_AIR: Final = 6.0
_FAR: Final = 4.0
_PAUSE: Final = 4


class Point(NamedTuple):
    """A signal at one time; no value is a gap."""

    at: Micros
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A line in a chart: an objective's condition, or the monitor's own alarm line."""

    value: float
    text: str
    is_objective: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawn chart and what its edges mean. `off` are limits that lie too far away to draw."""

    svg: Markup
    low: float
    high: float
    start: Micros
    end: Micros
    off: tuple[Limit, ...] = ()


def draw(history: Sequence[Point], limits: Sequence[Limit], label: str, mark: Micros | None = None) -> Chart | None:
    """Draw a signal's past with its interval as a band and gaps where there was no data; None without any value.

    A limit more than four times as far as the values is named instead of drawn: it would flatten the line.

    Args:
        history: the signal at past times, oldest first.
        limits: horizontal lines.
        label: what a reader who cannot see the chart is told.
        mark: a moment to mark with a vertical line.
    """
    values = [edge for one in history for edge in (one.value, one.low, one.high) if edge is not None]
    if not values:
        return None
    most = max(abs(value) for value in values)
    near = [limit for limit in limits if abs(limit.value) <= _FAR * most]
    low, high = _edges([*values, *(limit.value for limit in near)])
    start, end = history[0].at, max(history[-1].at, history[0].at + 1)
    frame = _Frame(start, end, low, high)
    body = Markup("").join(_layers(frame, history, near, mark))
    svg = Markup(
        '<svg class="chart" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(int(WIDTH), int(HEIGHT), label, body)
    return Chart(
        svg=svg,
        low=low,
        high=high,
        start=start,
        end=history[-1].at,
        off=tuple(one for one in limits if one not in near),
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    start: Micros
    end: Micros
    low: float
    high: float

    def x(self, at: Micros) -> float:
        return round((at - self.start) / (self.end - self.start) * WIDTH, 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - _AIR - (value - self.low) / (self.high - self.low) * (HEIGHT - 2 * _AIR), 1)


def _edges(values: Sequence[float]) -> tuple[float, float]:
    """Choose the vertical span: from 0 where nothing is negative, and never empty."""
    low, high = min(0.0, *values), max(values)
    return (low, high) if high > low else (low, low + 1.0)


def _layers(frame: _Frame, history: Sequence[Point], limits: Sequence[Limit], mark: Micros | None) -> Iterator[Markup]:
    for start, end in _gaps(history):
        width = max(2.0, frame.x(end) - frame.x(start))
        yield Markup('<rect class="gap" x="{}" y="0" width="{}" height="{}"/>').format(
            frame.x(start), width, int(HEIGHT)
        )
    for run in _runs(history):
        yield _band(frame, run)
    for limit in limits:
        kind = "limit" if limit.is_objective else "alarm"
        y = frame.y(limit.value)
        yield Markup('<line class="{}" x1="0" x2="{}" y1="{}" y2="{}"/>').format(kind, int(WIDTH), y, y)
    if mark is not None and frame.start <= mark <= frame.end:
        x = frame.x(mark)
        yield Markup('<line class="mark" x1="{}" x2="{}" y1="0" y2="{}"/>').format(x, x, int(HEIGHT))
    last: Point | None = None
    for run in _runs(history):
        last = run[-1]
        points = " ".join(f"{frame.x(one.at)},{frame.y(one.value or 0.0)}" for one in run)
        yield Markup('<polyline class="line" points="{}"/>').format(points)
    if last is not None:
        # A line of no length with round caps stays a dot however the drawing is stretched.
        x, y = frame.x(last.at), frame.y(last.value or 0.0)
        yield Markup('<path class="dot" d="M{} {}h0.01"/>').format(x, y)


def _runs(history: Sequence[Point]) -> Iterator[list[Point]]:
    """Cut the past into stretches with data; a pause four times as long as usual ends one too."""
    run: list[Point] = []
    longest = _PAUSE * _usual_step(history)
    for one in history:
        if run and (one.value is None or one.at - run[-1].at > longest):
            yield run
            run = []
        if one.value is not None:
            run.append(one)
    if run:
        yield run


def _usual_step(history: Sequence[Point]) -> Micros:
    """Return the median time between two points."""
    steps = sorted(after.at - before.at for before, after in pairwise(history))
    return steps[len(steps) // 2] if steps else 0


def _gaps(history: Sequence[Point]) -> Iterator[tuple[Micros, Micros]]:
    """Find the stretches without data, from the last value before to the next one after."""
    since: Micros | None = None
    before = history[0].at if history else 0
    for one in history:
        if one.value is None:
            since = before if since is None else since
        elif since is not None:
            yield since, one.at
            since = None
        before = one.at
    if since is not None:
        yield since, before


def _band(frame: _Frame, run: Sequence[Point]) -> Markup:
    known = [(frame.x(one.at), one.low, one.high) for one in run if one.low is not None and one.high is not None]
    if not known:
        return Markup("")
    upper = [f"{x},{frame.y(high)}" for x, _, high in known]
    lower = [f"{x},{frame.y(low)}" for x, low, _ in reversed(known)]
    return Markup('<polygon class="band" points="{}"/>').format(" ".join([*upper, *lower]))
