"""Approvals and waivers: people's recorded yes, and their dated, named exceptions."""

from __future__ import annotations

from typing import Any

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import Digest, digest, short
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import Micros, iso
from roadworthy.domain.principal import Actor, Assurance
from roadworthy.domain.system import Tier
from roadworthy.domain.verdict import Approval, Waiver
from roadworthy.errors import NotFoundError, NotPermitted, RefusedError
from roadworthy.lifecycle import present
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc, to_doc

_FEWEST_DIGITS = 6


def approve(plane: Plane, system: str, candidate: str, *, actor: Actor, reason: str = "") -> Approval:
    """Record a person's yes to one candidate, named by its digest or the first six digits of it.

    The same person approving again gets the approval that stands.

    Raises:
        NotFoundError: no such system or candidate.
        NotPermitted: the actor is no active person, or at tier standard or high has not proven who they are.
    """
    _must_count(plane, system, actor, "approve a candidate")
    digest_of = find_candidate(plane, system, candidate)
    subject = f"{digest_of}/{actor.principal}"

    def attempt() -> Approval:
        expected = plane.ledger.seq_of(Noun.APPROVAL, subject)
        known = plane.ledger.state(Noun.APPROVAL, subject)
        if known is not None and known["assurance"] in (Assurance.AUTHENTICATED, actor.assurance):
            return from_doc(Approval, known)
        approval = Approval(
            system=system,
            candidate=digest_of,
            by=actor.principal,
            assurance=str(actor.assurance),
            at=plane.clock.now(),
            reason=reason,
        )
        after = to_doc(approval)
        plane.ledger.commit([_decide("approval.given", system, Noun.APPROVAL, subject, after, actor, reason, expected)])
        return approval

    return present.settle(attempt)


def approvals(plane: Plane, system: str) -> tuple[Approval, ...]:
    """Return the approvals that stand, oldest first."""
    return tuple(from_doc(Approval, document) for document in plane.ledger.states(Noun.APPROVAL, system).values())


def counting(plane: Plane, candidate: Candidate, tier: Tier) -> tuple[Approval, ...]:
    """Return the approvals of a candidate that count at a tier, oldest first.

    They are of people who are still here and, above tier low, had proven who they were.
    """
    return tuple(
        one
        for one in approvals(plane, candidate.system)
        if one.candidate == candidate.id
        and present.principal(plane, one.by).active
        and (tier is Tier.LOW or one.assurance == Assurance.AUTHENTICATED)
    )


def revoke_approval(plane: Plane, system: str, candidate: str, *, actor: Actor, reason: str) -> None:
    """Take back one's own yes. What was released under it stays released.

    Raises:
        NotFoundError: there is no such approval by this actor.
        RefusedError: there is no reason.
    """
    _needs(reason, "taking an approval back")
    subject = f"{find_candidate(plane, system, candidate)}/{actor.principal}"
    _end(plane, system, Noun.APPROVAL, subject, "approval", actor, reason)


def waive(plane: Plane, system: str, gate: str, *, actor: Actor, why: str, until: Micros) -> Waiver:
    """Record a named exception to one gate until a date. The same exception again is the one that stands.

    Raises:
        NotFoundError: no such system, or no such gate in force.
        RefusedError: there is no reason, or `until` is not in the future.
        NotPermitted: the actor is no active person, or at tier standard or high has not proven who they are.
    """
    _must_count(plane, system, actor, "waive a gate")
    _needs(why, "a waiver")
    gates = [plan.name for plan in present.policy(plane, system).gates]
    if gate not in gates:
        raise NotFoundError.among("gate", gate, gates, hint="roadworthy plan lists the gates in force")
    now = plane.clock.now()
    if until <= now:
        raise RefusedError(f"a waiver ends in the future, not at {iso(until)}", hint="--until 2026-12-31")
    name = f"{system}/{gate}/{short(digest([system, gate, actor.principal, why, until]))}"
    waiver = Waiver(id=name, system=system, gate=gate, by=actor.principal, why=why, until=until, at=now)

    def attempt() -> Waiver:
        expected = plane.ledger.seq_of(Noun.WAIVER, name)
        known = plane.ledger.state(Noun.WAIVER, name)
        if known is not None:
            return from_doc(Waiver, known)
        reason = f"{gate} until {iso(until)}: {why}"
        plane.ledger.commit(
            [_decide("waiver.given", system, Noun.WAIVER, name, to_doc(waiver), actor, reason, expected)]
        )
        return waiver

    return present.settle(attempt)


def waivers(plane: Plane, system: str, *, in_force_only: bool = True) -> tuple[Waiver, ...]:
    """Return the waivers of a system, oldest first; only those in force now unless asked for all."""
    now = plane.clock.now()
    every = (from_doc(Waiver, document) for document in plane.ledger.states(Noun.WAIVER, system).values())
    return tuple(waiver for waiver in every if not in_force_only or now < waiver.until)


def revoke_waiver(plane: Plane, system: str, waiver: str, *, actor: Actor, reason: str) -> None:
    """End a waiver before its date. Verdicts it excused stand until the next judgement.

    Raises:
        NotFoundError: there is no such waiver.
        RefusedError: there is no reason.
        NotPermitted: the actor is no active person.
    """
    present.must_be_a_person(plane, actor, "end a waiver")
    _needs(reason, "ending a waiver")
    _end(plane, system, Noun.WAIVER, waiver, "waiver", actor, reason)


def find_candidate(plane: Plane, system: str, text: str) -> Digest:
    """Find a candidate of a system by its digest, the first six digits of it, or the word `candidate` (the newest).

    Raises:
        NotFoundError: there is none, or the digits fit several.
    """
    states = plane.ledger.states(Noun.CANDIDATE, present_system(plane, system))
    known = [name for name, document in states.items() if not from_doc(Candidate, document).is_baseline]
    if text in ("candidate", f"{system}@candidate") and known:
        return known[-1]
    digits = text.removeprefix("sha256:")
    found = [name for name in known if name.removeprefix("sha256:").startswith(digits)]
    if len(digits) >= _FEWEST_DIGITS and len(found) == 1:
        return found[0]
    raise NotFoundError.among(f"candidate of {system}", text, [short(name) for name in known], hint="roadworthy build")


def present_system(plane: Plane, system: str) -> str:
    """Return the name of a system that is in force.

    Raises:
        NotFoundError: no such system; names the nearest.
    """
    present.policy(plane, system)
    return system


def _must_count(plane: Plane, system: str, actor: Actor, doing: str) -> None:
    tier = present.policy(plane, system).decision.tier
    present.must_be_a_person(plane, actor, doing)
    if tier is not Tier.LOW and actor.assurance is not Assurance.AUTHENTICATED:
        raise NotPermitted(
            f"{system} is of tier {tier}: who may {doing} has proven who they are, and {actor.principal} has not",
            hint="roadworthy keys create NAME --scopes approve, then use that key (ROADWORTHY_KEY)",
        )


def _needs(reason: str, what: str) -> None:
    if not reason.strip():
        raise RefusedError(f"{what} needs a reason", hint='--reason "…"')


def _end(plane: Plane, system: str, noun: Noun, subject: str, word: str, actor: Actor, reason: str) -> None:
    def attempt() -> None:
        expected = plane.ledger.seq_of(noun, subject)
        if plane.ledger.state(noun, subject) is None:
            raise NotFoundError.among(word, subject, plane.ledger.states(noun, system))
        plane.ledger.commit([_decide(f"{word}.revoked", system, noun, subject, None, actor, reason, expected)])

    present.settle(attempt)


def _decide(
    kind: str,
    system: str,
    noun: Noun,
    subject: str,
    after: dict[str, Any] | None,
    actor: Actor,
    reason: str,
    expected: int,
) -> Decide:
    return Decide(
        kind=kind, system=system, noun=noun, subject=subject, after=after, actor=actor, reason=reason, expected=expected
    )
