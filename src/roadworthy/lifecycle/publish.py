"""Publish the snapshot: what the workers need, as a pure function of the ledger's state."""

from __future__ import annotations

from typing import Any, Final

from roadworthy.domain.digest import Digest
from roadworthy.domain.ledger import Noun
from roadworthy.domain.moment import Micros
from roadworthy.domain.principal import Key
from roadworthy.domain.release import Release
from roadworthy.domain.route import Route
from roadworthy.domain.snapshot import ServedRelease, ServedSystem, Snapshot
from roadworthy.domain.system import Policy
from roadworthy.errors import StoreError
from roadworthy.ports.ledger import Ledger
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc

SERVED: Final = (Noun.ROUTE, Noun.POLICY, Noun.RELEASE, Noun.KEY, Noun.PRINCIPAL, Noun.SYSTEM)
"""The nouns a snapshot is made of; other decisions leave the workers alone."""
_READS: Final = 20


def publish(plane: Plane) -> Snapshot | None:
    """Hand the present to the workers; what whoever commits a route, policy or key change calls afterwards.

    Returns the snapshot, or None when one as new is in place. Calling it twice, or from two processes, is harmless.
    """
    snapshot = snapshot_now(plane)
    return snapshot if plane.snapshots.publish(snapshot) else None


def is_published(plane: Plane) -> bool:
    """Tell whether the workers were handed every decision that concerns them; False after a killed publisher.

    Asked by control's loop, so it reads no more than the events since the version in place.
    """
    version = plane.snapshots.version()
    served = {noun.value for noun in SERVED}
    return not any(event.noun in served for event in plane.ledger.events(after=version))


def snapshot_now(plane: Plane) -> Snapshot:
    """Fold the present into a snapshot whose version is the ledger's head.

    Raises:
        StoreError: the ledger moved at every one of 20 readings.
    """
    for _ in range(_READS):
        head = plane.ledger.head()
        snapshot = snapshot_of(plane.ledger, version=head.seq, written_at=plane.clock.now(), home=plane.home.id)
        # Several reads make one snapshot; it counts only if nobody committed in between.
        if plane.ledger.head().seq == head.seq:
            return snapshot
    raise StoreError("the ledger moved while the snapshot was read", hint="run it again")


def snapshot_of(ledger: Ledger, *, version: int, written_at: Micros, home: str) -> Snapshot:
    """Return the snapshot of the ledger's present; equal states give equal snapshots up to version and time."""
    policies = {name: from_doc(Policy, document) for name, document in ledger.states(Noun.POLICY).items()}
    releases = {name: from_doc(Release, document) for name, document in ledger.states(Noun.RELEASE).items()}
    kinds = {name: str(document.get("kind", "model")) for name, document in ledger.states(Noun.SYSTEM).items()}
    routes = [from_doc(Route, document) for document in ledger.states(Noun.ROUTE).values()]
    served = [
        _served(route, policies[route.system], releases, kinds.get(route.system, "model"))
        for route in sorted(routes, key=lambda route: (route.system, route.environment))
        if route.system in policies
    ]
    return Snapshot(
        version=version, written_at=written_at, home=home, systems=tuple(served), keys=_keys_in_force(ledger)
    )


def _served(route: Route, policy: Policy, releases: dict[Digest, Release], kind: str) -> ServedSystem:
    known = [releases[name] for name in route.releases if name in releases]
    return ServedSystem(
        name=route.system,
        environment=route.environment,
        kind=kind,
        route=route,
        releases=tuple(
            ServedRelease(id=release.id, name=release.name, candidate=release.candidate) for release in known
        ),
        serve=policy.serve,
        non_goals=policy.non_goals,
        keep_payload=policy.keep.payload,
        pins=policy.pins,
        mask=policy.keep.mask,
    )


def _keys_in_force(ledger: Ledger) -> tuple[Key, ...]:
    gone = {name for name, document in ledger.states(Noun.PRINCIPAL).items() if not _is_active(document)}
    keys = [from_doc(Key, document) for document in ledger.states(Noun.KEY).values()]
    in_force = [key for key in keys if not key.revoked and key.principal not in gone]
    return tuple(sorted(in_force, key=lambda key: key.id))


def _is_active(document: Any) -> bool:
    return bool(document.get("active", True))
