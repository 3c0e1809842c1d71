"""A system of kind llm in the seeded home: two releases with prompts, an index, pins, guards, answers and signals."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from roadworthy.domain.budget import Budget, Period, Purse, Whose
from roadworthy.domain.candidate import Artifact, Candidate, Environment
from roadworthy.domain.lease import PurseState
from roadworthy.domain.ledger import Noun
from roadworthy.domain.llm import Assistant, GuardPlan, chat_interface
from roadworthy.domain.moment import HOUR, SECOND
from roadworthy.domain.objective import Light, Signal
from roadworthy.domain.pin import Pin, PinTerms, Price, Provider
from roadworthy.domain.record import Flag, Record, StepTaken
from roadworthy.domain.release import Release
from roadworthy.lifecycle.observe import Observer
from roadworthy.runtimes.rag.index import Parameters, build
from roadworthy.stores.codec import to_json
from roadworthy.stores.records import new_record_id, open_log

SYSTEM = "helper"
QUESTION = "How many workers does `up` start, and where do they read the route?"
ANSWER = (
    "It starts as many workers as ROADWORTHY_WORKERS says [1]. They read the newest snapshot, "
    "which control writes [2].\n\nSee https://docs.example.org/a-very-long-address-without-any-place-to-break-it/"
    "that/goes/on/and/on/until/a/narrow/screen/would/have/to/scroll/sideways"
)
FILES = {
    f"docs/how-to/part-{n}.md": f"# Part {n}\nThe number of workers is {n}. They read what control writes.\n"
    for n in range(1, 9)
}
PROMPTS = (
    "# system\nYou answer from the passages.\n\n{{ passages }}\n\n# user\n{{ question }}\n",
    (
        "# system\nYou answer from the passages, and from nothing else.\nCite each passage that you use.\n\n"
        "{% for one in passages %}[{{ one.n }}] {{ one.text }}\n{% endfor %}\n\n# user\n{{ question }}\n"
    ),
)
PINS = (
    Pin(name="main", provider=Provider.OPENAI, model="gpt-4o-mini-2024-07-18", url="https://api.example.com/v1"),
    Pin(name="spare", provider=Provider.ANTHROPIC, model="claude-3-5-haiku", url="https://spare.example.org"),
)
TERMS = (
    PinTerms(name="main", price=Price(input=150_000, output=600_000), allows=("pii",), region="eu-west-1"),
    PinTerms(name="spare", price=Price(input=800_000, output=4_000_000)),
)


def chat(story: Any, seeding: Any) -> list[str]:
    """Tell the part of the story that is about a system of kind llm; return the ids of its answers."""
    policy = replace(seeding.policy_of("dora", "which page a reader is sent to"), pins=TERMS)
    objectives = (
        seeding.objective("cost", "cost", 0.002, Light.OPERATIONS),
        seeding.objective("first_token", "first_token", 2_000.0, Light.OPERATIONS),
        seeding.objective("refusals", "refusals", 0.2, Light.DECISION),
    )
    policy = replace(policy, watch=replace(policy.watch, window=HOUR, objectives=objectives))
    budgets = (Budget(limit_micros=20_000_000), Budget(limit_micros=2_500_000, period=Period.HOUR, whose=Whose.TEAM))
    policy = replace(policy, serve=replace(policy.serve, budgets=budgets))
    story.commit("policy.applied", Noun.POLICY, SYSTEM, SYSTEM, policy)
    admit(story, 0, Assistant(passage=True))
    releases = [
        admit(story, number, Assistant(
            prompt=prompt, use="main", pins=PINS[:number], top=2, parameters={"temperature": 0.2, "max_tokens": 400},
            guards=(GuardPlan(name="limits", parameters={"answer_tokens": 4_096}),
                    GuardPlan(name="secrets", parameters={"on_question": "mask", "hosts": ("a.example", "b.example")})),
        ))
        for number, prompt in enumerate(PROMPTS, start=1)
    ]  # fmt: skip
    for release in releases:
        seeding.live(story, SYSTEM, release.name.partition("@")[2], "it answers better")
    names = answer(story, releases[1])
    # The real observer folds the real answers; signals over time are stated below.
    Observer(story.plane).observe(story.now + HOUR // 4, 10_000_000)
    for _ in range(20):
        story.wait()
        story.see(*signals(story, releases[1].id))
        story.look()
    spend(story, budgets[0])
    return names


def spend(story: Any, budget: Budget) -> None:
    """Settle most of a day's budget, so that a call was turned away."""
    start = budget.period.start(story.now)
    purse = Purse(system=SYSTEM, environment="live", budget=budget.name, who="", period_start=start)
    state = PurseState(purse=purse, limit=budget.limit, settled=budget.limit * 98 // 100, turned_away=True)
    story.plane.purses.change([purse.id], lambda books: replace(books, purses={**books.purses, purse.id: state}))


def admit(story: Any, number: int, assistant: Assistant) -> Release:
    """Admit a release with real artifacts."""
    parts = (("model", "llm", to_json(assistant)), ("index", "rag", build(FILES, Parameters(embeddings=False))))
    artifacts = tuple(
        Artifact(role=role, format=kind, digest=story.plane.artifacts.put(content), size=len(content))
        for role, kind, content in parts
    )
    candidate = Candidate(
        system=SYSTEM, recipe=f"sha256:{number:064x}", artifacts=artifacts, interface=chat_interface(), runtime="llm",
        environment=Environment(python="3.11", platform="linux-x86_64"), is_baseline=not number,
    )  # fmt: skip
    story.commit("candidate.built", Noun.CANDIDATE, SYSTEM, candidate.id, candidate, why="built")
    release = Release(
        id=candidate.id, system=SYSTEM, number=number, candidate=candidate, policy="sha256:" + "1" * 64, run="",
        admitted_at=story.now, admitted_by="dora",
    )  # fmt: skip
    story.commit("release.admitted", Noun.RELEASE, SYSTEM, release.id, release, why="all gates passed")
    return release


def answer(story: Any, release: Release) -> list[str]:
    """Write answers as the gateway does: one whole, one withheld, one after a pin that failed."""
    log = open_log(story.plane.home.records, "chat")
    found = StepTaken(
        "retrieval", release.name, "ok", 1_900, "docs/how-to/part-1.md#part-1-1,docs/how-to/part-2.md#part-2-1"
    )
    well = StepTaken("attempt", "main", "ok", 640_000)
    late, spared = StepTaken("attempt", "main", "timeout", 2_000_000, "slow"), StepTaken("attempt", "spare", "ok", 9)
    masked = StepTaken("guard", "secrets", "alter", 0, "github_token:1")
    kinds = (
        ((found, well), ANSWER, "stop", 0),
        ((found, well, masked), "", "content_filter", Flag.GUARDED),
        ((found, late, spared), ANSWER, "stop", 0),
    )
    names: list[str] = []
    for place, (steps, text, finish, flags) in enumerate(kinds):
        at = story.now + place * SECOND
        names.append(new_record_id(2, at))
        log.record(
            Record(
                names[-1], SYSTEM, "live", release.id, release.id, "champion", 1, at, at, 700_000, 200, int(flags), "i",
                inputs=(QUESTION, None), steps=steps, cost_micros=96,
                outputs=(text, finish, 412, 57, 128, 96_000_000, 310_000, PINS[0].model, "fp_a1", "manifest"),
            )
        )  # fmt: skip
    log.close()
    return names


def signals(story: Any, release: str) -> list[Signal]:
    """Return the signals of a chat over time."""
    wave = math.sin(story.now / 3e8)
    values = (
        ("cost", 0.000_096 * (1 + 0.2 * wave), "money", Light.OPERATIONS),
        ("first_token", 310 + 40 * wave, "ms", Light.OPERATIONS),
        ("tokens", 470 + 20 * wave, "tokens", Light.OPERATIONS),
        ("guards", 0.04 + 0.01 * wave, "share", Light.OPERATIONS),
        ("refusals", 0.03 + 0.01 * wave, "share", Light.DECISION),
        ("grounded", 0.86 + 0.02 * wave, "share", Light.DECISION),
    )
    return [
        Signal(system=SYSTEM, name=name, at=story.now, value=value, n=420, release=release, unit=unit, light=light)
        for name, value, unit, light in values
    ]
