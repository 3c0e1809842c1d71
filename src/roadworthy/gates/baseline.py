"""The baseline: the simple rival that must be beaten, and that wins a tie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, cast

import numpy as np

from roadworthy.domain.interface import Task
from roadworthy.domain.system import Kind
from roadworthy.domain.verdict import Judgement
from roadworthy.errors import NotFoundError
from roadworthy.gates.baseline_llm import judge_llm
from roadworthy.gates.judging import answers, failed, figure, inconclusive, judged, passed
from roadworthy.gates.measures import LOSS_NAMES, metrics, row_losses
from roadworthy.manifest.defaults_v1 import GATE_PARAMETERS
from roadworthy.ports.evaluation import LlmTrial
from roadworthy.ports.gate import AnyTrial, Rows, Trial
from roadworthy.ports.runtime import Outputs
from roadworthy.stats import quality
from roadworthy.stats.intervals import Interval

FEWEST_ROWS: Final = 30


class BaselineGate:
    """Compares candidate and baseline by the paired difference of their losses on the same hold-out rows.

    For kind llm it is that of their scores on the same cases (`gates.baseline_llm`).
    """

    name: ClassVar[str] = "baseline"
    needs: ClassVar[str] = "a smaller loss than the baseline's on the same hold-out rows, beyond the interval"
    defaults: ClassVar[Mapping[str, Any]] = GATE_PARAMETERS["baseline"]

    def judge(self, trial: AnyTrial, parameters: Mapping[str, Any]) -> Judgement:
        """Pass when the candidate is better beyond the interval; in a tie the simpler one is kept."""
        if trial.system.kind is Kind.LLM:
            return judged(judge_llm, cast("LlmTrial", trial), parameters)
        return judged(self._judge, cast("Trial", trial), {**self.defaults, **parameters})

    def _judge(self, trial: Trial, given: Mapping[str, Any]) -> Judgement:
        rows, interface = trial.holdout(), trial.system.content.interface
        if rows.n < FEWEST_ROWS:
            reason = f"{rows.n} hold-out rows cannot tell the candidate from the baseline; {FEWEST_ROWS} are needed"
            return inconclusive(reason, {"n": rows.n})
        own = answers(trial.predict, rows.columns, "the hold-out rows")
        try:
            rival = trial.baseline(rows.columns)
        except NotFoundError as error:
            return failed(error.message, {"n": rows.n})
        loss, rival_loss = row_losses(interface, rows.target, own), row_losses(interface, rows.target, rival)
        gap = quality.paired_difference(loss, rival_loss, float(given["confidence"]))
        evidence = self._evidence(trial, rows, own, rival, gap)
        evidence["loss"] |= {"candidate": float(loss.mean()), "baseline": float(rival_loss.mean())}
        return _decided(gap, float(given["margin"]), _side_by_side(evidence), evidence)

    def _evidence(self, trial: Trial, rows: Rows, own: Outputs, rival: Outputs, gap: Interval) -> dict[str, Any]:
        interface = trial.system.content.interface
        evidence: dict[str, Any] = {
            "n": rows.n,
            "rows": rows.note,
            "loss": {"name": LOSS_NAMES[interface.task]},
            "difference": figure(gap),
            "candidate": metrics(interface, rows.target, own),
            "baseline": metrics(interface, rows.target, rival),
        }
        if interface.task is Task.BINARY:
            truth = (rows.target == interface.positive).astype(np.float64)
            ranked = quality.auc_difference(truth, own["probability"], rival["probability"], gap.level)
            evidence["auc_difference"] = None if ranked is None else figure(ranked)
        return evidence


def _decided(gap: Interval, margin: float, beside: str, evidence: Mapping[str, Any]) -> Judgement:
    """Below 0 the candidate loses less. It must be better by more than the margin, at the whole interval."""
    spread = f"difference {gap.estimate:+.4g} [{gap.low:+.4g}, {gap.high:+.4g}], n={gap.n:,}"
    if gap.high < -margin:
        return passed(f"better than the baseline: {beside}; {spread}", evidence)
    if gap.low > 0:
        return failed(f"keep the baseline, the candidate is worse: {beside}; {spread}", evidence)
    within = "the gain is within the margin" if gap.high < 0 else "they cannot be told apart"
    return failed(f"keep the baseline: {within}, and the simpler one wins a tie: {beside}; {spread}", evidence)


def _side_by_side(evidence: Mapping[str, Any]) -> str:
    loss: Mapping[str, Any] = evidence["loss"]
    text = f"{loss['name']} {loss['candidate']:.4g} against {loss['baseline']:.4g}"
    auc = [evidence[who].get("auc") for who in ("candidate", "baseline")]
    return text if None in auc else f"{text}, AUC {auc[0]:.3f} against {auc[1]:.3f}"
