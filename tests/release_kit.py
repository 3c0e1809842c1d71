"""The flights example as a project of its own, small enough for a test, with a home whose baseline serves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import duckdb

from roadworthy.demo.data import write_flights
from roadworthy.domain.principal import Actor
from roadworthy.domain.system import System
from roadworthy.lifecycle.release import ReleaseResult, release
from roadworthy.manifest import load
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.stores.home import create
from roadworthy.wiring import catalogue, open_plane, prove_loads
from roadworthy.wiring.trial import trial_for

ANA = Actor(principal="ana")
ROWS = 12_000
TEST = '''"""The project's first test."""


def test_every_row_gets_an_answer(predict, rows):
    assert len(predict(rows)) == len(rows)
'''
# A shared machine must not decide the tests of the other gates, so the budget is far above what an answer needs.
MANIFEST = """roadworthy: 1
system: flights
kind: model
owner: {name: ana, contact: ana@example.org}
decision: {what: offer a rebooking before departure, tier: low}
use: train.py
data: {table: train.parquet, target: late, time: scheduled_at, entity: flight_id}
baseline: baseline.sql
gates: {latency: {p99_ms: 2000, rate: 60, seconds: 1}, quality: {metric: auc, at_least: 0.65}}
"""


@dataclass
class Project:
    """A project's folder and what was told while it was released."""

    folder: Path
    told: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """Return the home's folder."""
        return self.folder / ".roadworthy"

    def system(self) -> System:
        """Read the manifest."""
        return load(self.folder, catalogue())

    @contextmanager
    def open(self) -> Iterator[Plane]:
        """Open the home."""
        plane = open_plane(Settings(home=self.home))
        try:
            yield plane
        finally:
            plane.close()

    def release(self, reason: str = "", actor: Actor = ANA) -> ReleaseResult:
        """Release the project as it lies there, with the real parts."""
        with self.open() as plane:
            return release(
                plane, self.folder, self.system(), actor, trial_for=trial_for, prove_loads=prove_loads(plane),
                reason=reason, tell=self.told.append,
            )  # fmt: skip

    def use(self, prototype: str) -> None:
        """Put another of the example's prototypes in the place of `train.py`."""
        shutil.copyfile(str(files("roadworthy.demo.flights").joinpath(prototype)), self.folder / "train.py")

    def copy_to(self, folder: Path) -> Project:
        """Return a copy with a home of its own."""
        shutil.copytree(self.folder, folder)
        return Project(folder)


def new_project(folder: Path, data: Path) -> Project:
    """Lay out the example with a share of its rows, evenly spaced in time, and an empty home."""
    made = write_flights(data)
    (folder / "tests").mkdir(parents=True)
    project = Project(folder)
    sample = f"select * from read_parquet('{made.train}') order by md5(flight_id || scheduled_at::varchar) limit {ROWS}"
    duckdb.sql(f"copy ({sample}) to '{folder / 'train.parquet'}' (format parquet)")
    for name in ("train.py", "baseline.sql", "interface.yaml"):
        shutil.copyfile(str(files("roadworthy.demo.flights").joinpath(name)), folder / name)
    (folder / "system.yaml").write_text(MANIFEST)
    (folder / "tests" / "test_system.py").write_text(TEST)
    create(project.home)
    return project
