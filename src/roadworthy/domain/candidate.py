"""Artifacts, recipes and candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from roadworthy.domain.digest import Digest, digest
from roadworthy.domain.interface import Interface, Scalar
from roadworthy.domain.moment import Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Immutable bytes named by digest. `format` decides the runtime (`skops`, `onnx`, `sql`, `reference`)."""

    role: str
    format: str
    digest: Digest
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Python minor, platform, and the versions of the distributions that the artifacts import."""

    python: str
    platform: str
    distributions: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def digest(self) -> Digest:
        """Name the environment."""
        return digest(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a candidate is built from. The same recipe is never built twice."""

    system: str
    code: Digest
    content: Digest
    data: Mapping[str, Digest]
    environment: Digest
    seed: int = 0
    parameters: Mapping[str, Scalar] = field(default_factory=dict[str, "Scalar"])

    @property
    def digest(self) -> Digest:
        """Name the recipe."""
        return digest(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A version that asks for release: recipe, artifacts and resolved interface. `runtime` names the plug-in.

    `is_baseline` marks the baseline as a candidate of its own: the simple rival that is also the live fallback.
    """

    system: str
    recipe: Digest
    artifacts: tuple[Artifact, ...]
    interface: Interface
    runtime: str
    environment: Environment
    is_baseline: bool = False

    @property
    def id(self) -> Digest:
        """Name the candidate; the id of the release it may become."""
        return digest(self)

    def artifact(self, role: str) -> Artifact | None:
        """Find the artifact of a role (`model`, `native`, `reference`, `fitted`), or None."""
        return next((artifact for artifact in self.artifacts if artifact.role == role), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The record of one build: the experiment record. Times, machine and commit live here, not in the digest."""

    id: str
    system: str
    candidate: Digest
    recipe: Digest
    started_at: Micros
    seconds: float
    commit: str
    dirty: bool
    machine: str
    parameters: Mapping[str, Scalar] = field(default_factory=dict[str, "Scalar"])
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    data: Mapping[str, Digest] = field(default_factory=dict[str, Digest])
    notes: tuple[str, ...] = ()
