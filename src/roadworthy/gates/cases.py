"""Cases put to a release and scored: what the gates of kind llm have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from roadworthy.errors import InconclusiveError
from roadworthy.manifest.suites import read_suites
from roadworthy.ports.evaluation import Answered, Case, LlmTrial, Scores

MOST_UNREAD: Final = 0.05
"""The largest share of answers whose judges may be unreadable; beyond it what is left may not stand for all."""
MOST_UNANSWERED: Final = 0.5
"""From this share on the fault is taken to lie with the provider or the machine rather than with the candidate."""
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """What one release answered to each case, and how that scored; answers and scores are per case, by repeat."""

    who: str
    cases: Sequence[Case]
    answers: Sequence[Sequence[Answered]]
    scores: Sequence[Sequence[Scores]]

    @property
    def values(self) -> list[list[float]]:
        """Return per case the scores of its repeats, those that could be read."""
        return [[one.value for one in scores if one.value is not None] for scores in self.scores]

    @property
    def costs(self) -> list[float]:
        """Return per case the mean cost of an answer in picounits."""
        return [sum(one.cost_picos for one in answers) / len(answers) for answers in self.answers]

    @property
    def latencies(self) -> list[float]:
        """Return per case the median time of an answer in µs."""
        return [float(median(one.latency_us for one in answers)) for answers in self.answers]

    @property
    def cost_picos(self) -> int:
        """Return the exact cost of all answers in picounits."""
        return sum(one.cost_picos for answers in self.answers for one in answers)

    @property
    def count(self) -> int:
        """Return how many answers there are."""
        return sum(len(answers) for answers in self.answers)

    @property
    def problems(self) -> list[str]:
        """Return why answers did not come, one for each."""
        return [one.problem for answers in self.answers for one in answers if one.problem]


def cases_of(trial: LlmTrial, given: Mapping[str, Any]) -> list[Case]:
    """Return every case of the suites that the gate's `files` name.

    Raises:
        ManifestError: a suite is wrong; every finding at once.
        InconclusiveError: there is no case.
    """
    patterns = [str(one) for one in given["files"]]
    cases = [case for suite in read_suites(trial.files(patterns)) for case in suite.cases]
    if not cases:
        raise InconclusiveError(f"no suite has a case ({', '.join(patterns)})", hint="write suites/first.yaml")
    return cases


def scored_cases(cases: Sequence[Case]) -> list[Case]:
    """Return the cases that have something to score by.

    Raises:
        InconclusiveError: there is none.
    """
    found = [case for case in cases if case.checks or case.judges]
    if not found:
        raise InconclusiveError("no case has checks or judges", hint="give the cases of your suites checks")
    return found


def ask(trial: LlmTrial, who: str, cases: Sequence[Case], repeats: int) -> Asked | None:
    """Put cases to a release and score its answers; None when there is no such release.

    Raises:
        InconclusiveError: most answers did not come, or too many of its judges' verdicts could not be read.
    """
    answers = trial.answers(who, cases, repeats)
    if answers is None:
        return None
    grouped = [answers[place * repeats : (place + 1) * repeats] for place in range(len(cases))]
    scored = trial.score([(case, one) for case, of_case in zip(cases, grouped, strict=True) for one in of_case])
    asked = Asked(who, cases, grouped, [scored[at * repeats : (at + 1) * repeats] for at in range(len(cases))])
    problems, unread = asked.problems, [one for one in scored if one.value is None]
    if len(problems) > MOST_UNANSWERED * len(scored):
        raise InconclusiveError(f"{len(problems)} of {len(scored)} answers of the {who} did not come: {problems[0]}")
    if len(unread) > MOST_UNREAD * len(scored) or not all(asked.values):
        troubles = [trouble for one in unread for trouble in one.troubles] or ["no score could be read"]
        raise InconclusiveError(f"{len(unread)} of {len(scored)} answers could not be judged: {troubles[0]}")
    return asked


def in_full(asked: Asked) -> bytes:
    """Write down answers and scores in full, for whoever wants to see what a verdict rests on."""
    rows = [
        {
            "case": case.name,
            "question": case.question,
            "answers": [_answer(one, score) for one, score in zip(answers, scores, strict=True)],
        }
        for case, answers, scores in zip(asked.cases, asked.answers, asked.scores, strict=True)
    ]
    return json.dumps({"who": asked.who, "cases": rows}, ensure_ascii=False, sort_keys=True, indent=1).encode()


def _answer(one: Answered, score: Scores) -> dict[str, Any]:
    return {
        "text": one.text, "problem": one.problem, "abstained": one.abstained, "passages": list(one.passages),
        "cost_picos": one.cost_picos, "latency_us": one.latency_us, "score": score.value,
        "checks": dict(score.checks), "judges": dict(score.judges),
    }  # fmt: skip


def figures(asked: Asked) -> dict[str, Any]:
    """Return what a verdict shows of one release: means by scorer, cost, time, the worst cases by name."""
    values = asked.values
    means = sorted((sum(of_case) / len(of_case), case.name) for of_case, case in zip(values, asked.cases, strict=True))
    return {
        "cases": len(asked.cases),
        "answers": asked.count,
        "unanswered": len(asked.problems),
        "scorers": _by_scorer(asked),
        "worst": [{"case": name, "score": round(score, 4)} for score, name in means[:_SHOWN] if score < 1],
        "cost_picos": asked.cost_picos,
        "judge_cost_picos": sum(one.cost_picos for scores in asked.scores for one in scores),
        "p50_ms": round(median(asked.latencies) / 1e3, 3),
    }


def _by_scorer(asked: Asked) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for scores in asked.scores:
        for one in scores:
            for name, score in (*one.checks.items(), *one.judges.items()):
                if score is not None:
                    found.setdefault(name, []).append(score)
    return {name: round(sum(scores) / len(scores), 4) for name, scores in sorted(found.items())}
