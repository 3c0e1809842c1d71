"""What a model says becomes the outputs that its interface declares, or an error: never a NaN, never a missing row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roadworthy.domain.interface import Interface, Task, label_text
from roadworthy.ports.runtime import Outputs


class BadAnswer(ValueError):
    """The model answered with what its interface does not allow: NaN, an unknown class, too few rows."""


def from_probabilities(raw: ArrayLike, classes: Sequence[object], interface: Interface) -> Outputs:
    """Declare class probabilities of shape (n, classes).

    Args:
        raw: one row an answer, columns in the order of `classes`.
        classes: as the model spells them (`1`, `True`, `late`); matched to `interface.labels` by their text.
        interface: decides positive class and threshold, or the order of the labels.

    Raises:
        BadAnswer: not finite, the wrong shape, or a class the interface does not know.
    """
    table = np.asarray(raw, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(classes):  # noqa: PLR2004 (rows and classes)
        raise BadAnswer(f"the model has {len(classes)} classes but answered with shape {table.shape}")
    _refuse_infinite(table)
    places = {label_text(_plain(name)): place for place, name in enumerate(classes)}
    if interface.task is Task.BINARY:
        return _binary(table[:, _place(places, interface.positive)], interface)
    missing = set(places) - set(interface.labels)
    if missing:
        raise BadAnswer(f"the model knows classes that the interface does not: {', '.join(sorted(missing))}")
    ordered = np.zeros((len(table), len(interface.labels)), dtype=np.float64)
    for at, label in enumerate(interface.labels):
        if label in places:
            ordered[:, at] = table[:, places[label]]
    labels = np.array(interface.labels, dtype=object)
    return {"label": labels[ordered.argmax(axis=1)], "probabilities": ordered}


def from_positive(raw: ArrayLike, interface: Interface) -> Outputs:
    """Declare the probability of the positive class, shape (n,). Raises BadAnswer when it is not in 0..1."""
    probability = np.asarray(raw, dtype=np.float64).reshape(-1)
    _refuse_infinite(probability)
    if len(probability) and (probability.min() < 0 or probability.max() > 1):
        raise BadAnswer("the model answered with a probability outside 0..1")
    return _binary(probability, interface)


def from_labels(raw: Sequence[object], interface: Interface) -> Outputs:
    """Declare bare labels, of a model that gives no probabilities: its probability is 1 or 0.

    Raises:
        BadAnswer: a label the interface does not know.
    """
    given = [label_text(_plain(value)) for value in raw]
    unknown = set(given) - set(interface.labels)
    if unknown:
        raise BadAnswer(f"the model answered with labels the interface does not know: {', '.join(sorted(unknown))}")
    if interface.task is Task.BINARY:
        return _binary(np.array([float(label == interface.positive) for label in given]), interface)
    places = {label: place for place, label in enumerate(interface.labels)}
    certain = np.zeros((len(given), len(interface.labels)), dtype=np.float64)
    certain[np.arange(len(given)), [places[label] for label in given]] = 1.0
    labels: NDArray[Any] = np.empty(len(given), dtype=object)
    labels[:] = given
    return {"label": labels, "probabilities": certain}


def from_values(raw: ArrayLike) -> Outputs:
    """Declare the numbers of a regression, shape (n,) or (n, 1). Raises BadAnswer when one is not finite."""
    table = np.asarray(raw, dtype=np.float64)
    if table.ndim > 1 and table.size != len(table):
        raise BadAnswer(f"the model answered with {table.shape[1]} numbers a row, the interface declares one")
    value = table.reshape(-1)
    _refuse_infinite(value)
    return {"value": value}


def expect_rows(outputs: Outputs, n: int) -> Outputs:
    """Return the outputs, or raise BadAnswer when they are not n rows."""
    for name, values in outputs.items():
        if len(values) != n:
            raise BadAnswer(f"the model was asked for {n} answers and gave {len(values)} ({name})")
    return outputs


def score_of(outputs: Outputs, interface: Interface) -> NDArray[Any]:
    """Return the one number a row that agreement is measured on: probability, value, or the (n, k) probabilities."""
    names = {Task.BINARY: "probability", Task.MULTICLASS: "probabilities", Task.REGRESSION: "value"}
    return np.asarray(outputs[names[interface.task]], dtype=np.float64)


def _binary(probability: NDArray[np.float64], interface: Interface) -> Outputs:
    other = next((label for label in interface.labels if label != interface.positive), "")
    either = np.array([other, interface.positive], dtype=object)
    return {"probability": probability, "label": either[(probability >= interface.threshold).astype(np.intp)]}


def _place(places: dict[str, int], label: str) -> int:
    if label not in places:
        raise BadAnswer(f"the interface's positive class '{label}' is none of the model's: {', '.join(places)}")
    return places[label]


def _plain(value: object) -> object:
    return cast("Any", value).item() if isinstance(value, np.generic) else value


def _refuse_infinite(values: NDArray[np.float64]) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.argwhere(~finite)[0][0])
        raise BadAnswer(f"the model answered with NaN or infinity (first in row {row} of {len(values)})")
