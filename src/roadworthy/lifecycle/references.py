"""Releases as observation needs them: with their reference and frozen bins, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from roadworthy.domain.interface import Interface, Task
from roadworthy.domain.ledger import Noun
from roadworthy.domain.reference import Figure, Reference
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
            found = from_doc(Release, document)
            if found.candidate.interface.task is Task.TEXT:
                self._known[release] = Known(found, _promised(self._plane, found))
            else:
                self._known[release] = _read(found, self._plane.artifacts)
        return self._known.get(release)


def _read(release: Release, artifacts: Artifacts) -> Known:
    artifact = release.candidate.artifact("reference")
    if artifact is None:
        return Known(release, None)
    reference = msgspec.json.decode(artifacts.get(artifact.digest), type=Reference)
    bins = {name: Bins.from_doc(document) for name, document in reference.bins.items()}
    answers = Bins.from_doc(reference.prediction_bins) if reference.prediction_bins else None
    return Known(release, reference, bins, answers)


def _promised(plane: Plane, release: Release) -> Reference | None:
    """Return what a release of kind llm promised: the score of its suite, as a loss. A baseline promised nothing."""
    suite, baseline = (_verdict(plane, release, gate) for gate in ("suite", "baseline"))
    loss = _loss(suite.get("score"))
    if loss is None:
        return None
    return Reference(
        rows=0, holdout_rows=loss.n, bins={}, counts={}, prediction_bins={}, prediction_counts={}, loss=loss,
        baseline_loss=_loss(baseline.get("baseline", {}).get("score")),
    )  # fmt: skip


def _verdict(plane: Plane, release: Release, gate: str) -> Mapping[str, Any]:
    document = plane.ledger.state(Noun.VERDICT, f"{release.id}/{gate}")
    return document["evidence"] if document is not None else {}


def _loss(score: Mapping[str, Any] | None) -> Figure | None:
    if not score or score.get("value") is None:
        return None
    low, high = score["low"], score["high"]
    return Figure(
        value=1 - score["value"], low=1 - (1.0 if high is None else high), high=1 - (low or 0.0), n=score["n"]
    )
