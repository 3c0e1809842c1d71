"""What is observed of systems of kind llm: tokens, cost, first tokens, refusals, guards, cache, support, questions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from roadworthy.domain.candidate import Artifact, Candidate, Environment
from roadworthy.domain.ledger import Noun
from roadworthy.domain.llm import Assistant, GuardPlan, chat_interface
from roadworthy.domain.moment import DAY, HOUR, MINUTE
from roadworthy.domain.pin import Pin, Provider
from roadworthy.domain.record import Flag, Outcome, Record, StepTaken, is_sampled
from roadworthy.domain.release import Release
from roadworthy.domain.route import Arm, ArmRole, Route, Shadow
from roadworthy.domain.system import Owner, Policy, WatchPlan
from roadworthy.errors import ArtifactError
from roadworthy.lifecycle.assistants import assistant_of
from roadworthy.lifecycle.buckets import Buckets
from roadworthy.lifecycle.chat_folder import ChatFolder
from roadworthy.lifecycle.fold_chats import merge_chats, passages_of, told
from roadworthy.lifecycle.observe import Observer
from roadworthy.lifecycle.passages import MOST_AT_ONCE, SHARE, Passages
from roadworthy.lifecycle.questions import REFERENCE_ROWS
from roadworthy.lifecycle.references import References
from roadworthy.ports.chats import ChatBucket
from roadworthy.runtimes.rag.index import Parameters, build
from roadworthy.settings import Settings
from roadworthy.stores.codec import to_json
from roadworthy.stores.home import create
from roadworthy.stores.records import new_record_id, open_log
from roadworthy.wiring import open_plane
from unit.observing.world import BEGIN, World

FILES = {f"guide{n}.md": f"# Part {n}\nThe kettle number {n} holds {n + 2} litres of hot water.\n" for n in range(1, 5)}
PASSAGE = "guide1.md#part-1-1"
SUPPORTED = "The kettle number 1 holds 3 litres of hot water [1]."
INVENTED = "Penguins repair locomotives under the Antarctic moon."
PICOS = 2_000_000_000


class Chats(World):
    """A system of kind llm whose answers a test writes as the gateway would."""

    def chat(
        self,
        n: int = 1,
        *,
        release: str = "v1",
        text: str | None = SUPPORTED,
        question: str = "How much water does it hold?",
        finish: str = "stop",
        tokens: tuple[int, int, int] = (100, 20, 0),
        picos: int = PICOS,
        first_us: int = 0,
        price: str = "manifest",
        status: int = 200,
        flags: int = 0,
        steps: tuple[StepTaken, ...] = (),
        passages: str = PASSAGE,
        sampled: bool | None = None,
        shadow_of: str = "",
        keep: bool = True,
    ) -> list[Record]:
        """Write n answers."""
        made: list[Record] = []
        while len(made) < n:
            self.seq += 1
            moment = self.now - MINUTE + self.seq % 1_000
            name = new_record_id(1, moment)
            if sampled is not None and is_sampled(name, SHARE) != sampled:
                continue
            found = (StepTaken("retrieval", release, "ok", 10, passages),) if passages else ()
            outputs = (text if keep else None, finish, *tokens, picos, first_us, "m-1", "fp", price)
            made.append(
                Record(
                    name, "s", "live", self.releases[release], self.releases[release], "champion", 1, moment, moment,
                    900_000, status, flags | (Flag.SHADOW if shadow_of else 0), "i",
                    inputs=(question, None) if keep else (), outputs=outputs, steps=(*found, *steps),
                    shadow_of=shadow_of, cost_micros=-(-picos // 1_000_000),
                )
            )  # fmt: skip
        for record in made:
            assert self.log.record(record)
        return made


def candidate_of(plane: object, number: int, index: bytes | None, assistant: Assistant) -> Candidate:
    """Build a candidate of kind llm with real artifacts."""
    content = to_json(assistant)
    artifacts = [Artifact(role="model", format="llm", digest=plane.artifacts.put(content), size=len(content))]
    if index is not None:
        artifacts.append(Artifact(role="index", format="rag", digest=plane.artifacts.put(index), size=len(index)))
    return Candidate(
        system="s", recipe=f"sha256:{number:064x}", artifacts=tuple(artifacts), interface=chat_interface(),
        runtime="llm", environment=Environment(python="3.11", platform="linux"),
    )  # fmt: skip


@pytest.fixture
def chats(tmp_path: Path) -> Iterator[Chats]:
    """A home with system `s` of kind llm: v1 rests on an index and has guards, v2 has neither."""
    create(tmp_path / "home", clock="replay", now=BEGIN)
    plane = open_plane(Settings(home=tmp_path / "home"))
    log = open_log(plane.home.records, "w1")
    made = Chats(plane=plane, observer=Observer(plane), log=log)
    watch = WatchPlan(window=HOUR, drift_window=7 * DAY, lateness=HOUR)
    policy = Policy(owner=Owner(principal="ana", contact="ana@example.com"), watch=watch)
    made.decide(Noun.POLICY, "s", policy)
    index = build(FILES, Parameters(embeddings=False))
    guarded = Assistant(guards=(GuardPlan(name="limits"), GuardPlan(name="secrets")))
    for number, (content, assistant) in enumerate(((index, guarded), (None, Assistant())), start=1):
        candidate = candidate_of(plane, number, content, assistant)
        release = Release(
            id=candidate.id, system="s", number=number, candidate=candidate, policy=policy.digest, run="r",
            admitted_at=BEGIN, admitted_by="ana",
        )  # fmt: skip
        made.releases[f"v{number}"] = release.id
        made.decide(Noun.RELEASE, release.id, release)
    champion = made.releases["v1"]
    shadow = Shadow(release=made.releases["v2"], rate=1.0)
    made.route(
        Route(
            system="s", arms=(Arm(role=ArmRole.CHAMPION, release=champion, share=1.0),), shadow=shadow,
            last_good=champion,
        )
    )  # fmt: skip
    yield made
    log.close()
    plane.close()


def test_pins_of_a_release_that_only_stands_behind_are_watched_and_nothing_else_of_it(chats: Chats) -> None:
    """Whoever may have to answer instead must not rest on a changed model; what it does not answer has no figures."""
    pin = Pin(name="main", provider=Provider.OPENAI, model="big", url="http://127.0.0.1:1/v1")
    candidate = candidate_of(chats.plane, 3, None, Assistant(prompt="p", use="main", pins=(pin,)))
    release = Release(
        id=candidate.id, system="s", number=3, candidate=candidate, policy="p", run="r", admitted_at=BEGIN,
        admitted_by="ana",
    )  # fmt: skip
    chats.releases["v3"] = release.id
    chats.decide(Noun.RELEASE, release.id, release)
    arms = (Arm(role=ArmRole.CHAMPION, release=chats.releases["v1"], share=1.0),)
    chats.route(Route(system="s", arms=arms, fallback=(release.id,), last_good=chats.releases["v1"]))
    chats.look()
    assert set(chats.signals("v3")) == {"model_change", "model_change(main)"}
    assert chats.signals("v3")["model_change"].value is None


def test_tokens_and_cost_are_means_of_an_answer(chats: Chats) -> None:
    """What was read, written and paid is divided by the answers given; what failed is paid for as well."""
    chats.chat(3, tokens=(100, 20, 40))
    chats.chat(1, tokens=(100, 0, 0), status=503, text=None)
    seen = chats.look()
    assert (seen["tokens(in)"].value, seen["tokens(out)"].value) == (400 / 3, 20)
    assert seen["tokens"].value == pytest.approx(460 / 3)
    assert seen["tokens(cached)"].value == pytest.approx(120 / 400)
    assert seen["cost"].value == pytest.approx(4 * PICOS / 1e12 / 3)
    assert seen["cost(hour)"].value == pytest.approx(4 * PICOS / 1e12)
    assert seen["cost"].window_start == chats.now - HOUR


def test_costs_of_an_unknown_price_are_said_to_be_free(chats: Chats) -> None:
    """A cost that leaves something out names what."""
    chats.chat(2, price="", picos=0)
    assert "2 answers of a model without a known price" in chats.look()["cost"].reason


def test_shadow_answers_count_for_their_release_and_cost_the_system(chats: Chats) -> None:
    """Nobody waited for a shadow, but somebody pays for it."""
    [seen] = chats.chat(1)
    chats.chat(1, release="v2", shadow_of=seen.id, tokens=(500, 5, 0))
    chats.look()
    whole, challenger = chats.signals(), chats.signals("v2")
    assert whole["tokens(in)"].value == 100
    assert challenger["tokens(in)"].value == 500
    assert whole["cost"].value == pytest.approx(PICOS / 1e12)
    assert whole["cost(hour)"].value == pytest.approx(2 * PICOS / 1e12)
    assert challenger["cost(hour)"].value == pytest.approx(PICOS / 1e12)


def test_the_cost_of_an_outcome_is_paid_for_those_that_were_good(chats: Chats) -> None:
    """Cheap answers that nobody can use are dear."""
    given = chats.chat(40)
    for place, record in enumerate(given):
        truth = Outcome(f"k{place}", "s", "live", "label", place < 10, chats.now, chats.now, record=record.id)
        assert chats.log.outcome(truth)
    seen = chats.look()
    assert seen["quality"].value == pytest.approx(0.75)
    assert seen["cost(outcome)"].value == pytest.approx(4 * PICOS / 1e12)
    assert seen["cost(outcome)"].window_start < chats.now - DAY


def test_the_cost_of_an_outcome_needs_one_that_is_good(chats: Chats) -> None:
    """Nothing is divided by nothing."""
    for record in chats.chat(40):
        assert chats.log.outcome(Outcome(record.id, "s", "live", "label", 0.0, chats.now, chats.now, record=record.id))
    assert chats.look()["cost(outcome)"].reason == "not one of 40 outcomes is good"


def test_only_streams_have_a_first_token(chats: Chats) -> None:
    """An answer that is sent whole has no first piece to wait for."""
    chats.chat(5)
    assert "no streamed answers" in chats.look()["first_token"].reason
    chats.chat(5, first_us=300_000)
    chats.look()
    chats.chat(5, first_us=300_000)
    seen = chats.look()
    assert seen["first_token"].value == pytest.approx(300, rel=0.02)
    assert seen["first_token(p50)"].n == 10


def test_answers_that_say_nothing_are_told_apart(chats: Chats) -> None:
    """Refused, abstained, cut short and hung up on are four different troubles."""
    chats.chat(5)
    chats.chat(1, finish="content_filter", text="")
    chats.chat(1, finish="refusal", text="")
    chats.chat(1, finish="length", text="It hol")
    chats.chat(1, flags=Flag.ABSTAINED)
    chats.chat(1, flags=Flag.ABANDONED)
    seen = chats.look()
    shares = {name: seen[name].value for name in seen if name.startswith("refusals")}
    assert shares == {
        "refusals": 0.2, "refusals(abstained)": 0.1, "refusals(cut)": 0.1, "refusals(abandoned)": 0.1
    }  # fmt: skip
    assert seen["refusals"].low < 0.2 < seen["refusals"].high


def test_guards_are_counted_by_name_and_by_rule(chats: Chats) -> None:
    """A guard that did nothing shows 0, so that a condition on it has data."""
    chats.chat(3)
    chats.chat(1, flags=Flag.GUARDED, steps=(StepTaken("guard", "secrets", "alter", 0, "aws_key:2,jwt:1"),))
    chats.chat(1, steps=(StepTaken("guard", "canary", "allow", 0, "overlap:1"), StepTaken("guard", "x", "allow", 0)))
    chats.chat(1, status=400, flags=Flag.GUARDED, steps=(StepTaken("guard", "secrets", "block", 0, "odd"),))
    seen = chats.look()
    assert seen["guards"].value == pytest.approx(2 / 6)
    assert seen["guards(secrets)"].value == pytest.approx(2 / 6)
    assert seen["guards(limits)"].value == 0
    assert seen["guards"].reason == "secrets: aws_key (2), canary: overlap (1), secrets: jwt (1)"


def test_cache_hits_are_a_share_of_look_ups(chats: Chats) -> None:
    """Without a cache there is no data, not a share of 0."""
    chats.chat(2)
    assert not chats.look()["cache"].has_data
    chats.chat(1, steps=(StepTaken("cache", "exact", "hit", 0),))
    chats.chat(3, steps=(StepTaken("cache", "exact", "miss", 0), StepTaken("attempt", "main", "ok", 5)))
    assert chats.look()["cache"].value == 0.25


def test_claims_are_held_against_the_passages_of_the_release(chats: Chats) -> None:
    """Half of what is claimed is in the passage; the other half was made up."""
    chats.chat(20, sampled=True, text=f"{SUPPORTED} {INVENTED}")
    chats.chat(5, sampled=False, text=INVENTED)
    seen = chats.look()["grounded"]
    assert (seen.value, seen.n) == (0.5, 40)
    assert seen.low < 0.5 < seen.high


def test_the_interval_knows_that_claims_of_one_answer_stand_or_fall_together(chats: Chats) -> None:
    """Forty claims of ten answers are not forty independent ones."""
    chats.chat(5, sampled=True, text=" ".join([SUPPORTED] * 8))
    chats.chat(5, sampled=True, text=" ".join([INVENTED] * 8))
    clustered = chats.look()["grounded"]
    assert clustered.value == 0.5
    assert clustered.high - clustered.low > 0.6


def test_what_cannot_be_judged_is_said(chats: Chats) -> None:
    """Texts that are not kept, too few answers, and no index are three different reasons."""
    assert chats.look()["grounded"].reason == "0 of 10 sampled answers"
    chats.chat(2, sampled=True, keep=False)
    chats.chat(1, sampled=True, passages="gone.md#part-1")
    chats.chat(1, sampled=True, text="Sure!", passages=PASSAGE)
    seen = chats.look()["grounded"]
    assert seen.reason == "3 sampled answers cannot be judged: their texts or passages are not kept"
    assert chats.signals("v2")["grounded"].reason == "the release has no index to rest on"


def test_answers_that_claim_nothing_are_not_judged(chats: Chats) -> None:
    """Refusals, abstentions, failures and answers without passages rest on nothing."""
    chats.chat(20, sampled=True, finish="content_filter")
    chats.chat(20, sampled=True, flags=Flag.ABSTAINED)
    chats.chat(20, sampled=True, status=503)
    chats.chat(20, sampled=True, passages="")
    assert chats.look()["grounded"].n == 0


def test_a_shadows_claims_are_its_own(chats: Chats) -> None:
    """What no caller saw is not the system's."""
    seen = chats.chat(1, sampled=False)
    chats.chat(12, sampled=True, shadow_of=seen[0].id)
    chats.look()
    assert chats.signals("v1")["grounded"].n == 12
    assert chats.signals()["grounded"].n == 0


def test_a_flood_of_answers_is_judged_in_part_and_says_so(chats: Chats) -> None:
    """Judging must not hold up what watches errors."""
    chats.chat(MOST_AT_ONCE + 7, sampled=True)
    seen = chats.look()["grounded"]
    assert seen.n == MOST_AT_ONCE
    assert "7 sampled answers were left out" in seen.reason


def test_a_lost_index_does_not_blind_the_rest(chats: Chats) -> None:
    """The index of a release is gone: its cost is watched all the same."""
    [release] = [one for one in chats.plane.ledger.states(Noun.RELEASE, "s").values() if one["number"] == 1]
    _spoil(chats, next(one["digest"] for one in release["candidate"]["artifacts"] if one["role"] == "index"))
    chats.chat(12, sampled=True)
    seen = chats.look()
    assert seen["cost"].has_data
    assert "12 sampled answers cannot be judged" in seen["grounded"].reason


def test_a_lost_prompt_leaves_the_guards_unnamed(chats: Chats) -> None:
    """Which guards are in force is not known any more; what they did still counts."""
    [release] = [one for one in chats.plane.ledger.states(Noun.RELEASE, "s").values() if one["number"] == 1]
    _spoil(chats, next(one["digest"] for one in release["candidate"]["artifacts"] if one["role"] == "model"))
    buckets = Buckets(chats.plane.observations)
    folder = ChatFolder(buckets, References(chats.plane), chats.plane.artifacts)
    records = chats.chat(1, steps=(StepTaken("guard", "pii", "alter", 0, "card:1"),))
    folder.fold("s", "live", WatchPlan(), records)
    [found] = buckets.between(("s", "live", chats.releases["v1"]), 0, 2**62, "chats", ChatBucket)
    assert found.guards == {"pii": 1}


def _spoil(chats: Chats, digest: str) -> None:
    path = chats.plane.artifacts.path(digest)
    path.chmod(0o600)
    path.write_bytes(b"{}")


def test_systems_of_other_kinds_have_no_such_signals(world: World) -> None:
    """A model has no tokens."""
    world.answers(50)
    assert not {"cost", "tokens", "refusals", "guards", "grounded", "cache", "first_token"} & world.look().keys()


def test_without_answers_there_is_no_data(chats: Chats) -> None:
    """Silence is neither cheap nor safe."""
    seen = chats.look()
    for name in ("tokens", "cost", "cost(outcome)", "first_token", "refusals", "grounded", "guards", "cache"):
        assert not seen[name].has_data
        assert seen[name].reason


# Questions


def asked(rng: random.Random, words: int = 12) -> str:
    """Make up a question of about so many words."""
    return " ".join(rng.choice(("kettle", "water", "litres", "hot")) for _ in range(max(1, round(rng.gauss(words, 4)))))


def ask(chats: Chats, n: int, rng: random.Random, *, words: int = 12, first: int = 1) -> None:
    """Write n answers to made-up questions, spread over the last day."""
    for _ in range(n):
        name = f"guide{rng.choice((first, first, 2, 3))}.md#part-1"
        chats.chat(1, question=asked(rng, words), passages=name, sampled=False)


def spread(chats: Chats, days: int, rng: random.Random, **more: int) -> dict[str, object]:
    """Let questions come for some days."""
    seen: dict[str, object] = {}
    for _ in range(days):
        ask(chats, 60, rng, **more)
        seen = chats.look(later=DAY)
    return seen


def test_the_first_questions_are_the_reference_and_until_then_nothing_is_said(chats: Chats) -> None:
    """A reference of a few questions would alarm at the next few."""
    ask(chats, 120, random.Random(1))
    seen = chats.look()["drift"]
    assert not seen.has_data
    assert seen.reason == "its first questions become its reference: 120 so far"


@pytest.mark.parametrize("seed", range(6))
def test_questions_of_the_same_kind_raise_no_alarm(chats: Chats, seed: int) -> None:
    """Chance alone does not page anyone."""
    rng = random.Random(seed)
    ask(chats, REFERENCE_ROWS, rng)
    chats.look()
    for _ in range(10):
        seen = spread(chats, 1, rng)
        assert not (seen["drift"].has_data and seen["drift"].alarm)
    assert seen["drift"].has_data


def test_longer_questions_about_another_file_are_seen(chats: Chats) -> None:
    """What people ask has changed, and the signal says in what."""
    rng = random.Random(3)
    ask(chats, REFERENCE_ROWS, rng)
    chats.look()
    seen = spread(chats, 9, rng, words=40, first=4)
    assert seen["drift"].alarm
    assert seen["drift(question_words)"].alarm
    assert seen["drift(question_source)"].alarm
    assert not seen["drift(question_abstained)"].alarm


def test_no_word_of_a_question_is_kept(chats: Chats) -> None:
    """Numbers and categories are kept, never text."""
    chats.chat(3, question="Is Grace Hopper well?")
    chats.look()
    chats.plane.close()
    kept = b"".join(path.read_bytes() for path in chats.plane.home.root.glob("*.db*"))
    assert b"question_words" not in kept or b"Hopper" not in kept
    assert b"Hopper" not in kept


def test_a_question_that_is_not_kept_is_known_by_its_passages_only(chats: Chats) -> None:
    """Where payloads are not kept, the retrieval still tells what was asked about."""
    chats.chat(REFERENCE_ROWS + 250, keep=False, sampled=False)
    seen = chats.look()
    assert seen["drift(question_words)"].value is None
    assert seen["drift(question_source)"].value == 0


# Reading


def test_a_record_settled_after_a_crash_still_costs(chats: Chats) -> None:
    """Its worker is dead; what the call cost is known."""
    [record] = chats.chat(1)
    bare = record._replace(outputs=(), steps=())
    assert told(bare).cost_picos == PICOS
    assert told(record._replace(outputs=(None,) * 10)).input_tokens == 0
    assert passages_of(bare) == ()


def test_buckets_add_up_to_one(chats: Chats) -> None:
    """A window is the sum of its spans."""
    one = ChatBucket(start=0, asked=2, cost_picos=5, guards={"pii": 1})
    two = ChatBucket(start=9, asked=3, guards={"pii": 2}, finishes={"stop": 1})
    chats.chat(4, first_us=1_000)
    chats.look()
    [key] = chats.plane.observations.buckets("s", "live", "", 0, 2**62, kind="chats").values()
    three = ChatBucket(**key)
    whole = merge_chats(0, (one, two, three, replace(three)))
    assert (whole.asked, whole.guards["pii"], whole.finishes) == (13, 3, {"stop": 9})
    assert whole.first_token["total"] == 8


def test_indexes_in_memory_are_bounded(chats: Chats) -> None:
    """A control process that saw a hundred releases does not hold a hundred indexes."""
    passages = Passages(chats.plane.artifacts)
    for number in range(7):
        index = build({"a.md": f"# A\nText number {number} is here."}, Parameters(embeddings=False))
        candidate = candidate_of(chats.plane, number, index, Assistant())
        [found] = passages.of(candidate, ["a.md#a-1"])
        assert str(number) in found.text
    assert len(passages._kept) == 4


def test_a_release_without_an_index_has_no_passages(chats: Chats) -> None:
    """An answer that names passages all the same cannot be judged."""
    chats.chat(1, release="v2", sampled=True)
    chats.look()
    assert chats.signals("v2")["grounded"].n == 0
    assert Passages(chats.plane.artifacts).of(candidate_of(chats.plane, 2, None, Assistant()), [PASSAGE]) is None


def test_damaged_prompts_are_named(chats: Chats) -> None:
    """A prompt whose bytes are no prompt is an artifact's fault, not the observer's."""
    content = b"[]"
    artifact = Artifact(role="model", format="llm", digest=chats.plane.artifacts.put(content), size=2)
    candidate = replace(candidate_of(chats.plane, 9, None, Assistant()), artifacts=(artifact,))
    with pytest.raises(ArtifactError, match="damaged"):
        assistant_of(candidate, chats.plane.artifacts)
    assert assistant_of(replace(candidate, artifacts=()), chats.plane.artifacts) is None
