"""Replay: put recorded questions to another release, prompt or pin, and show quality, cost and time side by side.

Nothing of it is live: the other side answers on a stage of its own, in a throw-away home.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.llm import Assistant
from roadworthy.domain.moment import DAY, Micros
from roadworthy.domain.principal import Actor
from roadworthy.domain.reference import Figure
from roadworthy.domain.system import Kind, Policy, System
from roadworthy.errors import InputError, NotFoundError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.build import build
from roadworthy.lifecycle.score_answers import ScorerFor, answered_of, case_of, is_answer
from roadworthy.manifest.suites import EVERY, read_suite
from roadworthy.ports.evaluation import Answered, Case, Scores, Suite
from roadworthy.ports.plane import Plane
from roadworthy.stats.intervals import Interval, mean_interval
from roadworthy.stats.judged import scored_difference, scored_mean
from roadworthy.stats.text import token_f1
from roadworthy.stores.codec import from_doc, from_json, to_json

CANDIDATE: Final = "candidate"
LOOK_BACK: Final[Micros] = 30 * DAY
MOST: Final = 5_000

AskCases = Callable[[Plane, System, Candidate, Sequence[Case]], Sequence[Answered]]
"""Serves a candidate on a stage of its own and asks it; given by wiring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one side answered. `score` is None where nothing says how to score, `cost_picos` is exact."""

    who: str
    score: Figure | None
    cost_picos: int
    p50_ms: float
    unanswered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Recorded answers beside new ones to the same questions; differences are new minus recorded, with intervals.

    `likeness` is the mean likeness of the two texts of a question. `skipped` counts records without a kept text.
    """

    system: str
    n: int
    skipped: int
    recorded: Side
    other: Side
    score: Figure | None
    cost_picos: Figure
    latency_ms: Figure
    likeness: float


def replay(
    plane: Plane,
    folder: Path,
    system: System,
    against: str,
    actor: Actor,
    *,
    ask: AskCases,
    scorer_for: ScorerFor,
    last: int = 200,
    environment: str = "live",
) -> Replayed:
    """Put the newest recorded questions to another release.

    Args:
        plane: the home.
        folder: the project, for `candidate`.
        system: the manifest; its policy gives the terms of pins, and the suite that answers are scored by.
        against: `candidate` (the project as it lies there), a release, or a pin in the place of the one that answers.
        actor: who asks.
        ask: asks a candidate over a stage.
        scorer_for: opens the judges.
        last: how many records.
        environment: whose traffic.

    Raises:
        InputError: the system is not of kind llm, or `last` is out of its range.
        NotFoundError: nothing is called `against`, or no record holds its question.
    """
    if system.kind is not Kind.LLM:
        raise InputError(f"{system.name} is of kind {system.kind}; replay puts questions to a language model")
    if not 1 <= last <= MOST:
        raise InputError(f"--last must lie between 1 and {MOST:,}")
    rival = _rival(plane, folder, system, against, actor)
    suite = _suite(system.policy)
    pairs, skipped = _recorded(plane, system.name, environment, suite, last)
    cases = [case for case, _ in pairs]
    new = list(ask(plane, system, rival, cases))
    scored: list[tuple[Scores, Scores]] = []
    if suite.every.checks or suite.every.judges or suite.cases:
        scorer = scorer_for(plane, rival, system.policy)
        found = list(scorer([*pairs, *zip(cases, new, strict=True)]))
        scored = list(zip(found[: len(pairs)], found[len(pairs) :], strict=True))
    return _side_by_side(system.name, against, [one for _, one in pairs], new, scored, skipped)


def _suite(policy: Policy) -> Suite:
    """Return what live answers are scored by; without a plan nothing is."""
    plan = policy.watch.score
    return (
        Suite(name="replay", every=Case(id=EVERY, question="")) if plan is None else read_suite(plan.text, plan.suite)
    )


def _rival(plane: Plane, folder: Path, system: System, against: str, actor: Actor) -> Candidate:
    if against == CANDIDATE:
        return build(folder, system, plane, actor).candidate
    known = present.releases(plane, system.name)
    plan = system.content.llm
    pin = plan.pin(against) if plan is not None else None
    if pin is None:
        return present.find_release(known, against, system.name).candidate
    route = present.route(plane, system.name, "live")
    champion = known.get(route.champion) if route else None
    if champion is None or champion.candidate.is_baseline:
        raise NotFoundError(
            f"no release of {system.name} is in force whose prompt '{against}' could answer",
            hint="roadworthy replay --against candidate",
        )
    return _with_pin(plane, champion.candidate, against, system)


def _with_pin(plane: Plane, candidate: Candidate, name: str, system: System) -> Candidate:
    """Return the candidate with another pin answering; it is named by its bytes, and never admitted."""
    artifact = candidate.artifact("model")
    assert artifact is not None, "a candidate of kind llm has a model"
    assistant = from_doc(Assistant, from_json(plane.artifacts.get(artifact.digest)))
    if name not in {pin.name for pin in assistant.pins}:
        stated = system.content.llm.pin(name) if system.content.llm else None
        assert stated is not None, "the caller found the pin in the manifest"
        if stated.is_local:
            raise InputError(f"the pin '{name}' is not in the release in force", hint="use --against candidate")
        assistant = replace(assistant, pins=(*assistant.pins, stated))
    content = to_json(replace(assistant, use=name))
    other = replace(artifact, digest=plane.artifacts.put(content), size=len(content))
    return replace(candidate, artifacts=tuple(other if one.role == "model" else one for one in candidate.artifacts))


def _recorded(
    plane: Plane, system: str, environment: str, suite: Suite, last: int
) -> tuple[list[tuple[Case, Answered]], int]:
    """Return the newest answers with what they are scored by, and how many records hold no text."""
    now, skipped = plane.clock.now(), 0
    releases = present.releases(plane, system)
    found: deque[tuple[Case, Answered]] = deque(maxlen=last)
    for record in plane.records.scan(system, environment, now - LOOK_BACK, now + 1):
        release = releases.get(record.release)
        if release is None or not is_answer(record):
            continue
        case = case_of(suite, record, release.candidate.interface)
        if case is None:
            skipped += 1
            continue
        own = replace(case, id=record.id)
        found.append((own, answered_of(record, own)))
    if not found:
        raise NotFoundError(
            f"no recorded answer of {system} in {environment} holds its question ({skipped} hold no text)",
            hint="keep.payload: true keeps questions and answers",
        )
    return list(found), skipped


def _side_by_side(
    system: str,
    against: str,
    old: Sequence[Answered],
    new: Sequence[Answered],
    scored: Sequence[tuple[Scores, Scores]],
    skipped: int,
) -> Replayed:
    whole = [(a.value, b.value) for a, b in scored if a.value is not None and b.value is not None]
    before, after = [[a] for a, _ in whole], [[b] for _, b in whole]
    cost = mean_interval([b.cost_picos - a.cost_picos for a, b in zip(old, new, strict=True)])
    time = mean_interval([(b.latency_us - a.latency_us) / 1e3 for a, b in zip(old, new, strict=True)])
    alike = [token_f1(a.text, b.text) for a, b in zip(old, new, strict=True)]
    return Replayed(
        system=system,
        n=len(old),
        skipped=skipped,
        recorded=_side("recorded", old, _figure(scored_mean(before)) if whole else None),
        other=_side(against, new, _figure(scored_mean(after)) if whole else None),
        score=_figure(scored_difference(after, before)) if whole else None,
        cost_picos=_figure(cost),
        latency_ms=_figure(time),
        likeness=sum(alike) / len(alike),
    )


def _side(who: str, answers: Sequence[Answered], score: Figure | None) -> Side:
    return Side(
        who=who,
        score=score,
        cost_picos=sum(one.cost_picos for one in answers),
        p50_ms=median(one.latency_us for one in answers) / 1e3,
        unanswered=sum(bool(one.problem) for one in answers),
    )


def _figure(found: Interval) -> Figure:
    return Figure(value=found.estimate, low=found.low, high=found.high, n=found.n)
