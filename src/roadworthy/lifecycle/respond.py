"""Respond: carry out what the failure plan asks for, each intent exactly once.

A change of route, its action, the release's withdrawal and the incident's story are one transaction under keys made
from the intent's: whoever is killed where, and however many processes try, it happens once or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roadworthy.domain.digest import Digest
from roadworthy.domain.exposure import Role, answering, degraded, role_of, rolled_back, stopped
from roadworthy.domain.failure_plan import ActionKind, Intent
from roadworthy.domain.incident import ActionTaken, Incident, took
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import Micros
from roadworthy.domain.objective import Standing
from roadworthy.domain.principal import AUTOMATION
from roadworthy.domain.release import Release
from roadworthy.domain.response import EXPOSURE, Breach, Situation, is_drill, respond
from roadworthy.domain.route import Route
from roadworthy.domain.system import Policy
from roadworthy.errors import Conflict
from roadworthy.lifecycle import present
from roadworthy.lifecycle.assistants import stand_in
from roadworthy.lifecycle.change_route import release_withdrawn, rollout_aborted, route_changed
from roadworthy.lifecycle.incidents import incident as find
from roadworthy.lifecycle.incidents import note_recovery, note_relapse, open_incident, open_ones
from roadworthy.lifecycle.judge import Judged, in_force
from roadworthy.lifecycle.page import action_changed, action_document, incident_of, incident_updated, intend_owed, owe
from roadworthy.lifecycle.pause import is_paused
from roadworthy.lifecycle.publish import publish
from roadworthy.ports.plane import Plane

OWNER_LEFT = "owner"
"""The objective of the incident that opens when a system's owner is no longer active."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Under what a process acts: the leader's epoch, the wall time for deliveries, where the console is."""

    fence: int | None
    wall: Micros
    url: str = ""


def handle(plane: Plane, policy: Policy, route: Route, judged: Sequence[Judged], command: Command) -> int:
    """Open, relapse and recover incidents, then carry out what the failure plan wants; return the intents taken.

    Raises:
        Conflict: someone changed the route meanwhile, or another process leads; the next look decides afresh.
    """
    breaches = [one for one in judged if one.is_breach and _is_exposed(route, one.release)]
    stories = open_ones(present.incidents(plane, route.system), route.environment)
    if not breaches and not stories:
        return 0
    known = present.releases(plane, route.system)
    told = _tell(plane, policy, route, breaches, stories, known, command)
    _recover(plane, route, judged, stories, command)
    seen = _situation(plane, policy, route, judged, known)
    due = [intent for intent in respond(policy.failure, told, seen) if not _is_held_back(plane, intent)]
    pages = [intent for intent in due if intent.action is ActionKind.PAGE]
    # Pages are owed first: once the route has changed, a process that starts after a kill sees no breach to page for.
    owe(plane, policy, pages, fence=command.fence)
    for intent in due:
        if intent.action is not ActionKind.PAGE:
            carry_out(plane, policy, intent, known, command, decided_on=route.version)
    intend_owed(plane, policy, route.system, route.environment, wall=command.wall, url=command.url)
    return len(due)


def carry_out(
    plane: Plane,
    policy: Policy,
    intent: Intent,
    known: Mapping[Digest, Release],
    command: Command,
    *,
    decided_on: int,
) -> None:
    """Change the route as an intent says, once; what nothing here can do ends as failed, which the incident shows.

    `decided_on` is the version of the route that the intent was decided on; it holds for no other.

    Raises:
        Conflict: the route moved since it was read, or another process leads.
    """
    if intent.action not in EXPOSURE:
        _end(plane, intent, "failed", f"nothing here can {intent.action} yet", [], command)
        return
    route_seq = present.route_seq(plane, intent.system, intent.environment)
    rollout_seq = present.rollout_seq(plane, intent.system, intent.environment)
    route = present.route(plane, intent.system, intent.environment)
    if route is None or route.version != decided_on:
        raise Conflict(f"the route of {intent.system} moved since {intent.action} was decided")
    after = _follows(intent, route, policy, dict(known))
    decisions = [route_changed(after, AUTOMATION, _why(intent), expected=route_seq, key=intent.key)]
    under_way = present.running(plane, intent.system, intent.environment)
    if under_way is not None:
        now = plane.clock.now()
        why = f"{intent.action}: {intent.reason}"
        decisions.append(rollout_aborted(under_way, AUTOMATION, why, now=now, expected=rollout_seq, key=intent.key))
    if intent.action is ActionKind.ROLLBACK and route.champion in known and not is_drill(intent.environment):
        bad = known[route.champion]
        decisions.append(release_withdrawn(bad, intent.objective, AUTOMATION, intent.reason, key=intent.key))
    _end(plane, intent, "done", _detail(plane, policy, intent, route, after, known), decisions, command)
    publish(plane)


def _tell(
    plane: Plane,
    policy: Policy,
    route: Route,
    breaches: Sequence[Judged],
    stories: Sequence[Incident],
    known: dict[Digest, Release],
    command: Command,
) -> list[Breach]:
    """Give each breach its open incident, opening or relapsing one where needed."""
    told: list[Breach] = []
    for one in breaches:
        cause = (route.environment, one.objective.name, one.release)
        incident = next((story for story in stories if story.cause == cause), None)
        if incident is None:
            answers = role_of(route, one.release) is not Role.CHALLENGER and not is_drill(route.environment)
            incident = open_incident(
                plane,
                policy,
                one,
                known,
                route.environment,
                system=route.system,
                answering=answers,
                fence=command.fence,
            )
        elif incident.recovered_at is not None:
            incident = note_relapse(plane, incident, one, fence=command.fence)
        if incident is not None:
            told.append(
                Breach(
                    objective=one.objective.name,
                    release=one.release,
                    incident=incident.handle,
                    reason=incident.title if incident.episode == 1 else f"{incident.title}, again",
                )
            )
    return told


def _recover(
    plane: Plane, route: Route, judged: Sequence[Judged], stories: Sequence[Incident], command: Command
) -> None:
    """Note recoveries: the objective is ok again, or its release no longer answers in any live worker."""
    standing = {(one.objective.name, one.release): one.watch.standing for one in judged}
    for story in stories:
        if story.recovered_at is not None or story.objective == OWNER_LEFT:
            continue
        is_ok = standing.get((story.objective, story.release)) is Standing.OK
        is_gone = not _is_exposed(route, story.release) and is_applied(plane, route)
        if is_ok or is_gone:
            note_recovery(plane, story, fence=command.fence)


def is_applied(plane: Plane, route: Route) -> bool:
    """Claim that every live worker has acknowledged a snapshot that holds this route; with none alive, true."""
    changed_at = present.route_seq(plane, route.system, route.environment)
    return all(word.version >= changed_at for word in plane.snapshots.acknowledgements())


def _situation(
    plane: Plane, policy: Policy, route: Route, judged: Sequence[Judged], known: Mapping[Digest, Release]
) -> Situation:
    actions = plane.ledger.states(Noun.ACTION, route.system)
    rollbacks = [
        int(action["at"])
        for action in actions.values()
        if action["action"] == ActionKind.ROLLBACK
        and action["state"] == "done"
        # A drill's rollback must not hold back a real one, nor a real one the proof.
        and is_drill(str(action["environment"])) == is_drill(route.environment)
    ]
    refused = {release for word in plane.snapshots.acknowledgements() for release, _ in word.refused}
    return Situation(
        system=route.system,
        environment=route.environment,
        route=route,
        now=plane.clock.now(),
        paused=is_paused(plane, route.system),
        taken=frozenset(actions),
        withdrawn={name: release.withdrawn_for for name, release in known.items()},
        in_breach=in_force(judged),
        unloadable=refused,
        last_rollback=max(rollbacks, default=None),
        has_stated_default=_has_another_answer(policy),
    )


def _has_another_answer(policy: Policy) -> bool:
    """Claim that something answers where no release does: the stated default, or for kind llm another pin."""
    is_stated = policy.serve.stated_default is not None and "default" in policy.serve.fallback
    return is_stated or any(pin.name in policy.serve.fallback for pin in policy.pins)


def _follows(intent: Intent, route: Route, policy: Policy, known: dict[Digest, Release]) -> Route:
    match intent.action:
        case ActionKind.ROLLBACK:
            bad = present.withdrawn(known)
            return rolled_back(route, intent.target, policy.serve.fallback, present.baseline(known), bad)
        case ActionKind.FALLBACK:
            return degraded(route, intent.incident, intent.target)
        case _:
            return stopped(route, intent.reason)


def _end(plane: Plane, intent: Intent, state: str, detail: str, decisions: list[Decide], command: Command) -> None:
    incident_id = incident_of(intent.incident, plane)
    expected = plane.ledger.seq_of(Noun.INCIDENT, incident_id)
    now = plane.clock.now()
    taken = ActionTaken(action=intent.action.value, at=now, outcome=state, detail=detail)
    story = took(find(plane, incident_id), taken)
    action = action_document(intent, state, now, detail)
    plane.ledger.commit(
        [
            action_changed(action, state, intent.reason, key=intent.key),
            *decisions,
            incident_updated(story, detail, expected, key=f"{intent.key}#story"),
        ],
        fence=command.fence,
    )


def _detail(
    plane: Plane, policy: Policy, intent: Intent, before: Route, after: Route, known: Mapping[Digest, Release]
) -> str:
    champion = present.name_of(known, before.champion)
    match intent.action:
        case ActionKind.ROLLBACK:
            return f"{present.name_of(known, intent.target)} replaces {champion}"
        case ActionKind.FALLBACK:
            return f"{stand_in(plane.artifacts, policy, after, known)} answers in place of {champion}"
        case _:
            return f"{intent.system} answers 503 on purpose"


def _why(intent: Intent) -> str:
    return f"{intent.action} for {intent.incident}: {intent.reason}"


def _is_exposed(route: Route, release: Digest) -> bool:
    answers = answering(route)
    return bool(answers) if not release else release in answers


def _is_held_back(plane: Plane, intent: Intent) -> bool:
    """Tell whether an intent is a page of an incident that someone silenced."""
    until = find(plane, incident_of(intent.incident, plane)).silenced_until
    return intent.action is ActionKind.PAGE and until is not None and plane.clock.now() < until
