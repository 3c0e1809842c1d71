"""Rollouts under way: control moves them on, waits or aborts; a person pauses and resumes them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from roadworthy.domain.digest import Digest
from roadworthy.domain.exposure import without_trial
from roadworthy.domain.ledger import Decide
from roadworthy.domain.principal import AUTOMATION, Actor
from roadworthy.domain.rollout import Move, Progress, Rollout, RolloutState, Step, advance, enter
from roadworthy.domain.route import Route
from roadworthy.domain.system import Policy
from roadworthy.errors import NotFoundError, RefusedError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.change_route import rollout_aborted, rollout_changed, route_changed
from roadworthy.lifecycle.promote import exposed
from roadworthy.ports.plane import Plane


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What became of a rollout at one look."""

    step: Step
    rollout: Rollout
    route: Route | None = None


def roll_out(plane: Plane, rollout: Rollout, progress: Progress, *, fence: int | None) -> Moved:
    """Take the step that the signals ask for: go on, abort, or wait and say for what.

    A reason to wait is written when it begins or changes in kind, not at each look: the counts in it grow on the
    status page, not in the ledger. A paused rollout is aborted on harm, and moves on no further.

    Raises:
        Conflict: someone changed the rollout or route meanwhile, or another process leads; look again.
    """
    route_seq = present.route_seq(plane, rollout.system, rollout.environment)
    rollout_seq = present.rollout_seq(plane, rollout.system, rollout.environment)
    fresh = present.running(plane, rollout.system, rollout.environment)
    route = present.route(plane, rollout.system, rollout.environment)
    now = plane.clock.now()
    step = advance(rollout, progress, now)
    if fresh is None or route is None or fresh.id != rollout.id:
        return Moved(step=Step(move=Move.WAIT, reason="it ended meanwhile"), rollout=rollout)
    key = f"{fresh.id}/{fresh.stage_index}/{step.move}"
    if step.move is Move.ABORT:
        after = without_trial(route)
        why = step.reason
        decisions = [
            rollout_aborted(fresh, AUTOMATION, why, now=now, expected=rollout_seq, key=key),
            route_changed(after, AUTOMATION, why, expected=route_seq, key=key),
        ]
    elif fresh.state is RolloutState.PAUSED:
        return Moved(step=Step(move=Move.WAIT, reason="paused by a person"), rollout=fresh)
    elif step.move is Move.WAIT:
        return _wait(plane, fresh, step, rollout_seq, fence)
    else:
        after, decisions = _go_on(plane, fresh, route, step, (rollout_seq, route_seq), key)
    plane.ledger.commit(decisions, fence=fence)
    ended = present.rollout(plane, rollout.system, rollout.environment) or fresh
    return Moved(step=step, rollout=ended, route=after)


def pause_rollout(plane: Plane, system: str, *, actor: Actor, reason: str = "", environment: str = "live") -> Rollout:
    """Hold a rollout at its stage; harm still aborts it.

    Raises:
        NotFoundError: nothing is under way.
        RefusedError: it is paused already.
    """
    return _switch(plane, system, environment, RolloutState.RUNNING, RolloutState.PAUSED, "paused", actor, reason)


def resume_rollout(plane: Plane, system: str, *, actor: Actor, reason: str = "", environment: str = "live") -> Rollout:
    """Let a paused rollout go on.

    Raises:
        NotFoundError: nothing is under way.
        RefusedError: it is not paused.
    """
    return _switch(plane, system, environment, RolloutState.PAUSED, RolloutState.RUNNING, "resumed", actor, reason)


def waiting_kind(reason: str) -> str:
    """Return a reason to wait without its figures, so that a growing count is not a new reason."""
    return "".join(character for character in reason if not character.isdigit() and character not in ",.-")


def _switch(
    plane: Plane,
    system: str,
    environment: str,
    before: RolloutState,
    after: RolloutState,
    kind: str,
    actor: Actor,
    reason: str,
) -> Rollout:
    present.must_be_a_person(plane, actor, f"have a rollout {kind}")
    present.policy(plane, system)

    def attempt() -> Rollout:
        expected = present.rollout_seq(plane, system, environment)
        rollout = present.running(plane, system, environment)
        if rollout is None:
            raise NotFoundError(f"no rollout of {system} is under way in {environment}")
        if rollout.state is not before:
            raise RefusedError(f"the rollout of {system} is {rollout.state}, not {before}")
        changed = replace(rollout, state=after)
        plane.ledger.commit([rollout_changed(changed, kind, actor, reason, expected=expected)])
        return changed

    return present.settle(attempt)


def _wait(plane: Plane, rollout: Rollout, step: Step, expected: int, fence: int | None) -> Moved:
    waiting = replace(rollout, waiting_for=step.reason)
    if waiting_kind(step.reason) != waiting_kind(rollout.waiting_for):
        plane.ledger.commit(
            [rollout_changed(waiting, "waiting", AUTOMATION, step.reason, expected=expected)], fence=fence
        )
    return Moved(step=step, rollout=waiting)


def _go_on(
    plane: Plane, rollout: Rollout, route: Route, step: Step, expected: tuple[int, int], key: str
) -> tuple[Route, list[Decide]]:
    """Enter the next stage; a person started this rollout, so automation may raise its exposure here and only here."""
    known = present.releases(plane, rollout.system)
    policy: Policy = present.policy(plane, rollout.system)
    entered = enter(rollout, rollout.stage_index + 1, plane.clock.now())
    bad: frozenset[Digest] = present.withdrawn(known)
    after = exposed(route, entered, policy, present.baseline(known), bad)
    kind = "done" if entered.has_ended else "advanced"
    return after, [
        rollout_changed(entered, kind, AUTOMATION, step.reason, expected=expected[0], key=key),
        route_changed(after, AUTOMATION, step.reason, expected=expected[1], key=key),
    ]
