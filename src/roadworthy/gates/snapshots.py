"""Snapshots: answers keep the wording that a person approved, in meaning if not to the letter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import ndiff
from typing import Any, ClassVar, Final

from roadworthy.domain.verdict import Judgement
from roadworthy.errors import InconclusiveError
from roadworthy.gates.cases import cases_of
from roadworthy.gates.judging import failed, inconclusive, judged, passed
from roadworthy.manifest.defaults_llm_v1 import GATE_PARAMETERS
from roadworthy.ports.evaluation import Answered, Case, LlmTrial, Scores
from roadworthy.stats.text import token_f1

EVIDENCE: Final = "snapshots"
_SHOWN: Final = 3
_WIDEST: Final = 160
_SLIGHT: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Change:
    """One answer beside its approved wording: how alike they are, and what each scores."""

    case: str
    likeness: float
    before: float | None
    after: float | None
    diff: str

    @property
    def scores_less(self) -> bool:
        """Claim that the new answer scores less than the approved wording."""
        return self.before is not None and self.after is not None and self.after < self.before - _SLIGHT


class SnapshotsGate:
    """Compares each answer with its approved wording by their words, and by what both score."""

    name: ClassVar[str] = "snapshots"
    needs: ClassVar[str] = "answers like their approved wording, and scoring no less; a changed one is approved anew"
    defaults: ClassVar[Mapping[str, Any]] = GATE_PARAMETERS["snapshots"]

    def judge(self, trial: LlmTrial, parameters: Mapping[str, Any]) -> Judgement:
        """Pass when every snapshot holds; a change fails and shows itself."""
        return judged(self._judge, trial, {**self.defaults, **parameters})

    def _judge(self, trial: LlmTrial, given: Mapping[str, Any]) -> Judgement:
        cases = [case for case in cases_of(trial, given) if case.snapshot]
        if not cases:
            return passed("no case asks for a snapshot", {})
        answers = trial.answers("candidate", cases, 1)
        assert answers is not None, "a trial has a candidate"
        if problems := [one.problem for one in answers if one.problem]:
            raise InconclusiveError(f"{len(problems)} of {len(cases)} answers did not come: {problems[0]}")
        texts = {case.name: one.text for case, one in zip(cases, answers, strict=True)}
        evidence: dict[str, Any] = {"n": len(cases), "in_full": trial.evidence(EVIDENCE, _in_full(cases, texts))}
        approved = {name: text for name in texts if (text := trial.wording(name)) is not None}
        changes = _changes(trial, cases, answers, approved, float(given["at_least"]))
        new = [name for name in texts if name not in approved]
        evidence |= {"approved": len(approved), "new": new, "changed": [_spelled(one) for one in changes]}
        if changes:
            shown = "; ".join(f"{one.case} ({one.likeness:.2f} alike): {one.diff}" for one in changes[:_SHOWN])
            return failed(f"{len(changes)} of {len(cases)} answers changed: {shown}", evidence)
        if new:
            reason = f"{len(new)} of {len(cases)} answers have no approved wording: roadworthy snapshots approve"
            return inconclusive(reason, evidence)
        return passed(f"{len(cases)} answers keep their approved wording", evidence)


def _changes(
    trial: LlmTrial, cases: Sequence[Case], answers: Sequence[Answered], approved: Mapping[str, str], least: float
) -> list[Change]:
    known = [(case, one) for case, one in zip(cases, answers, strict=True) if case.name in approved]
    then = [
        (case, Answered(case=case.name, repeat=0, text=approved[case.name], finish="stop", passages=one.passages))
        for case, one in known
    ]
    before, after = trial.score(then), trial.score(known)
    found = [
        _change(one, approved[case.name], old, new) for (case, one), old, new in zip(known, before, after, strict=True)
    ]
    return [one for one in found if one.likeness < least or one.scores_less]


def _change(answered: Answered, approved: str, before: Scores, after: Scores) -> Change:
    likeness = token_f1(answered.text, approved)
    return Change(answered.case, likeness, before.value, after.value, word_diff(approved, answered.text))


def word_diff(before: str, after: str) -> str:
    """Show what changed between two texts, by words: `[-gone-]` and `{+new+}`, cut to one line."""
    parts: list[str] = []
    for line in ndiff(before.split(), after.split()):
        if line.startswith("- "):
            parts.append(f"[-{line[2:]}-]")
        elif line.startswith("+ "):
            parts.append(f"{{+{line[2:]}+}}")
        elif line.startswith("  "):
            parts.append(line[2:])
    text = " ".join(parts).replace("-] [-", " ").replace("+} {+", " ")
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _in_full(cases: Sequence[Case], texts: Mapping[str, str]) -> bytes:
    rows = [{"case": case.name, "question": case.question, "text": texts[case.name]} for case in cases]
    return json.dumps(rows, ensure_ascii=False, sort_keys=True, indent=1).encode()


def _spelled(one: Change) -> dict[str, Any]:
    return {
        "case": one.case, "likeness": round(one.likeness, 4), "before": one.before, "after": one.after,
        "diff": one.diff,
    }  # fmt: skip
