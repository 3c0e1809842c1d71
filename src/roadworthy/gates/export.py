"""Export: the ONNX graph that is served answers as the prototype does, on every reference row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

from roadworthy.domain.interface import Task
from roadworthy.domain.verdict import Judgement
from roadworthy.gates.judging import answers, failed, finite, judged, passed
from roadworthy.gates.measures import score
from roadworthy.manifest.defaults_v1 import GATE_PARAMETERS
from roadworthy.ports.gate import Trial
from roadworthy.stats.agreement import of_probabilities, of_values

_NATIVELY: Final = "served by scikit-learn itself, not as ONNX: "


class ExportGate:
    """Asks prototype and graph the same rows, again at each release; a converter's word is not enough."""

    name: ClassVar[str] = "export"
    needs: ClassVar[str] = "no probability off by more than the tolerance and no label flipped, over the reference"
    defaults: ClassVar[Mapping[str, Any]] = GATE_PARAMETERS["export"]

    def judge(self, trial: Trial, parameters: Mapping[str, Any]) -> Judgement:
        """Pass when the graph agrees, or when there is none to disagree."""
        return judged(self._judge, trial, {**self.defaults, **parameters})

    def _judge(self, trial: Trial, given: Mapping[str, Any]) -> Judgement:
        evidence: dict[str, Any] = {"runtime": trial.candidate.runtime}
        if trial.candidate.runtime != "onnx":
            return passed(_why_native(trial), evidence)
        rows, interface = trial.reference(), trial.system.content.interface
        wanted = trial.native(rows.columns)
        if wanted is None:
            return passed("the model came as ONNX; there is no prototype to compare it with", evidence)
        given_back = answers(trial.predict, rows.columns, "the reference rows")
        ours, theirs = score(interface, wanted), score(interface, given_back)
        if ours.shape != theirs.shape:
            return failed(f"the graph answers in shape {theirs.shape}, the prototype in {ours.shape}", evidence)
        if interface.task is Task.REGRESSION:
            found, what = of_values(ours, theirs), "relative difference"
        else:
            found = of_probabilities(ours, theirs, wanted["label"], given_back["label"])
            what = "difference of a probability"
        found = replace(found, tolerance=float(given["tolerance"]))
        evidence |= {
            "largest_difference": finite(found.largest),
            "flips": found.flips,
            "n": found.n,
            "tolerance": found.tolerance,
            "rows": rows.note,
        }
        largest = f"largest {what} {found.largest:.2g} (allowed {found.tolerance:g})"
        text = f"{largest}, {found.flips:,} labels flipped, n={found.n:,}"
        if found.holds:
            return passed(f"the graph agrees with the prototype: {text}", evidence)
        return failed(f"the graph does not agree with the prototype: {text}", evidence)


def _why_native(trial: Trial) -> str:
    reason = next((note.removeprefix(_NATIVELY) for note in trial.notes if note.startswith(_NATIVELY)), "")
    if reason:
        return f"served natively, because as ONNX {reason}"
    return f"served natively by '{trial.candidate.runtime}'; nothing was exported"
