"""Replay: which recorded questions are put to which rival, and what stands side by side afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.llm import Assistant
from roadworthy.domain.moment import SECOND
from roadworthy.domain.pin import Pin, Provider
from roadworthy.domain.principal import Actor
from roadworthy.domain.record import Flag, Record
from roadworthy.domain.release import Release
from roadworthy.domain.route import Arm, ArmRole, Route
from roadworthy.domain.system import Kind, System
from roadworthy.errors import InputError, NotFoundError
from roadworthy.lifecycle import checkout
from roadworthy.lifecycle.build import build
from roadworthy.lifecycle.replay import MOST, Replayed, replay
from roadworthy.manifest import BUILT_IN, load
from roadworthy.ports.evaluation import Answered, Case, Scored, Scores
from roadworthy.ports.plane import Plane
from roadworthy.runtimes.scoring.score import score_checks
from roadworthy.settings import Settings
from roadworthy.stores.codec import from_doc, from_json, to_doc
from roadworthy.stores.home import create
from roadworthy.stores.records import open_log
from roadworthy.wiring import open_plane

ANA = Actor(principal="ana")
RIGHT, WRONG = "You have seven days.", "I would not bother."
MANIFEST = """roadworthy: 1
system: helpdesk
kind: llm
owner: {name: ana, contact: ana@example.org}
decision: what a caller is told
use: main
pins:
  main: {provider: openai, url: "http://127.0.0.1:1/v1", model: big, price: {input: 1 USD, output: 2 USD}}
  spare: {provider: openai, url: "http://127.0.0.1:1/v1", model: small, price: {input: 1 USD, output: 2 USD}}
prompt: prompt.md
baseline: baseline.txt
watch: {score: {suite: suites/live.yaml, judge_budget: 1 USD}}
"""


@dataclass
class Desk:
    """A project and its home; its stage answers every question with `says`."""

    folder: Path
    plane: Plane
    system: System
    says: str = RIGHT
    problem: str = ""
    asked: list[tuple[Candidate, list[Case]]] = field(default_factory=list)
    checks_count: bool = True

    def ask(self, _plane: Plane, _system: System, candidate: Candidate, cases: Sequence[Case]) -> list[Answered]:
        """Answer as a stage does: dearer and slower than what was recorded."""
        self.asked.append((candidate, list(cases)))
        return [
            Answered(
                case=case.name, repeat=0, text=self.says, cost_picos=25, latency_us=3_500, problem=self.problem,
            )
            for case in cases
        ]  # fmt: skip

    def score(self, answers: Sequence[Scored]) -> list[Scores]:
        """Score by checks; a judge that is away leaves no whole score."""
        return [score_checks(one) if self.checks_count else Scores(judges={"days": None}) for one in answers]

    def replay(self, against: str, **more: Any) -> Replayed:
        """Replay for ana."""
        return replay(
            self.plane, self.folder, self.system, against, ANA, ask=self.ask, scorer_for=lambda *_: self.score, **more
        )

    def admit(self, candidate: Candidate, number: int) -> Release:
        """Admit a candidate as a release."""
        made = Release(
            id=candidate.id, system="helpdesk", number=number, candidate=candidate, policy="p", run="", admitted_at=1,
            admitted_by="ana",
        )  # fmt: skip
        self.decide(Noun.RELEASE, made.id, made)
        return made

    def route(self, release: str) -> None:
        """Put a release in front."""
        arms = (Arm(role=ArmRole.CHAMPION, release=release, share=1.0),)
        self.decide(Noun.ROUTE, "helpdesk/live", Route(system="helpdesk", version=1, arms=arms, last_good=release))

    def decide(self, noun: Noun, subject: str, after: object) -> None:
        """Commit the state of one subject."""
        decided = Decide(
            kind=f"{noun}.set", system="helpdesk", noun=noun, subject=subject, after=to_doc(after), actor=ANA
        )
        self.plane.ledger.commit([decided])

    def with_pins(self, *pins: Pin) -> None:
        """Let the manifest state further pins, which no release has."""
        plan = self.system.content.llm
        assert plan is not None
        more = replace(plan, pins=(*plan.pins, *pins))
        self.system = replace(self.system, content=replace(self.system.content, llm=more))

    def without_scores(self) -> None:
        """Take from the manifest what live answers are scored by."""
        policy = self.system.policy
        self.system = replace(self.system, policy=replace(policy, watch=replace(policy.watch, score=None)))

    def write(self, *records: Record) -> None:
        """Append to the log as a worker does."""
        log = open_log(self.plane.home.records, "worker_1", segment_bytes=1 << 20)
        for one in records:
            assert log.record(one)
        log.close()

    def record(self, number: int, release: str, text: str = RIGHT, **more: Any) -> Record:
        """Make a record as the gateway writes it; the default ones are ten picounits dear and 1.5 ms slow."""
        at = self.plane.clock.now() - 60 * SECOND + number
        given: dict[str, Any] = {
            "inputs": (f"How long for order {number}?", None),
            "outputs": (text, "stop", 10, 4, 0, 10, 900, "big-1", "", "manifest"),
            "flags": 0,
        }
        return Record(
            f"{number:032x}", "helpdesk", "live", release, release, "champion", 1, at, at, 1500, 200, interface="i",
            **given | more,
        )  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A project whose first release is in force, and has answered nothing yet."""
    monkeypatch.setattr(checkout, "git_is_missing", lambda: True)
    folder = tmp_path / "desk"
    (folder / "suites").mkdir(parents=True)
    (folder / "system.yaml").write_text(MANIFEST)
    (folder / "prompt.md").write_text("# system\nBe exact.\n\n# user\n{{ question }}\n")
    (folder / "baseline.txt").write_text("Please write to us.\n")
    (folder / "suites" / "live.yaml").write_text("suite: live\nall: {checks: {contains: seven days}}\n")
    create(tmp_path / "home")
    plane = open_plane(Settings(home=tmp_path / "home"))
    made = Desk(folder, plane, load(folder, BUILT_IN))
    built = build(folder, made.system, plane, ANA)
    assert built.baseline is not None
    made.admit(built.baseline, 0)
    made.route(made.admit(built.candidate, 1).id)
    yield made
    plane.close()


def champion(desk: Desk) -> str:
    """Name the release in force."""
    state = desk.plane.ledger.state(Noun.ROUTE, "helpdesk/live")
    assert state is not None
    return str(from_doc(Route, state).champion)


def assistant(desk: Desk) -> Assistant:
    """Read what the rival that was asked does with a question."""
    artifact = desk.asked[-1][0].artifact("model")
    assert artifact is not None
    return from_doc(Assistant, from_json(desk.plane.artifacts.get(artifact.digest)))


def test_recorded_answers_stand_beside_new_ones(desk: Desk) -> None:
    """Score, cost, time and likeness are those of the same questions; the difference is new minus recorded."""
    desk.write(*(desk.record(number, champion(desk)) for number in range(12)))
    desk.says = WRONG
    (desk.folder / "prompt.md").write_text("# system\nBe careless.\n\n# user\n{{ question }}\n")
    found = desk.replay("candidate")
    assert assistant(desk).prompt.startswith("# system\nBe careless.")
    assert (found.system, found.n, found.skipped) == ("helpdesk", 12, 0)
    assert (found.recorded.who, found.recorded.cost_picos, found.recorded.p50_ms) == ("recorded", 120, 1.5)
    assert (found.other.who, found.other.cost_picos, found.other.p50_ms) == ("candidate", 300, 3.5)
    assert found.recorded.score is not None
    assert found.other.score is not None
    assert found.score is not None
    assert (found.recorded.score.value, found.other.score.value, found.score.value) == (1.0, 0.0, -1.0)
    assert (found.cost_picos.value, found.latency_ms.value) == (15.0, 2.0)
    assert found.likeness < 1.0


def test_the_newest_records_are_asked_in_their_order(desk: Desk) -> None:
    """`last` is how many of the newest questions are put to the rival, each as a case of its own."""
    desk.write(*(desk.record(number, champion(desk)) for number in range(5)))
    assert desk.replay("helpdesk@v1", last=2).n == 2
    assert [case.question for case in desk.asked[-1][1]] == ["How long for order 3?", "How long for order 4?"]
    assert [case.id for case in desk.asked[-1][1]] == [f"{number:032x}" for number in (3, 4)]


def test_another_pin_answers_in_the_place_of_the_one_in_force(desk: Desk) -> None:
    """Prompt and all else of the release stay; a pin that only the manifest states is asked too."""
    desk.write(desk.record(1, champion(desk)), desk.record(2, champion(desk)))
    assert desk.replay("spare").likeness == 1.0
    spare = assistant(desk)
    assert (spare.use, [pin.name for pin in spare.pins]) == ("spare", ["main", "spare"])
    desk.with_pins(Pin(name="new", provider=Provider.OPENAI, model="other", url="http://127.0.0.1:1/v1"))
    desk.replay("new")
    new = assistant(desk)
    assert (new.use, [pin.name for pin in new.pins]) == ("new", ["main", "spare", "new"])
    assert new.prompt == spare.prompt
    assert desk.asked[-1][0].id not in desk.plane.ledger.states(Noun.RELEASE, "helpdesk")


def test_a_local_pin_without_its_weights_in_the_release_is_refused(desk: Desk) -> None:
    """A release does not hold the file of a pin that was stated after it was built."""
    desk.with_pins(Pin(name="local", provider=Provider.GGUF, model="tiny", file="tiny.gguf"))
    with pytest.raises(InputError, match="not in the release in force") as refusal:
        desk.replay("local")
    assert "candidate" in str(refusal.value.hint)


def test_a_pin_needs_a_release_in_force_whose_prompt_it_can_answer(desk: Desk) -> None:
    """The baseline has no prompt, and a release that is not known has nothing at all."""
    baseline = next(
        name for name, one in desk.plane.ledger.states(Noun.RELEASE, "helpdesk").items() if one["number"] == 0
    )
    for front in (baseline, "sha256:" + "0" * 64):
        desk.route(front)
        with pytest.raises(NotFoundError, match="no release of helpdesk is in force"):
            desk.replay("spare")


def test_what_is_no_answer_of_a_known_release_is_left_out_and_lost_texts_are_counted(desk: Desk) -> None:
    """Fallbacks, refusals and unknown releases say nothing; a record without its text is counted as skipped."""
    front = champion(desk)
    desk.write(
        desk.record(1, "sha256:" + "0" * 64), desk.record(2, front, flags=int(Flag.FALLBACK)),
        desk.record(3, front)._replace(status=503), desk.record(4, front, inputs=(), outputs=()),
    )  # fmt: skip
    with pytest.raises(NotFoundError, match=r"holds its question \(1 hold no text\)"):
        desk.replay("candidate")
    desk.write(desk.record(5, front))
    found = desk.replay("candidate")
    assert (found.n, found.skipped) == (1, 1)


def test_without_a_plan_for_scores_cost_and_time_are_compared_all_the_same(desk: Desk) -> None:
    """Nothing is scored that nobody said how to score."""
    desk.without_scores()
    desk.write(desk.record(1, champion(desk)), desk.record(2, champion(desk)))
    found = desk.replay("candidate")
    assert (found.score, found.recorded.score, found.other.score) == (None, None, None)
    assert found.other.cost_picos == 50


def test_half_a_score_is_none(desk: Desk) -> None:
    """Where a judge did not answer there is no score, and answers that were not given are counted."""
    desk.write(desk.record(1, champion(desk)), desk.record(2, champion(desk)))
    desk.checks_count, desk.problem = False, "down"
    found = desk.replay("candidate")
    assert (found.score, found.other.score) == (None, None)
    assert (found.recorded.unanswered, found.other.unanswered) == (0, 2)


@pytest.mark.parametrize("last", [0, MOST + 1])
def test_the_number_of_records_has_bounds(desk: Desk, last: int) -> None:
    """A replay is paid for; it asks at least one question and at most a stated number."""
    with pytest.raises(InputError, match="must lie between 1 and 5,000"):
        desk.replay("candidate", last=last)


def test_only_questions_to_a_language_model_are_replayed(desk: Desk) -> None:
    """Other kinds are judged on their hold-out."""
    desk.system = replace(desk.system, kind=Kind.MODEL)
    with pytest.raises(InputError, match="is of kind model"):
        desk.replay("candidate")


def test_a_rival_that_nobody_knows_is_named(desk: Desk) -> None:
    """Neither a pin nor a release is called so."""
    with pytest.raises(NotFoundError):
        desk.replay("v9")
