"""Builds from the command line: their record, side by side, judged, released, and built again from the commit."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TRAIN = """from sklearn.linear_model import LogisticRegression
TARGET = "late"


def train(rows, C=1.0):
    return LogisticRegression(C=C).fit(rows[["a", "b"]], rows[TARGET])
"""
# A shared machine must not decide what is tested here.
PATIENT = "gates: {latency: {p99_ms: 2000, rate: 60, seconds: 1}}\n"


def cli(folder: Path, *words: str, code: int = 0) -> str:
    """Run a command as a user types it; return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROADWORTHY_")}
    done = subprocess.run(
        [sys.executable, "-m", "roadworthy", *words], cwd=folder, capture_output=True, text=True, check=False,
        timeout=300, env={**kept, "ROADWORTHY_ACTOR": "ana"},
    )  # fmt: skip
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def commit(folder: Path, message: str) -> None:
    """Commit what changed, as a user would."""
    identity = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org"]
    subprocess.run(["git", *identity, "commit", "-qam", message], cwd=folder, check=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a tiny project, build it twice with another parameter, and release the second."""
    made = tmp_path_factory.mktemp("tiny")
    chance, lines = random.Random(1), ["a,b,late"]
    for _ in range(600):
        a, b = chance.gauss(0, 1), chance.gauss(0, 1)
        lines.append(f"{a:.4f},{b:.4f},{int(a + 0.3 * b + chance.gauss(0, 0.3) > 0)}")
    (made / "rows.csv").write_text("\n".join(lines) + "\n")
    (made / "train.py").write_text(TRAIN)
    cli(made, "init", "--from", "train.py", "--data", "rows.csv", "--owner", "ana@example.org", "--name", "tiny")
    cli(made, "build")
    (made / "system.yaml").write_text((made / "system.yaml").read_text() + "parameters: {C: 0.5}\n" + PATIENT)
    commit(made, "Regularise")
    return made


@pytest.fixture(scope="module")
def released(folder: Path) -> Path:
    """Release it."""
    cli(folder, "release")
    return folder


def test_a_build_is_told_as_a_document(folder: Path) -> None:
    """Candidate, run and whether the recipe had been built before; asked again, nothing is built."""
    first = json.loads(cli(folder, "build", "--json"))
    again = json.loads(cli(folder, "build", "--json"))
    assert again["reused"]
    assert again["candidate"] == first["candidate"]
    assert first["run"]["parameters"]["C"] == 0.5
    assert {"auc", "baseline.auc"} <= first["run"]["metrics"].keys()


def test_runs_are_listed_and_compared(folder: Path) -> None:
    """Each build is a line; side by side they show the parameter that differs."""
    cli(folder, "build")
    runs = json.loads(cli(folder, "runs", "--json"))
    mine = [run["id"] for run in runs if "baseline.auc" in run["metrics"]]
    assert all(name in cli(folder, "runs") for name in mine)
    beside = json.loads(cli(folder, "runs", "--compare", *mine[:2], "--json"))
    assert beside["parameters"]["C"] == [None, 0.5]
    assert set(beside["differing"]) == {"C", "estimator.C"}
    shown = cli(folder, "runs", "--compare", *mine[:2])
    assert all(name in shown for name in (*mine[:2], "baseline.auc"))


def test_a_metric_is_plotted_over_the_runs(folder: Path) -> None:
    """One bar a run that has the metric, the largest the longest."""
    cli(folder, "build")
    runs = {run["id"]: run["metrics"] for run in json.loads(cli(folder, "runs", "--json")) if "auc" in run["metrics"]}
    lines = [line for line in cli(folder, "runs", "--plot", "auc").splitlines() if "█" in line]
    drawn = {line.split()[0]: line.count("█") for line in lines}
    assert drawn.keys() == runs.keys()
    best = max(runs, key=lambda name: runs[name]["auc"])
    assert drawn[best] == max(drawn.values()) == 48


def test_check_judges_and_releases_nothing(released: Path) -> None:
    """Its verdicts are those of the release, by every gate, over every row of a model that is fast."""
    found = json.loads(cli(released, "check", "--json"))
    assert found["passed"]
    verdicts = {one["gate"]: one for one in found["verdicts"]}
    assert set(verdicts) == {"baseline", "contract", "export", "latency", "skew", "tests"}
    assert verdicts["contract"]["evidence"]["rows"] == 600
    assert verdicts["export"]["evidence"]["n"] == 480


def test_a_release_is_reproduced_and_it_is_shown_what_was_compared(released: Path) -> None:
    """From the commit in a clean folder come the same bytes, predictions and metrics, even if the folder moved on."""
    kept = (released / "train.py").read_text()
    (released / "train.py").write_text("def train(rows):\n    raise SystemExit\n")
    try:
        shown = cli(released, "reproduce", "v1")
        found = json.loads(cli(released, "reproduce", "tiny@v1", "--json"))
    finally:
        (released / "train.py").write_text(kept)
    assert "tiny@v1 built again agrees within 1e-06: the same artifacts, byte for byte" in shown
    assert "predictions on the reference rows: largest difference 0" in shown
    assert "auc" in shown
    assert found["identical"]
    assert found["agreement"]["n"] == 480


def test_what_comes_out_differently_ends_with_code_2_and_says_what_differs(released: Path) -> None:
    """Built from the folder as it is, with another parameter, it is another model."""
    manifest = released / "system.yaml"
    kept = manifest.read_text()
    manifest.write_text(kept.replace("C: 0.5", "C: 0.01"))
    try:
        shown = cli(released, "reproduce", "v1", "--here", code=2)
    finally:
        manifest.write_text(kept)
    assert "does not agree" in shown
    assert "differs: predictions on the reference rows differ" in shown
    assert "differs: artifact 'model' differs" in shown


def test_an_unknown_release_is_named_with_those_that_are_known(released: Path) -> None:
    """A typo is the caller's mistake."""
    cli(released, "reproduce", "v9", code=1)
