"""The score of an answer: the mean of its checks and judges. One definition for gates, live answers and replays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from roadworthy.ports.evaluation import JudgePlan, Scored, Scores
from roadworthy.runtimes.scoring.checks import run_check
from roadworthy.runtimes.scoring.judge import messages, read_verdict

AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge wrote and cost; `trouble` says why it wrote nothing."""

    text: str = ""
    cost_picos: int = 0
    trouble: str = ""


Ask: TypeAlias = Callable[[str, Sequence[Mapping[str, Any]]], Awaitable[Verdict]]
"""Asks a pin, by its name, with messages. It answers with a trouble rather than raise when the pin does not answer."""


def score_checks(scored: Scored) -> Scores:
    """Score an answer by its deterministic checks alone; parts of its judges are None.

    An answer that did not come (see `Answered.problem`) scores 0 in everything.
    """
    case, answered = scored
    if answered.problem:
        return Scores(
            checks={name: 0.0 for name, _ in _named(case.checks)}, judges={judge.name: 0.0 for judge in case.judges}
        )
    checks = {name: run_check(check, case, answered) for name, check in _named(case.checks)}
    return Scores(checks=checks, judges={judge.name: None for judge in case.judges})


async def score_answers(answers: Sequence[Scored], ask: Ask) -> list[Scores]:
    """Score answers by checks and judges, in order; a few judges are asked at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(scored: Scored) -> Scores:
        known = score_checks(scored)
        case, answered = scored
        if answered.problem or not case.judges:
            return known
        async with gate:
            said = [await _judged(plan, scored, ask) for plan in case.judges]
        judges = {plan.name: read_verdict(verdict.text) for plan, verdict in zip(case.judges, said, strict=True)}
        troubles = [verdict.trouble for verdict in said if verdict.trouble]
        cost = sum(verdict.cost_picos for verdict in said)
        return Scores(checks=known.checks, judges=judges, cost_picos=cost, troubles=tuple(troubles))

    return list(await asyncio.gather(*(one(scored) for scored in answers)))


async def _judged(plan: JudgePlan, scored: Scored, ask: Ask) -> Verdict:
    return await ask(plan.pin, messages(plan, *scored))


def _named(checks: Sequence[Any]) -> list[tuple[str, Any]]:
    """Name each check; a second one of the same kind gets a number."""
    found: list[tuple[str, Any]] = []
    counts: dict[str, int] = {}
    for check in checks:
        counts[check.name] = counts.get(check.name, 0) + 1
        found.append((check.name if counts[check.name] == 1 else f"{check.name}-{counts[check.name]}", check))
    return found
