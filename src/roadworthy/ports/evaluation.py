"""Suites of cases, what was answered to them, how it scored, and the trial that gates of kind llm judge by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import Digest
from roadworthy.domain.pin import Usage
from roadworthy.domain.system import System


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One deterministic scorer and what it asks for, such as `contains` and `refund`."""

    name: str
    wants: Any = True


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePlan:
    """One judge: the pin that is asked and the rubric, in words, that it scores an answer by."""

    name: str
    pin: str
    rubric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A person's score, 0 to 1, of a stated answer: what shows how far a judge is off. An empty `judge` is for all."""

    answer: str
    score: float
    by: str = ""
    judge: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question with what must be true of its answer.

    `passages` are ids or files that retrieval should find. `answerable` is False for a question that should be
    abstained from. `snapshot` holds the answer to its approved wording. `suite` is the name of the file's suite.
    """

    id: str
    question: str
    history: Sequence[Mapping[str, Any]] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    checks: Sequence[Check] = ()
    judges: Sequence[JudgePlan] = ()
    labels: Sequence[Label] = ()
    passages: Sequence[str] = ()
    answerable: bool = True
    tags: Sequence[str] = ()
    snapshot: bool = False
    suite: str = ""

    @property
    def name(self) -> str:
        """Name the case among those of all suites."""
        return f"{self.suite}/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The cases of one file. `every` is what is asked of each answer, also of one to a question that is no case."""

    name: str
    every: Case
    cases: Sequence[Case] = ()

    def case_for(self, question: str) -> Case:
        """Return the case of a question, or what is asked of any answer, so that live answers score as cases do."""
        return next((case for case in self.cases if case.question == question), self.every)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answer to a case, as a caller got it. `passages` are ids of what was retrieved, best first.

    `problem` is empty or says why there is no answer of the asked release itself (an error, a fallback).
    """

    case: str
    repeat: int
    text: str
    finish: str = ""
    usage: Usage = field(default_factory=Usage)
    cost_picos: int = 0
    latency_us: int = 0
    first_token_us: int = 0
    passages: Sequence[str] = ()
    abstained: bool = False
    problem: str = ""
    record: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What an answer scored, each part from 0 to 1. A judge that could not be read or reached is None.

    `cost_picos` is what the judges cost, `troubles` why some did not answer.
    """

    checks: Mapping[str, float] = field(default_factory=dict[str, float])
    judges: Mapping[str, float | None] = field(default_factory=dict[str, "float | None"])
    cost_picos: int = 0
    troubles: Sequence[str] = ()

    @property
    def is_whole(self) -> bool:
        """Claim that every part was measured."""
        return None not in self.judges.values() and bool(self.checks or self.judges)

    @property
    def value(self) -> float | None:
        """Return the mean of all parts, or None unless every one was measured: half a score is another score."""
        if not self.is_whole:
            return None
        parts = [*self.checks.values(), *(score for score in self.judges.values() if score is not None)]
        return sum(parts) / len(parts)


Scored: TypeAlias = tuple[Case, Answered]
"""An answer and the case it is scored by."""


class LlmTrial(Protocol):
    """What a gate may ask of a candidate of kind llm. Fulfilled by wiring with the real serving path."""

    system: System
    candidate: Candidate
    notes: tuple[str, ...]

    def files(self, patterns: Sequence[str]) -> Mapping[str, str]:
        """Return the text of the project's files by path; patterns stay inside the project's folder."""
        ...

    def answers(self, who: str, cases: Sequence[Case], repeats: int) -> Sequence[Answered] | None:
        """Ask each case so often of `candidate`, `baseline` or `champion`; None when there is no such rival.

        The answers come case by case, the repeats of a case together. The same question is asked once for all gates.
        Champion is the release in force, unless it is the baseline or the candidate itself.

        Raises:
            ArtifactError: the release cannot be loaded.
            UnavailableError: the serving path does not start.
        """
        ...

    def score(self, answers: Sequence[Scored]) -> Sequence[Scores]:
        """Score answers by the checks and judges of their cases, as live answers are scored; none is judged twice.

        Raises:
            NotFoundError: a case names a pin as judge that the system does not have.
        """
        ...

    def wording(self, case: str) -> str | None:
        """Return the approved text of a case by its name, or None."""
        ...

    def evidence(self, name: str, content: bytes) -> Digest:
        """Keep what a verdict rests on in full; returns its digest."""
        ...


class Scorer(Protocol):
    """Scores answers by the checks and judges of their cases; the same for gates, live answers and replays."""

    def __call__(self, answers: Sequence[Scored]) -> Sequence[Scores]:
        """Return the scores in order.

        Raises:
            NotFoundError: a case names a pin as judge that there is not.
        """
        ...
