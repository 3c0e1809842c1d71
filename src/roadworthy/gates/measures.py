"""How good answers are: the loss that decides for each task, and the metrics that are shown beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from roadworthy.domain.interface import Interface, Task
from roadworthy.ports.runtime import Outputs
from roadworthy.stats import quality
from roadworthy.stats.arrays import Floats
from roadworthy.stats.decision_loss import label_loss
from roadworthy.stats.intervals import Interval, bootstrap, mean_interval, wilson

HIGHER_IS_BETTER: Final = frozenset({"accuracy", "auc", "r2"})
LOSS_NAMES: Final[Mapping[Task, str]] = {
    Task.BINARY: "brier",
    Task.MULTICLASS: "error rate",
    Task.REGRESSION: "absolute error",
}
METRICS: Final[Mapping[Task, tuple[str, ...]]] = {
    Task.BINARY: ("auc", "accuracy", "brier", "log_loss"),
    Task.MULTICLASS: ("accuracy", "log_loss"),
    Task.REGRESSION: ("mae", "rmse", "r2"),
}
_CLIP: Final = 1e-15
_ROUNDS: Final = 400


def row_losses(interface: Interface, target: NDArray[Any], outputs: Outputs) -> Floats:
    """Return the loss of each row, shape (n,), lower is better.

    Binary: the Brier loss (squared error of the probability). It is proper and lies in [0, 1], so that the interval of
    its mean can be trusted; one row of log loss can outweigh all others. Multiclass: 1 where the label is wrong.
    Regression: the absolute error.
    """
    if interface.task is Task.BINARY:
        return quality.losses("brier", _ones(interface, target), outputs["probability"])
    if interface.task is Task.MULTICLASS:
        return label_loss(target, outputs["label"])
    return quality.losses("absolute", target, outputs["value"])


def metric(name: str, interface: Interface, target: NDArray[Any], outputs: Outputs, level: float) -> Interval | None:
    """Return one of the task's metrics with its interval, or None where these rows do not define it.

    Raises:
        KeyError: the task has no metric of this name (`METRICS` lists them).
    """
    if name not in METRICS[interface.task]:
        raise KeyError(name)
    return _MEASURES[name](interface, target, outputs, level)


def metrics(interface: Interface, target: NDArray[Any], outputs: Outputs) -> dict[str, float]:
    """Return all of the task's metrics by name, to be shown side by side; undefined ones are left out."""
    found = {name: metric(name, interface, target, outputs, 0.95) for name in METRICS[interface.task] if name != "r2"}
    if interface.task is Task.REGRESSION:
        share = quality.r_squared(target, outputs["value"])
        found["r2"] = None if share is None else Interval(share, share, share, len(target))
    return {name: one.estimate for name, one in found.items() if one is not None and math.isfinite(one.estimate)}


def score(interface: Interface, outputs: Outputs) -> NDArray[np.float64]:
    """Return the numbers that agreement is measured on: probability, value, or (n, k) probabilities."""
    names = {Task.BINARY: "probability", Task.MULTICLASS: "probabilities", Task.REGRESSION: "value"}
    return np.asarray(outputs[names[interface.task]], dtype=np.float64)


def _ones(interface: Interface, target: NDArray[Any]) -> Floats:
    return (target == interface.positive).astype(np.float64)


def _accuracy(_: Interface, target: NDArray[Any], outputs: Outputs, level: float) -> Interval:
    wrong = label_loss(target, outputs["label"])
    return wilson(int(len(wrong) - wrong.sum()), len(wrong), level)


def _auc(interface: Interface, target: NDArray[Any], outputs: Outputs, level: float) -> Interval | None:
    return quality.auc_interval(_ones(interface, target), outputs["probability"], level)


def _brier(interface: Interface, target: NDArray[Any], outputs: Outputs, level: float) -> Interval:
    return mean_interval(quality.losses("brier", _ones(interface, target), outputs["probability"]), level)


def _log_loss(interface: Interface, target: NDArray[Any], outputs: Outputs, level: float) -> Interval:
    if interface.task is Task.BINARY:
        return mean_interval(quality.losses("log", _ones(interface, target), outputs["probability"]), level)
    places = {label: place for place, label in enumerate(interface.labels)}
    index = np.array([places[label] for label in target.tolist()], dtype=np.intp)
    shares = np.clip(outputs["probabilities"][np.arange(len(index)), index], _CLIP, 1)
    return mean_interval(-np.log(shares), level)


def _mae(_: Interface, target: NDArray[Any], outputs: Outputs, level: float) -> Interval:
    return mean_interval(quality.losses("absolute", target, outputs["value"]), level)


def _rmse(_: Interface, target: NDArray[Any], outputs: Outputs, level: float) -> Interval:
    square = mean_interval(quality.losses("squared", target, outputs["value"]), level)
    root = [math.sqrt(max(0.0, end)) for end in (square.estimate, square.low, square.high)]
    return Interval(root[0], root[1], root[2], square.n, level)


def _r2(_: Interface, target: NDArray[Any], outputs: Outputs, level: float) -> Interval | None:
    if quality.r_squared(target, outputs["value"]) is None:
        return None
    rows = np.column_stack([target, outputs["value"]]).astype(np.float64)
    # The seed is fixed, so that the interval is the same each time the gate judges.
    return bootstrap(_share_explained, rows, np.random.default_rng(0), rounds=_ROUNDS, level=level)


def _share_explained(rows: Floats) -> float:
    found = quality.r_squared(rows[:, 0], rows[:, 1])
    return 0.0 if found is None else found


_MEASURES: Final[Mapping[str, Callable[[Interface, NDArray[Any], Outputs, float], Interval | None]]] = {
    "accuracy": _accuracy,
    "auc": _auc,
    "brier": _brier,
    "log_loss": _log_loss,
    "mae": _mae,
    "rmse": _rmse,
    "r2": _r2,
}
