"""The reference of a release: what its training rows and hold-out looked like, as counts, never rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured mean with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What monitors compare a release with; kept as the artifact of role `reference` (JSON of this dataclass).

    `bins` and `counts` map each feature to `stats.counts.Bins.to_doc()` and `Counts.to_doc()` over the training rows.
    `prediction_bins` and `prediction_counts` do so for the answers on the hold-out rows: the probability of the
    positive class, the label of a multiclass model, the value of a regression. `loss` is the mean decision loss on the
    hold-out (`stats.decision_loss`: error rate, or absolute error over `scale` capped at 1), `baseline_loss` the
    baseline's on the same rows. `metrics` are the task's named metrics of the model on the hold-out.
    """

    rows: int
    holdout_rows: int
    bins: Mapping[str, Mapping[str, Any]]
    counts: Mapping[str, Mapping[str, Any]]
    prediction_bins: Mapping[str, Any]
    prediction_counts: Mapping[str, Any]
    loss: Figure
    baseline_loss: Figure | None = None
    scale: float = 1.0
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
