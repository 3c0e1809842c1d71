"""What every gate's answer is made of: a state, one sentence, and evidence of counts and figures, never rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from roadworthy.domain.verdict import Judgement, VerdictState
from roadworthy.errors import ArtifactError, EnvironmentMismatch, InputError, RoadworthyError
from roadworthy.ports.runtime import Columns, Outputs
from roadworthy.stats.intervals import Interval

Tried = TypeVar("Tried")
"""The trial of one kind."""


class ModelFailed(Exception):
    """The candidate could not answer rows it must be able to answer; the text is a verdict's reason."""


def passed(reason: str, evidence: Mapping[str, Any]) -> Judgement:
    """Say that the gate is open."""
    return Judgement(state=VerdictState.PASS, reason=reason, evidence=dict(evidence))


def failed(reason: str, evidence: Mapping[str, Any]) -> Judgement:
    """Say that the gate is shut."""
    return Judgement(state=VerdictState.FAIL, reason=reason, evidence=dict(evidence))


def inconclusive(reason: str, evidence: Mapping[str, Any]) -> Judgement:
    """Say that the evidence does not suffice; never a pass."""
    return Judgement(state=VerdictState.INCONCLUSIVE, reason=reason, evidence=dict(evidence))


def answers(predict: Callable[[Columns], Outputs], columns: Columns, where: str) -> Outputs:
    """Ask a model, and turn whatever it raises into a reason.

    Raises:
        ModelFailed: it raised; texts of foreign exceptions may hold values of rows, so only their names are told.
    """
    try:
        return predict(columns)
    except RoadworthyError as error:
        raise ModelFailed(f"the candidate fails on {where}: {error.message}") from error
    except Exception as error:
        raise ModelFailed(f"the candidate fails on {where}: it raised {type(error).__name__}") from error


def judged(judge: Callable[[Tried, Mapping[str, Any]], Judgement], trial: Tried, parameters: Any) -> Judgement:
    """Run a gate's own rule; a model that fails is a failed gate, and what could not be measured is no pass."""
    try:
        return judge(trial, parameters)
    except ModelFailed as error:
        return failed(str(error), {"answered": False})
    except (ArtifactError, EnvironmentMismatch, InputError) as error:
        return failed(f"the candidate cannot be asked: {error.message}", {"answered": False})
    except RoadworthyError as error:
        return inconclusive(f"it could not be measured: {error.message}", {"answered": False})


def figure(interval: Interval) -> dict[str, float | int | None]:
    """Spell an interval as evidence; JSON knows no infinity, so an open end is None."""
    return {
        "value": finite(interval.estimate),
        "low": finite(interval.low),
        "high": finite(interval.high),
        "n": interval.n,
    }


def finite(number: float) -> float | None:
    """Return a number that JSON can hold, or None."""
    return float(number) if math.isfinite(number) else None
