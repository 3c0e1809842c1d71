"""Retrieval: the passages that a case needs are among those that reach the prompt. Judged apart from the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from roadworthy.domain.verdict import Judgement
from roadworthy.errors import InconclusiveError
from roadworthy.gates.cases import cases_of
from roadworthy.gates.judging import failed, figure, inconclusive, judged, passed
from roadworthy.manifest.defaults_llm_v1 import GATE_PARAMETERS
from roadworthy.ports.evaluation import Answered, Case, LlmTrial
from roadworthy.stats.judged import decide
from roadworthy.stats.ranking import hit_rate, recall, reciprocal_rank

_SHOWN = 5


class RetrievalGate:
    """Measures recall among the first `index.top` passages on the cases that name theirs; MRR stands beside it."""

    name: ClassVar[str] = "retrieval"
    needs: ClassVar[str] = "the passages that the cases name among those found, at the whole interval"
    defaults: ClassVar[Mapping[str, Any]] = GATE_PARAMETERS["retrieval"]

    def judge(self, trial: LlmTrial, parameters: Mapping[str, Any]) -> Judgement:
        """Pass, fail, or say that the cases do not settle it."""
        return judged(self._judge, trial, {**self.defaults, **parameters})

    def _judge(self, trial: LlmTrial, given: Mapping[str, Any]) -> Judgement:
        plan = trial.system.content.llm
        if plan is None or plan.index is None:
            return passed("the system has no index, so nothing is retrieved", {})
        cases = [case for case in cases_of(trial, given) if case.passages]
        if not cases:
            raise InconclusiveError("no case names the passages that it needs", hint="add passages: to some cases")
        answers = trial.answers("candidate", cases, 1)
        assert answers is not None, "a trial has a candidate"
        if problems := [one.problem for one in answers if one.problem and not one.passages]:
            raise InconclusiveError(f"{len(problems)} of {len(cases)} questions were not answered: {problems[0]}")
        top, level = plan.index.top, float(given["confidence"])
        gains = _gains(cases, answers)
        found = recall(gains, [len(case.passages) for case in cases], top, level)
        missed = [case.name for case, row in zip(cases, gains, strict=True) if sum(row[:top]) < len(case.passages)]
        evidence = {
            "n": len(cases), "top": top, "recall": figure(found), "hit_rate": figure(hit_rate(gains, top, level)),
            "mrr": figure(reciprocal_rank(gains, level)), "missed": missed[:_SHOWN], "at_least": given["at_least"],
        }  # fmt: skip
        least = float(given["at_least"])
        shown = f"recall@{top} {found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}] of {len(cases)} cases"
        decision = decide(found, least)
        if decision == "pass":
            return passed(f"{shown}; at least {least:g} is asked", evidence)
        if decision == "fail":
            return failed(f"{shown}; at least {least:g} is asked; missed: {', '.join(missed[:_SHOWN])}", evidence)
        return inconclusive(f"undecided: {shown} does not settle whether it is at least {least:g}", evidence)


def _gains(cases: Sequence[Case], answers: Sequence[Answered]) -> list[list[float]]:
    """Return per case what each place of its ranking gains; a wanted passage or file counts where it comes first."""
    rows: list[list[float]] = []
    for case, answered in zip(cases, answers, strict=True):
        left = list(case.passages)
        row: list[float] = []
        for found in answered.passages:
            named = next((want for want in left if want in (found, found.partition("#")[0])), None)
            if named is not None:
                left.remove(named)
            row.append(float(named is not None))
        rows.append(row)
    depth = max(1, *(len(row) for row in rows)) if rows else 1
    return [row + [0.0] * (depth - len(row)) for row in rows]
