"""A project's own tests: run by the tool in a process of their own, judged by what that process says."""

from __future__ import annotations

import importlib.util
import json
import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.domain.candidate import Artifact, Candidate
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.lifecycle import run_tests_child
from roadworthy.lifecycle.run_tests import Subject, run_tests, suite_digest
from roadworthy.lifecycle.run_tests_child import spoken
from roadworthy.runtimes.environment import capture
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.codec import to_doc

A = Field(name="a", type=FieldType.NUMBER)
BINARY = Interface(inputs=(A,), task=Task.BINARY, labels=("0", "1"), positive="1")
MODEL = "select a as probability from input order by rw_row"
GOOD = """def test_every_row_gets_an_answer(predict, rows):
    assert [answer["probability"] for answer in predict(rows)] == [0.25, 0.75]
    assert predict(rows)[1]["label"] == "1"


def test_the_candidate_is_told(candidate):
    assert candidate["runtime"] == "sql"
"""


def subject(place: Path) -> Subject:
    """Keep a candidate in SQL."""
    kept = FileArtifacts(place).put(MODEL.encode())
    candidate = Candidate(
        system="s", recipe="r", artifacts=(Artifact(role="model", format="sql", digest=kept),), interface=BINARY,
        runtime="sql", environment=capture(("duckdb", "numpy")),
    )  # fmt: skip
    return Subject(candidate=candidate, artifacts=place, rows=({"a": 0.25}, {"a": 0.75}))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Lay out a project, and stand in it."""
    (tmp_path / "project" / "tests").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path / "project"
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(("test_", "conftest", "unit_")):
            del sys.modules[name]


def write(project: Path, **files: str) -> None:
    """Write test files."""
    for name, text in files.items():
        (project / "tests" / f"{name}.py").write_text(text)


def child(project: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """Do what the child process does, here; return its report."""
    asked = subject(project.parent / "artifacts")
    job = {
        "candidate": to_doc(asked.candidate), "artifacts": str(asked.artifacts), "rows": list(asked.rows),
        "report": str(project.parent / "report.json"),
    }  # fmt: skip
    (project.parent / "job.json").write_text(json.dumps(job))
    monkeypatch.setattr(sys, "argv", ["run_tests_child", str(project.parent / "job.json")])
    runpy.run_path(str(run_tests_child.__file__), run_name="__main__")
    return json.loads((project.parent / "report.json").read_text())


def test_what_passes_is_counted_and_what_fails_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that fails while it sets up has failed; one expected to fail is no pass; a broken file is named."""
    odd = (
        "import pytest\n\n\n@pytest.fixture\ndef broken():\n    raise OSError\n\n\n"
        "def test_setup(broken):\n    pass\n\n\n"
        "def test_wrong():\n    assert False\n\n\n@pytest.mark.xfail\ndef test_known():\n    assert False\n\n\n"
        "@pytest.mark.xfail\ndef test_mended():\n    pass\n\n\n"
        "@pytest.fixture\ndef untidy():\n    yield\n    raise OSError\n\n\ndef test_untidy(untidy):\n    pass\n"
    )
    write(project, unit_good="", test_good_ones=GOOD, test_odd_ones=odd, test_broken_one="import no_such_module\n")
    report = child(project, monkeypatch)
    assert report["passed"] == 0  # pytest stops where a file cannot be imported
    assert report["failures"] == ["tests/test_broken_one.py (cannot be imported)"]
    assert report["stopped"] == "pytest ended with code 2"
    (project / "tests" / "test_broken_one.py").unlink()
    report = child(project, monkeypatch)
    assert report["passed"] == 3
    names = [name.partition("::")[2] for name in report["failures"]]
    assert names == ["test_setup", "test_wrong", "test_untidy"]
    assert report["stopped"] == ""


def test_the_projects_own_pytest_settings_hold(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings are read from its folder, none from a folder above."""
    (project.parent / "pytest.ini").write_text("[pytest]\npython_files = no_such_*.py\n")
    write(project, test_good_too=GOOD)
    assert child(project, monkeypatch)["passed"] == 2
    (project / "pytest.ini").write_text("[pytest]\npython_files = no_such_*.py\n")
    assert child(project, monkeypatch) == {"passed": 0, "failures": [], "stopped": ""}


def test_without_pytest_plain_functions_and_test_cases_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base install can judge too; what it cannot give a test is said."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    cases = (
        "import unittest\n\n\nclass TestOld(unittest.TestCase):\n"
        "    def test_old(self):\n        self.assertTrue(True)\n\n"
        "    def test_bad(self):\n        self.fail()\n\n\ndef test_needs(tmp_path):\n    pass\n\n\nVALUE = 3\n"
    )
    write(project, test_plain=GOOD, test_unit=cases, test_torn="import no_such_module\n")
    report = child(project, monkeypatch)
    assert report["passed"] == 3
    names = [name.partition("::")[2] or name for name in report["failures"]]
    assert names == ["tests/test_torn.py (cannot be imported)", "TestOld.test_bad", "test_needs"]


@pytest.mark.parametrize(
    ("task", "outputs", "first"),
    [
        (Task.REGRESSION, {"value": np.array([1.5])}, {"value": 1.5}),
        (Task.MULTICLASS, {"label": np.array(["x"]), "probabilities": np.array([[0.75, 0.25]])},
         {"label": "x", "probabilities": {"x": 0.75, "y": 0.25}}),
        (Task.BINARY, {"label": np.array(["1"]), "probability": np.array([0.5])}, {"label": "1", "probability": 0.5}),
    ],
)  # fmt: skip
def test_answers_are_spelled_as_over_http(task: Task, outputs: Any, first: Any) -> None:
    """A test sees what a caller will see."""
    assert spoken(outputs, Interface(inputs=(A,), task=task, labels=("x", "y"))) == [first]


def test_the_tests_run_in_a_process_without_this_ones_secrets(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's word counts: what passed, what failed, what it printed."""
    monkeypatch.setenv("ROADWORTHY_KEY", "rw_x_secret")
    assert run_tests(project, subject(project.parent / "artifacts"), 60.0).suite == ""
    secret = "import os\n\n\ndef test_no_secret():\n    assert 'ROADWORTHY_KEY' not in os.environ\n"
    write(project, test_fine=GOOD, test_safe=secret, test_wrong="def test_wrong():\n    assert 'me' == 'you'\n")
    report = run_tests(project, subject(project.parent / "artifacts"), 60.0)
    assert (report.passed, report.failed, report.stopped) == (3, 1, "")
    assert "assert 'me' == 'you'" in report.output
    assert report.suite == suite_digest(project)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os, signal\n\n\ndef test_die():\n    os.kill(os.getpid(), signal.SIGKILL)\n", "ended by signal 9"),
        ("import os\n\n\ndef test_leave():\n    os._exit(0)\n", "died before it could report"),
    ],
)
def test_a_process_that_dies_has_passed_nothing(project: Path, code: str, said: str) -> None:
    """Silence is not a pass."""
    write(project, test_dying=code)
    report = run_tests(project, subject(project.parent / "artifacts"), 60.0)
    assert said in report.stopped
    assert report.passed == 0


def test_tests_without_an_end_are_ended(project: Path) -> None:
    """The limit is the gate's, and what they started ends with them."""
    write(project, test_endless="def test_endless():\n    while True:\n        pass\n")
    report = run_tests(project, subject(project.parent / "artifacts"), 0.2)
    assert report.stopped == "they took longer than 0.2 s"


def test_an_edited_test_is_another_suite(project: Path) -> None:
    """What is judged by other tests is judged again; what Python leaves behind is no test."""
    assert suite_digest(project) == ""
    write(project, test_one="def test_one(): ...\n")
    first = suite_digest(project)
    (project / "tests" / "__pycache__").mkdir()
    (project / "tests" / "__pycache__" / "test_one.pyc").write_bytes(b"x")
    assert suite_digest(project) == first
    write(project, test_one="def test_one(): pass\n")
    assert suite_digest(project) != first
