"""Releases as observation needs them: with their reference and frozen bins, read once."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from roadworthy.domain.interface import Interface
from roadworthy.domain.ledger import Noun
from roadworthy.domain.reference import Reference
from roadworthy.domain.release import Release
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.plane import Plane
from roadworthy.stats.counts import Bins
from roadworthy.stores.codec import from_doc


@dataclass(frozen=True, slots=True)
class Known:
    """A release with what it is compared with; a baseline may have no reference."""

    release: Release
    reference: Reference | None
    bins: dict[str, Bins] = field(default_factory=dict[str, Bins])
    prediction_bins: Bins | None = None

    @property
    def interface(self) -> Interface:
        """Return the release's interface."""
        return self.release.candidate.interface

    @property
    def scale(self) -> float:
        """Return what an absolute error is divided by to make a loss."""
        return self.reference.scale if self.reference else 1.0


class References:
    """Reads a release and its reference at first use. Both are immutable, so they are kept."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._known: dict[str, Known] = {}

    def get(self, release: str) -> Known | None:
        """Return a release by its digest, or None when the ledger does not know it.

        Raises:
            ArtifactError: the reference's bytes are missing or altered.
        """
        if release and release not in self._known:
            document = self._plane.ledger.state(Noun.RELEASE, release)
            if document is None:
                return None
            self._known[release] = _read(from_doc(Release, document), self._plane.artifacts)
        return self._known.get(release)


def _read(release: Release, artifacts: Artifacts) -> Known:
    artifact = release.candidate.artifact("reference")
    if artifact is None:
        return Known(release, None)
    reference = msgspec.json.decode(artifacts.get(artifact.digest), type=Reference)
    bins = {name: Bins.from_doc(document) for name, document in reference.bins.items()}
    answers = Bins.from_doc(reference.prediction_bins) if reference.prediction_bins else None
    return Known(release, reference, bins, answers)
