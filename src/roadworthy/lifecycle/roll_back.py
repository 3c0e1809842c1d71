"""Roll back by hand: commits and publishes by itself, so it works while the control process is dead."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.domain.digest import Digest
from roadworthy.domain.exposure import rolled_back, without_trial
from roadworthy.domain.ledger import Decide
from roadworthy.domain.principal import Actor
from roadworthy.domain.release import Release
from roadworthy.domain.route import Route
from roadworthy.errors import NotFoundError, RefusedError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.change_route import rollout_aborted, route_changed
from roadworthy.lifecycle.incidents import begin_again
from roadworthy.lifecycle.promote import ProveLoads, forget_watches
from roadworthy.lifecycle.publish import publish
from roadworthy.ports.plane import Plane


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """What a rollback did: the route now in force, and which release lost its traffic."""

    route: Route
    left: Digest
    sentence: str


def roll_back(
    plane: Plane,
    system: str,
    to: str = "",
    *,
    actor: Actor,
    reason: str = "",
    environment: str = "live",
    prove_loads: ProveLoads | None = None,
) -> RolledBack:
    """Take the release under trial back, or without a trial make an earlier release champion again.

    Without `to` a running rollout is aborted and its champion keeps serving; with no rollout under way the champion
    gives way to `last_good`. With `to` that release becomes champion, also if it was taken back before: a person may.
    A release that left the route is loaded before anything changes; one that is in it was proven when it came in.

    Raises:
        NotFoundError: no such system, route or release.
        RefusedError: there is no earlier release, or `to` is champion already.
        NotPermitted: the actor is no active person.
        ArtifactError, EnvironmentMismatch: the target does not load.
    """
    present.must_be_a_person(plane, actor, "roll back by hand")
    present.policy(plane, system)

    def attempt() -> RolledBack:
        return _attempt(plane, system, to, actor, reason, environment, prove_loads)

    return present.settle(attempt)


def _attempt(
    plane: Plane, system: str, to: str, actor: Actor, reason: str, environment: str, prove: ProveLoads | None
) -> RolledBack:
    route_seq = present.route_seq(plane, system, environment)
    rollout_seq = present.rollout_seq(plane, system, environment)
    route = present.route(plane, system, environment)
    if route is None:
        raise NotFoundError(f"{system} has no route in {environment}: nothing was promoted yet")
    known = present.releases(plane, system)
    under_way = present.running(plane, system, environment)
    decisions: list[Decide] = []
    why = reason or "rolled back by hand"
    if under_way:
        decisions.append(rollout_aborted(under_way, actor, why, now=plane.clock.now(), expected=rollout_seq))
    if under_way and not to:
        after, left = without_trial(route), under_way.release
        sentence = (
            f"the rollout of {present.name_of(known, left)} is aborted; "
            f"{present.name_of(known, route.champion)} has all traffic"
        )
    else:
        target = _target(system, route, known, to, prove)
        after, left = _onto(plane, system, route, target, known), route.champion
        sentence = f"{target.name} has all traffic again; {present.name_of(known, left)} has none"
    if after.champion != route.champion:
        decisions += begin_again(plane, system, environment, after.champion)
    plane.ledger.commit([*decisions, route_changed(after, actor, why, expected=route_seq)])
    forget_watches(plane, system, environment, after.champion)
    publish(plane)
    return RolledBack(route=after, left=left, sentence=sentence)


def _target(system: str, route: Route, known: dict[Digest, Release], to: str, prove: ProveLoads | None) -> Release:
    if to:
        target = present.find_release(known, to, system)
    else:
        earlier = [name for name in (route.last_good, *route.fallback) if name in known and name != route.champion]
        if not earlier:
            raise RefusedError(
                f"{present.name_of(known, route.champion)} has no earlier release to go back to",
                hint=f"roadworthy stop --system {system} --reason … answers 503 on purpose",
            )
        target = known[earlier[0]]
    if target.id == route.champion:
        raise RefusedError(f"{target.name} is champion already")
    if prove is not None and target.id not in route.releases:
        prove(target.candidate)
    return target


def _onto(plane: Plane, system: str, route: Route, target: Release, known: dict[Digest, Release]) -> Route:
    order = present.policy(plane, system).serve.fallback
    return rolled_back(route, target.id, order, present.baseline(known), present.withdrawn(known))
