"""Export: a graph is served only where it answers as the model does, also at the borders; else the reason is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC

from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.errors import InputError
from roadworthy.lifecycle import export as export_module
from roadworthy.lifecycle.export import Export, export
from roadworthy.ports.runtime import Columns, Outputs
from roadworthy.runtimes.columns import NO_TIME
from roadworthy.runtimes.frame import frame_of
from roadworthy.runtimes.sklearn import SklearnPredictor

A = Field(name="a", type=FieldType.NUMBER, minimum=0, maximum=9)
WORD = Field(name="word", type=FieldType.STRING, nullable=True)
BINARY = Interface(inputs=(A, WORD), task=Task.BINARY, labels=("0", "1"), positive="1")
ONLY_A = Interface(inputs=(A,), task=Task.REGRESSION)
N = 80


def rows(n: int = N) -> dict[str, Any]:
    """Make rows of a number and a word."""
    generator = np.random.default_rng(1)
    words: Any = np.empty(n, dtype=object)
    words[:] = generator.choice(["x", "y"], n).tolist()
    return {"a": generator.uniform(0, 9, n), "word": words}


def classifier(last: Any = None) -> Any:
    """Fit a pipeline that picks columns by name."""
    columns = ColumnTransformer([("w", OneHotEncoder(handle_unknown="ignore"), ["word"]), ("a", "passthrough", ["a"])])
    made = Pipeline([("columns", columns), ("model", last or LogisticRegression())])
    return made.fit(frame_of(rows(), BINARY.inputs), (rows()["a"] > 4).astype(int))


def regression() -> Any:
    """Fit a line."""
    return LinearRegression().fit(frame_of(rows(), (A,)), rows()["a"] * 2)


class Lying:
    """Answers as a model does, plus something on some rows."""

    def __init__(self, native: Any, when: Any, error: Exception | None = None) -> None:
        self.native, self.when, self.error = native, when, error

    def predict(self, columns: Columns) -> Outputs:
        """Answer, or lie, or fail."""
        odd = self.when(columns)
        if odd.any() and self.error is not None:
            raise self.error
        return {"value": self.native.predict(columns)["value"] + 5 * odd}


@pytest.fixture(autouse=True)
def _no_stopwatch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not make a graph slow; tests about slowness say how slow it is."""
    monkeypatch.setattr(export_module, "pace_of", lambda *_: 1e-5)


def exported(estimator: Any, interface: Interface, native: Any = None, pace: float = 1e-4) -> Export:
    """Export a model, judged by itself or by a stand-in."""
    judge = native or SklearnPredictor(estimator, interface)
    known = {field.name: rows()[field.name] for field in interface.features}
    return export(estimator, judge, interface, known, SklearnPredictor(estimator, interface).predict(known), pace)


def test_a_model_that_a_graph_can_be_gets_one() -> None:
    """The graph agrees on every row and at every border: nulls, words never seen, the ends of the range."""
    found = exported(classifier(), BINARY)
    assert found.content is not None
    assert found.agreement is not None
    assert found.agreement.holds
    assert exported(regression(), ONLY_A).content is not None


def test_a_classifier_without_probabilities_becomes_a_graph_of_labels() -> None:
    """Its scores are no probabilities, so the graph answers the label alone."""
    assert exported(classifier(LinearSVC()), BINARY).content is not None


def test_a_graph_that_answers_otherwise_is_not_kept() -> None:
    """The reason says by how much."""
    model = regression()
    known = {"a": rows()["a"]}
    wanted = {"value": SklearnPredictor(model, ONLY_A).predict(known)["value"] + 1.0}
    found = export(model, SklearnPredictor(model, ONLY_A), ONLY_A, known, wanted, 1e-4)
    assert found.content is None
    assert found.reason.startswith("it does not agree with the model")


def test_a_graph_that_differs_at_a_border_only_is_not_kept_either() -> None:
    """The reference may lack what a caller will send."""
    model = regression()
    native = Lying(SklearnPredictor(model, ONLY_A), lambda columns: columns["a"] == 9.0)
    found = exported(model, ONLY_A, native)
    assert found.content is None
    assert "on 'a' at 9" in found.reason


def test_rows_that_the_model_itself_refuses_prove_nothing() -> None:
    """Where the estimator answers nothing, there is nothing to agree with."""
    model = regression()
    native = Lying(SklearnPredictor(model, ONLY_A), lambda columns: columns["a"] == 9.0, ValueError("not nine"))
    assert exported(model, ONLY_A, native).content is not None


def test_a_graph_that_fails_where_the_model_answers_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the rows."""
    whole = export_module.OnnxPredictor

    class Brittle(whole):
        def predict(self, columns: Columns) -> Outputs:
            if (columns["a"] == 0).any():
                raise InputError("no zero, please")
            return super().predict(columns)

    monkeypatch.setattr(export_module, "OnnxPredictor", Brittle)
    found = exported(regression(), ONLY_A)
    assert found.content is None
    assert found.reason == "it fails on 'a' at 0: InputError: no zero, please"


def test_a_model_that_no_converter_knows_has_no_graph() -> None:
    """The converter's own words are the reason, in one line."""

    class Own(LinearRegression):
        """Nobody registered this."""

    found = exported(Own().fit(frame_of(rows(), (A,)), rows()["a"]), ONLY_A)
    assert found.content is None
    assert found.reason
    assert "\n" not in found.reason


def test_a_graph_much_slower_than_its_model_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is measured before it is compared, and wider numbers are not tried."""
    monkeypatch.setattr(export_module, "_SLOW_S", 0.0)
    found = exported(regression(), ONLY_A, pace=0.0)
    assert found.content is None
    assert "ms a row, the model itself" in found.reason


def test_fewer_rows_are_compared_where_a_graph_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as fit into the patience, evenly spaced."""
    monkeypatch.setattr(export_module, "affordable", lambda *_: 10)
    found = exported(regression(), ONLY_A)
    assert found.agreement is not None
    assert found.agreement.n == 10


def test_border_rows_cover_every_type() -> None:
    """A null is each type's own; a listed word has no unseen one; a field without ends has no ends to try."""
    fields = (
        Field(name="n", type=FieldType.NUMBER, nullable=True),
        Field(name="at", type=FieldType.TIMESTAMP, nullable=True),
        Field(name="ok", type=FieldType.BOOLEAN, nullable=True),
        Field(name="w", type=FieldType.STRING, categories=("x",)),
    )
    some = {
        "n": np.zeros(2),
        "at": np.zeros(2, dtype=np.int64),
        "ok": np.ones(2, dtype=bool),
        "w": np.array(["x", "x"]),
    }
    found = dict(export_module._border_rows(Interface(inputs=fields, task=Task.REGRESSION), some))
    assert list(found) == ["nulls in 'n'", "nulls in 'at'", "nulls in 'ok'"]
    assert np.isnan(found["nulls in 'n'"]["n"]).all()
    assert found["nulls in 'at'"]["at"].tolist() == [NO_TIME] * 2
    assert found["nulls in 'ok'"]["ok"].tolist() == [None, None]


def test_a_model_without_inputs_at_its_borders_needs_no_border_rows() -> None:
    """Without ranges, nulls and open words the reference is all there is."""
    plain = Interface(inputs=(Field(name="a", type=FieldType.NUMBER),), task=Task.REGRESSION)
    assert exported(regression(), plain).content is not None
