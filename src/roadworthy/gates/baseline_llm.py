"""The baseline of kind llm: a passage or a fixed text, which must be beaten, and which wins a tie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roadworthy.domain.verdict import Judgement
from roadworthy.gates.judging import failed, inconclusive, passed
from roadworthy.gates.rivals import compare, evidence_of
from roadworthy.manifest.defaults_llm_v1 import SHARED_GATE_PARAMETERS
from roadworthy.ports.evaluation import LlmTrial
from roadworthy.stats.judged import decide_difference


def judge_llm(trial: LlmTrial, parameters: Mapping[str, Any]) -> Judgement:
    """Pass when the candidate scores better on the same cases at the whole interval; a tie keeps the baseline."""
    given = {**SHARED_GATE_PARAMETERS["baseline"], **parameters}
    found = compare(trial, "baseline", given)
    if found is None:
        return failed(f"{trial.system.name} has no baseline", {})
    evidence = evidence_of(trial, found)
    match decide_difference(found.gap, float(given["margin"])):
        case "better":
            return passed(f"better than the baseline: {found.text}", evidence)
        case "worse":
            return failed(f"keep the baseline, the candidate is worse: {found.text}", evidence)
        case "equal within margin":
            reason = (
                f"keep the baseline: they are equal within the margin, and the simpler one wins a tie: {found.text}"
            )
            return failed(reason, evidence)
        case "undecided":
            reason = f"undecided: the cases do not tell the candidate from the baseline; more would: {found.text}"
            return inconclusive(reason, evidence)
