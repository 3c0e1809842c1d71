"""Build a candidate from a project: the artifacts, the record of how they were made, the reference to compare with."""

from __future__ import annotations

from pathlib import Path

from roadworthy.domain.candidate import Artifact, Candidate, Recipe, Run
from roadworthy.domain.ledger import Decide
from roadworthy.domain.principal import Actor
from roadworthy.domain.system import Kind, System
from roadworthy.lifecycle.build_llm import build_llm
from roadworthy.lifecycle.building import BuildResult, Work, begin, built_before, decisions_of, run_of, run_record
from roadworthy.lifecycle.measure import answer, measured, metrics, reference_of
from roadworthy.lifecycle.pace import affordable
from roadworthy.lifecycle.prototype import Prototype, from_sql, prepare
from roadworthy.lifecycle.recipe import baseline_recipe, recipe_of
from roadworthy.lifecycle.split import Split, read_split
from roadworthy.ports.plane import Plane
from roadworthy.ports.runtime import Outputs
from roadworthy.stores.codec import to_json


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
    if system.kind is Kind.LLM:
        return build_llm(folder, system, plane, actor)
    folder = folder.resolve()
    work = begin(folder, system, plane, actor)
    recipe = recipe_of(folder, system)
    rival_recipe = baseline_recipe(folder, system) if system.content.baseline else None
    known = built_before(plane, system.name, recipe.digest, is_baseline=False)
    rival = built_before(plane, system.name, rival_recipe.digest, is_baseline=True) if rival_recipe else None
    if known is not None and (rival is not None or rival_recipe is None):
        return BuildResult(candidate=known, run=run_of(plane, known), baseline=rival, reused=True)
    split = read_split(folder, system.content)
    rival_prototype = _rival(work, split) if rival_recipe else None
    rival_outputs = answer(rival_prototype.predictor, split.holdout(), "baseline") if rival_prototype else None
    decisions: list[Decide] = []
    if rival is None and rival_recipe is not None and rival_prototype is not None and rival_outputs is not None:
        rival, rival_run = _finish(work, split, rival_recipe, rival_prototype, rival_outputs, None, is_baseline=True)
        decisions += decisions_of(work, rival, rival_run)
    if known is not None:
        plane.ledger.commit(decisions)
        return BuildResult(candidate=known, run=run_of(plane, known), baseline=rival, reused=True)
    prototype = prepare(folder, system.content, split, plane.artifacts)
    judged = _in_time(prototype, split)
    if rival_prototype and judged is not split:
        rival_outputs = answer(rival_prototype.predictor, judged.holdout(), "baseline")
    outputs = answer(prototype.predictor, judged.holdout(), "model")
    candidate, run = _finish(work, judged, recipe, prototype, outputs, rival_outputs, is_baseline=False)
    plane.ledger.commit([*decisions, *decisions_of(work, candidate, run)])
    return BuildResult(candidate=candidate, run=run, baseline=rival)


def _in_time(prototype: Prototype, split: Split) -> Split:
    """Return the split with fewer rows to judge by, evenly over time, if the model is too slow for all of them."""
    rows = split.holdout().columns
    pace = measured(prototype.predictor, rows, "model")
    return split.judged_on(affordable(pace), f"the model needs {pace * 1e3:.1f} ms a row")


def _rival(work: Work, split: Split) -> Prototype:
    content = work.system.content
    return from_sql(work.folder / content.baseline, content.interface, split, work.plane.artifacts)


def _finish(
    work: Work,
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
    return candidate, run_record(
        work, candidate, recipe, measured, prototype.parameters, (*prototype.notes, *split.notes)
    )
