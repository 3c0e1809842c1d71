"""Build a release again in a clean directory, and say whether the same thing comes out."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from roadworthy import plugins
from roadworthy.domain.candidate import Candidate, Environment, Run
from roadworthy.domain.digest import Digest, short
from roadworthy.domain.ledger import Noun
from roadworthy.domain.reference import Reference
from roadworthy.domain.system import System
from roadworthy.errors import InputError, NotFoundError, RefusedError
from roadworthy.lifecycle.checkout import clone_at, look
from roadworthy.lifecycle.export import agreement
from roadworthy.lifecycle.measure import answer, metrics
from roadworthy.lifecycle.pace import affordable, pace_of
from roadworthy.lifecycle.prototype import from_sql, prepare
from roadworthy.lifecycle.recipe import baseline_recipe, recipe_of
from roadworthy.lifecycle.split import Split, read_split
from roadworthy.lifecycle.table import digest_file
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.plane import Plane
from roadworthy.ports.runtime import Predictor
from roadworthy.stats.agreement import Agreement
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.codec import from_doc

TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What came out. `identical`: the same artifacts, byte for byte. `within`: predictions and metrics agree.

    `metrics` maps each metric to what the run recorded and what came out now. `differences` says in words what is not
    the same, the causes first.
    """

    release: Digest
    rebuilt: Digest
    identical: bool
    within: bool
    tolerance: float
    agreement: Agreement | None
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, "tuple[float, float]"])
    differences: tuple[str, ...] = ()


def reproduce(
    release: Digest,
    folder: Path,
    plane: Plane,
    load: Callable[[Path], System],
    *,
    here: bool = False,
    tolerance: float = TOLERANCE,
) -> Reproduction:
    """Build a release's candidate again from its recorded commit, in a clean clone, and compare.

    Nothing is written to the home. Data and model files that Git does not hold are taken from `folder` if they still
    have the recorded digest.

    Args:
        release: the id of a release or candidate.
        folder: the project.
        plane: the home that knows the release.
        load: reads the manifest of a folder.
        here: build in `folder` as it is instead of a clone.
        tolerance: how far predictions on the reference rows and metrics on the hold-out may be apart.

    Raises:
        NotFoundError: no such candidate, or its commit is gone.
        RefusedError: it was built from files that were never committed, so nothing can build it again.
        InputError: data changed since, or the code fails.
    """
    candidate = _candidate(plane, release)
    run = _run_of(plane, candidate)
    if not here and (run.dirty or not run.commit):
        why = "files that differed from their commit" if run.commit else "a folder without a commit"
        raise RefusedError(
            f"{short(release)} was built from {why}, so no commit can build it again",
            hint="commit, then build and release anew; or compare with the folder as it is: --here",
        )
    with tempfile.TemporaryDirectory(prefix="roadworthy-reproduce-") as scratch:
        place = Path(scratch)
        use = "" if here else load(folder).content.use
        project = folder.resolve() if here else _clean(folder, run, use, place / "project")
        system = load(project)
        _check_data(project, run)
        with _shelf(place / "artifacts") as shelf:
            return _compare(candidate, run, project, system, plane.artifacts, shelf, tolerance)


def _compare(
    candidate: Candidate, run: Run, project: Path, system: System, kept: Artifacts, shelf: Artifacts, tolerance: float
) -> Reproduction:
    content = system.content
    split = read_split(project, content)
    if candidate.is_baseline:
        recipe = baseline_recipe(project, system)
        prototype = from_sql(project / content.baseline, content.interface, split, shelf)
    else:
        recipe = recipe_of(project, system)
        prototype = prepare(project, content, split, shelf)
    # A slow model was judged on a part of the hold-out; the same part is compared.
    split = split.judged_on(_judged_rows(candidate, kept), "as many as the run was judged on")
    outputs = answer(prototype.predictor, split.holdout(), "rebuilt model")
    now = metrics(split.interface, split.holdout().target, outputs)
    found = _agreement(candidate, kept, split, prototype.predictor, tolerance)
    pairs = {name: (value, now[name]) for name, value in run.metrics.items() if name in now}
    apart = [name for name, (then, again) in pairs.items() if abs(then - again) > tolerance * max(1.0, abs(then))]
    before = {one.role: one.digest for one in candidate.artifacts if one.role != "reference"}
    after = {one.role: one.digest for one in prototype.artifacts}
    differences = [_cause(candidate, prototype.environment)] if recipe.digest != run.recipe else []
    changed = [role for role in sorted({*before, *after}) if before.get(role) != after.get(role)]
    differences += [f"artifact '{role}' differs" for role in changed]
    differences += [f"metric {name} was {pairs[name][0]:.6g} and is {pairs[name][1]:.6g}" for name in apart]
    if found is not None and not found.holds:
        differences.append(f"predictions on the reference rows differ: {found}")
    rebuilt = replace(
        candidate, recipe=recipe.digest, environment=prototype.environment, interface=content.interface,
        artifacts=(*prototype.artifacts, *(one for one in candidate.artifacts if one.role == "reference")),
    )  # fmt: skip
    return Reproduction(
        release=candidate.id, rebuilt=rebuilt.id, identical=before == after and rebuilt.id == candidate.id,
        within=not apart and (found is None or found.holds), tolerance=tolerance, agreement=found, metrics=pairs,
        differences=tuple(differences),
    )  # fmt: skip


def _agreement(
    candidate: Candidate, kept: Artifacts, split: Split, rebuilt: Predictor, tolerance: float
) -> Agreement | None:
    """Compare the release's answers to the reference rows with the rebuilt ones'."""
    runtime = plugins.load("runtimes", candidate.runtime)
    released: Predictor = runtime.load(candidate, kept)
    pace = pace_of(released.predict, split.reference().columns)
    rows = split.reference(affordable(pace)).columns
    found = agreement(released.predict(rows), rebuilt.predict(rows), candidate.interface)
    return replace(found, tolerance=tolerance)


def _judged_rows(candidate: Candidate, kept: Artifacts) -> int:
    reference = candidate.artifact("reference")
    document = msgspec.json.decode(kept.get(reference.digest), type=Reference) if reference else None
    return document.holdout_rows if document else sys.maxsize


def _cause(candidate: Candidate, now: Environment) -> str:
    then = candidate.environment.distributions
    both = [name for name in then if name in now.distributions]
    moved = [
        f"{name} {then[name]} → {now.distributions[name]}" for name in both if then[name] != now.distributions[name]
    ]
    cause = ", ".join(moved) or "code, content or build environment are not those of the run"
    return f"the recipe is another: {cause}"


def _candidate(plane: Plane, release: Digest) -> Candidate:
    document = plane.ledger.state(Noun.CANDIDATE, release)
    if document is None:
        known = plane.ledger.states(Noun.CANDIDATE)
        raise NotFoundError.among("candidate", short(release), [short(name) for name in known])
    return from_doc(Candidate, document)


def _run_of(plane: Plane, candidate: Candidate) -> Run:
    states = plane.ledger.states(Noun.RUN, candidate.system).values()
    found = [state for state in states if state["candidate"] == candidate.id]
    if not found:
        raise NotFoundError(f"no run recorded how {short(candidate.id)} was built")
    return from_doc(Run, found[-1])


def _clean(folder: Path, run: Run, use: str, target: Path) -> Path:
    """Return a clone at the run's commit, with what Git does not hold (data, a large model) put in from the folder."""
    if not look(folder).commit:
        raise NotFoundError(f"{folder.name} is in no Git repository, so its commit {run.commit[:12]} cannot be found")
    project = clone_at(folder, run.commit, target)
    for name in (*run.data, use):
        _put_in(folder / name, project / name)
    return project


def _put_in(source: Path, target: Path) -> None:
    if not target.exists() and source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _check_data(project: Path, run: Run) -> None:
    for name, digest in run.data.items():
        path = project / name
        if not path.exists():
            raise InputError(f"the table {name} of the run is gone", hint="put it back where the manifest names it")
        if digest_file(path) != digest:
            raise InputError(f"the table {name} changed since the run: it was {short(digest)}")


@contextmanager
def _shelf(path: Path) -> Generator[Artifacts]:
    """Keep what is rebuilt apart from the home."""
    path.mkdir()
    yield FileArtifacts(path)
