"""What is told of a release of kind llm and of one of its answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from roadworthy.cli.status_text import explained
from roadworthy.domain.candidate import Artifact, Candidate, Environment
from roadworthy.domain.ledger import Noun
from roadworthy.domain.llm import Assistant, GuardPlan, chat_interface
from roadworthy.domain.pin import Pin, PinTerms, Price, Provider
from roadworthy.domain.record import Flag, Record, StepTaken
from roadworthy.domain.release import Release
from roadworthy.domain.route import Arm, ArmRole, Route
from roadworthy.domain.system import Owner, Policy, ServePlan
from roadworthy.lifecycle.assistants import compare, explain_assistant, stand_in
from roadworthy.lifecycle.explain import explain
from roadworthy.runtimes.rag.index import Parameters, build
from roadworthy.stores.codec import to_json
from unit.observing.world import BEGIN, World

MAIN = Pin(name="main", provider=Provider.OPENAI, model="m-1", url="https://api.example.com/v1")
SPARE = Pin(name="spare", provider=Provider.GGUF, model="small", file="small.gguf")
PLAIN = Assistant(prompt="# system\nBe kind.\n\n# user\n{{ question }}", use="main", pins=(MAIN,))
INDEX = build({"a.md": "# A\nThe kettle holds three litres."}, Parameters(embeddings=False))
PASSAGES = StepTaken("retrieval", "s@v9", "ok", 5, "a.md#a-1")
CALLED = StepTaken("attempt", "main", "ok", 90)
SAID = ("Three litres [1].", "stop", 412, 57, 12, 96_000_000, 310_000, "m-1", "fp_a1", "manifest")


def candidate(world: World, assistant: Assistant, index: bytes | None = INDEX, classes: tuple[str, ...] = ()) -> Any:
    """Build a candidate with real artifacts."""
    parts = [("model", "llm", to_json(assistant))] + ([("index", "rag", index)] if index else [])
    artifacts = tuple(
        Artifact(role=role, format=kind, digest=world.plane.artifacts.put(content), size=len(content))
        for role, kind, content in parts
    )
    return Candidate(
        system="s", recipe="sha256:" + "9" * 64, artifacts=artifacts, interface=chat_interface(classes=classes),
        runtime="llm", environment=Environment(python="3.11", platform="linux"),
    )  # fmt: skip


def admitted(world: World, assistant: Assistant = PLAIN, **more: Any) -> Release:
    """Admit a release of kind llm, whose main pin has a price."""
    found = candidate(world, assistant, **more)
    release = Release(
        id=found.id, system="s", number=9, candidate=found, policy="p", run="", admitted_at=BEGIN, admitted_by="ana"
    )
    world.decide(Noun.RELEASE, release.id, release)
    terms = (PinTerms(name="main", price=Price(input=1, output=1, currency="EUR")), PinTerms(name="spare"))
    world.decide(Noun.POLICY, "s", Policy(owner=Owner(principal="ana", contact="file:p.jsonl"), pins=terms))
    return release


def answered(world: World, release: str, **more: Any) -> Record:
    """Write one answer and find it again."""
    given: dict[str, Any] = {
        "id": "01" * 16, "system": "s", "environment": "live", "release": release, "intended": release,
        "arm": "champion", "route_version": 1, "answered_at": BEGIN, "event_time": BEGIN, "latency_us": 9,
        "status": 200, "flags": 0, "interface": "i", "inputs": ("How much?", None), "outputs": SAID,
        "steps": (PASSAGES, CALLED),
    }  # fmt: skip
    record = Record(**given | more)
    assert world.log.record(record)
    return record


def test_an_answer_leads_to_its_model_its_passages_and_its_cost(world: World) -> None:
    """Who asks why an answer says what it says sees what it rests on."""
    release = admitted(world, replace(PLAIN, guards=(GuardPlan(name="limits"),)))
    guard = StepTaken("guard", "pii", "alter", 0, "card:1")
    record = answered(world, release.id, steps=(PASSAGES, CALLED, guard), flags=Flag.GUARDED)
    found = explain(world.plane, record.id)
    assert found.chat is not None
    assert (found.chat.pin, found.chat.model, found.chat.fingerprint) == ("main", "m-1", "fp_a1")
    assert (found.chat.cost, found.chat.currency, found.chat.price) == (96e-6, "EUR", "manifest")
    assert (found.chat.first_token_ms, found.chat.input_tokens, found.chat.from_cache) == (310, 412, False)
    [passage] = found.chat.passages
    assert (passage.n, passage.source, passage.heading) == (1, "a.md", "A")
    assert passage.text == "The kettle holds three litres."
    assert [(one.guard, one.did, one.found) for one in found.chat.guards] == [("pii", "alter", "card:1")]
    assert found.chat.prompt == release.candidate.artifact("model").digest
    assert found.chat.index == release.candidate.artifact("index").digest
    assert found.outputs["text"] == "Three litres [1]."
    assert found.outputs["fingerprint"] == "fp_a1"
    assert found.release.assistant.guards == (("limits", {}),)


def test_the_chain_is_written_for_a_person(world: World) -> None:
    """Question and answer stand alone; the model, what it rested on and its cost are one line each."""
    release = admitted(world)
    guard = StepTaken("guard", "pii", "alter", 0, "card:1")
    record = answered(world, release.id, steps=(PASSAGES, CALLED, guard))
    lines = list(explained(explain(world.plane, record.id)))
    for line in (
        "  question  How much?", "  answer    Three litres [1].",
        "  model     pin main, model m-1, fingerprint fp_a1; ended by stop",
        "  cost      0.000096 EUR, 412 tokens in (12 cached), 57 out, price list manifest",
        "  first     token after 310 ms", "  passage   [1] a.md#a-1", "  guard     pii: alter (card:1)",
        "  pin       main: openai m-1 (in use)", "  approved  by nobody: its tier asks for no approval",
    ):  # fmt: skip
        assert line in lines
    forced = replace(release, forced_by="ana")
    world.decide(Noun.RELEASE, release.id, forced)
    said = [*explained(explain(world.plane, answered(world, release.id, id="02" * 16, steps=(), outputs=()).id))]
    assert "  approved  by nobody: it was forced" in said
    silent = ("", "", 0, 0, 0, 0, 0, "", "", "")
    said = [*explained(explain(world.plane, answered(world, release.id, id="03" * 16, steps=(), outputs=silent).id))]
    assert "  answer    nothing was said, or it was not kept" in said
    assert "  model     none was asked; ended by no answer" in said
    assert "  cost      0 EUR, 0 tokens in (0 cached), 0 out, nothing to pay" in said


def test_an_answer_to_a_classified_question_is_as_closed_as_the_question(world: World) -> None:
    """It may repeat what was asked."""
    release = admitted(world, classes=("pii",))
    found = explain(world.plane, answered(world, release.id).id)
    assert "not kept" in found.inputs["question"]
    assert "not kept" in found.outputs["text"]


def test_a_text_of_an_unknown_release_is_closed_too(world: World) -> None:
    """Without its interface nobody knows what was classified."""
    found = explain(world.plane, answered(world, "sha256:" + "7" * 64, steps=(PASSAGES,)).id)
    assert "not kept" in found.outputs["output 1"]
    assert found.chat.passages[0].text == ""
    assert found.chat.passages[0].source == "a.md"
    assert (found.chat.pin, found.chat.prompt, found.chat.index) == ("", "", "")


def test_a_lost_index_leaves_the_names_of_the_passages(world: World) -> None:
    """The answer named them; what they said cannot be shown any more."""
    release = admitted(world)
    path = world.plane.artifacts.path(release.candidate.artifact("index").digest)
    path.chmod(0o600)
    path.write_bytes(b"")
    found = explain(world.plane, answered(world, release.id).id)
    assert [(one.id, one.text) for one in found.chat.passages] == [("a.md#a-1", "")]
    assert found.release.assistant is None


def test_an_answer_of_a_model_is_none_of_a_chat(world: World) -> None:
    """Other kinds have no tokens to tell of."""
    [record] = world.answers(1)
    assert explain(world.plane, record.id).chat is None


@pytest.mark.parametrize(
    ("prices", "currency"), [((), ""), (("USD",), "USD"), (("USD", "USD"), "USD"), (("USD", "EUR"), "")]
)
def test_costs_are_in_the_currency_that_pins_share(world: World, prices: tuple[str, ...], currency: str) -> None:
    """Where no model was asked and prices differ, no currency is made up."""
    release = admitted(world)
    terms = tuple(
        PinTerms(name=f"p{place}", price=Price(input=1, output=1, currency=one)) for place, one in enumerate(prices)
    )
    world.decide(Noun.POLICY, "s", Policy(owner=Owner(principal="ana", contact="file:p.jsonl"), pins=terms))
    assert explain(world.plane, answered(world, release.id, steps=()).id).chat.currency == currency


def test_a_release_tells_its_parts(world: World) -> None:
    """Prompt, pins in their order, tools, schema and the files of the index."""
    assistant = replace(
        PLAIN, pins=(MAIN, SPARE), tools=({"function": {"name": "look_up"}}, {}), schema={"type": "object"}
    )
    told = explain_assistant(candidate(world, assistant), world.plane.artifacts)
    assert [(pin.name, pin.where, pin.is_used) for pin in told.pins] == [
        ("main", "https://api.example.com/v1", True), ("spare", "small.gguf", False),
    ]  # fmt: skip
    assert (told.tools, told.schema) == (("look_up", "unnamed"), True)
    assert (told.index.passages, told.index.files) == (1, (("a.md", 1),))
    assert told.prompt_digest.startswith("sha256:")
    bare = explain_assistant(candidate(world, Assistant(text="Ask the desk."), None), world.plane.artifacts)
    assert (bare.text, bare.prompt_digest, bare.index) == ("Ask the desk.", "", None)


def test_what_changed_between_releases_is_told_line_by_line(world: World) -> None:
    """A reviewer reads the difference, not two prompts."""
    before = explain_assistant(candidate(world, PLAIN), world.plane.artifacts)
    changed = replace(
        PLAIN, prompt=PLAIN.prompt.replace("kind", "brief"), use="other", parameters={"temperature": 0.5},
        pins=(replace(MAIN, model="m-2"), replace(SPARE, name="other")), guards=(GuardPlan(name="pii"),),
        tools=({"function": {"name": "look_up"}},),
    )  # fmt: skip
    after = explain_assistant(candidate(world, changed, None), world.plane.artifacts)
    found = compare(before, after)
    assert ("-", "Be kind.") in found.lines
    assert ("+", "Be brief.") in found.lines
    assert found.others == (
        "answers by pin other instead of main", "pin other is new: small", "pin main: openai m-2 instead of openai m-1",
        "parameters changed: temperature", "guards changed: pii", "another set of tools", "another index",
    )  # fmt: skip
    back = compare(after, before)
    assert "pin other is gone" in back.others
    same = compare(before, before)
    assert (same.lines, same.others) == ((), ())


@pytest.mark.parametrize(
    ("order", "name"),
    [
        (("spare", "baseline"), "s@v9's pin spare"),
        (("main", "spare", "baseline"), "s@v9's pin spare"),
        (("baseline", "spare"), "the stated default"),
        (("previous",), "the stated default"),
        ((), "the stated default"),
    ],
)
def test_who_answers_while_a_route_is_degraded_is_told_as_it_is(
    world: World, order: tuple[str, ...], name: str
) -> None:
    """Another pin of the release comes first where the policy's order says so, else the release that was chosen."""
    release = admitted(world, replace(PLAIN, pins=(MAIN, SPARE)))
    arm = Arm(role=ArmRole.CHAMPION, release=release.id, share=1.0)
    route = Route(system="s", environment="live", version=1, arms=(arm,), degraded_by="s-1")
    policy = Policy(owner=Owner(principal="ana", contact="file:p.jsonl"), serve=ServePlan(fallback=order))
    known = {release.id: release}
    assert stand_in(world.plane.artifacts, policy, route, known) == name
    assert stand_in(world.plane.artifacts, policy, replace(route, fallback=(release.id,)), {}) == release.id
