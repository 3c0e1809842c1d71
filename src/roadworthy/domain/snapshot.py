"""The snapshot: what control hands to the workers. Immutable, with a version that only grows."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import Digest
from roadworthy.domain.moment import Micros
from roadworthy.domain.pin import PinTerms
from roadworthy.domain.principal import Key
from roadworthy.domain.route import Route
from roadworthy.domain.system import NonGoal, ServePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRelease:
    """A release as a worker needs it: its name for people and the candidate that says what to load."""

    id: Digest
    name: str
    candidate: Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedSystem:
    """One system in one environment: its route, its releases, its limits."""

    name: str
    environment: str
    kind: str
    route: Route
    releases: tuple[ServedRelease, ...]
    serve: ServePlan
    non_goals: tuple[NonGoal, ...] = ()
    keep_payload: bool = True
    pins: tuple[PinTerms, ...] = ()
    mask: tuple[str, ...] = ()

    def release(self, release_id: Digest) -> ServedRelease:
        """Find a release of this system.

        Raises:
            KeyError: the snapshot does not hold it.
        """
        for release in self.releases:
            if release.id == release_id:
                return release
        raise KeyError(release_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything a worker needs while control is away. `version` is the ledger sequence it was folded at."""

    version: int
    written_at: Micros
    home: str
    systems: tuple[ServedSystem, ...] = ()
    keys: tuple[Key, ...] = ()
    subject_secret_ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A worker's word that it serves a snapshot. `refused` names releases it could not load, and why."""

    worker: str
    pid: int
    version: int
    at: Micros
    refused: tuple[tuple[Digest, str], ...] = ()
