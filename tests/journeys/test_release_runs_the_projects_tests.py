"""The project's tests in a real process: what they are given, what ends them, what counts as a pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roadworthy.domain.candidate import Candidate
from roadworthy.lifecycle import run_tests_child
from roadworthy.lifecycle.run_tests import Subject, run_tests, suite_digest
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.codec import to_doc
from serving_kit import ROW, sql_candidate

GIVEN = """
import os


def test_it_is_given_what_it_asks_for(predict, rows, candidate):
    assert predict(rows)[0] == {"probability": 0.25, "label": "0"} or predict(rows)[0]["probability"] == 0.25
    assert candidate["system"]


def test_it_is_given_no_key():
    assert not [name for name in os.environ if name.startswith("ROADWORTHY_")]
"""
LATER = """
def test_it_is_false():
    assert 1 == 2


def test_it_never_ends():
    while True:
        pass
"""


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """A SQL candidate whose bytes are kept, and two rows."""
    folder = tmp_path / "artifacts"
    candidate: Candidate = sql_candidate(FileArtifacts(folder), "0.25")
    return Subject(candidate=candidate, artifacts=folder, rows=[ROW, ROW])


def project(tmp_path: Path, **files: str) -> Path:
    """Lay out a project with these tests."""
    folder = tmp_path / "project"
    (folder / "tests").mkdir(parents=True)
    for name, text in files.items():
        (folder / "tests" / f"{name}.py").write_text(text)
    return folder


def test_tests_are_given_the_candidate_and_rows_and_no_key(
    tmp_path: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test asks by name; nothing that opens a door is handed on."""
    monkeypatch.setenv("ROADWORTHY_KEY", "rw_x_secret")
    report = run_tests(project(tmp_path, test_given=GIVEN), subject, 60)
    assert (report.passed, report.failures, report.stopped) == (2, (), ""), report.output


def test_tests_that_do_not_end_are_ended_and_said_so(tmp_path: Path, subject: Subject) -> None:
    """The time limit holds for whatever a test does."""
    report = run_tests(project(tmp_path, test_later=LATER), subject, 4)
    assert "took longer than 4 s" in report.stopped


def test_a_file_that_cannot_be_imported_is_a_named_failure(tmp_path: Path, subject: Subject) -> None:
    """A typo must not look like a project without tests."""
    report = run_tests(project(tmp_path, test_typo="import nowhere_to_be_found"), subject, 60)
    assert report.failures == ("tests/test_typo.py (cannot be imported)",)


def test_without_test_files_nothing_runs(tmp_path: Path, subject: Subject) -> None:
    """And nothing is named as the suite."""
    report = run_tests(project(tmp_path), subject, 60)
    assert (report.passed, report.failed, report.suite) == (0, 0, "")


def test_the_suite_is_named_by_its_content(tmp_path: Path) -> None:
    """An edit changes the name, so that an old verdict no longer counts."""
    folder = project(tmp_path, test_a="x = 1")
    before = suite_digest(folder)
    (folder / "tests" / "__pycache__").mkdir()
    (folder / "tests" / "__pycache__" / "test_a.pyc").write_bytes(b"1")
    assert suite_digest(folder) == before
    (folder / "tests" / "test_a.py").write_text("x = 2")
    assert suite_digest(folder) != before


def test_without_pytest_plain_functions_and_cases_still_run(tmp_path: Path, subject: Subject) -> None:
    """The base install has no pytest; a test that needs more than it offers says so."""
    text = (
        "import unittest\n\n"
        "def test_plain(predict, rows):\n    assert len(predict(rows)) == 2\n\n"
        "def test_false():\n    assert False\n\n"
        "def test_wants_more(tmp_path):\n    pass\n\n"
        "class Case(unittest.TestCase):\n    def test_in_a_case(self):\n        self.assertTrue(True)\n"
    )
    folder = project(tmp_path, test_plain=text, test_typo="import nowhere_to_be_found")
    job = {"candidate": to_doc(subject.candidate), "artifacts": str(subject.artifacts), "rows": list(subject.rows)}
    said = run_tests_child.without_pytest(folder / "tests", run_tests_child.Subject(json.loads(json.dumps(job))))
    assert said["passed"] == 2
    assert [name.rpartition("/")[2] for name in said["failures"]] == [
        "test_plain.py::test_false",
        "test_plain.py::test_wants_more",
        "test_typo.py (cannot be imported)",
    ]
