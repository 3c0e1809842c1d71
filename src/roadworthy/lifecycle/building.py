"""What the builds of every kind share: where they begin, what was built before, and what they write down."""

from __future__ import annotations

import platform
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from roadworthy.domain.candidate import Candidate, Recipe, Run
from roadworthy.domain.digest import Digest
from roadworthy.domain.interface import Scalar
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import Micros
from roadworthy.domain.principal import Actor
from roadworthy.domain.system import System, Tier
from roadworthy.errors import RefusedError
from roadworthy.lifecycle.checkout import Checkout, look
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc, to_doc


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What a build gives. `reused` says that the recipe had been built before; the run is then the one that built it.

    `baseline` is the rival, a candidate of its own; None when the manifest names none.
    """

    candidate: Candidate
    run: Run
    baseline: Candidate | None
    reused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the builds of candidate and baseline share."""

    folder: Path
    system: System
    plane: Plane
    actor: Actor
    checkout: Checkout
    started_at: Micros
    clock: float


def begin(folder: Path, system: System, plane: Plane, actor: Actor) -> Work:
    """Look at the checkout and note when the build began.

    Raises:
        RefusedError: at tier standard or high, the files differ from the commit or there is none.
    """
    checkout = look(folder)
    tier = system.policy.decision.tier
    if checkout.dirty and tier is not Tier.LOW:
        changed = ", ".join(checkout.changed[:5]) + (", …" if len(checkout.changed) > 5 else "")  # noqa: PLR2004
        raise RefusedError(
            f"the folder differs from its commit ({changed or 'nothing is committed yet'}), and at tier {tier} "
            "every candidate must be buildable again",
            hint="git add and git commit, then run it again",
        )
    if not checkout.commit and tier is not Tier.LOW:
        raise RefusedError(f"at tier {tier} a candidate is built from a Git commit", hint="git init, add and commit")
    return Work(
        folder=folder, system=system, plane=plane, actor=actor, checkout=checkout,
        started_at=plane.clock.now(), clock=time.monotonic(),
    )  # fmt: skip


def run_record(
    work: Work,
    candidate: Candidate,
    recipe: Recipe,
    measured: Mapping[str, float],
    stated: Mapping[str, Scalar],
    notes: tuple[str, ...],
) -> Run:
    """Return the experiment record of a build: its parameters, what was measured, from which data, where."""
    dirty = ("files differed from the commit: " + ", ".join(work.checkout.changed[:5]),) if work.checkout.dirty else ()
    parameters: dict[str, Scalar] = {**stated, **recipe.parameters}
    return Run(
        id=f"run-{secrets.token_hex(8)}",
        system=work.system.name,
        candidate=candidate.id,
        recipe=recipe.digest,
        started_at=work.started_at,
        seconds=round(time.monotonic() - work.clock, 3),
        commit=work.checkout.commit,
        dirty=work.checkout.dirty,
        machine=platform.node(),
        parameters=parameters,
        metrics=measured,
        data=recipe.data,
        notes=(*notes, *dirty),
    )


def decisions_of(work: Work, candidate: Candidate, run: Run) -> list[Decide]:
    """Return what a build decides: there is this candidate, and this is how it was made."""
    what = "baseline" if candidate.is_baseline else "candidate"
    return [
        Decide(
            kind="candidate.built", system=work.system.name, noun=Noun.CANDIDATE, subject=candidate.id,
            after=to_doc(candidate), actor=work.actor, reason=f"built the {what}",
            key=f"candidate.built/{candidate.id}",
        ),
        Decide(
            kind="run.finished", system=work.system.name, noun=Noun.RUN, subject=run.id, after=to_doc(run),
            actor=work.actor, reason=f"built the {what}", key=f"run.finished/{run.id}",
        ),
    ]  # fmt: skip


def built_before(plane: Plane, system: str, recipe: Digest, *, is_baseline: bool) -> Candidate | None:
    """Return the candidate that a recipe led to before, if all of its bytes are still kept."""
    for state in plane.ledger.states(Noun.CANDIDATE, system).values():
        if state["recipe"] == recipe and bool(state["is_baseline"]) == is_baseline:
            found = from_doc(Candidate, state)
            if _is_whole(found, plane.artifacts):
                return found
    return None


def _is_whole(candidate: Candidate, artifacts: Artifacts) -> bool:
    return all(artifacts.has(artifact.digest) for artifact in candidate.artifacts)


def run_of(plane: Plane, candidate: Candidate) -> Run:
    """Return the newest run that built a candidate."""
    states = plane.ledger.states(Noun.RUN, candidate.system).values()
    found = [state for state in states if state["candidate"] == candidate.id]
    return from_doc(Run, found[-1])
