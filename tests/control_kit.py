"""A home with decisions in it, and its processes run for real: supervisor, control, data plane."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roadworthy.domain.condition import Comparison, Condition
from roadworthy.domain.failure_plan import ActionKind, FailurePlan, Rule
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.objective import Light, Objective
from roadworthy.domain.principal import Actor, Scope
from roadworthy.domain.release import Release
from roadworthy.domain.rollout import Stage, StagePlan
from roadworthy.domain.system import Owner, Policy, WatchPlan
from roadworthy.lifecycle.keys import create_key
from roadworthy.lifecycle.probe import Answer, HttpTraffic
from roadworthy.lifecycle.promote import promote
from roadworthy.lifecycle.status import Status, status
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.codec import to_doc
from roadworthy.stores.home import create
from roadworthy.wiring import open_plane, prove_loads
from serving_kit import INTERFACE, PATIENCE_S, ROW, sql_candidate, until

ADA = Actor(principal="ada")
GOOD = "case when distance > 5000 then 0.9 else 0.1 end"
ALSO_GOOD = "case when distance > 5000 then 0.88 else 0.12 end"
BAD = "case when distance > 5000 then 0.1 else 0.9 end"
BASELINE = "0.4"
POLICY = Policy(
    owner=Owner(principal="ada", contact="", backup="ben"),
    rollout=(StagePlan(stage=Stage.CANARY, share=0.3, records=20), StagePlan(stage=Stage.FULL, share=1.0)),
    watch=WatchPlan(
        objectives=(
            Objective(
                name="quality",
                when=Condition(monitor="brier", comparison=Comparison.ABOVE, threshold=0.4),
                light=Light.DECISION,
            ),
            Objective(name="errors", when=Condition(monitor="errors", comparison=Comparison.ABOVE, threshold=0.5)),
        )
    ),
    failure=FailurePlan(
        rules=(
            Rule(objective="quality", do=(ActionKind.ROLLBACK, ActionKind.PAGE)),
            Rule(objective="errors", do=(ActionKind.PAGE,)),
        ),
        pager=("file:pages.jsonl",),
    ),
)


@dataclass
class Running:
    """A home and the processes that a test started on it."""

    plane: Plane
    key: str = ""
    process: subprocess.Popen[bytes] | None = None
    sent: int = 0
    failures: list[str] = field(default_factory=list)

    def admit(self, number: int, probability: str, *, baseline: bool = False) -> Release:
        """Admit a SQL release without gates, which have tests of their own."""
        artifacts = FileArtifacts(self.plane.home.artifacts)
        candidate = sql_candidate(artifacts, probability, is_baseline=baseline)
        release = Release(
            id=candidate.id, system="flights", number=number, candidate=candidate, policy=POLICY.digest, run="",
            admitted_at=self.plane.clock.now(), admitted_by="ada",
        )  # fmt: skip
        self._write("release.admitted", Noun.RELEASE, release.id, to_doc(release))
        return release

    def apply(self, policy: Policy) -> None:
        """Put a policy in force."""
        self._write("policy.applied", Noun.POLICY, "flights", to_doc(policy))

    def promote(self, release: str, **more: Any) -> None:
        """Promote as ada."""
        promote(self.plane, "flights", release, actor=ADA, prove_loads=prove_loads(self.plane), **more)

    def live(self, release: str) -> None:
        """Force a release to all traffic."""
        self.promote(release, force=True, reason="the test needs it live")

    def status(self) -> Status:
        """Look at the system."""
        return status(self.plane, "flights")

    def start(self, *command: str, workers: int = 1) -> None:
        """Start `roadworthy up` (or another command) and wait until it answers."""
        for file in (self.plane.home.serve_file, self.plane.home.control_file):
            file.unlink(missing_ok=True)
        log = (self.plane.home.logs / "up.log").open("ab")
        environment = {
            **os.environ, "ROADWORTHY_HOME": str(self.plane.home.root), "ROADWORTHY_PORT": "0",
            "ROADWORTHY_CONTROL_PORT": "0", "ROADWORTHY_WORKERS": str(workers),
        }  # fmt: skip
        with log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "roadworthy", *(command or ("up",))],
                env=environment, cwd=self.plane.home.root, stdout=log, stderr=log,
            )  # fmt: skip
        until(self._is_up, "the processes run")

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        return self.plane.home.serve_file.exists()

    def wait_applied(self, workers: int = 1) -> None:
        """Wait until every worker serves the route in force."""
        until(lambda: self.status().applied and len(self.status().workers) == workers, f"applied; log: {self.log()}")

    def log(self) -> str:
        """Return what every process said."""
        return "\n".join(
            f"{file.name}: {file.read_text()[-3000:]}" for file in sorted(self.plane.home.logs.glob("*.log"))
        )

    def stop(self) -> None:
        """End what was started."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(40)

    def traffic(self) -> HttpTraffic:
        """Return what calls the running data plane."""
        url = json.loads(self.plane.home.serve_file.read_text())["url"]
        return HttpTraffic(url, self.key, "flights", "live")

    def call(self, *, late: bool = False, outcome: bool = True) -> Answer:
        """Ask once about a flight that will be late or not, and post the truth."""
        traffic = self.traffic()
        self.sent += 1
        row = {**ROW, "distance": 9000.0 if late else 500.0, "tail": f"N{self.sent}"}
        answer = traffic.predict(row)
        if not answer.is_good:
            self.failures.append(f"call {self.sent}: {answer}")
        elif outcome:
            assert traffic.outcome(answer.record, "late" if late else "on_time")
        return answer

    def _write(self, kind: str, noun: Noun, subject: str, after: dict[str, Any]) -> None:
        self.plane.ledger.commit(
            [Decide(kind=kind, system="flights", noun=noun, subject=subject, after=after, actor=ADA)]
        )


def open_running(folder: Path, policy: Policy = POLICY, releases: Sequence[str] = (GOOD, BAD)) -> Running:
    """Make a home with a baseline and releases v1, v2, …; nothing is promoted or started yet."""
    home = create(folder / "home")
    made = Running(plane=open_plane(Settings(home=home.root)))
    made.apply(policy)
    made.admit(0, BASELINE, baseline=True)
    for place, probability in enumerate(releases):
        made.admit(place + 1, probability)
    scopes = (Scope.PREDICT, Scope.OUTCOME)
    made.key = create_key(made.plane, "ada", scopes, ADA).text
    return made


__all__ = ["ADA", "ALSO_GOOD", "BAD", "GOOD", "INTERFACE", "PATIENCE_S", "POLICY", "Running", "open_running"]
