"""What people hand to init that cannot become a system ends in one clear message, and nothing is written."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from skl2onnx import to_onnx
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from skops.io import dump

from roadworthy import wiring
from roadworthy.domain.interface import FieldRole, FieldType
from roadworthy.domain.principal import Actor
from roadworthy.errors import RoadworthyError
from roadworthy.lifecycle.build import build
from roadworthy.lifecycle.init import InitResult, init
from roadworthy.lifecycle.keys import keys
from roadworthy.manifest import BUILT_IN, load
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.stores.home import create, is_home

ROWS = 60


def _table() -> pd.DataFrame:
    generator = np.random.default_rng(3)
    rows = pd.DataFrame({"a": generator.normal(5, 1, ROWS).round(3), "b": generator.integers(0, 9, ROWS)})
    rows["late"] = (rows["a"] + rows["b"] / 9 > 5.5).astype(int)
    return rows


def _model(rows: pd.DataFrame) -> Any:
    return LogisticRegression().fit(rows[["a", "b"]], rows["late"])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a folder with a good table and a good model, beside the empty project."""
    rows = _table()
    rows.to_csv(tmp_path / "rows.csv", index=False)
    dump(_model(rows), tmp_path / "model.skops")
    return tmp_path


def _plane(folder: Path) -> Plane:
    home = folder / ".roadworthy"
    if not is_home(home):
        create(home)
    return wiring.open_plane(Settings(home=home))


def _init(place: Path, source: str = "model.skops", data: str = "rows.csv", **more: Any) -> InitResult:
    folder = place / "project"
    more.setdefault("owner", "ana@example.com")
    return init(place / source, place / data, folder=folder, open_plane=lambda: _plane(folder), **more)


def test_a_prototype_becomes_a_running_project(place: Path) -> None:
    """One command gives a manifest of at most 12 lines that loads, builds and whose key is shown once."""
    made = _init(place)
    system = load(made.folder, BUILT_IN)
    assert len((made.folder / "system.yaml").read_text().splitlines()) <= 12
    assert made.commit
    assert system.name == "project"
    assert made.key in made.call
    assert all(made.key.encode() not in path.read_bytes() for path in made.folder.rglob("*") if path.is_file())
    plane = _plane(made.folder)
    assert [key.principal for key in keys(plane)] == ["ana"]
    assert plane.people.get("ana").contact == "ana@example.com"  # type: ignore[union-attr]
    built = build(made.folder, system, plane, Actor(principal="ana"))
    assert not built.run.dirty
    assert built.run.commit == made.commit
    assert built.baseline is not None
    assert built.candidate.runtime == "onnx"


def _write(name: str, content: bytes | str) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        (place / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def _keep(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    return lambda place: change(_table()).to_csv(place / "rows.csv", index=False)


def _fit(make: Callable[[pd.DataFrame], Any]) -> Callable[[Path], None]:
    return lambda place: dump(make(_table()), place / "model.skops")


ODD_TABLES: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (_write("rows.csv", b""), "rows.csv is empty"),
    "header only": (_write("rows.csv", "a,b,late\n"), "no rows"),
    "duplicate columns": (_write("rows.csv", "a,A,b,late\n1,1,1,0\n2,2,2,1\n"), "differ at most in case: a"),
    "numbers for names": (_write("rows.csv", "1,2,3\n4,5,6\n7,8,9\n"), "not column names"),
    "no truth": (_keep(lambda t: t.drop(columns="late")), "every column of rows.csv is a feature"),
    "constant truth": (_keep(lambda t: t.assign(late=1)), "same value in every row"),
    "null truth": (_keep(lambda t: t.assign(late=None)), "null in every row"),
    "other truth": (_keep(lambda t: t.assign(late=t["late"] + 3)), "model knows the classes 0, 1"),
    "missing column": (_keep(lambda t: t.drop(columns="b")), "lacks: 'b'"),
    "texts for numbers": (_keep(lambda t: t.assign(b="many")), "the model fails on rows of rows.csv"),
    "few rows": (_keep(lambda t: t.sort_values("late").iloc[[0, -1]]), "at least 10"),
    "not UTF-8": (_write("rows.csv", b"a,b,late\n\xff\xfe,1,0\n"), "cannot be read"),
}
ODD_MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "clusters": (_fit(lambda t: KMeans(2).fit(t[["a", "b"]])), "KMeans is neither a classifier nor a regressor"),
    "outliers": (_fit(lambda t: IsolationForest().fit(t[["a", "b"]])), "IsolationForest is neither"),
    "no model": (_fit(lambda t: {"a": 1}), "dict cannot predict"),
    "not fitted": (_fit(lambda t: LogisticRegression()), "not fitted"),
    "two truths": (_fit(lambda t: LinearRegression().fit(t[["a"]], t[["b", "late"]])), "the interface declares one"),
    "own code": (_fit(lambda t: FunctionTransformer(_table)), "test_init_odd_inputs._table"),
    "pickle inside": (_write("model.skops", pickle.dumps([1])), "is a pickle"),
    "damaged": (_write("model.skops", b"PK nothing"), "not a skops file"),
    "width": (_fit(lambda t: LogisticRegression().fit(np.zeros((4, 5)), [0, 1, 0, 1])), "takes 5 features"),
}


@pytest.mark.parametrize("case", [*ODD_TABLES, *ODD_MODELS])
def test_an_odd_table_or_model_ends_in_one_message(place: Path, case: str) -> None:
    """The message names what is wrong, and the project's folder stays empty."""
    change, said = (ODD_TABLES | ODD_MODELS)[case]
    change(place)
    with pytest.raises(RoadworthyError) as refused:
        _init(place)
    assert said in refused.value.message
    assert not (place / "project").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"source": "model.pkl"}, "does not exist"),
        ({"source": "rows.csv"}, "is no prototype"),
        ({"data": "rows.xlsx"}, "does not exist"),
        ({"data": "model.skops"}, "neither .csv nor .parquet"),
        ({"owner": "ana"}, "no address"),
        ({"name": "My System"}, "not a name for a system"),
        ({"target": "delay"}, "no column 'delay' (columns: a, b, late)"),
        ({"target": "a"}, "is a feature of the model"),
    ],
)
def test_a_wrong_argument_is_named(place: Path, arguments: dict[str, str], said: str) -> None:
    """A caller's slip costs one line, not a search."""
    with pytest.raises(RoadworthyError) as refused:
        _init(place, **arguments)
    assert said in refused.value.message


def test_nothing_is_overwritten(place: Path) -> None:
    """A second init in the same folder leaves every file as it was."""
    first = _init(place)
    before = {path: path.read_bytes() for path in first.folder.iterdir() if path.is_file()}
    with pytest.raises(RoadworthyError, match=r"is a project already: it has a system\.yaml") as refused:
        _init(place)
    assert "roadworthy release" in refused.value.hint
    assert {path: path.read_bytes() for path in first.folder.iterdir() if path.is_file()} == before


def test_what_people_wrote_before_is_used(place: Path) -> None:
    """A baseline, an interface and tests that are there already are part of the project as they are, and it says so."""
    first = _init(place)
    folder = place / "project"
    interface = (first.folder / "interface.yaml").read_text().replace("a: number", "a: number?")
    shutil.rmtree(folder)
    (folder / "tests").mkdir(parents=True)
    mine = {
        "baseline.sql": "create table fitted as select avg(late) as rate from train;\n"
        "select (select rate from fitted) as probability from input order by rw_row;\n",
        "interface.yaml": interface,
        "tests/test_mine.py": "def test_mine(rows):\n    assert rows\n",
    }
    for name, text in mine.items():
        (folder / name).write_text(text)
    made = _init(place)
    assert {name: (folder / name).read_text() for name in mine} == mine
    assert not (folder / "tests" / "test_system.py").exists()
    kept = {note for note in made.notes if note.startswith("kept: ")}
    assert kept == {"kept: baseline.sql was here", "kept: interface.yaml was here", "kept: tests was here"}
    system = load(folder, BUILT_IN)
    assert next(field for field in system.content.interface.inputs if field.name == "a").nullable
    built = build(folder, system, _plane(folder), Actor(principal="ana"))
    assert built.baseline is not None


def test_an_interface_that_does_not_read_is_said_before_anything_is_written(place: Path) -> None:
    """Init does not build on a file that the loader would refuse."""
    folder = place / "project"
    folder.mkdir()
    (folder / "interface.yaml").write_text("task: binary\ninputs: {a: nummber}\n")
    with pytest.raises(RoadworthyError, match=r"interface\.yaml"):
        _init(place)
    assert [path.name for path in folder.iterdir()] == ["interface.yaml"]


def test_init_leaves_no_bytecode_behind(place: Path) -> None:
    """A folder with training code holds afterwards what the user put there and what init says it wrote."""
    (place / "columns.py").write_text("NAMES = ['a', 'b']\n")
    (place / "train.py").write_text(
        "from columns import NAMES\nfrom sklearn.linear_model import LogisticRegression\nTARGET = 'late'\n\n\n"
        "def train(rows):\n    return LogisticRegression().fit(rows[NAMES], rows[TARGET])\n"
    )
    _init(place, "train.py")
    assert not list(place.rglob("__pycache__"))


def test_a_repository_in_use_is_left_to_its_people(place: Path) -> None:
    """Inside an existing repository nothing is committed; the note says what to do."""
    import subprocess

    subprocess.run(["git", "init", "-q", str(place)], check=True)
    made = _init(place)
    assert made.commit == ""
    assert any("commit the new files there" in note for note in made.notes)


def test_a_machine_without_git_gets_a_project_and_a_warning(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git is not needed to begin, but its absence is said."""
    monkeypatch.setenv("PATH", str(place))
    made = _init(place)
    assert made.commit == ""
    assert any("Git is not installed" in note for note in made.notes)


def test_training_code_is_copied_with_the_modules_it_imports(place: Path) -> None:
    """A project is whole: what train.py imports comes along, and its declared target is believed."""
    (place / "columns.py").write_text("NAMES = ['a', 'b']\n")
    (place / "train.py").write_text(
        "from columns import NAMES\nfrom sklearn.linear_model import LogisticRegression\nTARGET = 'late'\n\n\n"
        "def train(rows, seed):\n    return LogisticRegression(random_state=seed).fit(rows[NAMES], rows[TARGET])\n"
    )
    rows = _table()
    rows["at"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS), unit="h")
    rows["order_id"] = [f"o{n}" for n in range(ROWS)]
    rows.to_csv(place / "rows.csv", index=False)
    made = _init(place, "train.py")
    system = load(made.folder, BUILT_IN)
    assert (made.folder / "columns.py").exists()
    assert (system.content.data.target, system.content.data.time) == ("late", "at")
    roles = {field.name: field.role for field in system.content.interface.inputs}
    assert roles["at"] is FieldRole.EVENT_TIME
    assert roles["order_id"] is FieldRole.ENTITY
    built = build(made.folder, system, _plane(made.folder), Actor(principal="ana"))
    assert any("newest 20%" in note for note in built.run.notes)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def train(rows:\n", "not valid Python"),
        ("import os, signal\n\ndef train(rows):\n    os.kill(os.getpid(), signal.SIGKILL)\n", "killed by signal 9"),
        ("import no_such_module\n", "No module named 'no_such_module'"),
    ],
)
def test_training_code_that_fails_says_where(place: Path, code: str, said: str) -> None:
    """The error of the project's code, with its line, reaches its author."""
    (place / "train.py").write_text(code)
    with pytest.raises(RoadworthyError) as refused:
        _init(place, "train.py")
    assert said in refused.value.message


def test_a_graph_from_elsewhere_becomes_a_project(place: Path) -> None:
    """An ONNX file needs no scikit-learn model beside it."""
    model = LogisticRegression().fit(_table()[["a", "b"]].to_numpy(np.float32), _table()["late"])
    graph = to_onnx(model, np.zeros((1, 2), np.float32), options={"zipmap": False})
    (place / "model.onnx").write_bytes(graph.SerializeToString())
    made = _init(place, "model.onnx")
    system = load(made.folder, BUILT_IN)
    assert [field.name for field in system.content.interface.features] == ["a", "b"]
    built = build(made.folder, system, _plane(made.folder), Actor(principal="ana"))
    assert built.candidate.runtime == "onnx"
    assert built.run.metrics["auc"] > 0.9


def test_ranges_leave_room_for_tomorrow(place: Path) -> None:
    """A number's range is wider than the table's, calendars have their own, open ends and unknown words stay open."""
    generator = np.random.default_rng(0)
    rows = pd.DataFrame({"month": generator.integers(1, 4, 200), "rain": generator.exponential(0.01, 200).round(4)})
    rows.loc[:9, "rain"] = 5.0
    rows["temp"] = generator.normal(40, 10, 200).round(1)
    rows["late"] = (rows["temp"] > 40).astype(int)
    dump(LogisticRegression().fit(rows.drop(columns="late"), rows["late"]), place / "model.skops")
    rows.to_csv(place / "rows.csv", index=False)
    fields = {field.name: field for field in load(_init(place).folder, BUILT_IN).content.interface.inputs}
    assert (fields["month"].minimum, fields["month"].maximum) == (1, 12)
    assert (fields["rain"].minimum, fields["rain"].maximum) == (0, None)
    assert fields["temp"].maximum > rows["temp"].max() + 20  # type: ignore[operator]
    assert fields["month"].type is FieldType.INTEGER
