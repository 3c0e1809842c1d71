"""Signals as small charts: value over time, limit, n, interval, or no data and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from roadworthy.console.charts import Chart, Limit, Point, draw
from roadworthy.console.views.lights import Kept, Seen
from roadworthy.console.words import measured
from roadworthy.domain.moment import Micros
from roadworthy.domain.objective import Light, Objective, Signal, Standing
from roadworthy.ports.plane import Plane

_TITLES: Final = {
    "latency": "Latency, p99",
    "latency(p50)": "Latency, median",
    "errors": "Errors",
    "traffic": "Answers",
    "violations": "Broken inputs",
    "freshness": "Age of features",
    "outcomes": "Outcomes known",
    "harm": "Harm: loss above the promise",
    "auc": "AUC",
    "brier": "Brier score",
    "quality": "Quality",
    "drift": "Features that drifted",
    "predictions": "Answers moved",
    "predictions(modal_share)": "Share of the commonest answer",
    "model_change": "Model changed by its provider",
    "tokens": "Tokens an answer",
    "tokens(in)": "Tokens read an answer",
    "tokens(out)": "Tokens written an answer",
    "tokens(cached)": "Tokens read from the provider's cache",
    "cost": "Cost of an answer",
    "cost(hour)": "Cost of an hour",
    "cost(outcome)": "Cost of a good outcome",
    "first_token": "First token, p99",
    "first_token(p50)": "First token, median",
    "refusals": "Refused or withheld",
    "refusals(abstained)": "Abstained: no passage carries it",
    "refusals(cut)": "Cut at the limit of tokens",
    "refusals(abandoned)": "Callers that hung up",
    "grounded": "Claims that passages support",
    "guards": "Altered or withheld by guards",
    "cache": "Answered from the cache",
}
_ALWAYS_SHOWN: Final = ("traffic", "cost", "first_token", "refusals", "grounded")
"""Worth a chart without an objective, where there is such a signal at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalView:
    """One signal, its limits and its drawing. `state` is that of its objective, or the monitor's own alarm."""

    name: str
    title: str
    release: str
    light: Light
    state: str
    value: float | None
    text: str
    interval: str
    n: int
    unit: str
    why: str
    limits: tuple[Limit, ...]
    points: tuple[Point, ...]
    mark: Micros | None = None

    def chart(self) -> Chart | None:
        """Draw it; None where no time had data."""
        lines = "; ".join(limit.text for limit in self.limits)
        label = f"{self.title} of {self.release} over time, now {self.text}" + (f"; {lines}" if lines else "")
        return draw(self.points, self.limits, label, self.mark)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalsView:
    """Signals of what answers (those with an objective first), of what is under trial, and the others."""

    first: tuple[SignalView, ...]
    trial: tuple[SignalView, ...]
    others: tuple[SignalView, ...]


def signals(plane: Plane, seen: Seen, kept: Sequence[Kept]) -> SignalsView:
    """Return the signals worth a chart, in the order one reads them."""
    watched = {objective.when.signal: objective for objective in seen.policy.watch.objectives}
    trial = seen.route.challenger or (seen.route.shadow.release if seen.route.shadow else "")
    front = _of_release(seen, seen.front)
    order = [name for name in watched if name in front]
    order += [name for name in _ALWAYS_SHOWN if name in front and name not in order]
    others = [name for name in front if name not in order]
    under_trial = _of_release(seen, trial, or_system=False) if trial else {}

    def view(signal: Signal) -> SignalView:
        return signal_view(plane, seen, signal, watched.get(signal.name), kept)

    return SignalsView(
        first=tuple(view(front[name]) for name in order),
        trial=tuple(view(under_trial[name]) for name in order if name in under_trial),
        others=tuple(view(front[name]) for name in others),
    )


def signal_view(
    plane: Plane,
    seen: Seen,
    signal: Signal,
    objective: Objective | None,
    kept: Sequence[Kept] = (),
    mark: Micros | None = None,
) -> SignalView:
    """Return one signal with its past and its limits; `mark` is a moment to point out."""
    history = plane.observations.history(signal.system, signal.environment, signal.release, signal.name)
    release = seen.name(signal.release)
    return SignalView(
        name=signal.name,
        title=_title(signal.name),
        release=release,
        light=signal.light,
        state=_state(signal, objective, release, kept),
        value=signal.value,
        text=measured(signal.value, signal.unit),
        interval=_interval(signal),
        n=signal.n,
        unit=signal.unit,
        why=signal.reason,
        limits=_limits(signal, objective),
        points=tuple(Point(one.at, one.value, one.low, one.high) for one in history),
        mark=mark,
    )


def _of_release(seen: Seen, release: str, *, or_system: bool = True) -> dict[str, Signal]:
    """Return a release's newest signals by name, and the whole system's where the release has none."""
    found = {one.name: one for one in seen.signals if or_system and not one.release}
    return found | {one.name: one for one in seen.signals if one.release == release}


def _limits(signal: Signal, objective: Objective | None) -> tuple[Limit, ...]:
    limits: list[Limit] = []
    if objective is not None and objective.when.comparison is not None:
        limits.append(Limit(value=objective.when.threshold, text=f"breach when {objective.when}"))
    if signal.threshold is not None and (not limits or limits[0].value != signal.threshold):
        text = f"alarm line {measured(signal.threshold, signal.unit)}"
        limits.append(Limit(value=signal.threshold, text=text, is_objective=False))
    return tuple(limits)


def _state(signal: Signal, objective: Objective | None, release: str, kept: Sequence[Kept]) -> str:
    standing = next(
        (row.standing for row in kept if objective and (row.objective, row.release) == (objective.name, release)), None
    )
    if standing in (Standing.BREACH, Standing.PENDING):
        return "broken" if standing is Standing.BREACH else "at risk"
    if signal.value is None:
        return "no data"
    if signal.alarm:
        return "alarm"
    return "ok" if standing is Standing.OK else ""


def _interval(signal: Signal) -> str:
    if signal.low is None or signal.high is None:
        return ""
    return f"{measured(signal.low, signal.unit)} to {measured(signal.high, signal.unit)}"


def _title(name: str) -> str:
    if name.startswith("drift("):
        return f"Drift of {name[6:-1]}"
    if name.startswith("guards("):
        return f"Altered or withheld by {name[7:-1]}"
    if name.startswith("model_change("):
        return f"Distance of pin {name[13:-1]} from its reference"
    return _TITLES.get(name, name)
