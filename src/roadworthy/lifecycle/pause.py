"""Pause and resume automation; stop and restore answers. People do these; automation only stops."""

from __future__ import annotations

from typing import Any

from roadworthy.domain.exposure import restored, stopped
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import Actor
from roadworthy.domain.route import Route
from roadworthy.errors import NotFoundError, RefusedError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.change_route import rollout_aborted, route_changed
from roadworthy.lifecycle.publish import publish
from roadworthy.ports.plane import Plane


def pause(plane: Plane, system: str, *, actor: Actor, reason: str) -> None:
    """Stop automation for a system: no rollout moves, no action is taken, pages still go out.

    Raises:
        NotFoundError: no such system.
        RefusedError: it is paused already, or there is no reason.
        NotPermitted: the actor is no active person.
    """
    if not reason.strip():
        raise RefusedError("pausing automation needs a reason", hint='--reason "…"')
    _switch(plane, system, actor, reason, paused=True)


def resume(plane: Plane, system: str, *, actor: Actor, reason: str = "") -> None:
    """Let automation act again.

    Raises:
        NotFoundError: no such system.
        RefusedError: it is not paused.
        NotPermitted: the actor is no active person.
    """
    _switch(plane, system, actor, reason, paused=False)


def is_paused(plane: Plane, system: str) -> bool:
    """Tell whether a person stopped automation for this system."""
    return bool(present.standing(plane, system).get("paused"))


def stop(plane: Plane, system: str, *, actor: Actor, reason: str, environment: str = "live") -> Route:
    """Answer 503 on purpose, with the reason, until a person restores it. A rollout under way ends.

    Raises:
        NotFoundError: no such system, or nothing was promoted yet.
        RefusedError: it is stopped already, or there is no reason.
    """
    present.must_be_a_person(plane, actor, "stop a system by hand")
    if not reason.strip():
        raise RefusedError("stopping a system needs a reason", hint='--reason "…"')

    def attempt() -> Route:
        expected, rollout_seq, route = _read(plane, system, environment)
        if route.stopped:
            raise RefusedError(f"{system} is stopped already: {route.stopped_for}")
        decisions: list[Decide] = []
        under_way = present.running(plane, system, environment)
        if under_way:
            decisions.append(rollout_aborted(under_way, actor, reason, now=plane.clock.now(), expected=rollout_seq))
        after = stopped(route, reason)
        plane.ledger.commit([*decisions, route_changed(after, actor, reason, expected=expected)])
        publish(plane)
        return after

    return present.settle(attempt)


def restore(plane: Plane, system: str, *, actor: Actor, reason: str = "", environment: str = "live") -> Route:
    """Put the champion back in front after a stop or a fallback: only a person raises exposure again.

    Raises:
        NotFoundError: no such system, or nothing was promoted yet.
        RefusedError: it is neither stopped nor degraded.
    """
    present.must_be_a_person(plane, actor, "put a champion back in front")

    def attempt() -> Route:
        expected, _, route = _read(plane, system, environment)
        if not route.stopped and not route.degraded_by:
            raise RefusedError(f"{system} is neither stopped nor on its fallback")
        after = restored(route, plane.clock.now())
        plane.ledger.commit([route_changed(after, actor, reason or "restored by hand", expected=expected)])
        publish(plane)
        return after

    return present.settle(attempt)


def system_changed(
    system: str, kind: str, after: dict[str, Any], actor: Actor, reason: str, *, expected: int | None, key: str = ""
) -> Decide:
    """Write the system's own document."""
    return Decide(
        kind=f"system.{kind}",
        system=system,
        noun=Noun.SYSTEM,
        subject=system,
        after=after,
        actor=actor,
        reason=reason,
        expected=expected,
        key=key,
    )


def _read(plane: Plane, system: str, environment: str) -> tuple[int, int, Route]:
    present.policy(plane, system)
    expected = present.route_seq(plane, system, environment)
    rollout_seq = present.rollout_seq(plane, system, environment)
    route = present.route(plane, system, environment)
    if route is None:
        raise NotFoundError(f"{system} has no route in {environment}: nothing was promoted yet")
    return expected, rollout_seq, route


def _switch(plane: Plane, system: str, actor: Actor, reason: str, *, paused: bool) -> None:
    word = "paused" if paused else "resumed"
    present.must_be_a_person(plane, actor, f"have automation {word}")
    present.policy(plane, system)

    def attempt() -> None:
        expected = plane.ledger.seq_of(Noun.SYSTEM, system)
        document = present.standing(plane, system)
        if bool(document.get("paused")) is paused:
            raise RefusedError(f"automation of {system} is {'paused already' if paused else 'not paused'}")
        document |= {"paused": paused, "paused_by": actor.principal if paused else "", "paused_for": reason}
        plane.ledger.commit([system_changed(system, word, document, actor, reason, expected=expected)])

    present.settle(attempt)
