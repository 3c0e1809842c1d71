"""Incidents: opened by breaches, told as one story, closed by people with a new test; never deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from roadworthy.domain import incident as rules
from roadworthy.domain.digest import Digest
from roadworthy.domain.incident import Change, Incident, IncidentState
from roadworthy.domain.ledger import Decide, Event, Noun
from roadworthy.domain.moment import Micros, iso
from roadworthy.domain.principal import AUTOMATION, Actor
from roadworthy.domain.release import Release
from roadworthy.domain.response import is_drill
from roadworthy.domain.route import Route
from roadworthy.domain.system import Policy
from roadworthy.errors import Conflict, InputError, NotFoundError, RefusedError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.judge import Judged
from roadworthy.lifecycle.page import incident_updated
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc, to_doc

_TOLD: Final = frozenset(
    {
        "policy.applied",
        "release.admitted",
        "release.withdrawn",
        "route.changed",
        "rollout.started",
        "rollout.advanced",
        "rollout.done",
        "rollout.aborted",
        "waiver.given",
        "artifact.trusted",
        "principal.changed",
        "pin.accepted",
        "system.paused",
        "system.resumed",
    }
)
MODEL_CHANGE: Final = "model_change"
"""The monitor whose number alone tells nobody what happened."""
_MOST_CHANGES: Final = 10
_LOOK_BACK: Final = 2_000


def incidents(plane: Plane, system: str = "", *, everything: bool = False) -> tuple[Incident, ...]:
    """Return incidents, newest first; only those not closed unless `everything`."""
    found = [one for one in present.incidents(plane, system) if everything or not one.is_closed]
    return tuple(sorted(found, key=lambda one: one.opened_at, reverse=True))


def incident(plane: Plane, name: str) -> Incident:
    """Return one incident.

    Raises:
        NotFoundError: no such incident; names the nearest.
    """
    document = plane.ledger.state(Noun.INCIDENT, name)
    if document is None:
        known = plane.ledger.states(Noun.INCIDENT)
        raise NotFoundError.among("incident", name, known, hint="roadworthy incident list")
    return from_doc(Incident, document)


def acknowledge(plane: Plane, name: str, *, actor: Actor, reason: str = "") -> Incident:
    """Say that a person has it in hand.

    Raises:
        NotFoundError, NotPermitted: no such incident, or the actor is no active person.
        RefusedError: it is closed.
    """
    return _change(
        plane, name, "acknowledged", lambda one: rules.acknowledge(one, actor.principal), actor=actor, reason=reason
    )


def close(
    plane: Plane, name: str, *, actor: Actor, new_test: str = "", no_test: str = "", reason: str = ""
) -> Incident:
    """Close it, naming the test that would have caught it (`new_test`) or why there can be none (`no_test`).

    Raises:
        NotFoundError, NotPermitted: no such incident, or the actor is no active person.
        InputError: neither or both were given.
        RefusedError: it is closed already.
    """
    if bool(new_test.strip()) == bool(no_test.strip()):
        raise InputError(
            "closing an incident needs the new test that would have caught it, or a reason why there is none",
            hint='--new-test "…" or --no-test "…"',
        )
    text = new_test.strip() or f"none: {no_test.strip()}"
    now = plane.clock.now()
    return _change(
        plane, name, "closed", lambda one: rules.close(one, actor.principal, text, now), actor=actor, reason=reason
    )


def silence(plane: Plane, name: str, *, until: Micros, actor: Actor, reason: str = "") -> Incident:
    """Send no pages for it until a time; actions go on.

    Raises:
        NotFoundError, NotPermitted: no such incident, or the actor is no active person.
        RefusedError: it is closed, or the time has passed.
    """
    if until <= plane.clock.now():
        raise RefusedError(f"{iso(until)} has passed", hint="--until a later time, or --for 2h")
    return _change(
        plane, name, "updated", lambda one: rules.silence(one, until), actor=actor, reason=reason or "silenced"
    )


def open_incident(
    plane: Plane,
    policy: Policy,
    judged: Judged,
    known: dict[Digest, Release],
    environment: str,
    *,
    system: str,
    answering: bool,
    fence: int | None,
) -> Incident | None:
    """Open the incident of a breach. Two processes that see the same breach open one.

    Returns None when another incident took the number meanwhile; the next look opens it.
    """
    name = present.name_of(known, judged.release) if judged.release else system
    objective = judged.objective
    prefix = "drill: " if is_drill(environment) else ""
    return open_story(
        plane,
        Incident(
            id="",
            system=system,
            environment=environment,
            objective=objective.name,
            release=judged.release,
            assumption=objective.assumption,
            signal=spell_signal(judged),
            severity=rules.severity_of(policy.decision, objective.light, answering=answering),
            state=IncidentState.OPEN,
            opened_at=plane.clock.now(),
            title=f"{prefix}{objective.name} of {name}: {objective.when} ({spell_signal(judged)})",
            owner=policy.owner.principal,
            runbook=policy.failure.runbook,
        ),
        fence=fence,
    )


def open_story(plane: Plane, blank: Incident, *, fence: int | None) -> Incident | None:
    """Give an incident its number and what changed before it, and open it."""
    stories = present.incidents(plane, blank.system)
    same = next((one for one in stories if one.cause == blank.cause and not one.is_closed), None)
    if same is not None:
        return same
    number = f"{blank.system}-{len(stories) + 1}"
    story = replace(blank, id=number, changed_before=changed_before(plane, blank.system, blank.opened_at))
    decision = Decide(
        kind="incident.opened",
        system=story.system,
        environment=story.environment,
        noun=Noun.INCIDENT,
        subject=story.id,
        after=to_doc(story),
        actor=AUTOMATION,
        reason=story.title,
        expected=0,
        key=f"incident/{number}/{story.environment}/{story.objective}/{story.release}",
    )
    try:
        plane.ledger.commit([decision], fence=fence)
    except Conflict:
        return None
    return story


def note_recovery(plane: Plane, story: Incident, *, fence: int | None) -> None:
    """Note that the breach is over; a person still closes the incident."""
    now = plane.clock.now()
    key = f"{story.id}#recovered#{story.episode}"
    _update(plane, story, lambda one: rules.recover(one, now), "recovered", key, fence)


def note_relapse(plane: Plane, story: Incident, judged: Judged, *, fence: int | None) -> Incident:
    """Begin another episode: the breach came back before a person closed the incident."""
    key = f"{story.id}#relapsed#{story.episode + 1}"
    return _update(
        plane, story, lambda one: rules.relapse(one, spell_signal(judged)), "the breach came back", key, fence
    )


def begin_again(plane: Plane, system: str, environment: str, release: Digest) -> list[Decide]:
    """Decide that what a release broke before is over, because a person puts it in front again.

    Its next breach is then another episode, for which the failure plan acts once more; without this a person who is
    quicker than the loop would leave the incident as it was, with all its actions taken already.
    """
    now = plane.clock.now()
    return [
        incident_updated(
            rules.recover(story, now),
            "the release is put in front again",
            plane.ledger.seq_of(Noun.INCIDENT, story.id),
        )
        for story in open_ones(present.incidents(plane, system), environment)
        if story.release == release and story.recovered_at is None
    ]


def changed_before(plane: Plane, system: str, moment: Micros) -> tuple[Change, ...]:
    """Return the last changes of a system (or of the home) before a moment, newest first."""
    start = max(0, plane.ledger.head().seq - _LOOK_BACK)
    events = [
        event
        for event in plane.ledger.events(after=start)
        if event.kind in _TOLD and event.system in ("", system) and event.at <= moment
    ]
    known = present.releases(plane, system)
    return tuple(_change_of(event, known) for event in reversed(events[-_MOST_CHANGES:]))


def spell_signal(judged: Judged) -> str:
    """Write a signal as people read it: `auc 0.612 [0.580, 0.644], n=412`; a changed model says how it is known."""
    signal = judged.signal
    if signal is None or signal.value is None:
        return f"no data for {judged.objective.when.signal}"
    interval = "" if signal.low is None or signal.high is None else f" [{signal.low:.4g}, {signal.high:.4g}]"
    why = f": {signal.reason}" if signal.alarm and judged.objective.when.monitor == MODEL_CHANGE else ""
    return f"{signal.name} {signal.value:.4g}{interval}, n={signal.n:,}{why}"


def open_ones(stories: Sequence[Incident], environment: str) -> tuple[Incident, ...]:
    """Return the incidents of an environment that are not closed."""
    return tuple(one for one in stories if not one.is_closed and one.environment == environment)


def _change_of(event: Event, known: dict[Digest, Release]) -> Change:
    what = event.kind
    if event.noun == Noun.ROUTE and event.after is not None:
        what = f"route.changed to {present.name_of(known, from_doc(Route, event.after).champion)}"
    elif event.noun == Noun.RELEASE:
        what = f"{event.kind}: {present.name_of(known, event.subject)}"
    return Change(at=event.at, kind=event.kind, what=f"{what}: {event.reason}".rstrip(": "), actor=event.actor)


def _update(
    plane: Plane, story: Incident, change: Callable[[Incident], Incident], reason: str, key: str, fence: int | None
) -> Incident:
    expected = plane.ledger.seq_of(Noun.INCIDENT, story.id)
    before = incident(plane, story.id)
    after = change(before)
    if after != before:
        plane.ledger.commit([incident_updated(after, reason, expected, key=key)], fence=fence)
    return after


def _change(
    plane: Plane, name: str, kind: str, change: Callable[[Incident], Incident], *, actor: Actor, reason: str
) -> Incident:
    present.must_be_a_person(plane, actor, f"have an incident {kind}")

    def attempt() -> Incident:
        expected = plane.ledger.seq_of(Noun.INCIDENT, name)
        before = incident(plane, name)
        try:
            after = change(before)
        except ValueError as error:
            raise RefusedError(str(error)) from error
        decision = Decide(
            kind=f"incident.{kind}",
            system=after.system,
            environment=after.environment,
            noun=Noun.INCIDENT,
            subject=after.id,
            after=to_doc(after),
            actor=actor,
            reason=reason,
            expected=expected,
        )
        plane.ledger.commit([decision])
        return after

    return present.settle(attempt)
