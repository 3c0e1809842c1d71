"""Builds of models that came as files: once per recipe, told as a run, and built again the same."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from skops.io import dump

from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.ledger import Noun
from roadworthy.domain.principal import Actor
from roadworthy.domain.system import Content, DataPlan, Decision, Kind, Owner, Policy, System, Tier
from roadworthy.errors import ArtifactError, InputError, NotFoundError, RefusedError
from roadworthy.lifecycle import build as build_module
from roadworthy.lifecycle import checkout
from roadworthy.lifecycle import prototype as prototype_module
from roadworthy.lifecycle.build import build
from roadworthy.lifecycle.prototype import from_sql, load_own, prepare
from roadworthy.lifecycle.reproduce import Reproduction, reproduce
from roadworthy.lifecycle.runs import compare, find_run, runs
from roadworthy.lifecycle.split import read_split
from roadworthy.ports.plane import Plane
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.testing import memory_plane

ANA = Actor(principal="ana")
A, B = Field(name="a", type=FieldType.NUMBER), Field(name="b", type=FieldType.INTEGER)
BINARY = Interface(inputs=(A, B), task=Task.BINARY, labels=("0", "1"), positive="1")
BASELINE = """create table fitted as select avg(late) as rate from train;
select (select rate from fitted) as probability from input order by rw_row;
"""


def table() -> pd.DataFrame:
    """Make rows whose truth follows from both numbers."""
    generator = np.random.default_rng(3)
    rows = pd.DataFrame({"a": generator.normal(5, 1, 120).round(3), "b": generator.integers(0, 9, 120)})
    rows["late"] = (rows["a"] + rows["b"] / 9 > 5.5).astype(int)
    return rows


def fitted(model: Any) -> Any:
    """Fit a model on all rows."""
    return model.fit(table()[["a", "b"]], table()["late"])


@dataclass
class Project:
    """A committed project of a model file, and a home."""

    folder: Path
    plane: Plane
    system: System

    def build(self) -> Any:
        """Build it as it lies there."""
        return build(self.folder, self.system, self.plane, ANA)

    def commit(self) -> None:
        """Commit what changed."""
        who = ["-c", "user.name=ana", "-c", "user.email=ana@example.com"]
        subprocess.run(["git", "-C", str(self.folder), *who, "commit", "-qam", "change"], check=True)

    def use(self, **content: Any) -> None:
        """Change what the manifest says of the content."""
        self.system = replace(self.system, content=replace(self.system.content, **content))

    def reproduce(self, candidate: str, **more: Any) -> Reproduction:
        """Build a candidate again."""
        return reproduce(candidate, self.folder, self.plane, lambda _: self.system, **more)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Lay it out and commit it."""
    folder = tmp_path / "project"
    folder.mkdir()
    table().to_csv(folder / "rows.csv", index=False)
    dump(fitted(LogisticRegression()), folder / "model.skops")
    (folder / "baseline.sql").write_text(BASELINE)
    checkout.start(folder, ["."], "Begin")
    data = DataPlan(table="rows.csv", target="late")
    content = Content(use="model.skops", data=data, baseline="baseline.sql", interface=BINARY)
    policy = Policy(owner=Owner(principal="ana", contact="ana@example.org"))
    plane = memory_plane(artifacts=FileArtifacts(tmp_path / "artifacts"))
    return Project(folder, plane, System(name="s", kind=Kind.MODEL, content=content, policy=policy))


def test_a_recipe_is_built_once_and_the_baseline_beside_it(project: Project) -> None:
    """The second build writes nothing; a lost baseline is built again without the model."""
    first = project.build()
    assert any("may have seen the rows that judge it" in note for note in first.run.notes)
    head = project.plane.ledger.head()
    assert project.build().reused
    assert project.plane.ledger.head() == head
    (project.folder / "baseline.sql").write_text(BASELINE + "-- reviewed\n")
    project.use(baseline="")
    assert project.build().baseline is None
    project.use(baseline="baseline.sql")
    artifact = first.baseline.artifact("model")
    Path(project.plane.artifacts.path(artifact.digest)).unlink()
    (project.folder / "baseline.sql").write_text(BASELINE)
    again = project.build()
    assert (again.reused, again.candidate.id, again.baseline.id) == (True, first.candidate.id, first.baseline.id)


def test_a_language_model_is_built_by_rules_of_its_own(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no training rows; the same verb builds it."""
    asked: list[Any] = []
    monkeypatch.setattr(build_module, "build_llm", lambda *given: asked.append(given) or "built")
    project.system = replace(project.system, kind=Kind.LLM)
    assert project.build() == "built"
    assert asked == [(project.folder, project.system, project.plane, ANA)]


def test_a_slow_model_is_judged_on_fewer_rows(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The baseline is judged on the same ones, and the notes say how many."""
    monkeypatch.setattr(build_module, "affordable", lambda _: 10)
    monkeypatch.setattr(prototype_module, "affordable", lambda _: 50)
    notes = project.build().run.notes
    assert any("10 of " in note for note in notes)
    assert any(note.startswith("the model was asked for 50 of ") for note in notes)
    again = project.reproduce(project.build().candidate.id)
    assert again.within


def test_above_tier_low_a_candidate_comes_from_a_commit(project: Project, tmp_path: Path) -> None:
    """What differs from it is named, and so is the want of a repository."""
    careful = replace(project.system.policy, decision=Decision(tier=Tier.STANDARD))
    project.system = replace(project.system, policy=careful)
    for number in range(6):
        (project.folder / f"new{number}.txt").write_text("not committed")
    with pytest.raises(RefusedError, match=r"new4\.txt, …"):
        project.build()
    project.folder = tmp_path / "elsewhere"
    project.folder.mkdir()
    with pytest.raises(RefusedError, match="is built from a Git commit"):
        project.build()


def test_runs_are_listed_found_and_compared(project: Project) -> None:
    """Side by side one sees what differs; a name that fits none or several finds nothing."""
    one = project.build()
    dump(fitted(LogisticRegression(C=0.1)), project.folder / "model.skops")
    project.commit()
    other = project.build()
    by_candidate = {run.candidate: run for run in runs(project.plane, "s")}
    baseline, first, second = (
        by_candidate[candidate.id] for candidate in (one.baseline, one.candidate, other.candidate)
    )
    assert find_run(project.plane, "s", first.id) == first
    assert find_run(project.plane, "s", first.id[:-1]) == first
    for name in ("run-", "nothing"):
        with pytest.raises(NotFoundError):
            find_run(project.plane, "s", name)
    found = compare([first, second])
    assert found.differing == ("estimator.C",)
    assert found.parameters["estimator.C"] == (1.0, 0.1)
    assert found.metrics["auc"][0] == first.metrics["auc"]
    assert compare([baseline, first]).parameters["estimator"] == (None, "LogisticRegression")


def test_a_candidate_is_built_again_from_its_commit(project: Project) -> None:
    """Byte for byte, also the baseline, also after the folder went on; data that Git lacks come from the folder."""
    (project.folder / ".gitignore").write_text("rows.csv\n")
    subprocess.run(["git", "-C", str(project.folder), "rm", "-q", "--cached", "rows.csv"], check=True)
    subprocess.run(["git", "-C", str(project.folder), "add", ".gitignore"], check=True)
    project.commit()
    built = project.build()
    dump(fitted(LogisticRegression(C=0.1)), project.folder / "model.skops")
    for candidate in (built.candidate, built.baseline):
        again = project.reproduce(candidate.id)
        assert again.identical
        assert again.within
        assert again.differences == ()
        assert again.rebuilt == candidate.id


def test_what_comes_out_differently_is_said_in_words(project: Project) -> None:
    """Cause first, then artifacts, metrics and predictions; as the folder is, nothing need be committed."""
    built = project.build()
    dump(fitted(LogisticRegression(C=1e-6)), project.folder / "model.skops")
    again = project.reproduce(built.candidate.id, here=True)
    assert not again.within
    assert again.differences[0] == "the recipe is another: code, content or build environment are not those of the run"
    said = "\n".join(again.differences)
    for words in ("artifact 'model' differs", "metric log_loss was", "predictions on the reference rows differ"):
        assert words in said


def test_another_version_of_a_package_is_named_as_the_cause(project: Project) -> None:
    """Of a difference one wants to know what moved."""
    candidate = project.build().candidate
    older = {**candidate.environment.distributions, "numpy": "1.0"}
    from roadworthy.lifecycle.reproduce import _cause

    said = _cause(
        replace(candidate, environment=replace(candidate.environment, distributions=older)), candidate.environment
    )
    assert said.startswith("the recipe is another: numpy 1.0 → ")


def test_what_cannot_be_built_again_is_said_to_be(project: Project, tmp_path: Path) -> None:
    """Uncommitted code, gone or changed data, an unknown candidate, a lost record, a folder without Git."""
    with pytest.raises(NotFoundError):
        project.reproduce("sha256:" + "0" * 64)
    (project.folder / "baseline.sql").write_text(BASELINE + "-- edited\n")
    dirty = project.build()
    with pytest.raises(RefusedError, match="built from files that differed from their commit"):
        project.reproduce(dirty.candidate.id)
    project.commit()
    (project.folder / "baseline.sql").write_text(BASELINE + "-- committed\n")
    project.commit()
    clean = project.build()
    kept = (project.folder / "rows.csv").read_bytes()
    (project.folder / "rows.csv").write_bytes(kept + b"5.0,3,1\n")
    with pytest.raises(InputError, match=r"rows\.csv changed since the run"):
        project.reproduce(clean.candidate.id, here=True)
    (project.folder / "rows.csv").unlink()
    with pytest.raises(InputError, match=r"rows\.csv of the run is gone"):
        project.reproduce(clean.candidate.id, here=True)
    place, project.folder = project.folder, tmp_path / "no repository"
    project.folder.mkdir()
    with pytest.raises(NotFoundError, match="is in no Git repository"):
        project.reproduce(clean.baseline.id)
    project.folder = place
    states = project.plane.ledger.states
    lost = replace(project, plane=replace(project.plane, ledger=_Forgetful(project.plane.ledger)))
    with pytest.raises(NotFoundError, match="no run recorded"):
        lost.reproduce(clean.candidate.id)
    assert states(Noun.RUN, "s")


class _Forgetful:
    """A ledger whose runs are gone, as in a home restored from elsewhere."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def states(self, noun: Noun, system: str = "") -> Any:
        """Return no runs."""
        return {} if noun is Noun.RUN else self._ledger.states(noun, system)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


def test_a_candidate_that_was_never_committed_says_so(tmp_path: Path, project: Project) -> None:
    """A folder without a commit is no place to come back to."""
    loose = tmp_path / "loose"
    loose.mkdir()
    for name in ("rows.csv", "model.skops", "baseline.sql"):
        (loose / name).write_bytes((project.folder / name).read_bytes())
    project.folder = loose
    built = project.build()
    with pytest.raises(RefusedError, match="built from a folder without a commit"):
        project.reproduce(built.candidate.id)


@pytest.mark.parametrize(
    ("model", "runtime", "said"),
    [
        (KNeighborsClassifier(weights="distance"), "", ""),
        (LinearSVC(), "onnx", "gives no probabilities, so they are 1 or 0; CalibratedClassifierCV(LinearSVC())"),
    ],
)
def test_how_a_model_is_served_is_noted(project: Project, model: Any, runtime: str, said: str) -> None:
    """As a graph where one agrees; by itself where none does; without probabilities with a word on it."""
    dump(fitted(model), project.folder / "model.skops")
    built = project.build()
    assert not runtime or built.candidate.runtime == runtime
    assert any(said in note for note in built.run.notes)


def test_a_model_without_a_graph_is_served_by_itself(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note gives the reason; types that a person trusts stay with the candidate."""
    from roadworthy.lifecycle import export as export_module

    nothing = export_module.Export(content=None, reason="no converter knows it")
    monkeypatch.setattr(export_module, "export", lambda *_: nothing)
    project.use(trusted_types=("mine.Type",))
    built = project.build()
    assert built.candidate.runtime == "sklearn"
    assert any(note.endswith("not as ONNX: no converter knows it") for note in built.run.notes)
    trust = built.candidate.artifact("trust")
    assert json.loads(project.plane.artifacts.get(trust.digest)) == ["mine.Type"]


def test_a_model_that_fails_on_its_own_rows_is_the_owners_to_mend(project: Project) -> None:
    """What it raised is the message."""
    model = fitted(LogisticRegression())
    model.coef_ = np.zeros((1, 5))
    dump(model, project.folder / "model.skops")
    with pytest.raises(InputError, match="the model fails on its own training rows: ValueError"):
        project.build()


@pytest.mark.parametrize(("name", "said"), [("model.pkl", "roadworthy trust model.pkl"), ("notes.txt", "use train.py")])
def test_a_file_of_another_kind_is_no_prototype(project: Project, name: str, said: str) -> None:
    """A pickle has a way in; anything else is told what would be one."""
    joblib.dump(LinearRegression(), project.folder / name)
    content = replace(project.system.content, use=name)
    split = read_split(project.folder, content)
    with pytest.raises(InputError) as refused:
        prepare(project.folder, content, split, project.plane.artifacts)
    assert said in refused.value.hint


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (b"\xff\xfe", r"b\.sql is not UTF-8 text"),
        (b"", r"b\.sql: "),
        (b"select no_such_column as probability from input", r"b\.sql fails on the training rows"),
        (b"select avg(a) over () / 10 as probability from input order by rw_row", "does not answer row by row"),
        (b"select b / 9 as probability from input order by a", "does not answer row by row"),
    ],
)
def test_sql_that_is_no_rule_for_a_row_is_refused(project: Project, sql: bytes, said: str) -> None:
    """Each answer rests on its own row, in the order of the rows."""
    (project.folder / "b.sql").write_bytes(sql)
    split = read_split(project.folder, project.system.content)
    with pytest.raises(InputError, match=said):
        from_sql(project.folder / "b.sql", BINARY, split, project.plane.artifacts)


def test_a_baseline_that_keeps_the_rows_is_noted(project: Project) -> None:
    """A rule that remembers every row is no aggregate."""
    (project.folder / "b.sql").write_text(
        "create table fitted as select a, b, late from train;\nselect 0.5 as probability from input order by rw_row;\n"
    )
    split = read_split(project.folder, project.system.content)
    made = from_sql(project.folder / "b.sql", BINARY, split, project.plane.artifacts)
    assert any("not an aggregate" in note for note in made.notes)


def test_a_model_of_the_projects_own_code_is_refused(project: Project) -> None:
    """No worker has that code."""
    (project.folder / "json.py").write_text("")
    from sklearn.preprocessing import FunctionTransformer

    dump(FunctionTransformer(json.loads), project.folder / "own.skops")
    with pytest.raises(ArtifactError, match="the project's own code"):
        load_own(project.folder, (project.folder / "own.skops").read_bytes())
