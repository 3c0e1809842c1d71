"""The reconcile loop's one look: bring what is in force in line with decisions, signals and the failure plan.

Only the leader looks; its epoch is checked in every transaction. A look that was killed anywhere is finished by the
next one, in this process or another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from roadworthy.domain.failure_plan import ActionKind, Intent
from roadworthy.domain.incident import Incident, IncidentState, Severity, severity_of
from roadworthy.domain.ledger import Noun
from roadworthy.domain.objective import Light
from roadworthy.domain.principal import AUTOMATION
from roadworthy.domain.response import EXPOSURE, actions_for, intent_key
from roadworthy.domain.rollout import Move, Progress, Rollout, Stage, advance
from roadworthy.domain.route import Route
from roadworthy.domain.system import Policy
from roadworthy.errors import Conflict, RoadworthyError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.incidents import note_recovery, open_story
from roadworthy.lifecycle.judge import Judged, judge
from roadworthy.lifecycle.page import intend_owed, owe
from roadworthy.lifecycle.pause import is_paused, system_changed
from roadworthy.lifecycle.publish import is_published, publish
from roadworthy.lifecycle.respond import OWNER_LEFT, Command, handle
from roadworthy.lifecycle.roll_out import roll_out
from roadworthy.ports.plane import Plane

ProgressOf = Callable[[Rollout], Progress]
"""Says what observation knows of a rollout's present stage."""
ROLLOUT = "rollout"
"""The objective of the incident that opens when automation aborts a rollout for harm or a broken split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look did: intents taken, rollouts that moved, and what could not be done, by system."""

    taken: int = 0
    moved: int = 0
    conflicts: tuple[str, ...] = ()
    problems: dict[str, str] = field(default_factory=dict[str, str])


def reconcile(plane: Plane, progress: ProgressOf, command: Command) -> Look:
    """Publish what a killed process left unpublished, then look at each system in turn.

    Trouble with one system never keeps the others waiting: it is named in the result.
    """
    taken, moved = 0, 0
    conflicts: list[str] = []
    problems: dict[str, str] = {}
    try:
        if not is_published(plane):
            publish(plane)
    except RoadworthyError as error:
        problems["snapshot"] = error.message
    for system in present.systems(plane):
        try:
            did, went = _look(plane, system, progress, command)
        except Conflict as conflict:
            # Somebody else decided at the same instant; the next look sees what they did.
            conflicts.append(f"{system}: {conflict.message}")
        except RoadworthyError as error:
            problems[system] = error.message
        else:
            taken, moved = taken + did, moved + went
    return Look(taken=taken, moved=moved, conflicts=tuple(conflicts), problems=problems)


def _look(plane: Plane, system: str, progress: ProgressOf, command: Command) -> tuple[int, int]:
    policy, now = present.policy(plane, system), plane.clock.now()
    mind_the_owner(plane, system, policy, command)
    taken, moved = 0, 0
    for route in present.routes(plane, system):
        judged = judge(plane, policy, route, now)
        taken += handle(plane, policy, route, judged, command)
        moved += _move(plane, policy, route, judged, progress, command)
    return taken, moved


def _move(
    plane: Plane, policy: Policy, route: Route, judged: tuple[Judged, ...], progress: ProgressOf, command: Command
) -> int:
    """Advance the rollout under way, unless a person paused automation."""
    rollout = present.running(plane, route.system, route.environment)
    if rollout is None or is_paused(plane, route.system):
        return 0
    known = replace(progress(rollout), breaches=harmful(policy, rollout, judged))
    step = advance(rollout, known, plane.clock.now())
    # A breach that callers saw has its own incident already.
    is_untold = not known.breaches or rollout.stage.stage is Stage.SHADOW
    if step.move is Move.ABORT and is_untold and not _tell_of_abort(plane, policy, rollout, step.reason, command):
        return 0
    moved = roll_out(plane, rollout, known, fence=command.fence)
    if moved.route is None:
        return 0
    publish(plane)
    return 1


def harmful(policy: Policy, rollout: Rollout, judged: tuple[Judged, ...]) -> tuple[str, ...]:
    """Name the objectives that the release under trial breaks and whose rule lowers exposure.

    A page-only objective, as input drift is by default, aborts no rollout.
    """
    return tuple(
        one.objective.name
        for one in judged
        if one.is_breach
        and one.release == rollout.release
        and EXPOSURE.intersection(actions_for(policy.failure, one.objective.name))
    )


def mind_the_owner(plane: Plane, system: str, policy: Policy, command: Command) -> None:
    """Page the backup when the owner is no longer active, and note when the system has an owner again."""
    expected = plane.ledger.seq_of(Noun.SYSTEM, system)
    document = present.standing(plane, system)
    is_orphaned = not present.principal(plane, policy.owner.principal).active
    was_orphaned = bool(document.get("orphaned"))
    if is_orphaned and not was_orphaned:
        reason = f"{policy.owner.principal} is no longer active"
        after = document | {"orphaned": True}
        plane.ledger.commit(
            [system_changed(system, "orphaned", after, AUTOMATION, reason, expected=expected)], fence=command.fence
        )
    if is_orphaned:
        _page_the_backup(plane, system, policy, command)
    elif was_orphaned:
        reason = f"{policy.owner.principal} owns it"
        after = document | {"orphaned": False}
        plane.ledger.commit(
            [system_changed(system, "adopted", after, AUTOMATION, reason, expected=expected)], fence=command.fence
        )
        for story in present.incidents(plane, system):
            if story.objective == OWNER_LEFT and not story.is_closed:
                note_recovery(plane, story, fence=command.fence)


def _page_the_backup(plane: Plane, system: str, policy: Policy, command: Command) -> None:
    left = policy.owner.principal
    blank = Incident(
        id="",
        system=system,
        objective=OWNER_LEFT,
        severity=Severity.SEV2,
        state=IncidentState.OPEN,
        opened_at=plane.clock.now(),
        title=f"{system} has no owner: {left} is no longer active",
        owner=policy.owner.backup or policy.owner.backup_contact,
        runbook=policy.failure.runbook,
    )
    next_step = f"name another owner in system.yaml, then roadworthy apply; until then {blank.owner} answers for it"
    _tell_once(plane, policy, blank, next_step, command)


def _tell_of_abort(plane: Plane, policy: Policy, rollout: Rollout, reason: str, command: Command) -> bool:
    """Open the incident of a rollout that is about to be aborted, and owe its page; false: try again at the next look.

    Before the abort, for the same reason as pages before a rollback: a process that starts after a kill in between
    sees no rollout to tell of.
    """
    name = present.name_of(present.releases(plane, rollout.system), rollout.release)
    stage = rollout.stage.stage
    blank = Incident(
        id="",
        system=rollout.system,
        environment=rollout.environment,
        objective=ROLLOUT,
        release=rollout.release,
        severity=severity_of(policy.decision, Light.DECISION, answering=stage is not Stage.SHADOW),
        state=IncidentState.OPEN,
        opened_at=plane.clock.now(),
        title=f"rollout of {name} aborted in {stage}: {reason}",
        signal=reason,
        owner=policy.owner.principal,
        runbook=policy.failure.runbook,
    )
    return _tell_once(plane, policy, blank, f"{reason}; the champion has all traffic again", command, of=rollout.id)


def _tell_once(plane: Plane, policy: Policy, blank: Incident, reason: str, command: Command, *, of: str = "") -> bool:
    """Open this incident unless its cause has one, and page for it once; `of` tells one occurrence from the next."""
    incident = open_story(plane, blank, fence=command.fence)
    if incident is None:
        return False
    place = (incident.system, incident.environment, incident.objective, incident.release)
    key = intent_key(*place, ActionKind.PAGE, f"{incident.handle}/{of}" if of else incident.handle)
    intent = Intent(
        key=key,
        system=incident.system,
        environment=incident.environment,
        release=incident.release,
        action=ActionKind.PAGE,
        objective=incident.objective,
        reason=reason,
        incident=incident.handle,
    )
    if plane.ledger.state(Noun.ACTION, key) is None:
        owe(plane, policy, [intent], fence=command.fence)
    intend_owed(plane, policy, incident.system, incident.environment, wall=command.wall, url=command.url)
    return True
