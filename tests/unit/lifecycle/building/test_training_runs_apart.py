"""Training: the project's code runs in a process of its own; what it does wrong is said with its line."""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.system import Content, DataPlan
from roadworthy.errors import InputError
from roadworthy.lifecycle import training_child
from roadworthy.lifecycle.split import read_split
from roadworthy.lifecycle.training import child_environment, train
from roadworthy.runtimes.sklearn import load_estimator

GOOD = "from sklearn.linear_model import LinearRegression\n\n\ndef train(rows, {extra}):\n    {body}\n"


OWN = """class Own:
    def predict(self):
        return self.f


def train(rows):
    own = Own()
    own.f = (n for n in rows)
    return own
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Lay out a table; whatever the code under test imports is forgotten afterwards."""
    duckdb.sql("select range::double as a, 2 * range::double as y from range(40)").write_parquet(
        str(tmp_path / "rows.parquet")
    )
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name in ("train", "odd"):
            del sys.modules[name]


def run(folder: Path, code: str, name: str = "train.py", **changes: Any) -> tuple[int, dict[str, str]]:
    """Do a job as the child process does; return its exit code and report."""
    (folder / name).write_text(code)
    job = {
        "folder": str(folder), "code": str(folder / name), "rows": str(folder / "rows.parquet"),
        "fields": [["a", "number"], ["y", "number"]], "seed": 7, "parameters": {}, "model": str(folder / "model.skops"),
        "report": str(folder / "report.json"), **changes,
    }  # fmt: skip
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["training_child", str(path)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(training_child.__file__), run_name="__main__")
    code_of_exit = ended.value.code
    report = folder / "report.json"
    return code_of_exit, json.loads(report.read_text()) if report.exists() else {}


def test_the_fitted_estimator_comes_back_as_a_skops_file(folder: Path) -> None:
    """The manifest's parameters and the seed reach whoever asks for them."""
    body = "assert (alpha, seed) == (0.5, 7); return LinearRegression().fit(rows[['a']], rows['y'])"
    assert run(folder, GOOD.format(extra="alpha, seed", body=body), parameters={"alpha": 0.5}) == (0, {})
    model = load_estimator((folder / "model.skops").read_bytes(), ())
    assert model.coef_.tolist() == [pytest.approx(2)]


def test_code_that_takes_anything_gets_what_the_manifest_says(folder: Path) -> None:
    """The seed is given to those who name it."""
    body = "assert known == {'alpha': 1}, known; return LinearRegression().fit(rows[['a']], rows['y'])"
    assert run(folder, GOOD.format(extra="**known", body=body), parameters={"alpha": 1}) == (0, {})


def test_chance_is_the_same_every_time(folder: Path) -> None:
    """Code that draws from the global generators draws the same."""
    body = "import random, numpy; raise ValueError(f'{random.random()} {numpy.random.rand()}')"
    first = run(folder, GOOD.format(extra="seed", body=body))
    assert run(folder, GOOD.format(extra="seed", body=body)) == first


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\n", "it defines no function `train(rows)`"),
        ("train = 3\n", "it defines no function `train(rows)`"),
        ("def train(rows):\n    return 3\n", "returned int, which cannot predict"),
        ("def train(rows):\n    raise KeyError('speed')\n", "raised KeyError: 'speed' (line 2 of train.py)"),
        ("raise SystemExit(4)\n", "raised SystemExit: 4 (line 1 of train.py)"),
        (OWN, "which skops cannot keep"),
    ],
)  # fmt: skip
def test_what_the_code_does_wrong_is_said_with_its_line(folder: Path, code: str, said: str) -> None:
    """The author of the code reads of the code, not of us."""
    code_of_exit, report = run(folder, code)
    assert code_of_exit == 1
    assert said in report["error"]


def test_parameters_that_nobody_takes_are_refused(folder: Path) -> None:
    """A parameter without effect is a mistake in the manifest."""
    code_of_exit, report = run(folder, GOOD.format(extra="seed", body="return None"), parameters={"depth": 3})
    assert (code_of_exit, "does not take: depth" in report["error"]) == (1, True)


def test_a_file_that_is_no_module_is_refused(folder: Path) -> None:
    """Python imports by a file's name."""
    _, report = run(folder, "x = 1", name="odd")
    assert report["error"] == "it cannot be imported as a Python module"


def test_an_error_outside_of_the_projects_code_has_no_line_of_it(folder: Path) -> None:
    """A table that is gone is no fault of a line."""
    _, report = run(folder, "x = 1\n", seed="seven")
    assert report["error"].startswith("it defines no")
    _, report = run(folder, "def train(rows):\n    return 1\n", seed="seven")
    assert report["error"].startswith("train() raised TypeError")
    assert "line" not in report["error"].partition("TypeError")[2]


def test_training_runs_in_a_process_that_sees_no_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of this process reach no code of a project; a failure comes back as a refusal with the file's name."""
    monkeypatch.setenv("ROADWORTHY_KEY", "rw_x_secret")
    assert "ROADWORTHY_KEY" not in child_environment(-1)
    assert child_environment(-1)["PYTHONHASHSEED"] == str(2**32 - 1)
    interface = Interface(inputs=(Field(name="a", type=FieldType.NUMBER),), task=Task.REGRESSION)
    data = DataPlan(table="rows.parquet", target="y")
    content = Content(use="train.py", data=data, baseline="", interface=interface)
    split = read_split(folder, content)
    body = "import os; print('hello'); assert 'ROADWORTHY_KEY' not in os.environ; "
    good = GOOD.format(extra="seed", body=body + "return LinearRegression().fit(rows[['a']], rows['y'])")
    (folder / "train.py").write_text(good)
    trained = train(folder, content, split)
    assert trained.printed == "hello\n"
    assert load_estimator(trained.content, ()).n_features_in_ == 1
    (folder / "train.py").write_text("def train(rows):\n    return 3\n")
    with pytest.raises(InputError, match=r"train\.py: train\(\) returned int"):
        train(folder, content, split)
    (folder / "train.py").write_text("import os, sys\n\ndef train(rows):\n    sys.stderr.write('bye'); os._exit(3)\n")
    with pytest.raises(InputError, match=r"ended with code 3\n    bye"):
        train(folder, content, split)
    assert os.environ["ROADWORTHY_KEY"] == "rw_x_secret"
