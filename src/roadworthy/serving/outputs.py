"""What a model answered, checked and put into rows: finite numbers, as many rows as were asked, known labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from roadworthy.domain.interface import Interface, Task
from roadworthy.domain.record import Value

Answer: TypeAlias = tuple[Value, ...]
"""One row of outputs as recorded: (probability, label), or (label, p of each label), or (value,) for a regression."""


class BadOutput(Exception):
    """The model answered with what its interface does not allow; the request falls back."""


class OutputShape:
    """Reads `Outputs` of one interface and tells callers what they mean."""

    def __init__(self, interface: Interface) -> None:
        self.labels = interface.labels
        self.task = interface.task
        self.rows: Callable[[Mapping[str, Any], int], list[Answer]] = _READERS[interface.task]
        self.spoken: Callable[[Answer], dict[str, Any]] = {
            Task.BINARY: _say_binary,
            Task.MULTICLASS: self._say_multiclass,
            Task.REGRESSION: _say_regression,
        }[interface.task]

    def _say_multiclass(self, row: Answer) -> dict[str, Any]:
        return {"label": row[0], "probabilities": dict(zip(self.labels, row[1:], strict=False))}

    def stated(self, default: Mapping[str, Any]) -> Answer:
        """Put a stated default answer into the shape of a record; parts it does not state are None."""
        if self.task is Task.MULTICLASS:
            shares: Mapping[str, Any] = default.get("probabilities") or {}
            return (default.get("label"), *(shares.get(label) for label in self.labels))
        names = ("probability", "label") if self.task is Task.BINARY else ("value",)
        return tuple(default.get(name) for name in names)


def _say_binary(row: Answer) -> dict[str, Any]:
    return {"probability": row[0], "label": row[1]}


def _say_regression(row: Answer) -> dict[str, Any]:
    return {"value": row[0]}


def _numbers(outputs: Mapping[str, Any], name: str, n: int) -> list[float]:
    values: list[float] = outputs[name].tolist()
    if len(values) != n:
        raise BadOutput(f"{n} rows were asked and {len(values)} answered ({name})")
    if not all(map(math.isfinite, values)):
        raise BadOutput(f"{name} is not finite")
    return values


def _binary(outputs: Mapping[str, Any], n: int) -> list[Answer]:
    shares = _numbers(outputs, "probability", n)
    return list(zip(shares, outputs["label"].tolist(), strict=True))


def _multiclass(outputs: Mapping[str, Any], n: int) -> list[Answer]:
    table: list[list[float]] = outputs["probabilities"].tolist()
    labels: list[str] = outputs["label"].tolist()
    if not len(table) == len(labels) == n:
        raise BadOutput(f"{n} rows were asked and {len(table)} answered")
    if not all(math.isfinite(share) for row in table for share in row):
        raise BadOutput("a probability is not finite")
    return [(label, *row) for label, row in zip(labels, table, strict=True)]


def _regression(outputs: Mapping[str, Any], n: int) -> list[Answer]:
    return [(value,) for value in _numbers(outputs, "value", n)]


_READERS: Final[Mapping[Task, Callable[[Mapping[str, Any], int], list[Answer]]]] = {
    Task.BINARY: _binary,
    Task.MULTICLASS: _multiclass,
    Task.REGRESSION: _regression,
}
