"""Status: how a system is, as one value that the command line, the console and `.json` pages show alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from roadworthy.domain.digest import Digest
from roadworthy.domain.exposure import answering, role_of
from roadworthy.domain.incident import Incident
from roadworthy.domain.ledger import Noun
from roadworthy.domain.moment import Micros, iso, spell_duration
from roadworthy.domain.objective import Light, Objective, Signal, Standing, Watch
from roadworthy.domain.release import Release
from roadworthy.domain.rollout import RolloutState, advance
from roadworthy.domain.route import Route
from roadworthy.domain.system import Owner, Policy
from roadworthy.lifecycle import present
from roadworthy.lifecycle.assistants import stand_in
from roadworthy.lifecycle.incidents import incidents
from roadworthy.lifecycle.page import undelivered
from roadworthy.lifecycle.respond import is_applied
from roadworthy.lifecycle.trials import TrialState, progress_of
from roadworthy.ports.deliveries import Delivery
from roadworthy.ports.observations import BucketKey, WatchKey
from roadworthy.ports.plane import Plane
from roadworthy.ports.records import Losses
from roadworthy.stores.codec import from_doc

_WORST_FIRST: Final = (Standing.BREACH, Standing.NO_DATA, Standing.PENDING, Standing.OK)


class Serving(StrEnum):
    """What callers get: the champion, the fallback in its place, 503 on purpose, or nothing yet."""

    CHAMPION = "champion"
    FALLBACK = "fallback"
    STOPPED = "stopped"
    NOTHING = "not live"


@dataclass(frozen=True, slots=True, kw_only=True)
class LightStatus:
    """One of the two lights: the worst standing of its objectives, and which one it is. No data is not ok."""

    light: Light
    standing: Standing
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveStatus:
    """Where one objective stands for one release (empty: the whole system), and the signal it was judged by."""

    name: str
    condition: str
    light: Light
    standing: Standing
    release: Digest = ""
    release_name: str = ""
    since: Micros | None = None
    assumption: str = ""
    signal: Signal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """One release in the route: what it does and how many callers it answers."""

    release: Digest
    name: str
    role: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One live worker: the snapshot it serves, whether that holds the route in force, what it could not load."""

    worker: str
    pid: int
    version: int
    applied: bool
    refused: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStatus:
    """The newest rollout and, while it runs, what it waits for just now."""

    release: Digest
    name: str
    state: RolloutState
    stage: str
    share: float
    stages: tuple[str, ...]
    started_at: Micros
    started_by: str
    waiting_for: str = ""
    ended_for: str = ""
    ended_at: Micros | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillStatus:
    """The newest drill of each fault, and whether the newest of all is older than the policy allows."""

    stale: bool
    reason: str
    last_at: Micros | None = None
    faults: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything one looks at first. `skew` is the span of snapshot versions that live workers serve."""

    system: str
    environment: str
    at: Micros
    replay: bool
    serving: Serving
    sentence: str
    next_step: str
    owner: Owner
    orphaned: bool
    paused: bool
    paused_for: str
    lights: tuple[LightStatus, ...]
    objectives: tuple[ObjectiveStatus, ...]
    signals: tuple[Signal, ...]
    route: Route | None
    parts: tuple[PartStatus, ...]
    applied: bool
    skew: int
    workers: tuple[WorkerStatus, ...]
    rollout: RolloutStatus | None
    incidents: tuple[Incident, ...]
    drill: DrillStatus
    losses: Losses
    undelivered: tuple[Delivery, ...]
    control: str = ""
    data_plane: str = ""


def status(plane: Plane, system: str, environment: str = "live") -> Status:
    """Say how a system is, from decisions, observations and the workers' own words.

    Raises:
        NotFoundError: no such system.
    """
    policy, now = present.policy(plane, system), plane.clock.now()
    known = present.releases(plane, system)
    route = present.route(plane, system, environment)
    standing = present.standing(plane, system)
    signals = tuple(plane.observations.signals(system, environment))
    objectives = _objectives(plane, policy, route, known, signals, environment, system)
    lights = tuple(_light(light, objectives, route) for light in Light)
    open_incidents = tuple(one for one in incidents(plane, system) if one.environment == environment)
    workers = _workers(plane, route)
    serving = serving_of(route)
    rollout = _rollout(plane, system, environment, policy, known, now)
    return Status(
        system=system,
        environment=environment,
        at=now,
        replay=plane.home.is_replay,
        serving=serving,
        sentence=_sentence(plane, system, policy, route, known, lights),
        next_step=_next_step(system, serving, route, open_incidents, rollout),
        owner=policy.owner,
        orphaned=bool(standing.get("orphaned")),
        paused=bool(standing.get("paused")),
        paused_for=str(standing.get("paused_for", "")) if standing.get("paused") else "",
        lights=lights,
        objectives=objectives,
        signals=signals,
        route=route,
        parts=_parts(route, known),
        applied=route is not None and bool(workers) and is_applied(plane, route),
        skew=max((one.version for one in workers), default=0) - min((one.version for one in workers), default=0),
        workers=workers,
        rollout=rollout,
        incidents=open_incidents,
        drill=drill_status(plane, system, policy, now),
        losses=plane.records.losses(),
        undelivered=undelivered(plane, system),
        control=address_in(plane, "control"),
        data_plane=address_in(plane, "serve"),
    )


def serving_of(route: Route | None) -> Serving:
    """Say what callers get under a route."""
    if route is None:
        return Serving.NOTHING
    if route.stopped:
        return Serving.STOPPED
    return Serving.FALLBACK if route.degraded_by else Serving.CHAMPION


def drill_status(plane: Plane, system: str, policy: Policy, now: Micros) -> DrillStatus:
    """Say when the failure plan was last proven, and whether that is too long ago."""
    faults = tuple(plane.ledger.states(Noun.DRILL, system).values())
    last = max((int(one["finished_at"]) for one in faults), default=None)
    every = policy.watch.drill_every
    if last is None:
        return DrillStatus(stale=True, reason="the failure plan was never drilled: roadworthy drill")
    stale = now - last > every
    reason = f"last drilled {iso(last)}" + (f", more than {spell_duration(every)} ago" if stale else "")
    return DrillStatus(stale=stale, reason=reason, last_at=last, faults=faults)


def address_in(plane: Plane, process: str) -> str:
    """Return where the home's `control` or `serve` process says it listens; empty while none runs."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((plane.home.root / f"{process}.json").read_text())["url"])
    return ""


def _objectives(
    plane: Plane,
    policy: Policy,
    route: Route | None,
    known: dict[Digest, Release],
    signals: Sequence[Signal],
    environment: str,
    system: str,
) -> tuple[ObjectiveStatus, ...]:
    watches = plane.observations.watches(system, environment)
    by_signal = {(signal.name, signal.release): signal for signal in signals}
    stated = {objective.name: objective for objective in policy.watch.objectives}
    looked = {key for key in watches if key.objective in stated and _is_in(route, key.release)}
    never = [name for name in stated if name not in {key.objective for key in looked}]
    blank = [WatchKey(system, environment, name, route.champion if route else "") for name in never]
    found = [
        _objective(stated[key.objective], key, watches.get(key), by_signal, known)
        for key in sorted({*looked, *blank}, key=lambda key: (key.objective, key.release))
    ]
    return tuple(found)


def _objective(
    objective: Objective,
    key: WatchKey,
    watch: Watch | None,
    signals: Mapping[tuple[str, Digest], Signal],
    known: dict[Digest, Release],
) -> ObjectiveStatus:
    return ObjectiveStatus(
        name=objective.name,
        condition=str(objective.when),
        light=objective.light,
        standing=watch.standing if watch else Standing.NO_DATA,
        release=key.release,
        release_name=present.name_of(known, key.release),
        since=watch.holds_since if watch else None,
        assumption=objective.assumption,
        signal=signals.get((objective.when.signal, key.release)),
    )


def _is_in(route: Route | None, release: Digest) -> bool:
    return not release or (route is not None and release in route.releases)


def _light(light: Light, objectives: Sequence[ObjectiveStatus], route: Route | None) -> LightStatus:
    answers = answering(route) if route else ()
    mine = [one for one in objectives if one.light is light and (not one.release or one.release in answers)]
    if route is None:
        return LightStatus(light=light, standing=Standing.NO_DATA, reason="nothing was promoted yet")
    if not mine:
        return LightStatus(light=light, standing=Standing.NO_DATA, reason=f"no objective watches {light.value}")
    for standing in _WORST_FIRST:
        worst = [one for one in mine if one.standing is standing]
        if worst:
            return LightStatus(light=light, standing=standing, reason=_why(standing, worst))
    raise AssertionError  # pragma: no cover (every standing is listed)


def _why(standing: Standing, objectives: Sequence[ObjectiveStatus]) -> str:
    named = ", ".join(dict.fromkeys(one.name for one in objectives))
    match standing:
        case Standing.OK:
            return f"all objectives hold: {named}"
        case Standing.BREACH:
            return f"in breach: {named}"
        case Standing.PENDING:
            return f"about to be in breach: {named}"
        case _:
            return f"no data for: {named}"


def _parts(route: Route | None, known: dict[Digest, Release]) -> tuple[PartStatus, ...]:
    if route is None:
        return ()
    shares = {arm.release: arm.share for arm in route.arms}
    if route.shadow:
        shares[route.shadow.release] = route.shadow.rate
    return tuple(
        PartStatus(
            release=name,
            name=present.name_of(known, name),
            role=role_of(route, name).value,
            share=shares.get(name, 0.0),
        )
        for name in route.releases
    )


def _workers(plane: Plane, route: Route | None) -> tuple[WorkerStatus, ...]:
    changed_at = present.route_seq(plane, route.system, route.environment) if route else 0
    return tuple(
        WorkerStatus(
            worker=word.worker,
            pid=word.pid,
            version=word.version,
            applied=word.version >= changed_at,
            refused=tuple((name, why) for name, why in word.refused),
        )
        for word in plane.snapshots.acknowledgements()
    )


def _rollout(
    plane: Plane, system: str, environment: str, policy: Policy, known: dict[Digest, Release], now: Micros
) -> RolloutStatus | None:
    rollout = present.rollout(plane, system, environment)
    if rollout is None:
        return None
    waiting = rollout.waiting_for
    if rollout.state is RolloutState.RUNNING:
        key = BucketKey(system, environment, rollout.release, 0, "trial")
        document = plane.observations.bucket(key)
        trial = from_doc(TrialState, document) if document else TrialState()
        is_current = trial.rollout == rollout.id and trial.stage == rollout.stage_index
        progress = progress_of(trial if is_current else TrialState(), rollout.stage, policy.watch.harm_margin)
        waiting = advance(rollout, progress, now).reason
    elif rollout.state is RolloutState.PAUSED:
        waiting = "paused by a person"
    return RolloutStatus(
        release=rollout.release,
        name=present.name_of(known, rollout.release),
        state=rollout.state,
        stage=rollout.stage.stage.value,
        share=rollout.stage.share,
        stages=tuple(stage.stage.value for stage in rollout.plan),
        started_at=rollout.started_at,
        started_by=rollout.started_by,
        waiting_for=waiting,
        ended_for=rollout.ended_for,
        ended_at=rollout.ended_at,
    )


def _sentence(
    plane: Plane,
    system: str,
    policy: Policy,
    route: Route | None,
    known: dict[Digest, Release],
    lights: Sequence[LightStatus],
) -> str:
    if route is None:
        return f"{system} is not live: nothing was promoted yet"
    champion = present.name_of(known, route.champion)
    match serving_of(route):
        case Serving.STOPPED:
            return f"{system} answers 503 on purpose: {route.stopped_for}"
        case Serving.FALLBACK:
            instead = stand_in(plane.artifacts, policy, route, known)
            return f"{instead} answers in place of {champion} (incident {route.degraded_by})"
        case _:
            worst = min(lights, key=lambda one: _WORST_FIRST.index(one.standing))
            return f"{champion} serves; {worst.light.value}: {worst.reason}"


def _next_step(
    system: str,
    serving: Serving,
    route: Route | None,
    open_incidents: Sequence[Incident],
    rollout: RolloutStatus | None,
) -> str:
    if route is None:
        return f"roadworthy promote {system}@v1"
    if open_incidents:
        return f"roadworthy incident show {open_incidents[0].id}"
    if serving in (Serving.STOPPED, Serving.FALLBACK):
        return "roadworthy start"
    if rollout is not None and rollout.state is RolloutState.PAUSED:
        return "roadworthy resume --rollout"
    return ""
