"""A trial of kind llm on paper: releases and judge are functions, the scorers are the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paper_trial import made_candidate
from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import Digest, digest_bytes
from roadworthy.domain.llm import IndexPlan, LlmPlan, chat_interface
from roadworthy.domain.pin import Pin, Provider
from roadworthy.domain.system import Content, DataPlan, Kind, Owner, Policy, System
from roadworthy.ports.evaluation import Answered, Case, Scored, Scores
from roadworthy.runtimes.scoring.score import Verdict, score_answers

Release = Callable[[Case, int], Answered]
Judge = Callable[[str], str]


def llm_system(*, index: bool = True) -> System:
    """Declare a small system of kind llm."""
    pin = Pin(name="main", provider=Provider.OPENAI, model="m", url="http://127.0.0.1:1")
    plan = LlmPlan(prompt="prompt.md", pins=(pin,), index=IndexPlan(files=("docs/*.md",)) if index else None)
    content = Content(
        use="main", data=DataPlan(table="", target=""), baseline="passage", interface=chat_interface(), llm=plan
    )
    policy = Policy(owner=Owner(principal="ana", contact="ana@example.org"))
    return System(name="helpdesk", kind=Kind.LLM, content=content, policy=policy)


def saying(text: Callable[[Case, int], str], **more: Any) -> Release:
    """Make a release that answers with a text, at a cost and a pace."""

    def release(case: Case, repeat: int) -> Answered:
        return Answered(case=case.name, repeat=repeat, text=text(case, repeat), finish="stop", **more)

    return release


def right(case: Case, repeat: int) -> str:
    """Answer every question rightly."""
    return "yes"


def wrong_every(n: int) -> Callable[[Case, int], str]:
    """Answer every n-th case wrongly."""
    return lambda case, repeat: "no" if int(case.id[1:]) % n == 0 else "yes"


def cases_text(n: int, more: str = "checks: {equals: yes}") -> str:
    """Write a suite of n cases."""
    rows = [f"  - {{id: c{place}, question: 'Q{place}?', {more}}}" for place in range(n)]
    return "cases:\n" + "\n".join(rows)


@dataclass
class PaperLlmTrial:
    """Fulfils `ports.evaluation.LlmTrial`; each part can be replaced."""

    own: Release = field(default_factory=lambda: saying(right))
    rivals: dict[str, Release] = field(default_factory=dict)
    suites: dict[str, str] = field(default_factory=lambda: {"suites/s.yaml": cases_text(40)})
    wordings: dict[str, str] = field(default_factory=dict)
    judge: Judge = lambda said: "SCORE: 1" if "yes" in said else "SCORE: 0"
    system: System = field(default_factory=llm_system)
    candidate: Candidate = field(default_factory=made_candidate)
    notes: tuple[str, ...] = ()
    kept: dict[str, bytes] = field(default_factory=dict)

    def files(self, patterns: Sequence[str]) -> Mapping[str, str]:
        """Return the suites."""
        return self.suites

    def answers(self, who: str, cases: Sequence[Case], repeats: int) -> Sequence[Answered] | None:
        """Ask one of the functions."""
        release = self.own if who == "candidate" else self.rivals.get(who)
        if release is None:
            return None
        return [release(case, repeat) for case in cases for repeat in range(repeats)]

    def score(self, answers: Sequence[Scored]) -> Sequence[Scores]:
        """Score with the real scorers and this judge."""

        async def ask(pin: str, messages: Sequence[Mapping[str, Any]]) -> Verdict:
            said = messages[1]["content"].partition("<answer-")[2]
            return Verdict(text=self.judge(said), cost_picos=10)

        return asyncio.run(score_answers(answers, ask))

    def wording(self, case: str) -> str | None:
        """Return an approved text."""
        return self.wordings.get(case)

    def evidence(self, name: str, content: bytes) -> Digest:
        """Keep it."""
        self.kept[name] = content
        return digest_bytes(content)
