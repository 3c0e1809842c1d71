"""How a route changes: each function takes the route in force and returns the one that should follow it.

Only `under_trial` and `promoted` raise a release's exposure, and `restored` puts a champion back in front; each of
them is asked for by a person or by a rollout that a person started. Everything else lowers exposure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from enum import StrEnum

from roadworthy.domain.digest import Digest
from roadworthy.domain.moment import Micros
from roadworthy.domain.rollout import Stage, StagePlan
from roadworthy.domain.route import Arm, ArmRole, Route, Shadow


class Role(StrEnum):
    """What a release does for callers under a route."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    SHADOW = "shadow"
    FALLBACK = "fallback"
    RESERVE = "reserve"
    NONE = "none"


def role_of(route: Route, release: Digest) -> Role:
    """Say what a release does now. `fallback` answers in place of the champion; a `reserve` only could.

    An empty release stands for the whole system, and so for its champion.
    """
    if not release or release == route.champion:
        return Role.CHAMPION
    if release == route.challenger:
        return Role.CHALLENGER
    if route.shadow is not None and release == route.shadow.release:
        return Role.SHADOW
    if route.degraded_by and route.fallback[:1] == (release,):
        return Role.FALLBACK
    return Role.RESERVE if release in route.releases else Role.NONE


def answering(route: Route) -> tuple[Digest, ...]:
    """Name the releases whose answers callers get when nothing fails; empty while the system is stopped."""
    if route.stopped:
        return ()
    if route.degraded_by:
        return route.fallback[:1]
    return tuple(arm.release for arm in route.arms if arm.share > 0)


def first_route(system: str, environment: str, baseline: Digest) -> Route:
    """Put the baseline in front: what serves until the first release has passed."""
    arms = (Arm(role=ArmRole.CHAMPION, release=baseline, share=1.0),)
    return Route(system=system, environment=environment, version=1, arms=arms, last_good=baseline)


def under_trial(route: Route, release: Digest, stage: StagePlan) -> Route:
    """Give a release the exposure of a shadow, canary or experiment stage beside the champion."""
    clean = without_trial(route)
    if stage.stage is Stage.SHADOW:
        return _next(clean, route, shadow=Shadow(release=release, rate=stage.share))
    arms = (
        Arm(role=ArmRole.CHAMPION, release=route.champion, share=1.0 - stage.share),
        Arm(role=ArmRole.CHALLENGER, release=release, share=stage.share),
    )
    return _next(clean, route, arms=arms)


def without_trial(route: Route) -> Route:
    """Take challenger and shadow away; the champion has all traffic again."""
    arms = (Arm(role=ArmRole.CHAMPION, release=route.champion, share=1.0),)
    return _next(route, route, arms=arms, shadow=None)


def promoted(route: Route, release: Digest, order: Iterable[str], baseline: Digest, bad: Collection[Digest]) -> Route:
    """Make a release champion. The one before it becomes `last_good` and the first fallback, unless it is bad.

    Args:
        route: the route in force.
        release: the new champion.
        order: the policy's fallback order (`previous`, `baseline`; other words name no release).
        baseline: the system's baseline release.
        bad: releases that were withdrawn, which must not answer by automation again.
    """
    before = route.champion if route.champion != release and route.champion not in bad else ""
    previous = before or _usable(route.last_good, release, bad) or _usable(baseline, release, bad)
    return _serving(route, release, previous, order, baseline)


def rolled_back(route: Route, target: Digest, order: Iterable[str], baseline: Digest, bad: Collection[Digest]) -> Route:
    """Make an earlier release champion; the one rolled back from leaves the route altogether."""
    gone = {*bad, route.champion}
    others = (route.last_good, *route.fallback, baseline)
    previous = next((name for name in others if _usable(name, target, gone)), "")
    return _serving(route, target, previous, order, baseline)


def degraded(route: Route, incident: str, first: Digest) -> Route:
    """Put the fallback in front of the champion; `first` moves to the head of the list if it names a release."""
    rest = tuple(name for name in route.fallback if name != first)
    clean = without_trial(route)
    return _next(clean, route, degraded_by=incident, fallback=((first,) if first else ()) + rest)


def stopped(route: Route, reason: str) -> Route:
    """Answer 503 on purpose until a person restores the system."""
    return _next(without_trial(route), route, stopped=True, stopped_for=reason)


def restored(route: Route, at: Micros) -> Route:
    """Undo `stopped` and `degraded` at a time: the champion answers again."""
    return _next(route, route, stopped=False, stopped_for="", degraded_by="", restored_at=at)


def _serving(route: Route, champion: Digest, previous: Digest, order: Iterable[str], baseline: Digest) -> Route:
    named = {"previous": previous, "baseline": baseline}
    fallback = [named[word] for word in order if named.get(word) and named[word] != champion]
    return Route(
        system=route.system,
        environment=route.environment,
        version=route.version + 1,
        arms=(Arm(role=ArmRole.CHAMPION, release=champion, share=1.0),),
        fallback=tuple(dict.fromkeys(fallback)),
        last_good=previous or champion,
    )


def _usable(name: Digest, champion: Digest, bad: Collection[Digest]) -> Digest:
    return name if name and name != champion and name not in bad else ""


def _next(route: Route, before: Route, **changes: object) -> Route:
    return replace(route, version=before.version + 1, **changes)  # pyright: ignore[reportArgumentType]
