"""The present as the verbs see it: the newest state of each subject, read back as the domain's nouns.

A verb that will write reads the subject's sequence first (`route_seq`, …), then the state: if the state moves in
between, the commit is refused and the verb reads again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from roadworthy.domain.digest import Digest
from roadworthy.domain.incident import Incident
from roadworthy.domain.ledger import Noun
from roadworthy.domain.principal import Actor, Principal, PrincipalKind
from roadworthy.domain.release import Release
from roadworthy.domain.rollout import Rollout
from roadworthy.domain.route import Route
from roadworthy.domain.system import Owner, Policy
from roadworthy.errors import Conflict, NotFoundError, NotPermitted
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc

T = TypeVar("T")
_ATTEMPTS: Final = 8
_MIN_DIGEST: Final = 6


def place(system: str, environment: str) -> str:
    """Name the subject of routes and rollouts."""
    return f"{system}/{environment}"


def systems(plane: Plane) -> tuple[str, ...]:
    """Name every system whose policy is in force."""
    return tuple(sorted(plane.ledger.states(Noun.POLICY)))


def policy(plane: Plane, system: str) -> Policy:
    """Return the policy in force, with the contacts of owner and backup, which live where they can be erased.

    Raises:
        NotFoundError: no such system; names the nearest.
    """
    document = plane.ledger.state(Noun.POLICY, system)
    if document is None:
        raise NotFoundError.among("system", system, systems(plane), hint="roadworthy apply")
    found = from_doc(Policy, document)
    return replace(found, owner=reached(plane, found.owner))


def policy_digest(plane: Plane, system: str) -> Digest:
    """Name the policy revision in force; contacts are no part of it."""
    document = plane.ledger.state(Noun.POLICY, system)
    return "" if document is None else from_doc(Policy, document).digest


def reached(plane: Plane, owner: Owner) -> Owner:
    """Fill in how owner and backup are reached; empty for one whose address was erased."""

    def contact(name: str) -> str:
        known = plane.people.get(name) if name else None
        return known.contact if known else ""

    return replace(owner, contact=contact(owner.principal), backup_contact=contact(owner.backup))


def standing(plane: Plane, system: str) -> dict[str, Any]:
    """Return the system's own document: whether automation is paused, whether it lost its owner."""
    return dict(plane.ledger.state(Noun.SYSTEM, system) or {"name": system})


def route(plane: Plane, system: str, environment: str) -> Route | None:
    """Return the route in force, or None before the first promotion."""
    document = plane.ledger.state(Noun.ROUTE, place(system, environment))
    return None if document is None else from_doc(Route, document)


def route_seq(plane: Plane, system: str, environment: str) -> int:
    """Return what a change of the route expects."""
    return plane.ledger.seq_of(Noun.ROUTE, place(system, environment))


def routes(plane: Plane, system: str) -> tuple[Route, ...]:
    """Return the routes of a system in all its environments."""
    return tuple(from_doc(Route, document) for document in plane.ledger.states(Noun.ROUTE, system).values())


def rollout(plane: Plane, system: str, environment: str) -> Rollout | None:
    """Return the newest rollout, running or ended."""
    document = plane.ledger.state(Noun.ROLLOUT, place(system, environment))
    return None if document is None else from_doc(Rollout, document)


def rollout_seq(plane: Plane, system: str, environment: str) -> int:
    """Return what a change of the rollout expects."""
    return plane.ledger.seq_of(Noun.ROLLOUT, place(system, environment))


def running(plane: Plane, system: str, environment: str) -> Rollout | None:
    """Return the rollout that has not ended, or None."""
    newest = rollout(plane, system, environment)
    return newest if newest is not None and not newest.has_ended else None


def releases(plane: Plane, system: str) -> dict[Digest, Release]:
    """Return the releases of a system by id, oldest change first."""
    return {name: from_doc(Release, document) for name, document in plane.ledger.states(Noun.RELEASE, system).items()}


def baseline(known: dict[Digest, Release]) -> Digest:
    """Name the baseline release among those known; the newest if there were several, empty if there is none."""
    return max(
        (release for release in known.values() if release.candidate.is_baseline),
        key=lambda release: release.admitted_at,
        default=_NO_RELEASE,
    ).id


def withdrawn(known: dict[Digest, Release]) -> frozenset[Digest]:
    """Name the releases that automation rolled back."""
    return frozenset(release.id for release in known.values() if release.withdrawn_for)


def find_release(known: dict[Digest, Release], text: str, system: str) -> Release:
    """Find a release by what a person types: `flights@v2`, `v2`, `baseline`, a digest or its first six digits.

    Raises:
        NotFoundError: nothing has this name; names the nearest.
    """
    for release in known.values():
        short = release.name.partition("@")[2]
        if text in (release.id, release.name, short):
            return release
    digits = text.removeprefix("sha256:")
    found = [release for release in known.values() if release.id.removeprefix("sha256:").startswith(digits)]
    if len(digits) >= _MIN_DIGEST and len(found) == 1:
        return found[0]
    raise NotFoundError.among(
        f"release of {system}",
        text,
        [release.name for release in known.values()],
        hint="roadworthy ledger show lists what was admitted",
    )


def incidents(plane: Plane, system: str = "") -> tuple[Incident, ...]:
    """Return all incidents, oldest change first."""
    return tuple(from_doc(Incident, document) for document in plane.ledger.states(Noun.INCIDENT, system).values())


def name_of(known: Mapping[Digest, Release], release: Digest) -> str:
    """Write a release as people say it, or its digest when it is unknown."""
    return known[release].name if release in known else release


def principal(plane: Plane, name: str) -> Principal:
    """Return what the ledger knows of a principal; an unknown one is an active person."""
    document = plane.ledger.state(Noun.PRINCIPAL, name)
    return Principal(id=name) if document is None else from_doc(Principal, document)


def must_be_a_person(plane: Plane, actor: Actor, doing: str) -> None:
    """Refuse automation, services and people who left.

    Raises:
        NotPermitted: the actor is none that may do this; says which rule.
    """
    who = principal(plane, actor.principal)
    if actor.principal == "roadworthy" or who.kind is not PrincipalKind.PERSON:
        raise NotPermitted(f"only a person may {doing}; {actor.principal} is {who.kind}")
    if not who.active:
        raise NotPermitted(f"{actor.principal} is not active and may not {doing}")


def settle(attempt: Callable[[], T]) -> T:
    """Run a read-decide-commit once more when someone else changed the subject in between.

    Raises:
        Conflict: it moved at every one of eight attempts.
    """
    for left in reversed(range(_ATTEMPTS)):
        try:
            return attempt()
        except Conflict:
            if not left:
                raise
    raise AssertionError  # pragma: no cover (the loop returns or raises)


class _NoRelease:
    id: Digest = ""
    admitted_at = 0


_NO_RELEASE: Any = _NoRelease()
