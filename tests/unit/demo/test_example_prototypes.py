"""The example prototypes: honest rivals of their baselines, exact in ONNX; the bad one is bad."""

from __future__ import annotations

import importlib
import importlib.resources
from typing import Any

import duckdb
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.metrics import log_loss, roc_auc_score

from roadworthy.demo.data import write_flights, write_loans
from roadworthy.demo.flights import train as flights
from roadworthy.demo.flights import train_bad, train_slow
from roadworthy.demo.loans import train as loans

# onnx warns that skl2onnx writes booleans as ints; the converted model is compared below.
pytestmark = pytest.mark.long
converting = pytest.mark.filterwarnings("ignore:Field onnx.AttributeProto:DeprecationWarning")


@pytest.fixture(scope="module")
def flight_rows(tmp_path_factory):
    """Give the flights of January to March and those after."""
    files = write_flights(tmp_path_factory.mktemp("flights"))
    return tuple(duckdb.read_parquet(str(path)).df() for path in (files.train, files.later))


@pytest.fixture(scope="module")
def loan_rows(tmp_path_factory):
    """Give the loans to learn from and those to judge by."""
    files = write_loans(tmp_path_factory.mktemp("loans"))
    return tuple(duckdb.read_parquet(str(path)).df() for path in (files.train, files.later))


@pytest.fixture(scope="module")
def flight_model(flight_rows):
    """Give the flights model fitted on January to March."""
    return flights.train(flight_rows[0])


def newest_fifth(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split ordered rows into the first 80 % and the rest."""
    cut = int(len(rows) * 0.8)
    return rows.iloc[:cut], rows.iloc[cut:]


def probabilities(model: Any, prototype: Any, rows: pd.DataFrame) -> np.ndarray:
    """Ask the fitted pipeline itself."""
    return model.predict_proba(rows[prototype.CATEGORIES + prototype.NUMBERS])[:, 1]


def baseline(project: str, train: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """Run a project's baseline.sql as the runtime does: fit on `train`, then answer `input` ordered by rw_row."""
    text = importlib.resources.files(f"roadworthy.demo.{project}").joinpath("baseline.sql").read_text()
    with duckdb.connect() as session:
        session.register("train", train)
        session.register("input", rows.assign(rw_row=np.arange(len(rows))))
        fit, answer = session.extract_statements(text)
        session.execute(fit)
        return np.asarray(session.execute(answer).fetchnumpy()["probability"])


def through_onnx(model: Any, prototype: Any, rows: pd.DataFrame) -> np.ndarray:
    """Convert the pipeline and ask ONNX Runtime, text as text and numbers as 32-bit floats."""
    inputs = [(name, StringTensorType([None, 1])) for name in prototype.CATEGORIES]
    inputs += [(name, FloatTensorType([None, 1])) for name in prototype.NUMBERS]
    converted = to_onnx(model, initial_types=inputs, options={id(model): {"zipmap": False}})
    session = onnxruntime.InferenceSession(converted.SerializeToString())
    feed: dict[str, Any] = {name: rows[[name]].to_numpy(object) for name in prototype.CATEGORIES}
    feed |= {name: rows[[name]].to_numpy(np.float32) for name in prototype.NUMBERS}
    return session.run(None, feed)[1][:, 1]


def test_flights_model_beats_its_baseline_on_newer_flights(flight_rows):
    """Fitted on the first 80 % of January to March, it is better on the rest by a margin no chance explains."""
    old, new = newest_fifth(flight_rows[0])
    model, rival = probabilities(flights.train(old), flights, new), baseline("flights", old, new)
    assert roc_auc_score(new.late, model) > roc_auc_score(new.late, rival) + 0.03
    assert log_loss(new.late, model) < log_loss(new.late, rival) - 0.01
    assert roc_auc_score(new.late, rival) > 0.62


def test_flights_model_is_better_over_the_year_and_worse_in_one_week(flight_rows, flight_model):
    """Honest figures: ahead of the baseline over April to December, behind it in the week of 22 April."""
    train, later = flight_rows
    model, rival = probabilities(flight_model, flights, later), baseline("flights", train, later)
    assert log_loss(later.late, model) < log_loss(later.late, rival) - 0.02
    week = later.scheduled_at.between("2013-04-22T04:00Z", "2013-04-29T04:00Z").to_numpy()
    assert log_loss(later.late[week], model[week]) > log_loss(later.late[week], rival[week])


def test_the_slip_makes_a_model_that_is_clearly_worse_than_the_baseline(flight_rows):
    """The bad prototype trains without a warning and ranks flights the wrong way round."""
    old, new = newest_fifth(flight_rows[0])
    bad = probabilities(train_bad.train(old), train_bad, new)
    assert roc_auc_score(new.late, bad) < 0.35
    assert log_loss(new.late, bad) > 2 * log_loss(new.late, baseline("flights", old, new))


def test_the_slow_prototype_answers_and_ranks(flight_rows):
    """Slow is not wrong: its fault is the time it takes."""
    old, new = newest_fifth(flight_rows[0])
    sample = new.iloc[::50]
    model = train_slow.train(old.iloc[::20])
    assert roc_auc_score(sample.late, probabilities(model, train_slow, sample)) > 0.6


@converting
def test_flights_model_is_the_same_in_onnx_on_every_row(flight_rows, flight_model):
    """On all 327,346 flights, missing weather included, no probability moves by more than 1e-5 and no answer flips."""
    for rows in flight_rows:
        assert rows[flights.NUMBERS].isna().any(axis=None)
        native, converted = probabilities(flight_model, flights, rows), through_onnx(flight_model, flights, rows)
        assert np.abs(native - converted).max() <= 1e-5
        assert np.array_equal(native >= 0.5, converted >= 0.5)


@converting
def test_loans_model_beats_its_baseline_and_is_the_same_in_onnx(loan_rows):
    """The second field: better than its segment table on loans it has not seen, and exact in ONNX."""
    train, later = loan_rows
    model = loans.train(train)
    native = probabilities(model, loans, later)
    assert roc_auc_score(later.deny, native) > roc_auc_score(later.deny, baseline("loans", train, later)) + 0.05
    assert np.abs(native - through_onnx(model, loans, later)).max() <= 1e-5


@pytest.mark.parametrize("prototype", [flights, train_bad, train_slow, loans], ids=lambda module: module.__name__)
def test_no_prototype_uses_what_is_known_too_late_or_is_no_reason(prototype):
    """Outcome, its time, keys and what a person is are no inputs."""
    forbidden = {"late", "arrived_at", "flight_id", "deny", "loan_id", "insurance_denied", "african_american", "single"}
    assert not forbidden & {*prototype.CATEGORIES, *prototype.NUMBERS}


@pytest.mark.parametrize("project", ["flights", "loans"])
def test_a_baseline_answers_every_row_in_order_also_for_unseen_segments(project, request):
    """One probability per input row, in the input's order; what was never seen or is missing gets the overall rate."""
    train, later = request.getfixturevalue(f"{'flight' if project == 'flights' else 'loan'}_rows")
    target, key = ("late", "carrier") if project == "flights" else ("deny", "public_bad_record")
    rows = later.sample(300, random_state=0).reset_index(drop=True)
    rows.loc[5, key], rows.loc[9, key] = "ZZ", None
    answers = baseline(project, train, rows)
    assert len(answers) == len(rows)
    assert answers[[5, 9]] == pytest.approx(train[target].mean())
    order = np.random.default_rng(0).permutation(len(rows))
    assert np.array_equal(answers[order], baseline(project, train, rows.iloc[order]))
    assert ((answers > 0) & (answers < 1)).all()


@pytest.mark.parametrize("project", ["flights", "loans"])
def test_a_manifest_has_at_most_twelve_lines(project):
    """What a newcomer reads fits on half a screen."""
    text = importlib.resources.files(f"roadworthy.demo.{project}").joinpath("system.yaml").read_text()
    assert text.startswith("roadworthy: 1\n")
    assert len(text.splitlines()) <= 12
