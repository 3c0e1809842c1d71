"""Trust in a pickle: by a person, of exact bytes, with a reason; loaded once, apart, kept as skops."""

from __future__ import annotations

import json
import pickle
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import pytest
from sklearn.linear_model import LinearRegression

from roadworthy.domain.digest import digest_bytes
from roadworthy.domain.ledger import Noun
from roadworthy.domain.principal import AUTOMATION, Actor
from roadworthy.errors import InputError, NotPermitted, RefusedError
from roadworthy.lifecycle import trust_pickle as trust_module
from roadworthy.lifecycle import trust_pickle_child
from roadworthy.lifecycle.trust_pickle import trust_pickle
from roadworthy.ports.plane import Plane
from roadworthy.runtimes.sklearn import load_estimator
from roadworthy.testing import memory_plane

ANA = Actor(principal="ana")
WHY = "written by train.ipynb on 3 May"


@pytest.fixture
def plane() -> Plane:
    """A home in memory."""
    return memory_plane()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A fitted estimator, pickled."""
    path = tmp_path / "model.pkl"
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), path)
    return path


def load_here(place: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, dict[str, str]]:
    """Do what the child process does, here; return its exit code and report."""
    monkeypatch.setattr(sys, "argv", ["trust_pickle_child", str(place)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(trust_pickle_child.__file__), run_name="__main__")
    report = place / "report.json"
    return ended.value.code, json.loads(report.read_text()) if report.exists() else {}


def test_a_trusted_pickle_is_on_the_record_and_kept_as_skops(plane: Plane, model: Path) -> None:
    """Who, why and which bytes are in the ledger; the same yes again adds nothing to it."""
    done = trust_pickle(plane, model, actor=ANA, why=WHY)
    assert (done.pickle, done.skops, done.by) == (digest_bytes(model.read_bytes()), model.with_suffix(".skops"), "ana")
    assert load_estimator(done.skops.read_bytes(), ()).coef_.tolist() == [pytest.approx(2)]
    kept = plane.ledger.state(Noun.TRUST, done.pickle)
    assert kept is not None
    assert (kept["by"], kept["why"], kept["file"]) == ("ana", WHY, "model.pkl")
    head = plane.ledger.head()
    done.skops.unlink()
    trust_pickle(plane, model, actor=ANA, why=WHY)
    assert plane.ledger.head() == head


def test_only_a_person_with_a_reason_trusts_a_pickle_that_is_there(plane: Plane, model: Path) -> None:
    """Each refusal comes before anything is loaded or written."""
    with pytest.raises(NotPermitted):
        trust_pickle(plane, model, actor=AUTOMATION, why=WHY)
    with pytest.raises(RefusedError, match="needs a reason"):
        trust_pickle(plane, model, actor=ANA, why=" ")
    with pytest.raises(InputError, match="there is no file"):
        trust_pickle(plane, model.with_name("gone.pkl"), actor=ANA, why=WHY)
    other = model.with_name("rows.csv")
    other.write_text("a\n")
    with pytest.raises(InputError, match="no pickle by its name"):
        trust_pickle(plane, other, actor=ANA, why=WHY)
    model.with_suffix(".skops").write_bytes(b"mine")
    with pytest.raises(InputError, match="is not overwritten"):
        trust_pickle(plane, model, actor=ANA, why=WHY)
    assert plane.ledger.head().seq == 0


def test_a_pickle_that_never_ends_is_given_up(plane: Plane, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading runs whatever is in it, so it is bounded."""
    monkeypatch.setattr(trust_module, "_PATIENCE_S", 0.001)
    with pytest.raises(InputError, match=r"model\.pkl was not loaded within 0\.001 s"):
        trust_pickle(plane, model, actor=ANA, why=WHY)


def test_a_pickle_that_ends_the_process_is_told_by_its_code(
    plane: Plane, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence is no conversion."""
    monkeypatch.setattr(subprocess, "run", lambda *words, **_: subprocess.CompletedProcess(words, 9))
    with pytest.raises(InputError, match="the process ended with code 9"):
        trust_pickle(plane, model, actor=ANA, why=WHY)
    assert not model.with_suffix(".skops").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps([1]), "it holds list, which cannot predict"),
        (b"no pickle at all", "Error"),
        (pickle.dumps(SystemExit), "cannot predict"),
    ],
)
def test_what_is_no_model_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str) -> None:
    """The report says what the file held or what loading it raised."""
    (tmp_path / "model.pickle").write_bytes(content)
    code, report = load_here(tmp_path, monkeypatch)
    assert code == 1
    assert said in report["error"]
    assert not (tmp_path / "model.skops").exists()


def test_an_estimator_is_written_anew(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes out holds data and types, and answers as the pickle did."""
    (tmp_path / "model.pickle").write_bytes(model.read_bytes())
    assert load_here(tmp_path, monkeypatch) == (0, {})
    made: Any = load_estimator((tmp_path / "model.skops").read_bytes(), ())
    assert made.predict([[3.0]]).tolist() == [pytest.approx(6)]
