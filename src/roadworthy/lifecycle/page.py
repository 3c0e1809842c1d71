"""Pages: intent → attempt → done. A page is retried until it arrived, always under the same key."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from roadworthy.actions.pagers import is_address, pager_for
from roadworthy.domain.failure_plan import ActionKind, Intent
from roadworthy.domain.incident import ActionTaken, Incident, took
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import DAY, MINUTE, SECOND, Micros, iso
from roadworthy.domain.principal import AUTOMATION
from roadworthy.domain.system import Policy
from roadworthy.errors import RoadworthyError, UnavailableError
from roadworthy.lifecycle import present
from roadworthy.ports.deliveries import Delivery, DeliveryState
from roadworthy.ports.pager import Page
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc, to_doc
from roadworthy.stores.fault_files import PAGER_UNREACHABLE, FileFaults

FIRST_RETRY: Final = 2 * SECOND
LAST_RETRY: Final = 5 * MINUTE
GIVE_UP_AFTER: Final = DAY
_ATTEMPT_LASTS: Final = 15 * SECOND

Send = Callable[[str, Page], None]
"""Delivers a page to an address, or raises a RoadworthyError."""


def sender(plane: Plane) -> Send:
    """Return what sends pages for real: files inside the home, webhooks."""
    faults = FileFaults(plane.home.root)

    def send(address: str, page: Page) -> None:
        if faults.is_in_force(PAGER_UNREACHABLE, page.system, time.time_ns() // 1_000):
            raise UnavailableError("the pager does not answer, because a drill keeps it from answering")
        pager_for(address, plane.home.root).send(page)

    return send


def owe(plane: Plane, policy: Policy, intents: Sequence[Intent], *, fence: int | None) -> None:
    """Write down that people must be told, all in one transaction, before anything else is done about the breaches.

    A page that is owed survives whatever is killed next: `intend_owed` finds it. Where no address can be paged, the
    action ends as failed.
    """
    addresses = addresses_of(policy, owner_is_here=_owner_is_here(plane, policy))
    state, kind = ("attempting", "attempted") if addresses else ("failed", "failed")
    detail = "" if addresses else "the policy names no address that can be paged"
    now = plane.clock.now()
    decisions = [
        action_changed(action_document(intent, state, now, detail), kind, intent.reason, key=intent.key)
        for intent in intents
    ]
    if decisions:
        plane.ledger.commit(decisions, fence=fence)


def intend_owed(plane: Plane, policy: Policy, system: str, environment: str, *, wall: Micros, url: str = "") -> None:
    """Compose the pages that are owed and not on their way yet; `deliver` sends them.

    Composed after the actions, so that a page tells what was done already. Where the owner left, the backup is told.
    """
    for action in plane.ledger.states(Noun.ACTION, system).values():
        is_owed = action["action"] == ActionKind.PAGE and action["state"] == "attempting"
        if is_owed and action["environment"] == environment:
            _intend(plane, policy, from_doc(Intent, action), wall, url)


def _intend(plane: Plane, policy: Policy, intent: Intent, wall: Micros, url: str) -> None:
    owner_is_here = _owner_is_here(plane, policy)
    addresses = addresses_of(policy, owner_is_here=owner_is_here)
    if all(plane.deliveries.get(f"{intent.key}>{address}") for address in addresses):
        return
    incident = from_doc(Incident, plane.ledger.state(Noun.INCIDENT, incident_of(intent.incident, plane)) or {})
    page = Page(
        key=intent.key,
        to=policy.owner.principal if owner_is_here else policy.owner.backup or policy.owner.backup_contact,
        title=incident.title,
        body=_body(incident, intent, policy),
        severity=incident.severity.value,
        system=intent.system,
        incident=incident.id,
        at=plane.clock.now(),
        url=url and f"{url}/incidents/{incident.id}",
    )
    for address in addresses:
        plane.deliveries.intend(
            Delivery(
                key=f"{intent.key}>{address}",
                kind="page",
                system=intent.system,
                document={"address": address, "intent": intent.key, "page": to_doc(page)},
                intended_at=wall,
                due_at=wall,
            )
        )


def _owner_is_here(plane: Plane, policy: Policy) -> bool:
    return present.principal(plane, policy.owner.principal).active


def addresses_of(policy: Policy, *, owner_is_here: bool) -> tuple[str, ...]:
    """Return where pages go: the pager's addresses, else the owner's; the backup's too once the owner left."""
    named = [*policy.failure.pager]
    if not owner_is_here:
        named.append(policy.owner.backup_contact)
    elif not named:
        named.append(policy.owner.contact)
    return tuple(dict.fromkeys(address for address in named if is_address(address)))


def deliver(plane: Plane, send: Send, wall: Micros) -> int:
    """Try everything that is due; return how many arrived. Control calls this beside its loop, since it may wait.

    Retries back off from 2 s to 5 min and end after a day, which the incident then shows as a failed action.
    """
    arrived = 0
    for delivery in plane.deliveries.due(wall):
        attempt = plane.deliveries.attempt(delivery.key, wall + _ATTEMPT_LASTS)
        try:
            send(str(delivery.document["address"]), from_doc(Page, delivery.document["page"]))
        except RoadworthyError as error:
            given_up = wall - delivery.intended_at >= GIVE_UP_AFTER
            retry_at = None if given_up else wall + backoff(attempt)
            if given_up:
                _finish(plane, delivery.document, "failed", error.message)
            plane.deliveries.failed(delivery.key, wall, error.message, retry_at)
            continue
        # The ledger first: killed in between, the page goes out once more, but its action does not stay open.
        _finish(plane, delivery.document, "done", f"attempt {attempt}")
        plane.deliveries.done(delivery.key, wall)
        arrived += 1
    return arrived


def backoff(attempt: int) -> Micros:
    """Return how long to wait after the n-th failed attempt."""
    return min(LAST_RETRY, FIRST_RETRY << min(attempt - 1, 16))


def undelivered(plane: Plane, system: str) -> tuple[Delivery, ...]:
    """Return what could not be delivered yet although it was tried; a pager that cannot be reached shows here."""
    open_states = (DeliveryState.INTENDED, DeliveryState.ATTEMPTED)
    return tuple(one for one in plane.deliveries.of(system) if one.state in open_states and one.attempts > 0)


def action_document(intent: Intent, state: str, now: Micros, detail: str = "") -> dict[str, Any]:
    """Write what became of an intent: `attempting`, `done`, `refused` or `failed`."""
    return {**to_doc(intent), "state": state, "at": now, "detail_text": detail}


def action_changed(document: Mapping[str, Any], kind: str, reason: str, *, key: str) -> Decide:
    """Write an action's new state; `key` makes it happen once."""
    return Decide(
        kind=f"action.{kind}",
        system=str(document["system"]),
        environment=str(document["environment"]),
        noun=Noun.ACTION,
        subject=str(document["key"]),
        after=document,
        actor=AUTOMATION,
        reason=reason,
        key=key,
    )


def incident_of(handle: str, plane: Plane) -> str:
    """Return the incident of an episode's handle (`flights-3.2` is the second episode of `flights-3`)."""
    known = plane.ledger.state(Noun.INCIDENT, handle)
    return handle if known is not None else handle.rpartition(".")[0]


def _finish(plane: Plane, document: Mapping[str, Any], state: str, detail: str) -> None:
    """Close the action once one address has it; the first word counts, and a later arrival mends a failure."""
    key = str(document["intent"])

    def attempt() -> None:
        action = plane.ledger.state(Noun.ACTION, key)
        if action is None or action["state"] == "done":
            return
        now = plane.clock.now()
        address = str(document["address"])
        incident_id = incident_of(str(action["incident"]), plane)
        expected = plane.ledger.seq_of(Noun.INCIDENT, incident_id)
        stored = plane.ledger.state(Noun.INCIDENT, incident_id)
        after = {**action, "state": state, "at": now, "detail_text": f"{address}: {detail}"}
        decisions = [action_changed(after, state, str(after["detail_text"]), key=f"{key}#{state}")]
        if stored is not None:
            taken = ActionTaken(action="page", at=now, outcome=state, detail=address)
            updated = took(from_doc(Incident, stored), taken)
            decisions.append(incident_updated(updated, str(after["detail_text"]), expected, key=f"{key}#{state}#told"))
        plane.ledger.commit(decisions)

    present.settle(attempt)


def incident_updated(incident: Incident, reason: str, expected: int | None, *, key: str = "") -> Decide:
    """Write an incident's new state by automation."""
    return Decide(
        kind="incident.updated",
        system=incident.system,
        environment=incident.environment,
        noun=Noun.INCIDENT,
        subject=incident.id,
        after=to_doc(incident),
        actor=AUTOMATION,
        reason=reason,
        expected=expected,
        key=key,
    )


def _body(incident: Incident, intent: Intent, policy: Policy) -> str:
    lines = [
        f"{incident.title}.",
        f"Since {iso(incident.opened_at)}; owner {incident.owner}; severity {incident.severity.value}.",
        f"Why: {intent.reason}.",
    ]
    lines += [f"Done: {one.action}, {one.outcome}. {one.detail}".rstrip() for one in incident.actions]
    lines += [f"Changed before: {one.what} by {one.actor} at {iso(one.at)}." for one in incident.changed_before[:3]]
    if policy.failure.runbook:
        lines.append(f"Runbook: {policy.failure.runbook}")
    lines.append(f"Next: roadworthy incident show {incident.id}, then roadworthy incident ack {incident.id}")
    return "\n".join(lines)
