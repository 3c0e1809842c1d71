"""A model may be as slow as it likes: the build asks it fewer rows, says so, and leaves the verdict to the gates."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from roadworthy.domain.principal import Actor
from roadworthy.domain.reference import Reference
from roadworthy.lifecycle.build import build
from roadworthy.lifecycle.init import init
from roadworthy.lifecycle.pace import FEWEST_ROWS, affordable, pace_of
from roadworthy.lifecycle.split import read_split
from roadworthy.manifest import BUILT_IN, load
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.stores.codec import from_doc, from_json
from roadworthy.stores.home import create
from roadworthy.wiring import open_plane

pytestmark = pytest.mark.long

ROWS = 4_000
# A kernel over its own training rows: dear a row, and no graph of it exists.
SLOW = """from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

TARGET = "y"


def train(rows):
    some = rows.iloc[:600]
    return GaussianProcessRegressor(RBF(), optimizer=None).fit(some[["a"]], some[TARGET])
"""


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """Open a home of its own."""
    create(tmp_path / "home")
    made = open_plane(Settings(home=tmp_path / "home"))
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path, plane: Plane) -> Path:
    """Make a project whose rows have times."""
    at = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.random.default_rng(0).permutation(ROWS), unit="h")
    a = np.random.default_rng(1).normal(size=ROWS).round(6)
    pd.DataFrame({"a": a, "at": at, "y": (a * 2).round(6)}).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "train.py").write_text(SLOW)
    made = tmp_path / "project"
    made.mkdir()
    init(
        tmp_path / "train.py", tmp_path / "rows.csv", "ana@example.org", folder=made, open_plane=lambda: plane,
        target="y",
    )  # fmt: skip
    return made


class Sleeper:
    """Needs a stated time for each row."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0

    def predict(self, columns: Any) -> None:
        """Take its time."""
        n = len(columns["a"])
        self.asked += n
        time.sleep(n * self.seconds)


def test_a_slow_model_is_asked_few_rows_and_a_fast_one_all_of_them() -> None:
    """The time that all answers take is bounded, whatever a row costs; a fast model keeps every row."""
    columns = {"a": np.zeros(100_000)}
    slow, fast = Sleeper(0.02), Sleeper(0.0)
    pace = pace_of(slow.predict, columns)
    assert pace >= 0.02
    assert slow.asked <= 250
    assert affordable(pace) * 0.02 <= 8
    assert affordable(pace_of(fast.predict, columns)) >= 100_000


def test_paces_that_differ_a_little_choose_the_same_rows() -> None:
    """The number of rows is round, and never so small that it tells nothing."""
    assert affordable(0.0155) == affordable(0.0120) == 500
    assert affordable(100.0) == FEWEST_ROWS
    assert affordable(0.0) >= 100_000


def test_fewer_rows_are_spread_evenly_over_time(folder: Path) -> None:
    """A part of the rows stands for all of their time, the same part at each look."""
    split = read_split(folder, load(folder, BUILT_IN).content)
    assert split.time == "at"
    some, again = split.judged_on(50, "it is slow"), split.judged_on(50, "it is slow")
    assert np.array_equal(some.holdout_index, again.holdout_index)
    times = np.sort(split.table.columns["at"][some.holdout_index])
    gaps = np.diff(times)
    assert len(times) == 50
    assert gaps.max() <= 2 * gaps.min()
    assert some.notes[-1] == "50 of 800 rows, evenly spaced: it is slow"
    assert split.judged_on(800, "it is slow") is split


def test_a_build_with_a_slow_model_says_how_many_rows_it_rests_on(
    folder: Path, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's notes and the reference carry the number; the baseline is measured on the same rows."""
    monkeypatch.setattr("roadworthy.lifecycle.pace.PATIENCE_S", 0.0)
    monkeypatch.setattr("roadworthy.lifecycle.build.affordable", lambda _: 100)
    monkeypatch.setattr("roadworthy.lifecycle.prototype.affordable", lambda _: 200)
    built = build(folder, load(folder, BUILT_IN), plane, Actor(principal="ana"))
    artifact = built.candidate.artifact("reference")
    assert artifact is not None
    reference = from_doc(Reference, from_json(plane.artifacts.get(artifact.digest)))
    assert reference.holdout_rows == 100
    assert reference.loss.n == reference.baseline_loss.n == 100 if reference.baseline_loss else False
    notes = "; ".join(built.run.notes)
    assert "100 of 800 rows, evenly spaced: the model needs" in notes
    assert "200 of 3,200 training rows, evenly spaced" in notes
    assert replace(built.run, notes=()).metrics.keys() >= {"mae", "baseline.mae"}
