"""Prototypes as ONNX graphs: what is served whenever a graph answers as the prototype does."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.errors import ArtifactError
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.runtime import Columns, Outputs, Predictor
from roadworthy.runtimes.columns import NO_TIME, count_rows
from roadworthy.runtimes.environment import require
from roadworthy.runtimes.outputs import expect_rows, from_labels, from_positive, from_probabilities, from_values
from roadworthy.runtimes.warm import warmed

DISTRIBUTIONS: Final = ("onnxruntime", "numpy")
NULL_TEXT: Final = "nan"
"""What a null text is for a graph, which knows no nulls: the text scikit-learn's converter makes of one."""

FEATURES_KEY: Final = "roadworthy.features"
CLASSES_KEY: Final = "roadworthy.classes"
"""Metadata of graphs that the build exports: the matrix' columns, and the classes in the order of the probabilities."""

_NUMBERS: Final[dict[str, type[np.generic]]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


class OnnxRuntime:
    """Loads candidates whose `model` is an ONNX graph."""

    name: ClassVar[str] = "onnx"
    native: ClassVar[bool] = False

    def load(self, candidate: Candidate, artifacts: Artifacts) -> Predictor:
        """Load the graph; see `ports.runtime.Runtime.load`."""
        model = candidate.artifact("model")
        if model is None or model.format != "onnx":
            raise ArtifactError("the candidate holds no ONNX graph")
        require(candidate.environment, DISTRIBUTIONS)
        return warmed(OnnxPredictor(artifacts.get(model.digest), candidate.interface), candidate.interface)


class OnnxPredictor:
    """Feeds a graph column by column, or as one matrix, as its inputs ask."""

    def __init__(self, content: bytes, interface: Interface) -> None:
        self._session: Any = open_session(content)
        self._interface = interface
        metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._feeds = _plan(self._session, interface, json.loads(metadata.get(FEATURES_KEY, "[]")))
        self._classes: Sequence[object] = json.loads(metadata.get(CLASSES_KEY, "[]")) or interface.labels
        self._shape = _answer_shape(self._session)

    def predict(self, columns: Columns) -> Outputs:
        """Answer the rows; see `ports.runtime.Predictor.predict`."""
        n = count_rows(columns)
        feeds = {name: _feed(kind, fields, columns) for name, kind, fields in self._feeds}
        raw: list[Any] = self._session.run(None, feeds)
        return expect_rows(self._declare(raw), n)

    def _declare(self, raw: list[Any]) -> Outputs:
        interface = self._interface
        if interface.task is Task.REGRESSION:
            return from_values(raw[0])
        labels_at, shares_at = self._shape
        if shares_at is None:
            return from_labels(np.asarray(raw[labels_at or 0]).reshape(-1).tolist(), interface)
        shares = raw[shares_at]
        if isinstance(shares, list):  # a graph that ends in a ZipMap gives one mapping a row
            rows = cast("list[dict[object, float]]", shares)
            classes = tuple(rows[0]) if rows else interface.labels
            return from_probabilities([list(row.values()) for row in rows], classes, interface)
        table = np.asarray(shares, dtype=np.float64)
        if interface.task is Task.BINARY and (table.ndim == 1 or table.shape[1] == 1):
            return from_positive(table, interface)
        return from_probabilities(table, self._classes, interface)


def open_session(content: bytes) -> Any:
    """Open a graph on one thread.

    Raises:
        ArtifactError: the bytes are no ONNX graph, or use operators this runtime lacks.
    """
    options = cast("Any", onnxruntime).SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as wrong:
        reason = str(wrong).splitlines()[0]
        raise ArtifactError(f"the file cannot be loaded as an ONNX graph: {reason}") from wrong


def graph_signature(content: bytes) -> tuple[tuple[str, ...] | None, int | None, bool]:
    """Return a graph's feature names (None when it takes one matrix), its width, and whether it gives classes.

    Raises:
        ArtifactError: the bytes are no graph that can be run.
    """
    session = open_session(content)
    inputs: Sequence[Any] = session.get_inputs()
    labels_at, shares_at = _answer_shape(session)
    classifier = labels_at is not None or (shares_at is not None and len(session.get_outputs()) > 1)
    width = inputs[0].shape[-1]
    if len(inputs) == 1 and width != 1:
        return None, width if isinstance(width, int) else None, classifier
    return tuple(str(entry.name) for entry in inputs), len(inputs), classifier


def _plan(session: Any, interface: Interface, order: Sequence[str]) -> tuple[tuple[str, str, tuple[Field, ...]], ...]:
    """Decide which fields each input of the graph is fed with."""
    features = {field.name: field for field in interface.features}
    inputs: Sequence[Any] = session.get_inputs()
    for entry in inputs:
        if entry.type not in _NUMBERS and entry.type != "tensor(string)":
            raise ArtifactError(f"the graph's input '{entry.name}' is a {entry.type}, which a table cannot fill")
    if all(entry.name in features for entry in inputs):
        return tuple((entry.name, entry.type, (features[entry.name],)) for entry in inputs)
    if len(inputs) == 1:
        width = inputs[0].shape[-1]
        matrix = tuple(features[name] for name in order or features if name in features)
        if isinstance(width, int) and width != len(matrix):
            raise ArtifactError(f"the graph takes {width} features, the interface has {len(matrix)}")
        return ((inputs[0].name, inputs[0].type, matrix),)
    unknown = [entry.name for entry in inputs if entry.name not in features]
    raise ArtifactError(f"the graph asks for inputs that the interface lacks: {', '.join(unknown)}")


def _answer_shape(session: Any) -> tuple[int | None, int | None]:
    """Return the places of the labels and of the probabilities among the graph's outputs."""
    kinds = [str(entry.type) for entry in cast("Sequence[Any]", session.get_outputs())]
    floating = [at for at, kind in enumerate(kinds) if "float" in kind or "double" in kind or kind.startswith("seq")]
    whole = [at for at, kind in enumerate(kinds) if kind in ("tensor(int64)", "tensor(string)", "tensor(bool)")]
    return (whole[0] if whole else None, floating[-1] if floating else None)


def _feed(kind: str, fields: tuple[Field, ...], columns: Columns) -> NDArray[Any]:
    if len(fields) == 1:
        return _cells(kind, fields[0], columns[fields[0].name]).reshape(-1, 1)
    return np.column_stack([_cells(kind, field, columns[field.name]) for field in fields])


def _cells(kind: str, field: Field, values: NDArray[Any]) -> NDArray[Any]:
    if kind == "tensor(string)":
        texts: NDArray[Any] = np.empty(len(values), dtype=object)
        texts[:] = [NULL_TEXT if value is None else str(value) for value in values.tolist()]
        return texts
    if field.type is FieldType.TIMESTAMP and kind in ("tensor(float)", "tensor(double)"):
        return np.where(values == NO_TIME, np.nan, values).astype(_NUMBERS[kind])
    return values.astype(_NUMBERS[kind])
