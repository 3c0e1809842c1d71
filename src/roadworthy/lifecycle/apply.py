"""Put a manifest in force: its policy, its content, its people and its waivers, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from roadworthy.domain.digest import Digest, digest, short
from roadworthy.domain.ledger import Decide, Event, Noun
from roadworthy.domain.moment import Micros, iso
from roadworthy.domain.principal import Actor, Assurance, Principal
from roadworthy.domain.system import Owner, Policy, StatedWaiver, System, Tier
from roadworthy.domain.verdict import Waiver
from roadworthy.errors import NotPermitted, RefusedError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.publish import publish
from roadworthy.ports.people import Person
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import to_doc

_FLAGS: Final = {"paused": False, "paused_by": "", "paused_for": "", "orphaned": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What `apply` did. No events: all of it was in force already."""

    system: str
    policy: Digest
    content: Digest
    events: tuple[Event, ...] = ()

    @property
    def changed(self) -> bool:
        """Claim that something new is in force."""
        return bool(self.events)


def apply(plane: Plane, system: System, *, actor: Actor, reason: str = "") -> Applied:
    """Put a resolved manifest in force and hand it to the workers. Applying the same again changes nothing.

    `owner` and `failure` act at once; a rollout under way ends under the revision it began with.

    Raises:
        RefusedError: the owner or backup is unknown or has left, or what a waiver excused is no longer excused.
        NotPermitted: the actor has left; or a waiver at tier standard or high comes from nobody proven.
    """
    if not present.principal(plane, actor.principal).active:
        raise NotPermitted(f"{actor.principal} is not active and may not apply a manifest")
    for problem in standing_in_the_way(plane, system):
        raise RefusedError(f"{system.name} is not applied: {problem}", hint="mend system.yaml, then: roadworthy plan")
    _keep_contacts(plane, system.policy.owner)

    def attempt() -> Applied:
        events = plane.ledger.commit(_decisions(plane, system, actor, reason))
        return Applied(
            system=system.name, policy=system.policy.digest, content=system.content.digest, events=tuple(events)
        )

    applied = present.settle(attempt)
    publish(plane)
    return applied


def standing_in_the_way(plane: Plane, system: System) -> tuple[str, ...]:
    """Say what `apply` would refuse now; empty when it may go ahead. Reads only."""
    owner, now = system.policy.owner, plane.clock.now()
    found: list[str] = []
    if not owner.principal or not owner.contact:
        found.append("it has no owner who can be reached")
    for role, name in (("owner", owner.principal), ("backup", owner.backup)):
        if name and not present.principal(plane, name).active:
            found.append(f"its {role} {name} has left")
    if not system.policy.failure.rules:
        found.append("it has no failure plan")
    if not system.content.baseline and not _excused(system.policy, "baseline", now):
        found.append("it has no baseline, and no waiver of the gate 'baseline' is in force today")
    return tuple(found)


def waiver_of(system: str, stated: StatedWaiver, at: Micros) -> Waiver:
    """Turn a waiver as the manifest states it into one of the ledger; the same statement has the same id."""
    name = f"{system}/{stated.gate}/{short(digest(stated))}"
    return Waiver(id=name, system=system, gate=stated.gate, by=stated.by, why=stated.why, until=stated.until, at=at)


def _excused(policy: Policy, gate: str, now: Micros) -> bool:
    return any(waiver.gate == gate and now < waiver.until for waiver in policy.waivers)


def _keep_contacts(plane: Plane, owner: Owner) -> None:
    """Keep how owner and backup are reached where it can be erased; the ledger has their ids only."""
    for name, contact in ((owner.principal, owner.contact), (owner.backup, owner.backup_contact)):
        known = plane.people.get(name) if name else None
        if name and contact and (known is None or known.contact != contact):
            plane.people.put(Person(principal=name, name=known.name if known else "", contact=contact))


def _decisions(plane: Plane, system: System, actor: Actor, reason: str) -> list[Decide]:
    found = [
        *_principals(plane, system.policy.owner, system.name, actor),
        *_policy(plane, system, actor, reason),
        *_system(plane, system, actor, reason),
    ]
    waivers = _waivers(plane, system, actor)
    careful = system.policy.decision.tier is not Tier.LOW
    if waivers and careful and actor.assurance is not Assurance.AUTHENTICATED:
        raise NotPermitted(
            f"at tier {system.policy.decision.tier} a waiver is put in force by someone who proved who they are",
            hint="roadworthy keys create, then apply with that key (ROADWORTHY_KEY)",
        )
    return found + waivers


def _principals(plane: Plane, owner: Owner, system: str, actor: Actor) -> list[Decide]:
    found: list[Decide] = []
    for role, name in (("owner", owner.principal), ("backup", owner.backup)):
        expected = plane.ledger.seq_of(Noun.PRINCIPAL, name) if name else 1
        if not expected:
            after = to_doc(Principal(id=name))
            found.append(_decide("principal.changed", "", Noun.PRINCIPAL, name, after, actor, f"{role} of {system}", 0))
    return found


def _policy(plane: Plane, system: System, actor: Actor, reason: str) -> list[Decide]:
    expected = plane.ledger.seq_of(Noun.POLICY, system.name)
    after = to_doc(system.policy.for_ledger)
    if plane.ledger.state(Noun.POLICY, system.name) == after:
        return []
    return [_decide("policy.applied", system.name, Noun.POLICY, system.name, after, actor, reason, expected)]


def _system(plane: Plane, system: System, actor: Actor, reason: str) -> list[Decide]:
    """Write the system's own document. What others keep in it stays; an owner who is there ends its orphanhood."""
    expected = plane.ledger.seq_of(Noun.SYSTEM, system.name)
    before = plane.ledger.state(Noun.SYSTEM, system.name)
    after: dict[str, Any] = {
        **_FLAGS,
        **(before or {}),
        "name": system.name,
        "kind": str(system.kind),
        "schema_version": system.schema_version,
        "content": to_doc(system.content),
        "orphaned": False,
    }
    if before == after:
        return []
    return [_decide("system.applied", system.name, Noun.SYSTEM, system.name, after, actor, reason, expected)]


def _waivers(plane: Plane, system: System, actor: Actor) -> list[Decide]:
    """Give the waivers that the manifest states and the ledger does not know; a revoked one does not come back."""
    now = plane.clock.now()
    wanted = [waiver_of(system.name, stated, now) for stated in system.policy.waivers if now < stated.until]
    return [
        _decide(
            "waiver.given",
            system.name,
            Noun.WAIVER,
            waiver.id,
            to_doc(waiver),
            actor,
            f"{waiver.gate} until {iso(waiver.until)}, by {waiver.by}: {waiver.why}",
            0,
        )
        for waiver in wanted
        if not plane.ledger.seq_of(Noun.WAIVER, waiver.id)
    ]


def _decide(
    kind: str, system: str, noun: Noun, subject: str, after: dict[str, Any], actor: Actor, reason: str, expected: int
) -> Decide:
    return Decide(
        kind=kind, system=system, noun=noun, subject=subject, after=after, actor=actor, reason=reason, expected=expected
    )
