"""Build a candidate from a project: the artifacts, the record of how they were made, the reference to compare with."""

from __future__ import annotations

import platform
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from roadworthy.domain.candidate import Artifact, Candidate, Recipe, Run
from roadworthy.domain.digest import Digest
from roadworthy.domain.interface import Scalar
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import Micros
from roadworthy.domain.principal import Actor
from roadworthy.domain.system import System, Tier
from roadworthy.errors import RefusedError
from roadworthy.lifecycle.checkout import Checkout, look
from roadworthy.lifecycle.measure import answer, measured, metrics, reference_of
from roadworthy.lifecycle.pace import affordable
from roadworthy.lifecycle.prototype import Prototype, from_sql, prepare
from roadworthy.lifecycle.recipe import baseline_recipe, recipe_of
from roadworthy.lifecycle.split import Split, read_split
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.plane import Plane
from roadworthy.ports.runtime import Outputs
from roadworthy.stores.codec import from_doc, to_doc, to_json


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
class _Work:
    """What both builds of one project share."""

    folder: Path
    system: System
    plane: Plane
    actor: Actor
    checkout: Checkout
    started_at: Micros
    clock: float


def build(folder: Path, system: System, plane: Plane, actor: Actor) -> BuildResult:
    """Build the system's candidate and its baseline, or return those that the same recipe built before.

    Args:
        folder: the project, which holds what the manifest names.
        system: the resolved manifest.
        plane: the home; artifacts and one transaction of events go there.
        actor: who asks.

    Raises:
        RefusedError: at tier standard or high, files differ from the commit, so nobody could build it again.
        InputError: data, code or SQL is missing or odd.
        ArtifactError: the model is a pickle, damaged, or holds untrusted types.
    """
    folder = folder.resolve()
    work = _begin(folder, system, plane, actor)
    recipe = recipe_of(folder, system)
    rival_recipe = baseline_recipe(folder, system) if system.content.baseline else None
    known = _built(plane, system.name, recipe.digest, is_baseline=False)
    rival = _built(plane, system.name, rival_recipe.digest, is_baseline=True) if rival_recipe else None
    if known is not None and (rival is not None or rival_recipe is None):
        return BuildResult(candidate=known, run=_run_of(plane, known), baseline=rival, reused=True)
    split = read_split(folder, system.content)
    rival_prototype = _rival(work, split) if rival_recipe else None
    rival_outputs = answer(rival_prototype.predictor, split.holdout(), "baseline") if rival_prototype else None
    decisions: list[Decide] = []
    if rival is None and rival_recipe is not None and rival_prototype is not None and rival_outputs is not None:
        rival, rival_run = _finish(work, split, rival_recipe, rival_prototype, rival_outputs, None, is_baseline=True)
        decisions += _decisions(work, rival, rival_run)
    if known is not None:
        plane.ledger.commit(decisions)
        return BuildResult(candidate=known, run=_run_of(plane, known), baseline=rival, reused=True)
    prototype = prepare(folder, system.content, split, plane.artifacts)
    judged = _in_time(prototype, split)
    if rival_prototype and judged is not split:
        rival_outputs = answer(rival_prototype.predictor, judged.holdout(), "baseline")
    outputs = answer(prototype.predictor, judged.holdout(), "model")
    candidate, run = _finish(work, judged, recipe, prototype, outputs, rival_outputs, is_baseline=False)
    plane.ledger.commit([*decisions, *_decisions(work, candidate, run)])
    return BuildResult(candidate=candidate, run=run, baseline=rival)


def build_baseline(folder: Path, system: System, plane: Plane, actor: Actor) -> BuildResult:
    """Build the baseline alone, as the candidate that serves until the first release passes.

    Raises:
        RefusedError: the manifest names no baseline, or (tier standard, high) files differ from the commit.
        InputError: data or SQL is missing or odd.
    """
    folder = folder.resolve()
    if not system.content.baseline:
        raise RefusedError(f"system '{system.name}' has no baseline", hint="add to system.yaml: baseline: baseline.sql")
    work = _begin(folder, system, plane, actor)
    recipe = baseline_recipe(folder, system)
    known = _built(plane, system.name, recipe.digest, is_baseline=True)
    if known is not None:
        return BuildResult(candidate=known, run=_run_of(plane, known), baseline=known, reused=True)
    split = read_split(folder, system.content)
    prototype = _rival(work, split)
    outputs = answer(prototype.predictor, split.holdout(), "baseline")
    candidate, run = _finish(work, split, recipe, prototype, outputs, None, is_baseline=True)
    plane.ledger.commit(_decisions(work, candidate, run))
    return BuildResult(candidate=candidate, run=run, baseline=candidate)


def _begin(folder: Path, system: System, plane: Plane, actor: Actor) -> _Work:
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
    return _Work(
        folder=folder, system=system, plane=plane, actor=actor, checkout=checkout,
        started_at=plane.clock.now(), clock=time.monotonic(),
    )  # fmt: skip


def _in_time(prototype: Prototype, split: Split) -> Split:
    """Return the split with fewer rows to judge by, evenly over time, if the model is too slow for all of them."""
    rows = split.holdout().columns
    pace = measured(prototype.predictor, rows, "model")
    return split.judged_on(affordable(pace), f"the model needs {pace * 1e3:.1f} ms a row")


def _rival(work: _Work, split: Split) -> Prototype:
    content = work.system.content
    return from_sql(work.folder / content.baseline, content.interface, split, work.plane.artifacts)


def _finish(
    work: _Work,
    split: Split,
    recipe: Recipe,
    prototype: Prototype,
    outputs: Outputs,
    rival: Outputs | None,
    *,
    is_baseline: bool,
) -> tuple[Candidate, Run]:
    """Measure, keep the reference, and write down candidate and run."""
    artifacts = work.plane.artifacts
    reference = reference_of(split, outputs, rival)
    content = to_json(reference)
    kept = Artifact(role="reference", format="reference", digest=artifacts.put(content), size=len(content))
    candidate = Candidate(
        system=work.system.name,
        recipe=recipe.digest,
        artifacts=(*prototype.artifacts, kept),
        interface=work.system.content.interface,
        runtime=prototype.runtime,
        environment=prototype.environment,
        is_baseline=is_baseline,
    )
    measured = dict(reference.metrics)
    if rival is not None:
        against = metrics(split.interface, split.holdout().target, rival)
        measured.update({f"baseline.{name}": value for name, value in against.items()})
    return candidate, _run(work, candidate, recipe, measured, prototype, split.notes)


def _run(
    work: _Work,
    candidate: Candidate,
    recipe: Recipe,
    measured: Mapping[str, float],
    prototype: Prototype,
    notes: tuple[str, ...],
) -> Run:
    dirty = ("files differed from the commit: " + ", ".join(work.checkout.changed[:5]),) if work.checkout.dirty else ()
    parameters: dict[str, Scalar] = {**prototype.parameters, **recipe.parameters}
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
        notes=(*prototype.notes, *notes, *dirty),
    )


def _decisions(work: _Work, candidate: Candidate, run: Run) -> list[Decide]:
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


def _built(plane: Plane, system: str, recipe: Digest, *, is_baseline: bool) -> Candidate | None:
    """Return the candidate that a recipe led to before, if all of its bytes are still kept."""
    for state in plane.ledger.states(Noun.CANDIDATE, system).values():
        if state["recipe"] == recipe and bool(state["is_baseline"]) == is_baseline:
            found = from_doc(Candidate, state)
            if _is_whole(found, plane.artifacts):
                return found
    return None


def _is_whole(candidate: Candidate, artifacts: Artifacts) -> bool:
    return all(artifacts.has(artifact.digest) for artifact in candidate.artifacts)


def _run_of(plane: Plane, candidate: Candidate) -> Run:
    """Return the newest run that built a candidate."""
    states = plane.ledger.states(Noun.RUN, candidate.system).values()
    found = [state for state in states if state["candidate"] == candidate.id]
    return from_doc(Run, found[-1])
