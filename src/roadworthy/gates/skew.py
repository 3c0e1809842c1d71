"""Skew: what callers are answered over HTTP is what the prototype answers in training, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from roadworthy.domain.interface import Interface, Task
from roadworthy.domain.verdict import Judgement
from roadworthy.gates.cells import broken, json_rows, spaced, take
from roadworthy.gates.judging import answers, failed, finite, inconclusive, judged, passed
from roadworthy.gates.measures import score
from roadworthy.manifest.defaults_v1 import GATE_PARAMETERS
from roadworthy.ports.gate import Rows, Trial
from roadworthy.ports.runtime import Columns, Outputs

_OK: Final = 200
_PROBED_ROWS: Final = 10
_FEWEST_ROWS: Final = 10
_NAMED: Final = 5


class SkewGate:
    """Sends hold-out rows as JSON through a real worker and compares with the prototype as it was trained."""

    name: ClassVar[str] = "skew"
    needs: ClassVar[str] = "equal answers over HTTP and from the prototype, on the same rows"
    defaults: ClassVar[Mapping[str, Any]] = GATE_PARAMETERS["skew"]

    def judge(self, trial: Trial, parameters: Mapping[str, Any]) -> Judgement:
        """Pass when the two paths agree; else say how many rows differ and which columns explain it."""
        return judged(self._judge, trial, {**self.defaults, **parameters})

    def _judge(self, trial: Trial, given: Mapping[str, Any]) -> Judgement:
        tolerance, interface = float(given["tolerance"]), trial.system.content.interface
        rows = trial.holdout()
        index = np.flatnonzero(~_refused(interface, rows))
        index = index[spaced(len(index), int(given["rows"]))]
        if len(index) < min(_FEWEST_ROWS, rows.n):
            return inconclusive(f"only {len(index)} hold-out rows keep the interface", {"n": len(index)})
        columns = take(rows.columns, index)
        gaps, unanswered = _gaps(trial, columns)
        far = np.flatnonzero(~(gaps <= tolerance))
        answered = gaps[np.isfinite(gaps)]
        evidence: dict[str, Any] = {
            "n": len(index),
            "differing": len(far),
            "unanswered": unanswered,
            "largest_difference": finite(float(answered.max())) if len(answered) else None,
            "tolerance": tolerance,
        }
        if unanswered:
            return failed(
                f"{unanswered} of {len(index)} valid rows were not answered by the candidate over HTTP", evidence
            )
        if not len(far):
            reason = (
                f"serving and training paths agree on {len(index)} rows (largest difference {gaps.max(initial=0):.2g})"
            )
            return passed(reason, evidence)
        culprits = _culprits(trial, columns, far, gaps, tolerance)
        evidence["columns"] = culprits
        where = (
            f"; it goes away without {', '.join(culprits[:_NAMED])}" if culprits else "; no single column explains it"
        )
        reason = f"{len(far)} of {len(index)} rows differ by up to {gaps.max():.2g} between serving and training{where}"
        return failed(reason, evidence)


def _refused(interface: Interface, rows: Rows) -> NDArray[np.bool_]:
    """Return the rows that the serving path refuses by contract; the gate 'contract' counts those."""
    bad = np.zeros(rows.n, dtype=np.bool_)
    for field in interface.inputs:
        if field.name in rows.columns:
            for rule_broken in broken(field, np.asarray(rows.columns[field.name])).values():
                bad |= rule_broken
    return bad


def _gaps(trial: Trial, columns: Columns) -> tuple[NDArray[np.float64], int]:
    """Return the difference of each row (NaN where the candidate did not answer), and how many those are."""
    interface = trial.system.content.interface
    n = len(next(iter(columns.values())))
    wanted = trial.native(columns)
    if wanted is None:
        wanted = answers(trial.predict, columns, "the hold-out rows")
    replies = trial.serve(json_rows(columns, interface.inputs, np.arange(n, dtype=np.intp)))
    served = [_numbers(interface, reply) for reply in replies]
    width = score(interface, wanted).reshape(n, -1).shape[1]
    told = np.array([one if one is not None else [np.nan] * width for one in served], dtype=np.float64).reshape(n, -1)
    gaps = np.abs(told - score(interface, wanted).reshape(n, -1)).max(axis=1)
    if interface.task is Task.REGRESSION:
        size = np.abs(wanted["value"])
        gaps = gaps / np.maximum(size, max(float(size.mean()), np.finfo(np.float64).tiny))
    flipped = _flipped(interface, replies, wanted)
    gaps[flipped] = np.maximum(gaps[flipped], 1.0)
    return gaps, sum(one is None for one in served)


def _numbers(interface: Interface, reply: Mapping[str, Any]) -> list[float] | None:
    """Read the numbers of one answer, in the order of `measures.score`; None if the candidate did not give it."""
    if reply.get("status") != _OK or reply.get("fallback"):
        return None
    outputs: Mapping[str, Any] = reply["outputs"]
    if interface.task is Task.BINARY:
        return [float(outputs["probability"])]
    if interface.task is Task.MULTICLASS:
        return [float(outputs["probabilities"][label]) for label in interface.labels]
    return [float(outputs["value"])]


def _flipped(interface: Interface, replies: Sequence[Mapping[str, Any]], wanted: Outputs) -> NDArray[np.intp]:
    if interface.task is Task.REGRESSION:
        return np.empty(0, dtype=np.intp)
    labels = wanted["label"].tolist()
    pairs = zip(replies, labels, strict=True)
    return np.array(
        [at for at, (reply, label) in enumerate(pairs) if _label(reply) not in (None, label)], dtype=np.intp
    )


def _label(reply: Mapping[str, Any]) -> str | None:
    return reply["outputs"]["label"] if reply.get("status") == _OK else None


def _culprits(
    trial: Trial, columns: Columns, far: NDArray[np.intp], gaps: NDArray[np.float64], tolerance: float
) -> list[str]:
    """Name the columns that explain the difference: with the value of an agreeing row in them, it goes away."""
    near = np.flatnonzero(gaps <= tolerance)
    if not len(near):
        return []
    some = take(columns, far[:_PROBED_ROWS])
    found: list[str] = []
    for field in trial.system.content.interface.features:
        neutral = {**some, field.name: np.repeat(np.asarray(columns[field.name])[near[:1]], len(far[:_PROBED_ROWS]))}
        left, _ = _gaps(trial, neutral)
        if (left <= tolerance).all():
            found.append(field.name)
    return found
