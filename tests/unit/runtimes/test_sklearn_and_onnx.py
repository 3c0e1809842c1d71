"""Estimators and graphs as predictors, their refusals, and the environment they need."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from skl2onnx import to_onnx
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skops.io import dumps

from roadworthy.domain.candidate import Artifact, Candidate
from roadworthy.domain.digest import Digest, digest_bytes
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.errors import ArtifactError, EnvironmentMismatch
from roadworthy.runtimes.columns import gather
from roadworthy.runtimes.environment import capture, require
from roadworthy.runtimes.onnx import OnnxPredictor, OnnxRuntime, graph_signature
from roadworthy.runtimes.sklearn import SklearnPredictor, SklearnRuntime, feature_names, load_estimator

FIELDS = (Field(name="x", type=FieldType.NUMBER), Field(name="shop", type=FieldType.STRING))
INTERFACE = Interface(inputs=FIELDS, task=Task.BINARY, labels=("0", "1"), positive="1")
ROWS = [{"x": float(n), "shop": "ab"[n % 2]} for n in range(20)]


class Shelf:
    """Artifacts in memory, checked at every read as the real ones are."""

    def __init__(self) -> None:
        self.kept: dict[Digest, bytes] = {}

    def put(self, content: bytes) -> Digest:
        """Keep bytes."""
        self.kept[digest_bytes(content)] = content
        return digest_bytes(content)

    def get(self, digest: Digest) -> bytes:
        """Return bytes that have their digest."""
        if digest_bytes(self.kept[digest]) != digest:
            raise ArtifactError("altered")
        return self.kept[digest]


@pytest.fixture(scope="module")
def model() -> Any:
    """Fit a pipeline over a text and a number."""
    frame = pd.DataFrame(ROWS)
    steps = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["shop"]), (StandardScaler(), ["x"]))
    return make_pipeline(steps, LogisticRegression()).fit(frame, [(n > 9 and 1) or 0 for n in range(20)])


def _candidate(shelf: Shelf, kind: str, content: bytes, packages: tuple[str, ...]) -> Candidate:
    model = Artifact(role="model", format=kind, digest=shelf.put(content))
    return Candidate(
        system="s",
        recipe="sha256:" + "0" * 64,
        artifacts=(model,),
        interface=INTERFACE,
        runtime="",
        environment=capture(packages),
    )


def test_an_estimator_answers_as_it_did_where_it_was_fitted(model: Any) -> None:
    """The DataFrame that a worker builds is the one the estimator knows."""
    shelf = Shelf()
    candidate = _candidate(shelf, "skops", dumps(model), ("scikit-learn",))
    outputs = SklearnRuntime().load(candidate, shelf).predict(gather(ROWS, FIELDS))  # type: ignore[arg-type]
    assert np.allclose(outputs["probability"], model.predict_proba(pd.DataFrame(ROWS))[:, 1])


def test_altered_bytes_are_refused(model: Any) -> None:
    """A digest is checked at every load, not once."""
    shelf = Shelf()
    candidate = _candidate(shelf, "skops", dumps(model), ())
    shelf.kept[candidate.artifacts[0].digest] += b"x"
    with pytest.raises(ArtifactError, match="altered"):
        SklearnRuntime().load(candidate, shelf)  # type: ignore[arg-type]


@pytest.mark.parametrize(("runtime", "kind"), [(SklearnRuntime(), "skops"), (OnnxRuntime(), "onnx")])
def test_other_package_versions_are_refused_by_name(runtime: Any, kind: str) -> None:
    """A process with other versions than the build's says which, and what to install."""
    shelf = Shelf()
    candidate = _candidate(shelf, kind, b"never read", ("scikit-learn", "onnxruntime"))
    older = replace(candidate.environment, distributions=dict.fromkeys(candidate.environment.distributions, "0.1"))
    with pytest.raises(EnvironmentMismatch, match=r"0\.1 \(here: ") as refused:
        runtime.load(replace(candidate, environment=older), shelf)
    assert refused.value.hint.startswith("pip install ")


def test_a_graph_does_not_mind_packages_it_never_imports() -> None:
    """An exported graph survives an upgrade of the library that trained it."""
    environment = replace(
        capture(("numpy",)), distributions={"scikit-learn": "0.1", **capture(("numpy",)).distributions}
    )
    require(environment, ("numpy", "onnxruntime"))
    with pytest.raises(EnvironmentMismatch, match="scikit-learn"):
        require(environment)


def test_a_graph_is_fed_by_column_or_as_a_matrix() -> None:
    """Graphs from elsewhere are served whichever way their inputs were declared."""
    numbers = (Field(name="a", type=FieldType.NUMBER), Field(name="b", type=FieldType.INTEGER))
    interface = Interface(inputs=numbers, task=Task.REGRESSION)
    rows = [{"a": float(n), "b": n * n} for n in range(10)]
    frame = pd.DataFrame(rows)
    fitted = LinearRegression().fit(frame.to_numpy(), frame["a"] + 2 * frame["b"])
    graph = to_onnx(fitted, np.zeros((1, 2), np.float32)).SerializeToString()
    assert graph_signature(graph) == (None, 2, False)
    value = OnnxPredictor(graph, interface).predict(gather(rows, numbers))["value"]
    assert np.allclose(value, frame["a"] + 2 * frame["b"], rtol=1e-4)


def test_a_graph_with_a_zipmap_is_read() -> None:
    """A converter's default, one mapping a row, gives the same probabilities."""
    field = (Field(name="a", type=FieldType.NUMBER),)
    interface = Interface(inputs=field, task=Task.BINARY, labels=("0", "1"), positive="1")
    x = np.arange(20.0).reshape(-1, 1)
    fitted = LogisticRegression().fit(x, x[:, 0] > 9)
    fitted.classes_ = np.array([0, 1])
    graph = to_onnx(fitted, np.zeros((1, 1), np.float32)).SerializeToString()
    outputs = OnnxPredictor(graph, interface).predict({"a": x[:, 0]})
    assert np.allclose(outputs["probability"], fitted.predict_proba(x)[:, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("content", "said"),
    [(pickle.dumps([1]), "pickle"), (b"PK\x03\x04 no zip", "not a skops file"), (b"", "not a skops file")],
)
def test_what_is_no_skops_file_is_refused(content: bytes, said: str) -> None:
    """A pickle is never loaded, and the refusal says how to convert it."""
    with pytest.raises(ArtifactError, match=said) as refused:
        load_estimator(content)
    assert "skops.io.dump" in refused.value.hint


def test_bytes_that_are_no_graph_are_refused() -> None:
    """A broken file ends in one sentence."""
    with pytest.raises(ArtifactError, match="ONNX graph"):
        OnnxPredictor(b"nothing", INTERFACE)


def test_a_model_whose_features_the_interface_lacks_is_refused(model: Any) -> None:
    """The missing columns are named at load, not at the first request."""
    assert feature_names(model) == ("x", "shop")
    with pytest.raises(ArtifactError, match="shop"):
        SklearnPredictor(model, replace(INTERFACE, inputs=FIELDS[:1]))
    plain = LinearRegression().fit(np.zeros((3, 2)), [1, 2, 3])
    with pytest.raises(ArtifactError, match="fitted on 2 features, the interface has 1"):
        SklearnPredictor(plain, replace(INTERFACE, inputs=FIELDS[:1]))
