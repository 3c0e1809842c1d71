"""Suites of cases, what was answered to them, and the trial that gates of kind llm judge by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import Digest
from roadworthy.domain.pin import Usage
from roadworthy.domain.system import System


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question with what must be true of its answer. `checks` and `judges` name scorers and their parameters.

    `label` is a person's score of the stated `labelled` answer, 0 to 1. `passages` are ids or files that retrieval
    should find. `answerable` is False for a question that should be abstained from.
    """

    id: str
    question: str
    history: Sequence[Mapping[str, Any]] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    checks: Sequence[Mapping[str, Any]] = ()
    passages: Sequence[str] = ()
    answerable: bool = True
    tags: Sequence[str] = ()


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

        The same question is asked once for all gates. Champion is the release in force, unless it is the baseline.
        """
        ...

    def judge(self, pin: str, messages: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any]) -> str:
        """Ask one of the system's pins directly, as a judge; returns its text.

        Raises:
            UnavailableError: it does not answer.
            NotFoundError: the system has no such pin.
        """
        ...

    def snapshot(self, name: str) -> Mapping[str, Any] | None:
        """Return the approved snapshot of this name, or None."""
        ...

    def evidence(self, name: str, content: bytes) -> Digest:
        """Keep what a verdict rests on in full; returns its digest."""
        ...
