"""Judge objectives: each look turns the newest signals into ok, pending, breach or no data, and remembers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roadworthy.domain.digest import Digest
from roadworthy.domain.exposure import answering
from roadworthy.domain.moment import Micros
from roadworthy.domain.objective import Objective, Signal, Standing, Watch, look
from roadworthy.domain.route import Route
from roadworthy.domain.system import Policy
from roadworthy.errors import Conflict
from roadworthy.lifecycle import present
from roadworthy.ports.observations import WatchKey
from roadworthy.ports.plane import Plane


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One objective for one release (empty: the whole system) at one look."""

    objective: Objective
    release: Digest
    watch: Watch
    signal: Signal | None

    @property
    def is_breach(self) -> bool:
        """Claim that the bad case has held for its grace."""
        return self.watch.standing is Standing.BREACH


def judge(plane: Plane, policy: Policy, route: Route, now: Micros) -> tuple[Judged, ...]:
    """Look at every objective of the releases in a route, and keep what changed.

    Memory is written only when a standing or its beginning changed, so a quiet system writes nothing. When
    observation saved at the same instant, this look is lost and the next one, a moment later, counts. A person who puts
    a champion back in front ends all breaches: each must be seen anew, for its whole grace.
    """
    place = (route.system, route.environment)
    signals = _by_name(_since_begun(plane, route, plane.observations.signals(*place)))
    before = plane.observations.watches(*place)
    judged: list[Judged] = []
    changed: dict[WatchKey, Watch] = {}
    for objective in policy.watch.objectives:
        for release, signal in _subjects(route, signals.get(objective.when.signal, {})):
            key = WatchKey(*place, objective.name, release)
            old = before.get(key)
            if old is None or old.looked_at < route.restored_at:
                old = Watch(objective=objective.name, release=release)
            watch = look(objective, signal, old, now)
            judged.append(Judged(objective=objective, release=release, watch=watch, signal=signal))
            if key not in before or (watch.standing, watch.holds_since) != (old.standing, old.holds_since):
                changed[key] = watch
    _keep(plane, changed)
    return tuple(judged)


def in_force(judged: Sequence[Judged]) -> frozenset[tuple[str, Digest]]:
    """Return the (objective, release) pairs in breach."""
    return frozenset((one.objective.name, one.release) for one in judged if one.is_breach)


def _subjects(route: Route, signals: Mapping[Digest, Signal]) -> list[tuple[Digest, Signal | None]]:
    """Choose whom an objective is about: the releases in the route that have the signal, else the whole system.

    The system's own signal is not judged beside the champion's: it still holds answers of a release that was
    rolled back, and would speak against the one that replaced it.
    """
    front = answering(route)[:1] or (route.champion,)
    subjects: list[tuple[Digest, Signal | None]] = [
        (release, signals[release]) for release in route.releases if release in signals
    ]
    if front[0] not in signals:
        whole = "" if "" in signals else front[0]
        subjects.append((whole, signals.get(whole)))
    return subjects


def _since_begun(plane: Plane, route: Route, signals: Sequence[Signal]) -> list[Signal]:
    """Leave out what was seen of a release before its newest rollout began, and of all before a person restored it.

    What is put in front again brings its last signal along, from the time when it was taken back: the fault may be
    mended, or accepted, and not looked at since.
    """
    rollout = present.rollout(plane, route.system, route.environment)
    fresh = [one for one in signals if one.at >= route.restored_at]
    if rollout is None:
        return fresh
    return [one for one in fresh if one.release != rollout.release or one.at >= rollout.started_at]


def _by_name(signals: Sequence[Signal]) -> dict[str, dict[Digest, Signal]]:
    found: dict[str, dict[Digest, Signal]] = {}
    for signal in signals:
        found.setdefault(signal.name, {})[signal.release] = signal
    return found


def _keep(plane: Plane, changed: Mapping[WatchKey, Watch]) -> None:
    if not changed:
        return
    cursor = plane.observations.cursor()
    try:
        plane.observations.save(before=cursor, cursor=cursor, watches=changed)
    except Conflict:
        return
