"""How good a model and its baseline are on the hold-out, and the reference that monitors compare with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.reference import Figure, Reference
from roadworthy.errors import InputError
from roadworthy.lifecycle.pace import pace_of
from roadworthy.lifecycle.split import Split
from roadworthy.ports.gate import Rows
from roadworthy.ports.runtime import Columns, Outputs, Predictor
from roadworthy.runtimes.columns import NO_TIME
from roadworthy.stats import counts, quality
from roadworthy.stats.arrays import Floats
from roadworthy.stats.decision_loss import label_loss, value_loss
from roadworthy.stats.intervals import mean_interval

_SCALE_QUANTILE: Final = 0.9
_CLIP: Final = 1e-15


def answer(predictor: Predictor, rows: Rows, who: str) -> Outputs:
    """Return the answers to rows; a model that fails on its own hold-out is the caller's mistake, said so.

    Raises:
        InputError: it raises, or answers with what the interface does not allow.
    """
    try:
        return predictor.predict(rows.columns)
    except Exception as wrong:
        raise InputError(f"the {who} fails on the hold-out rows: {type(wrong).__name__}: {wrong}") from wrong


def measured(predictor: Predictor, columns: Columns, who: str) -> float:
    """Return the seconds that a model needs for a row of the hold-out.

    Raises:
        InputError: as `answer` does.
    """
    try:
        return pace_of(predictor.predict, columns)
    except Exception as wrong:
        raise InputError(f"the {who} fails on the hold-out rows: {type(wrong).__name__}: {wrong}") from wrong


def metrics(interface: Interface, target: NDArray[Any], outputs: Outputs) -> dict[str, float]:
    """Return the task's metrics by name; what cannot be measured on these rows is left out.

    binary: accuracy, auc, brier, log_loss · multiclass: accuracy, log_loss · regression: mae, rmse, r2.
    """
    if interface.task is Task.REGRESSION:
        value = outputs["value"]
        found: Mapping[str, float | None] = {
            "mae": quality.mean_absolute_error(target, value),
            "rmse": quality.root_mean_squared_error(target, value),
            "r2": quality.r_squared(target, value),
        }
    elif interface.task is Task.BINARY:
        truth = (target == interface.positive).astype(np.float64)
        share = outputs["probability"]
        found = {
            "accuracy": 1 - float(label_loss(target, outputs["label"]).mean()),
            "auc": quality.roc_auc(truth, share),
            "brier": quality.brier(truth, share),
            "log_loss": quality.log_loss(truth, share),
        }
    else:
        at = {label: place for place, label in enumerate(interface.labels)}
        places = np.array([at[label] for label in target.tolist()], dtype=np.intp)
        shares = np.clip(outputs["probabilities"][np.arange(len(places)), places], _CLIP, 1)
        found = {
            "accuracy": 1 - float(label_loss(target, outputs["label"]).mean()),
            "log_loss": float(-np.log(shares).mean()),
        }
    return {name: float(number) for name, number in found.items() if number is not None}


def reference_of(split: Split, outputs: Outputs, baseline: Outputs | None) -> Reference:
    """Count the training rows and the answers to the hold-out, and measure the loss on it.

    Args:
        split: the project's rows.
        outputs: the model's answers to the hold-out.
        baseline: the baseline's, or None where there is none.
    """
    interface = split.interface
    train, holdout = split.reference(), split.holdout()
    features = [field for field in interface.features if field.name in train.columns]
    values = {field.name: countable(field, train.columns[field.name]) for field in features}
    bins = {name: counts.freeze(name, column) for name, column in values.items()}
    name, answers = predicted(interface, outputs)
    answered = counts.freeze(name, answers)
    scale = loss_scale(interface, holdout.target, baseline, split.target[split.train_index])
    return Reference(
        rows=len(split.train_index),
        holdout_rows=holdout.n,
        bins={name: one.to_doc() for name, one in bins.items()},
        counts={name: counts.fold(one, values[name]).to_doc() for name, one in bins.items()},
        prediction_bins=answered.to_doc(),
        prediction_counts=counts.fold(answered, answers).to_doc(),
        loss=_figure(decision_loss(interface, holdout.target, outputs, scale)),
        baseline_loss=_figure(decision_loss(interface, holdout.target, baseline, scale)) if baseline else None,
        scale=scale,
        metrics=metrics(interface, holdout.target, outputs),
    )


def countable(field: Field, values: NDArray[Any]) -> NDArray[Any]:
    """Return a column as `stats.counts` counts it: times as float µs, with NaN for none."""
    if field.type is FieldType.TIMESTAMP:
        return np.where(values == NO_TIME, np.nan, values.astype(np.float64))
    return values


def predicted(interface: Interface, outputs: Outputs) -> tuple[str, NDArray[Any]]:
    """Return the name and values of the output whose distribution is watched."""
    name = {Task.BINARY: "probability", Task.MULTICLASS: "label", Task.REGRESSION: "value"}[interface.task]
    return name, outputs[name]


def decision_loss(interface: Interface, target: NDArray[Any], outputs: Outputs, scale: float) -> Floats:
    """Return the loss of each decision, in 0..1."""
    if interface.task is Task.REGRESSION:
        return value_loss(target, outputs["value"], scale)
    return label_loss(target, outputs["label"])


def loss_scale(interface: Interface, target: NDArray[Any], baseline: Outputs | None, trained: NDArray[Any]) -> float:
    """Return the error beyond which a number is simply wrong: the 90 % quantile of the baseline's absolute errors.

    Without a baseline, of guessing the training mean; 1 where even that is never wrong, and for labels.
    """
    if interface.task is not Task.REGRESSION:
        return 1.0
    guess = baseline["value"] if baseline else np.full(len(target), float(trained.mean()))
    scale = float(np.quantile(np.abs(target - guess), _SCALE_QUANTILE))
    return scale if scale > 0 else 1.0


def _figure(losses: Floats) -> Figure:
    found = mean_interval(losses)
    wide = not np.isfinite([found.low, found.high]).all()
    return Figure(value=found.estimate, low=0.0 if wide else found.low, high=1.0 if wide else found.high, n=found.n)
