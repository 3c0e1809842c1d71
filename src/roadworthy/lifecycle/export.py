"""Turn an estimator into an ONNX graph, and keep the graph only if it answers as the estimator does.

Converters can be wrong without saying so (histogram gradient boosting with `categorical_features` is a known case), so
the judge is agreement over the whole reference and over border rows: nulls, categories never seen, values past the
ends of the range.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from roadworthy.domain.interface import Field, FieldType, Interface, Scalar, Task
from roadworthy.errors import RoadworthyError
from roadworthy.lifecycle.pace import affordable, pace_of
from roadworthy.ports.runtime import Columns, Outputs, Predictor
from roadworthy.runtimes.columns import NO_TIME, count_rows, take
from roadworthy.runtimes.onnx import CLASSES_KEY, FEATURES_KEY, OnnxPredictor
from roadworthy.runtimes.outputs import score_of
from roadworthy.runtimes.sklearn import classes_of, feature_names
from roadworthy.stats.agreement import Agreement, of_probabilities, of_values

OPSET: Final = {"": 18, "ai.onnx.ml": 3}
_BORDER_ROWS: Final = 50
_BORDER_S: Final = 4.0
_SLOW_S: Final = 0.01
_SLOWER: Final = 3.0
_UNSEEN: Final = "a category that no row has"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A graph that agrees with its estimator, or why there is none."""

    content: bytes | None
    reason: str
    agreement: Agreement | None = None


def export(
    estimator: Any, native: Predictor, interface: Interface, reference: Columns, wanted: Outputs, pace: float
) -> Export:
    """Return a graph that answers as `native` does on every reference and border row, or the reason for none.

    Tried with 32-bit numbers first, which is what graphs are fast with, then with 64-bit ones.

    Args:
        estimator: what is converted.
        native: calls it.
        interface: what the graph is fed with and must answer.
        reference: rows to agree on.
        wanted: `native`'s answers to them.
        pace: seconds that `native` needs for a row; a graph much slower than that is none.
    """
    reasons: list[str] = []
    for wide in (False, True):
        try:
            content = _convert(estimator, interface, wide=wide)
            graph = OnnxPredictor(content, interface)
            graph_pace = pace_of(graph.predict, reference)
            if graph_pace > max(_SLOW_S, _SLOWER * pace):
                reasons.append(f"it needs {graph_pace * 1e3:,.0f} ms a row, the model itself {pace * 1e3:,.1f}")
                break
            some = _some(count_rows(reference), affordable(graph_pace))
            found = agreement(take(wanted, some), graph.predict(take(reference, some)), interface)
        except Exception as wrong:  # noqa: BLE001 (converters raise anything; the estimator itself is served then)
            reasons.append(_spell(wrong))
            continue
        if not found.holds:
            reasons.append(f"it does not agree with the model: {found}")
            continue
        trouble = _border_trouble(native, graph, interface, _first(reference, pace))
        if not trouble:
            return Export(content=content, reason="", agreement=found)
        reasons.append(trouble)
    return Export(content=None, reason=reasons[0] if reasons[0] == reasons[-1] else "; then ".join(reasons))


def agreement(first: Outputs, second: Outputs, interface: Interface) -> Agreement:
    """Compare the answers of two artifacts of one model to the same rows."""
    a, b = score_of(first, interface), score_of(second, interface)
    if interface.task is Task.REGRESSION:
        return of_values(a, b)
    return of_probabilities(a, b, first["label"], second["label"])


def _some(n: int, most: int) -> NDArray[np.intp] | slice:
    return slice(None) if n <= most else np.linspace(0, n - 1, most).astype(np.intp)


def _first(reference: Columns, pace: float) -> Columns:
    """Return the rows that border rows are made of: 50, fewer for a slow model, which is asked them many times."""
    cases = 3 * len(reference)
    return take(reference, slice(0, min(_BORDER_ROWS, max(1, affordable(pace, _BORDER_S) // cases))))


def _border_trouble(native: Predictor, graph: Predictor, interface: Interface, some: Columns) -> str:
    """Say where the graph differs on rows the reference may lack; rows the estimator refuses prove nothing.

    All of them are asked at once, as a call costs more than its rows; one by one only to find out which.
    """
    cases = list(_border_rows(interface, some))
    if cases and _agree_at_once(native, graph, interface, cases):
        return ""
    for name, rows in cases:
        try:
            wanted = native.predict(rows)
        except Exception:  # noqa: BLE001, S112 (the estimator's own refusal)
            continue
        try:
            found = agreement(wanted, graph.predict(rows), interface)
        except Exception as wrong:  # noqa: BLE001 (the graph fails where the estimator answers)
            return f"it fails on {name}: {_spell(wrong)}"
        if not found.holds:
            return f"it does not agree with the model on {name}: {found}"
    return ""


def _agree_at_once(
    native: Predictor, graph: Predictor, interface: Interface, cases: Sequence[tuple[str, Columns]]
) -> bool:
    together = {name: np.concatenate([rows[name] for _, rows in cases]) for name in cases[0][1]}
    try:
        return agreement(native.predict(together), graph.predict(together), interface).holds
    except Exception:  # noqa: BLE001 (one case is refused; each by itself says which)
        return False


def _border_rows(interface: Interface, some: Columns) -> Iterator[tuple[str, Columns]]:
    n = count_rows(some)
    for field in interface.features:
        if field.nullable:
            yield f"nulls in '{field.name}'", {**some, field.name: _full(field, None, n)}
        if field.type is FieldType.STRING and not field.categories:
            yield f"an unknown '{field.name}'", {**some, field.name: _full(field, _UNSEEN, n)}
        for end in (field.minimum, field.maximum):
            if end is not None and field.type in (FieldType.NUMBER, FieldType.INTEGER):
                yield f"'{field.name}' at {end:g}", {**some, field.name: _full(field, end, n)}


def _full(field: Field, value: Scalar, n: int) -> NDArray[Any]:
    if field.type in (FieldType.STRING, FieldType.BOOLEAN):
        return np.full(n, value, dtype=object)
    if field.type is FieldType.TIMESTAMP:
        return np.full(n, NO_TIME, dtype=np.int64)
    return np.full(n, np.nan if value is None else value, dtype=np.float64)


def _convert(estimator: Any, interface: Interface, *, wide: bool) -> bytes:
    import skl2onnx

    # A classifier without probabilities has no such option, and its converter refuses it.
    plain = interface.task is Task.REGRESSION or not hasattr(estimator, "predict_proba")
    options: dict[int, dict[str, Any]] = {} if plain else {id(estimator): {"zipmap": False}}
    if plain and hasattr(estimator, "steps"):
        options[id(estimator.steps[-1][1])] = {}  # else the converter gives the last step that option by itself
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a converter's doubts are settled by agreement
        graph: Any = cast("Any", skl2onnx).convert_sklearn(
            estimator,
            name="roadworthy",
            initial_types=_initial_types(estimator, interface, wide=wide),
            target_opset=OPSET,
            options=options,
        )
    if plain and interface.task is not Task.REGRESSION:
        del graph.graph.output[1:]  # scores that are no probabilities; the label alone is answered, as natively
    features = feature_names(estimator) or tuple(field.name for field in interface.features)
    for key, value in ((FEATURES_KEY, features), (CLASSES_KEY, classes_of(estimator))):
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    return graph.SerializeToString(deterministic=True)


def _initial_types(estimator: Any, interface: Interface, *, wide: bool) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    number: Any = DoubleTensorType if wide else FloatTensorType
    names = feature_names(estimator)
    fields = {field.name: field for field in interface.features}
    chosen = [fields[name] for name in names] if names else list(fields.values())
    texts = any(field.type is FieldType.STRING for field in chosen)
    if not _takes_columns(estimator):
        kind: Any = StringTensorType if texts else number
        return [(_matrix_name(fields), kind([None, len(chosen)]))]
    return [(f.name, (StringTensorType if f.type is FieldType.STRING else number)([None, 1])) for f in chosen]


def _takes_columns(estimator: Any) -> bool:
    """Tell whether an estimator picks columns by name, so that they may be of different types."""
    first = estimator.steps[0][1] if hasattr(estimator, "steps") else estimator
    return hasattr(first, "transformers")


def _matrix_name(fields: dict[str, Field]) -> str:
    return next(name for name in ("X", "inputs", "rw_inputs") if name not in fields)


def _spell(wrong: Exception) -> str:
    text = wrong.message if isinstance(wrong, RoadworthyError) else str(wrong)
    line = text.strip().splitlines()[0] if text.strip() else ""
    return f"{type(wrong).__name__}: {line[:200]}"
