"""Pickles: refused everywhere, unless a person trusts these exact bytes; then they are loaded once and never again."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

pytestmark = pytest.mark.long

ROWS = 400


class Evil:
    """Leaves a mark where it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return (os.mkdir, (self.mark,))


def cli(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROADWORTHY_")}
    command = [sys.executable, "-m", "roadworthy", *words]
    return subprocess.run(
        command, cwd=folder, env={**environment, "ROADWORTHY_ACTOR": "ana"}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table, and a model that somebody pickled."""
    place = tmp_path / "project"
    place.mkdir()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 2))
    y = (x[:, 0] + 0.3 * rng.normal(size=ROWS) > 0).astype(int)
    lines = ["a,b,y", *(f"{row[0]:.6f},{row[1]:.6f},{label}" for row, label in zip(x, y, strict=True))]
    (place / "table.csv").write_text("\n".join(lines) + "\n")
    (place / "model.pkl").write_bytes(pickle.dumps(LogisticRegression().fit(x, y)))
    return place


def test_a_pickle_is_refused_with_the_way_out(folder: Path) -> None:
    """`init` loads no pickle, and says what one may do about it."""
    done = cli(folder, "init", "--from", "model.pkl", "--data", "table.csv", "--owner", "ana@example.com")
    assert done.returncode == 1
    assert "can run any code" in done.stderr
    assert "roadworthy trust model.pkl" in done.stderr


def test_a_trusted_pickle_becomes_a_skops_file_and_a_project(folder: Path) -> None:
    """One yes, on the record with its reason; what is released holds no pickle."""
    done = cli(folder, "trust", "model.pkl", "--why", "trained by ana", "--json")
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["skops"]).name == "model.skops"
    entries = json.loads(cli(folder, "ledger", "show", "--json").stdout)
    (entry,) = [one for one in entries if one["kind"] == "artifact.trusted"]
    assert (entry["actor"], entry["reason"]) == ("ana", "trained by ana")
    made = cli(folder, "init", "--from", "model.skops", "--data", "table.csv", "--owner", "ana@example.com")
    assert made.returncode == 0, made.stderr
    assert cli(folder, "ledger", "verify").returncode == 0


def test_nothing_is_loaded_without_trust(folder: Path, tmp_path: Path) -> None:
    """A pickle that would do harm has done none after every command that refuses it."""
    mark = tmp_path / "was-loaded"
    (folder / "evil.pkl").write_bytes(pickle.dumps(Evil(mark)))
    assert cli(folder, "init", "--from", "evil.pkl", "--data", "table.csv", "--owner", "a@b.de").returncode == 1
    assert cli(folder, "trust", "evil.pkl", "--why", " ").returncode == 2
    assert cli(folder, "trust", "table.csv", "--why", "x").returncode == 1
    assert not mark.exists()


def test_what_is_no_model_ends_in_one_message(folder: Path) -> None:
    """Trusted or not, what cannot predict becomes no skops file."""
    (folder / "notes.pkl").write_bytes(pickle.dumps({"a": 1}))
    done = cli(folder, "trust", "notes.pkl", "--why", "mine")
    assert done.returncode == 1
    assert "holds dict, which cannot predict" in done.stderr
    assert not (folder / "notes.skops").exists()


def test_an_existing_skops_file_is_kept(folder: Path) -> None:
    """Nothing is overwritten."""
    (folder / "model.skops").write_bytes(b"mine")
    assert cli(folder, "trust", "model.pkl", "--why", "x").returncode == 1
    assert (folder / "model.skops").read_bytes() == b"mine"
