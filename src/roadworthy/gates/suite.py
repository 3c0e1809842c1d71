"""Suite: the answers to the project's own cases score at least what the manifest asks, beyond doubt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from roadworthy.domain.verdict import Judgement
from roadworthy.gates.cases import ask, cases_of, figures, in_full, scored_cases
from roadworthy.gates.judging import failed, figure, inconclusive, judged, passed
from roadworthy.gates.labels import labelled
from roadworthy.manifest.defaults_llm_v1 import GATE_PARAMETERS
from roadworthy.ports.evaluation import LlmTrial
from roadworthy.stats.calibrated import calibrated_mean
from roadworthy.stats.judged import decide, scored_mean


class SuiteGate:
    """Asks every case several times over the real serving path and tests the interval's bound, not the mean.

    Repeats of a case are one witness. Where judges score, people's labels must show that they agree with people, and
    correct what they say.
    """

    name: ClassVar[str] = "suite"
    needs: ClassVar[str] = "a mean score of the project's cases at or above the threshold, at the whole interval"
    defaults: ClassVar[Mapping[str, Any]] = GATE_PARAMETERS["suite"]

    def judge(self, trial: LlmTrial, parameters: Mapping[str, Any]) -> Judgement:
        """Pass, fail, or say that the cases do not settle it."""
        return judged(self._judge, trial, {**self.defaults, **parameters})

    def _judge(self, trial: LlmTrial, given: Mapping[str, Any]) -> Judgement:
        cases, level = scored_cases(cases_of(trial, given)), float(given["confidence"])
        asked = ask(trial, "candidate", cases, int(given["repeats"]))
        assert asked is not None, "a trial has a candidate"
        evidence: dict[str, Any] = {**figures(asked), "repeats": given["repeats"], "at_least": given["at_least"]}
        evidence["in_full"] = trial.evidence("suite", in_full(asked))
        score = scored_mean(asked.values, level)
        if any(case.judges for case in cases):
            people = labelled(trial, cases)
            evidence |= {"judges": people.evidence, "labels": people.labels, "uncorrected": figure(score)}
            if problem := people.why_not(float(given["agreement"])):
                return inconclusive(f"{problem}; uncorrected, the cases score {score.estimate:.3f}", evidence)
            corrected = calibrated_mean(asked.values, people.errors, people.weights, level=level)
            score = corrected.interval
            evidence |= {"labelled_cases": corrected.labels}
        evidence["score"] = figure(score)
        shown = f"score {score.estimate:.3f} [{score.low:.3f}, {score.high:.3f}] of {len(cases)} cases"
        least = float(given["at_least"])
        decision = decide(score, least)
        if decision == "pass":
            return passed(f"{shown}; at least {least:g} is asked", evidence)
        worst = ", ".join(one["case"] for one in evidence["worst"])
        if decision == "fail":
            return failed(f"{shown}; at least {least:g} is asked; worst: {worst}", evidence)
        return inconclusive(
            f"undecided: {shown} does not settle whether it is at least {least:g}; more cases would", evidence
        )
