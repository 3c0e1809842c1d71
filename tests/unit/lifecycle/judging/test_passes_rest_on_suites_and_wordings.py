"""Checking kind llm: which earlier passes count again, and what ends them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import Digest
from roadworthy.domain.principal import Actor
from roadworthy.domain.system import System
from roadworthy.domain.verdict import VerdictState
from roadworthy.lifecycle import checkout
from roadworthy.lifecycle.check import CheckResult, check
from roadworthy.lifecycle.wordings import approve_wordings, wordings
from roadworthy.manifest import BUILT_IN, load
from roadworthy.ports.evaluation import Answered, Case, Scored, Scores
from roadworthy.ports.plane import Plane
from roadworthy.runtimes.scoring.score import score_checks
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.testing import memory_plane

ANA = Actor(principal="ana")
MANIFEST = """roadworthy: 1
system: helpdesk
kind: llm
owner: {name: ana, contact: ana@example.org}
decision: what a caller is told
use: main
pins:
  main: {provider: openai, url: "http://127.0.0.1:1/v1", model: big, price: {input: 1 USD, output: 2 USD}}
prompt: prompt.md
baseline: baseline.txt
gates:
  snapshots: {}
"""
SUITE = """all: {checks: {contains: seven days}}
cases:
  - {id: days, question: How long?, snapshot: true}
"""


@dataclass
class Trial:
    """A stage on paper: every question has one answer; files, wordings and evidence are those of the project."""

    plane: Plane
    folder: Path
    system: System
    candidate: Candidate
    notes: tuple[str, ...] = ()

    def files(self, patterns: Sequence[str]) -> Mapping[str, str]:
        """Read the suites."""
        found = sorted(path for pattern in patterns for path in self.folder.glob(pattern))
        return {path.relative_to(self.folder).as_posix(): path.read_text() for path in found}

    def answers(self, _who: str, cases: Sequence[Case], _repeats: int) -> Sequence[Answered]:
        """Answer."""
        return [Answered(case=case.name, repeat=0, text="You have seven days.", finish="stop") for case in cases]

    def score(self, answers: Sequence[Scored]) -> Sequence[Scores]:
        """Score by checks."""
        return [score_checks(one) for one in answers]

    def wording(self, case: str) -> str | None:
        """Return what a person approved."""
        return wordings(self.plane, "helpdesk").get(case)

    def evidence(self, _name: str, content: bytes) -> Digest:
        """Keep it."""
        return self.plane.artifacts.put(content)


@dataclass
class Project:
    """A project with one suite; only the gate `snapshots` judges it."""

    folder: Path
    plane: Plane

    @contextmanager
    def trial_for(
        self, plane: Plane, system: System, candidate: Candidate, folder: Path, **_more: Any
    ) -> Iterator[Any]:
        """Open a stage on paper."""
        yield Trial(plane, folder, system, candidate)

    def check(self) -> CheckResult:
        """Check the project as it lies there."""
        return check(self.plane, self.folder, load(self.folder, BUILT_IN), ANA, trial_for=self.trial_for)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that nobody has checked yet."""
    monkeypatch.setattr(checkout, "git_is_missing", lambda: True)
    folder = tmp_path / "desk"
    (folder / "suites").mkdir(parents=True)
    (folder / "system.yaml").write_text(MANIFEST)
    (folder / "prompt.md").write_text("# system\nBe exact.\n\n# user\n{{ question }}\n")
    (folder / "baseline.txt").write_text("Please write to us.\n")
    (folder / "suites" / "orders.yaml").write_text(SUITE)
    return Project(folder, memory_plane(artifacts=FileArtifacts(tmp_path / "artifacts")))


def snapshots(result: CheckResult) -> VerdictState:
    """Return what the gate said."""
    return next(one.state for one in result.verdicts if one.gate == "snapshots")


def test_a_newly_approved_wording_is_judged_and_then_counts_again(project: Project) -> None:
    """An approval changes what the gate holds answers to; after that the pass is not judged twice."""
    assert snapshots(project.check()) is VerdictState.INCONCLUSIVE
    approve_wordings(project.plane, "helpdesk", ANA, reason="as agreed")
    found = project.check()
    assert (snapshots(found), "snapshots" in found.reused) == (VerdictState.PASS, False)
    found = project.check()
    assert (snapshots(found), "snapshots" in found.reused) == (VerdictState.PASS, True)


def test_an_edited_suite_is_judged_again(project: Project) -> None:
    """A pass rests on the cases as they were asked."""
    project.check()
    approve_wordings(project.plane, "helpdesk", ANA, reason="as agreed")
    project.check()
    (project.folder / "suites" / "orders.yaml").write_text(SUITE.replace("How long?", "How many days?"))
    assert "snapshots" not in project.check().reused
