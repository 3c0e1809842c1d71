"""Decisions that several verbs share: a route changed, a rollout changed, a release withdrawn."""

from __future__ import annotations

from dataclasses import replace

from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import Actor
from roadworthy.domain.release import Release
from roadworthy.domain.rollout import Rollout, RolloutState, end
from roadworthy.domain.route import Route
from roadworthy.lifecycle.present import place
from roadworthy.stores.codec import to_doc


def route_changed(route: Route, actor: Actor, reason: str, *, expected: int, key: str = "") -> Decide:
    """Put a route in force, if nobody changed it since its sequence was read."""
    return Decide(
        kind="route.changed",
        system=route.system,
        environment=route.environment,
        noun=Noun.ROUTE,
        subject=place(route.system, route.environment),
        after=to_doc(route),
        actor=actor,
        reason=reason,
        expected=expected,
        key=key and f"{key}#route",
    )


def rollout_changed(
    rollout: Rollout, kind: str, actor: Actor, reason: str, *, expected: int | None, key: str = ""
) -> Decide:
    """Write a rollout's new state; `kind` is the past participle (`started`, `advanced`, `waiting`, …)."""
    return Decide(
        kind=f"rollout.{kind}",
        system=rollout.system,
        environment=rollout.environment,
        noun=Noun.ROLLOUT,
        subject=place(rollout.system, rollout.environment),
        after=to_doc(rollout),
        actor=actor,
        reason=reason,
        expected=expected,
        key=key and f"{key}#rollout",
    )


def rollout_aborted(rollout: Rollout, actor: Actor, reason: str, *, now: int, expected: int, key: str = "") -> Decide:
    """End a rollout because something else took its place or it did harm."""
    ended = end(rollout, RolloutState.ABORTED, reason, now)
    return rollout_changed(ended, "aborted", actor, reason, expected=expected, key=key)


def release_withdrawn(release: Release, objective: str, actor: Actor, reason: str, *, key: str = "") -> Decide:
    """Remember the objective that a release was taken back for: automation never returns to it for the same."""
    causes = tuple(dict.fromkeys((*release.withdrawn_for, objective)))
    return Decide(
        kind="release.withdrawn",
        system=release.system,
        noun=Noun.RELEASE,
        subject=release.id,
        after=to_doc(replace(release, withdrawn_for=causes)),
        actor=actor,
        reason=reason,
        key=key and f"{key}#withdrawn",
    )
