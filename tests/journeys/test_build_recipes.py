"""Builds: once per recipe, from what is committed, judged on rows that trained nothing, and repeatable."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from roadworthy import plugins, wiring
from roadworthy.domain.ledger import Noun
from roadworthy.domain.principal import Actor
from roadworthy.domain.reference import Reference
from roadworthy.domain.system import Decision, System, Tier
from roadworthy.errors import InputError, NotFoundError, RefusedError
from roadworthy.lifecycle.build import BuildResult, build
from roadworthy.lifecycle.init import init
from roadworthy.lifecycle.reproduce import reproduce
from roadworthy.lifecycle.runs import compare, find_run, runs
from roadworthy.lifecycle.split import read_split
from roadworthy.manifest import BUILT_IN, load
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.stats.counts import Bins, Counts
from roadworthy.stores.codec import from_doc, from_json
from roadworthy.stores.home import create

ANA = Actor(principal="ana")
TRAIN = """from sklearn.ensemble import HistGradientBoostingClassifier

TARGET = "late"


def train(rows, depth=3):
    model = HistGradientBoostingClassifier(max_iter=20, max_depth=depth, random_state=0)
    return model.fit(rows[["a", "b"]], rows[TARGET])
"""


@dataclass(frozen=True)
class Project:
    """A folder with a project, and the home it builds into."""

    folder: Path
    plane: Plane

    @property
    def system(self) -> System:
        """Read the manifest as it is now."""
        return load(self.folder, BUILT_IN)

    def build(self) -> BuildResult:
        """Build it as it is now."""
        return build(self.folder, self.system, self.plane, ANA)

    def commit(self) -> None:
        """Commit every change."""
        who = ["-c", "user.name=ana", "-c", "user.email=ana@example.com"]
        subprocess.run(["git", "-C", str(self.folder), *who, "commit", "-qam", "change"], check=True)


def _rows(n: int = 400) -> pd.DataFrame:
    generator = np.random.default_rng(5)
    rows = pd.DataFrame({"a": generator.normal(5, 1, n).round(3), "b": generator.integers(0, 9, n)})
    rows["late"] = (rows["a"] + rows["b"] / 3 + generator.normal(0, 0.5, n) > 6.5).astype(int)
    return rows


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project of training code, committed; init runs the code, which takes seconds."""
    place = tmp_path_factory.mktemp("begun")
    (place / "train.py").write_text(TRAIN)
    _rows().to_csv(place / "rows.csv", index=False)
    folder = place / "project"
    folder.mkdir()
    create(folder / ".roadworthy")
    plane = wiring.open_plane(Settings(home=folder / ".roadworthy"))
    init(place / "train.py", place / "rows.csv", "ana@example.com", folder=folder, open_plane=lambda: plane)
    plane.close()
    return folder


@pytest.fixture
def project(begun: Path, tmp_path: Path) -> Iterator[Project]:
    """Give each test a copy of its own."""
    folder = tmp_path / "project"
    shutil.copytree(begun, folder)
    plane = wiring.open_plane(Settings(home=folder / ".roadworthy"))
    yield Project(folder, plane)
    plane.close()


def test_the_same_recipe_is_never_built_twice(project: Project) -> None:
    """Building again returns the candidate that is there, and writes nothing."""
    first = project.build()
    head = project.plane.ledger.head()
    again = project.build()
    assert (again.reused, again.candidate, again.run, again.baseline) == (
        True,
        first.candidate,
        first.run,
        first.baseline,
    )
    assert project.plane.ledger.head() == head


def test_one_byte_of_code_is_another_candidate(project: Project) -> None:
    """Also a comment makes another recipe, since nobody can tell what a byte does; the baseline stays the same."""
    first = project.build()
    path = project.folder / "train.py"
    path.write_text(path.read_text() + "#")
    second = project.build()
    assert not second.reused
    assert second.candidate.id != first.candidate.id
    assert second.candidate.recipe != first.candidate.recipe
    assert second.baseline == first.baseline


@pytest.mark.parametrize("name", ["rows.csv", "baseline.sql", "interface.yaml"])
def test_data_baseline_and_interface_are_part_of_the_recipe(project: Project, name: str) -> None:
    """Whatever a candidate rests on changes its name."""
    first = project.build()
    path = project.folder / name
    text = path.read_text()
    path.write_text(text.replace("..9", "..8") if name == "interface.yaml" and "..9" in text else text + _tail(name))
    assert project.build().candidate.id != first.candidate.id


def _tail(name: str) -> str:
    return {"rows.csv": "5.0,3,1\n", "baseline.sql": "-- reviewed\n", "interface.yaml": "threshold: 0.4\n"}[name]


def test_a_folder_that_differs_from_its_commit_is_noted_at_tier_low(project: Project) -> None:
    """A newcomer may build what is not committed; the run says so and names the files."""
    (project.folder / "train.py").write_text(TRAIN + "# edited\n")
    run = project.build().run
    assert run.dirty
    assert any("train.py" in note for note in run.notes)


@pytest.mark.parametrize("tier", [Tier.STANDARD, Tier.HIGH])
def test_a_folder_that_differs_from_its_commit_is_refused_above(project: Project, tier: Tier) -> None:
    """Where more depends on it, a candidate is built only from what a commit holds."""
    system = project.system
    careful = replace(system, policy=replace(system.policy, decision=Decision(tier=tier)))
    (project.folder / "train.py").write_text(TRAIN + "# edited\n")
    with pytest.raises(RefusedError, match=r"train\.py"):
        build(project.folder, careful, project.plane, ANA)
    project.commit()
    assert build(project.folder, careful, project.plane, ANA).run.commit


def test_a_run_is_the_experiment_record(project: Project) -> None:
    """Parameters, metrics of model and baseline, data and commit of each build can be compared."""
    first = project.build()
    manifest = project.folder / "system.yaml"
    manifest.write_text(manifest.read_text() + "parameters: {depth: 1}\n")
    second = project.build()
    mine = [run for run in runs(project.plane, "project") if "auc" in run.metrics and "baseline.auc" in run.metrics]
    assert [run.id for run in mine] == [first.run.id, second.run.id]
    found = compare(mine)
    assert found.parameters["depth"] == (None, 1)
    assert set(found.differing) == {"depth", "estimator.max_depth"}
    assert found.metrics["auc"][0] != found.metrics["auc"][1]
    assert find_run(project.plane, "project", first.run.id[:9]) == first.run
    with pytest.raises(NotFoundError):
        find_run(project.plane, "project", "run-zzz")


def test_candidate_and_run_are_one_transaction(project: Project) -> None:
    """A candidate in the ledger always has the run that built it, and both are what build returned."""
    built = project.build()
    kinds = [event.kind for event in project.plane.ledger.events(system="project")]
    assert kinds.count("candidate.built") == kinds.count("run.finished") == 2
    document = project.plane.ledger.state(Noun.CANDIDATE, built.candidate.id)
    assert document is not None
    assert from_doc(type(built.candidate), document).id == built.candidate.id


def test_the_reference_holds_counts_and_no_rows(project: Project) -> None:
    """What monitors compare with adds up to the training rows, and the losses come with intervals."""
    built = project.build()
    artifact = built.candidate.artifact("reference")
    assert artifact is not None
    reference = from_doc(Reference, from_json(project.plane.artifacts.get(artifact.digest)))
    assert set(reference.bins) == {"a", "b"}
    assert Counts.from_doc(reference.counts["a"]).total == reference.rows
    assert Bins.from_doc(reference.bins["a"]).identity == reference.counts["a"]["bins"]
    assert Counts.from_doc(reference.prediction_counts).total == reference.holdout_rows
    assert reference.loss.low <= reference.loss.value <= reference.loss.high
    assert reference.baseline_loss is not None
    assert reference.metrics["auc"] == pytest.approx(built.run.metrics["auc"])


def test_equal_rows_land_on_one_side(project: Project) -> None:
    """No row that judges was trained on, also not as a copy of another."""
    rows = pd.concat([_rows(100)] * 3)
    rows.to_csv(project.folder / "rows.csv", index=False)
    split = read_split(project.folder, project.system.content)
    columns = split.table.columns
    content = np.array([f"{a}|{b}" for a, b in zip(columns["a"], columns["b"], strict=True)])
    assert not set(content[split.train_index]) & set(content[split.holdout_index])
    assert 0.1 < split.holdout().n / 300 < 0.3
    assert np.array_equal(read_split(project.folder, project.system.content).holdout_index, split.holdout_index)


def test_the_newest_rows_judge_where_there_are_times(project: Project) -> None:
    """A model meets in the hold-out what it will meet in production: the time after."""
    rows = _rows()
    rows["at"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.random.default_rng(0).permutation(400), unit="h")
    rows.to_csv(project.folder / "rows.csv", index=False)
    content = replace(project.system.content, data=replace(project.system.content.data, time="at"))
    split = read_split(project.folder, content)
    times = split.table.columns["at"]
    assert times[split.train_index].max() < times[split.holdout_index].min()
    assert split.holdout().n == 80


def test_an_entity_is_on_one_side(project: Project) -> None:
    """All rows of a customer judge, or all train."""
    rows = _rows().assign(customer=np.arange(400) % 40)
    rows.to_csv(project.folder / "rows.csv", index=False)
    content = replace(project.system.content, data=replace(project.system.content.data, entity="customer"))
    split = read_split(project.folder, content)
    who = split.table.columns["customer"]
    assert not set(who[split.train_index]) & set(who[split.holdout_index])


def test_a_conversion_that_changes_answers_is_not_served(project: Project) -> None:
    """A graph that disagrees with its model is dropped, the model itself is served, and the run says why."""
    code = TRAIN.replace("max_depth=depth", "max_depth=depth, categorical_features=[1]")
    (project.folder / "train.py").write_text(code)
    built = project.build()
    assert built.candidate.runtime == "sklearn"
    assert any("not as ONNX" in note for note in built.run.notes)
    runtime = plugins.load("runtimes", "sklearn")
    rows = read_split(project.folder, project.system.content).holdout()
    assert len(runtime.load(built.candidate, project.plane.artifacts).predict(rows.columns)["probability"]) == rows.n


@pytest.mark.parametrize("make", ["LinearSVC()", "make_pipeline(StandardScaler(), LinearSVC())", "RidgeClassifier()"])
def test_a_classifier_without_probabilities_is_served_as_a_graph_too(project: Project, make: str) -> None:
    """Its graph answers labels, as it does; the scores beside them are no probabilities and are dropped."""
    (project.folder / "train.py").write_text(
        "from sklearn.linear_model import RidgeClassifier\nfrom sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import StandardScaler\nfrom sklearn.svm import LinearSVC\nTARGET = 'late'\n\n\n"
        f"def train(rows):\n    return {make}.fit(rows[['a', 'b']], rows[TARGET])\n"
    )
    built = project.build()
    assert built.candidate.runtime == "onnx"
    rows = read_split(project.folder, project.system.content).holdout()
    served = plugins.load("runtimes", "onnx").load(built.candidate, project.plane.artifacts).predict(rows.columns)
    native = plugins.load("runtimes", "sklearn").load(built.candidate, project.plane.artifacts).predict(rows.columns)
    assert served["label"].tolist() == native["label"].tolist()
    assert set(served["probability"].tolist()) == {0.0, 1.0}


def test_a_release_is_built_again_from_its_commit(project: Project) -> None:
    """In a clean clone the same bytes come out, even after the folder moved on."""
    built = project.build()
    (project.folder / "train.py").write_text("def train(rows):\n    raise SystemExit\n")
    again = reproduce(built.candidate.id, project.folder, project.plane, lambda folder: load(folder, BUILT_IN))
    assert again.differences == ()
    assert again.identical
    assert again.within
    assert again.rebuilt == built.candidate.id
    assert again.metrics["auc"][0] == again.metrics["auc"][1]


def test_what_was_never_committed_cannot_be_built_again(project: Project) -> None:
    """Reproduce refuses and says what to do; the folder as it is can still be compared."""
    (project.folder / "train.py").write_text(TRAIN + "# edited\n")
    built = project.build()
    read: Callable[[Path], System] = lambda folder: load(folder, BUILT_IN)  # noqa: E731
    with pytest.raises(RefusedError, match="differed from their commit"):
        reproduce(built.candidate.id, project.folder, project.plane, read)
    assert reproduce(built.candidate.id, project.folder, project.plane, read, here=True).identical
    with pytest.raises(NotFoundError):
        reproduce("sha256:" + "0" * 64, project.folder, project.plane, read)


def test_another_training_is_seen_by_its_answers(project: Project) -> None:
    """When code changed, the differences are named: cause first, then artifacts, metrics and answers."""
    built = project.build()
    (project.folder / "train.py").write_text(TRAIN.replace("max_iter=20", "max_iter=2"))
    found = reproduce(built.candidate.id, project.folder, project.plane, lambda f: load(f, BUILT_IN), here=True)
    assert not found.within
    assert found.differences[0].startswith("the recipe is another")
    assert any("predictions on the reference rows differ" in text for text in found.differences)


def test_data_that_changed_is_refused(project: Project) -> None:
    """A release is reproduced from the rows it was built from, or not at all."""
    built = project.build()
    rows = project.folder / "rows.csv"
    rows.write_text(rows.read_text() + "5.0,3,1\n")
    with pytest.raises(InputError, match=r"rows\.csv changed since the run"):
        reproduce(built.candidate.id, project.folder, project.plane, lambda f: load(f, BUILT_IN), here=True)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select 1 as label from input where a > 5", "asked for"),
        ("select avg(b) over () / 10 as probability from input order by rw_row", "row by row"),
        ("select b / 9 as probability from input order by random()", "row by row"),
        ("create table fitted as select nothing from train; select 1 as label from input", "failed"),
    ],
)
def test_a_baseline_that_does_not_answer_each_row_for_itself_is_refused(project: Project, sql: str, said: str) -> None:
    """A fallback must answer one request as it would answer many."""
    (project.folder / "baseline.sql").write_text(sql)
    with pytest.raises(InputError, match=said):
        project.build()
