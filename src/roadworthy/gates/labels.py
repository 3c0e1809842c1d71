"""How far judges are off, and whether they agree with people: told by labels of stated answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roadworthy.gates.judging import figure
from roadworthy.ports.evaluation import Answered, Case, Label, LlmTrial, Scores
from roadworthy.stats.raters import Raters, raters


@dataclass(frozen=True, slots=True)
class Labelled:
    """What people's labels say. `errors` and `weights` are per case, as `stats.calibrated` takes them.

    `agreement` is by judge; a judge without labels has none.
    """

    errors: Sequence[float]
    weights: Sequence[float]
    judges: Sequence[str]
    agreement: Mapping[str, Raters]
    labels: int

    def why_not(self, least: float) -> str:
        """Say which judge does not agree with people well enough to be believed; empty when all do."""
        for name in self.judges:
            known = self.agreement.get(name)
            if known is None:
                return f"nobody has labelled answers for the judge '{name}', so its agreement with people is unknown"
            if known.kappa is None:
                return (
                    f"all {known.agreement.n} labels of the judge '{name}' are on one side: add answers people refuse"
                )
            if known.kappa.estimate < least:
                kappa = known.kappa
                return (
                    f"the judge '{name}' agrees too little with people: kappa {kappa.estimate:.2f} "
                    f"[{kappa.low:.2f}, {kappa.high:.2f}] of {kappa.n} labels, {least:g} is asked"
                )
        return ""

    @property
    def evidence(self) -> dict[str, Any]:
        """Return what a verdict shows of it."""
        return {
            name: {"agreement": figure(one.agreement), "kappa": None if one.kappa is None else figure(one.kappa)}
            for name, one in sorted(self.agreement.items())
        }


def labelled(trial: LlmTrial, cases: Sequence[Case]) -> Labelled:
    """Let the judges score the stated answers that people scored, and compare."""
    stated = [(case, label) for case in cases for label in case.labels]
    scores = trial.score([(case, _as_answer(case, label)) for case, label in stated])
    errors: dict[str, list[float]] = {}
    pairs: dict[str, list[tuple[float, float]]] = {}
    for (case, label), found in zip(stated, scores, strict=True):
        for name, score in _of_label(label, found).items():
            errors.setdefault(case.name, []).append(label.score - score)
            pairs.setdefault(name, []).append((score, label.score))
    return Labelled(
        errors=[_mean(errors.get(case.name, [])) for case in cases],
        weights=[len(case.judges) / (len(case.judges) + len(case.checks)) if case.judges else 0.0 for case in cases],
        judges=sorted({judge.name for case in cases for judge in case.judges}),
        agreement={
            name: raters([judged for judged, _ in of_judge], [person for _, person in of_judge])
            for name, of_judge in pairs.items()
        },
        labels=len(stated),
    )


def _as_answer(case: Case, label: Label) -> Answered:
    return Answered(case=case.name, repeat=0, text=label.answer, finish="stop")


def _of_label(label: Label, scores: Scores) -> dict[str, float]:
    """Return the readable scores of the judges that a label is for."""
    return {name: score for name, score in scores.judges.items() if score is not None and label.judge in ("", name)}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
