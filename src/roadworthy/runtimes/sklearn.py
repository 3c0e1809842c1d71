"""Prototypes in scikit-learn's shape, kept as skops files: data and types, never code, never a pickle."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any, ClassVar, Final, cast

import numpy as np
from numpy.typing import NDArray
from sklearn import base
from skops.io import loads

from roadworthy.domain.candidate import Artifact, Candidate
from roadworthy.domain.interface import FieldType, Interface, Task
from roadworthy.errors import ArtifactError
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.runtime import Columns, Outputs, Predictor
from roadworthy.runtimes.columns import count_rows
from roadworthy.runtimes.environment import require
from roadworthy.runtimes.frame import frame_of
from roadworthy.runtimes.outputs import expect_rows, from_labels, from_probabilities, from_values
from roadworthy.runtimes.trusted_types import REVIEWED, trust_line, unknown_types
from roadworthy.runtimes.warm import warmed

_PICKLES: Final = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x78\x9c", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")


class SklearnRuntime:
    """Loads candidates whose `model` (or, beside an ONNX `model`, whose `native`) is a skops file."""

    name: ClassVar[str] = "sklearn"
    native: ClassVar[bool] = True

    def load(self, candidate: Candidate, artifacts: Artifacts) -> Predictor:
        """Load the prototype itself, also of a candidate that is served as ONNX; see `ports.runtime.Runtime.load`."""
        artifact = next((one for one in candidate.artifacts if one.format == "skops"), None)
        if artifact is None:
            raise ArtifactError("the candidate holds no skops file")
        require(candidate.environment)
        trusted = _trusted(candidate.artifact("trust"), artifacts)
        estimator = load_estimator(artifacts.get(artifact.digest), trusted)
        return warmed(SklearnPredictor(estimator, candidate.interface), candidate.interface)


class SklearnPredictor:
    """Calls an estimator the way it was fitted: with a DataFrame by its feature names, else with an array."""

    def __init__(self, estimator: Any, interface: Interface) -> None:
        self._estimator = estimator
        self._interface = interface
        self._names = feature_names(estimator)
        known = {field.name: field for field in interface.features}
        missing = [name for name in self._names or () if name not in known]
        if missing:
            raise ArtifactError(f"the model needs features that the interface lacks: {', '.join(missing)}")
        self._fields = tuple(known[name] for name in self._names or known)
        expected = getattr(estimator, "n_features_in_", len(self._fields))
        if expected != len(self._fields):
            raise ArtifactError(f"the model was fitted on {expected} features, the interface has {len(self._fields)}")

    def predict(self, columns: Columns) -> Outputs:
        """Answer the rows; see `ports.runtime.Predictor.predict`."""
        n = count_rows(columns)
        table = frame_of(columns, self._fields) if self._names else self._array(columns)
        if self._interface.task is Task.REGRESSION:
            return expect_rows(from_values(self._estimator.predict(table)), n)
        if hasattr(self._estimator, "predict_proba"):
            shares = self._estimator.predict_proba(table)
            return expect_rows(from_probabilities(shares, classes_of(self._estimator), self._interface), n)
        return expect_rows(from_labels(self._estimator.predict(table).tolist(), self._interface), n)

    def _array(self, columns: Columns) -> NDArray[Any]:
        texts = any(field.type is FieldType.STRING for field in self._fields)
        cells = [columns[field.name] for field in self._fields]
        return np.column_stack([cell.astype(object if texts else np.float64) for cell in cells])


def load_estimator(content: bytes, trusted: Iterable[str] = ()) -> Any:
    """Load an estimator from the bytes of a skops file, after its types were checked one by one.

    Args:
        content: the file.
        trusted: exact names of types that the project trusts beyond the reviewed list.

    Raises:
        ArtifactError: it is a pickle or no skops file, or holds types nobody trusted; each is named.
    """
    _refuse_pickle(content)
    trusted = tuple(trusted)
    try:
        unknown = unknown_types(content, trusted)
    except Exception as wrong:
        raise ArtifactError(f"the file cannot be read as skops: {wrong}") from wrong
    if unknown:
        raise ArtifactError(
            f"the model holds {len(unknown)} types that nobody has reviewed: {', '.join(unknown)}",
            hint="if you know them to be safe, add this line to system.yaml (or give each to init with --trust): "
            + trust_line(unknown),
        )
    try:
        estimator = loads(content, trusted=sorted({*REVIEWED, *trusted}))
    except Exception as wrong:
        raise ArtifactError(f"the model cannot be loaded: {type(wrong).__name__}: {wrong}") from wrong
    return _single_threaded(estimator)


def feature_names(estimator: Any) -> tuple[str, ...] | None:
    """Return the columns an estimator was fitted on, or None if it was fitted on an array without names."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None and hasattr(estimator, "steps"):
        names = getattr(estimator.steps[0][1], "feature_names_in_", None)
    return None if names is None else tuple(str(name) for name in names)


def classes_of(estimator: Any) -> tuple[object, ...]:
    """Return an estimator's classes in the order of its probabilities; empty for a regressor."""
    found = getattr(estimator, "classes_", None)
    return () if found is None else tuple(cast("Sequence[object]", np.asarray(found).tolist()))


def is_classifier(estimator: Any) -> bool:
    """Tell whether an estimator gives classes."""
    return bool(cast("Any", base).is_classifier(estimator))


def is_regressor(estimator: Any) -> bool:
    """Tell whether an estimator gives numbers that have a truth."""
    return bool(cast("Any", base).is_regressor(estimator))


def _trusted(artifact: Artifact | None, artifacts: Artifacts) -> tuple[str, ...]:
    if artifact is None:
        return ()
    return tuple(cast("list[str]", json.loads(artifacts.get(artifact.digest))))


def _refuse_pickle(content: bytes) -> None:
    if zipfile.is_zipfile(BytesIO(content)):
        return
    how = "load it where you trained it, then: skops.io.dump(model, 'model.skops')"
    if content.startswith(_PICKLES):
        raise ArtifactError("the file is a pickle (joblib writes those too), which can run any code", hint=how)
    raise ArtifactError("the file is not a skops file", hint=how)


def _single_threaded(estimator: Any) -> Any:
    """Make an estimator use the one thread it is called on: a worker's other requests need the rest."""
    for name, value in estimator.get_params(deep=True).items() if hasattr(estimator, "get_params") else ():
        if name.rpartition("__")[2] == "n_jobs" and value not in (None, 1):
            estimator.set_params(**{name: 1})
    return estimator
