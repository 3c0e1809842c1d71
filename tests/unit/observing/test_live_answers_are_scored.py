"""Live answers get the scores that the gates would give, once each, and their outcomes feed quality and harm."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from roadworthy.domain.candidate import Candidate, Environment
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.llm import chat_interface
from roadworthy.domain.moment import DAY, SECOND
from roadworthy.domain.principal import AUTOMATION
from roadworthy.domain.record import Flag, Outcome, Record, StepTaken, is_sampled
from roadworthy.domain.release import Release
from roadworthy.domain.route import Arm, ArmRole, Route
from roadworthy.domain.system import Owner, Policy, ScorePlan, WatchPlan
from roadworthy.domain.verdict import Verdict, VerdictState
from roadworthy.lifecycle.change_route import route_changed
from roadworthy.lifecycle.joining import decision_loss
from roadworthy.lifecycle.observe import Observer
from roadworthy.lifecycle.references import References
from roadworthy.lifecycle.score_answers import COST, AnswerScorer, answered_of, case_of
from roadworthy.manifest.suites import read_suite
from roadworthy.ports.evaluation import Answered, Scored, Scores
from roadworthy.ports.plane import Plane
from roadworthy.runtimes.scoring.score import Verdict as Said
from roadworthy.runtimes.scoring.score import score_answers, score_checks
from roadworthy.settings import Settings
from roadworthy.stores.clock import ReplayClock
from roadworthy.stores.codec import to_doc
from roadworthy.stores.home import create
from roadworthy.stores.records import open_log
from roadworthy.wiring import open_plane

SUITE = """all:
  checks: {lacks: as an AI}
  judges: [{name: helpful, pin: judge, rubric: Does it help?}]
cases:
  - {id: days, question: How long?, checks: {contains: seven days, cites: true}}
"""
PRICE = 1_000
CANDIDATE = Candidate(
    system="helpdesk", recipe="sha256:" + "3" * 64, artifacts=(), interface=chat_interface(), runtime="llm",
    environment=Environment(python="3.11", platform="linux"),
)  # fmt: skip


class CountingJudge:
    """Scores with the real scorers and a judge that counts who asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_down = False

    def __call__(self, answers: Sequence[Scored]) -> list[Scores]:
        """Score."""

        async def ask(pin: str, messages: Sequence[Mapping[str, Any]]) -> Said:
            self.asked += 1
            return Said(trouble="down") if self.is_down else Said(text="SCORE: 0.5", cost_picos=PRICE)

        return asyncio.run(score_answers(answers, ask))


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A home with one release of kind llm that serves."""
    create(tmp_path / "home")
    opened = open_plane(Settings(home=tmp_path / "home"))
    put_in_force(opened, cap=100 * PRICE)
    yield opened
    opened.close()


def put_in_force(plane: Plane, *, cap: int, share: float = 1.0) -> None:
    """Write policy, release and route."""
    plan = ScorePlan(suite="suites/live.yaml", text=SUITE, share=share, cap_picos=cap)
    policy = Policy(owner=Owner(principal="ana", contact=""), watch=WatchPlan(score=plan))
    release = Release(
        id=CANDIDATE.id, system="helpdesk", number=1, candidate=CANDIDATE, policy=policy.digest, run="",
        admitted_at=1, admitted_by="ana",
    )  # fmt: skip
    arms = (Arm(role=ArmRole.CHAMPION, release=release.id, share=1.0),)
    route = Route(system="helpdesk", version=1, arms=arms, last_good=release.id)
    plane.ledger.commit([decide("policy.applied", Noun.POLICY, "helpdesk", policy)])
    if plane.ledger.state(Noun.ROUTE, "helpdesk/live") is None:
        plane.ledger.commit(
            [
                decide("release.admitted", Noun.RELEASE, release.id, release),
                route_changed(route, AUTOMATION, "test", expected=0),
            ]
        )


def decide(kind: str, noun: Noun, subject: str, after: object) -> Decide:
    """Spell a decision."""
    return Decide(kind=kind, system="helpdesk", noun=noun, subject=subject, after=to_doc(after), actor=AUTOMATION)


def record(plane: Plane, number: int, text: str = "You have seven days [1].", **more: Any) -> Record:
    """Make a record as the gateway writes it."""
    at = plane.clock.now() - 60 * SECOND + number
    steps = (StepTaken("retrieval", "helpdesk@v1", "ok", 10, "docs/a.md#x-1,docs/b.md#y-1"),)
    outputs = (text, "stop", 10, 5, 0, 25_000, 900, "m", "", "manifest")
    given: dict[str, Any] = {"inputs": ("How long?", None), "outputs": outputs, "steps": steps, "flags": 0, **more}
    return Record(
        f"{number:032x}", "helpdesk", "live", CANDIDATE.id, CANDIDATE.id, "champion", 1, at, at, 1500, 200,
        interface="i", **given,
    )  # fmt: skip


def write(plane: Plane, records: Sequence[Record]) -> None:
    """Append to the log as a worker does."""
    log = open_log(plane.home.records, "worker_1", segment_bytes=1 << 20)
    for one in records:
        assert log.record(one)
    log.close()


def scores_of(plane: Plane, number: int) -> dict[str, float]:
    """Return the outcomes of an answer by scorer."""
    return {one.scorer: float(one.value or 0) for one in plane.records.outcomes_of(f"{number:032x}")}


def test_an_answer_scores_the_same_offline_and_online(plane: Plane) -> None:
    """One definition: what a gate measured is what is watched."""
    write(plane, [record(plane, 1)])
    offline = Answered(
        case="live/days", repeat=0, text="You have seven days [1].", finish="stop",
        passages=("docs/a.md#x-1", "docs/b.md#y-1"),
    )  # fmt: skip
    case = read_suite(SUITE, "suites/live.yaml").cases[0]
    (expected,) = CountingJudge()([(case, offline)])
    assert AnswerScorer(plane, lambda *_: CountingJudge()).score() == 1
    found = scores_of(plane, 1)
    assert found["score"] == expected.value
    assert {name.removeprefix("score."): value for name, value in found.items() if "." in name and name != COST} == {
        **expected.checks,
        **expected.judges,
    }


def test_a_restart_neither_repeats_nor_skips_an_answer(plane: Plane) -> None:
    """Judges are not paid twice, and nothing is left out."""
    judge = CountingJudge()
    write(plane, [record(plane, number) for number in range(1, 41)])
    assert AnswerScorer(plane, lambda *_: judge).score() == 16
    again = AnswerScorer(plane, lambda *_: judge)
    assert [again.score(), again.score(), again.score()] == [16, 8, 0]
    assert judge.asked == 40
    assert all(scores_of(plane, number)["score"] == pytest.approx(3.5 / 4) for number in range(1, 41))


def test_judges_stop_when_the_day_has_cost_its_cap_and_checks_go_on(plane: Plane) -> None:
    """A cap holds over restarts; an answer without its judges gets no whole score."""
    put_in_force(plane, cap=3 * PRICE)
    judge = CountingJudge()
    write(plane, [record(plane, number) for number in range(1, 6)])
    AnswerScorer(plane, lambda *_: judge).score()
    write(plane, [record(plane, 9)])
    AnswerScorer(plane, lambda *_: judge).score()
    assert judge.asked == 3
    assert "score" in scores_of(plane, 3)
    for number in (4, 5, 9):
        assert "score" not in scores_of(plane, number)
        assert scores_of(plane, number)["score.contains"] == 1.0


def test_a_judge_that_is_away_is_asked_again_and_then_left_out(plane: Plane) -> None:
    """An outage of the judge holds nothing up for good."""
    judge = CountingJudge()
    judge.is_down = True
    write(plane, [record(plane, 1)])
    scorer = AnswerScorer(plane, lambda *_: judge)
    assert [scorer.score(), scorer.score(), scorer.score(), scorer.score()] == [0, 0, 1, 0]
    assert judge.asked == 3
    assert "score" not in scores_of(plane, 1)


def test_answers_of_others_and_of_nobody_are_not_scored(plane: Plane) -> None:
    """A fallback's answer says nothing of the release; a text that was not kept cannot be read."""
    left_out = [
        record(plane, 1, flags=int(Flag.FALLBACK)),
        record(plane, 2, flags=int(Flag.SHADOW)),
        record(plane, 3, inputs=(), outputs=()),
        record(plane, 4)._replace(status=503),
    ]
    write(plane, left_out)
    assert AnswerScorer(plane, lambda *_: CountingJudge()).score() == 0


def test_answers_of_a_release_that_is_not_known_are_left_out_once(plane: Plane) -> None:
    """Nobody can say what they should be scored by, and they hold up no other answer."""
    write(plane, [record(plane, 1)._replace(release="sha256:" + "0" * 64), record(plane, 2)])
    scorer = AnswerScorer(plane, lambda *_: CountingJudge())
    assert [scorer.score(), scorer.score()] == [1, 0]
    assert scores_of(plane, 1) == {}
    assert "score" in scores_of(plane, 2)


def test_a_system_without_a_plan_for_scores_is_left_alone(plane: Plane) -> None:
    """Scoring begins where the policy asks for it."""
    policy = Policy(owner=Owner(principal="ana", contact=""))
    plane.ledger.commit([decide("policy.applied", Noun.POLICY, "helpdesk", policy)])
    write(plane, [record(plane, 1)])
    assert AnswerScorer(plane, lambda *_: CountingJudge()).score() == 0
    assert scores_of(plane, 1) == {}


def test_the_cap_on_judges_is_that_of_one_day(tmp_path: Path) -> None:
    """At midnight the judges may cost as much again."""
    create(tmp_path / "past", clock="replay", now=1_700_000_000_000_000)
    plane = open_plane(Settings(home=tmp_path / "past"))
    put_in_force(plane, cap=PRICE)
    judge = CountingJudge()
    scorer = AnswerScorer(plane, lambda *_: judge)
    write(plane, [record(plane, 1), record(plane, 2)])
    scorer.score()
    assert judge.asked == 1
    clock = plane.clock
    assert isinstance(clock, ReplayClock)
    clock.set(clock.now() + DAY)
    write(plane, [record(plane, 3)])
    scorer.score()
    assert judge.asked == 2
    assert "score" in scores_of(plane, 3)
    plane.close()


def test_the_share_is_kept_and_depends_on_ids_alone() -> None:
    """Whoever asks, and whenever, the same answers are chosen."""
    ids = [f"{number:032x}" for number in range(5_000)]
    assert 0.08 < sum(is_sampled(one, 0.1) for one in ids) / len(ids) < 0.12
    assert all(is_sampled(one, 1.0) for one in ids)
    assert {one for one in ids if is_sampled(one, 0.05)} <= {one for one in ids if is_sampled(one, 0.1)}


def test_a_question_that_is_no_case_is_scored_by_what_is_asked_of_all(plane: Plane) -> None:
    """Live questions are mostly new."""
    suite = read_suite(SUITE, "suites/live.yaml")
    other = record(plane, 1, inputs=("Who are you?", '[{"role": "user", "content": "Hi"}]'))
    case = case_of(suite, other, CANDIDATE.interface)
    assert case is not None
    assert (case.id, case.question, len(case.history)) == ("any", "Who are you?", 1)
    assert dict(score_checks((case, answered_of(other, case))).checks) == {"lacks": 1.0}


@pytest.mark.parametrize(
    ("value", "loss"), [(1, 0.0), (0.25, 0.75), (0, 1.0), (-1, 1.0), (True, 0.0), ("good", None), (7, None)]
)
def test_the_loss_of_a_text_is_what_its_score_lacks(value: Any, loss: float | None) -> None:
    """Labels, scores and feedback speak one scale, also where the text was not kept."""
    assert decision_loss(CANDIDATE.interface, (), value, 1.0) == loss


def test_a_release_promised_what_its_suite_showed(plane: Plane) -> None:
    """Harm is measured against the gate's own figure."""
    evidence = {"score": {"value": 0.9, "low": 0.8, "high": 0.97, "n": 50}}
    verdict = Verdict(
        gate="suite", candidate=CANDIDATE.id, policy="p", state=VerdictState.PASS, reason="", evidence=evidence, at=1,
        expires_at=2,
    )  # fmt: skip
    assert References(plane).get(CANDIDATE.id).reference is None  # type: ignore[union-attr]
    plane.ledger.commit([decide("verdict.given", Noun.VERDICT, f"{CANDIDATE.id}/suite", verdict)])
    known = References(plane).get(CANDIDATE.id)
    assert known is not None
    assert known.reference is not None
    loss = known.reference.loss
    assert (loss.value, loss.low, loss.high, loss.n) == (
        pytest.approx(0.1), pytest.approx(0.03), pytest.approx(0.2), 50,
    )  # fmt: skip


def test_scores_and_feedback_make_quality_and_parts_do_not(plane: Plane) -> None:
    """The signals of decisions work for texts as for labels; one scorer's part decides nothing."""
    evidence = {"score": {"value": 0.9, "low": 0.85, "high": 0.95, "n": 50}}
    verdict = Verdict(
        gate="suite", candidate=CANDIDATE.id, policy="p", state=VerdictState.PASS, reason="", evidence=evidence, at=1,
        expires_at=2,
    )  # fmt: skip
    plane.ledger.commit([decide("verdict.given", Noun.VERDICT, f"{CANDIDATE.id}/suite", verdict)])
    write(plane, [record(plane, number) for number in range(1, 41)])
    scorer = AnswerScorer(plane, lambda *_: CountingJudge())
    while scorer.score():
        pass
    log = open_log(plane.home.records, "worker_1", segment_bytes=1 << 20)
    now = plane.clock.now()
    assert log.outcome(Outcome("f1", "helpdesk", "live", "feedback", -1, now, now, record=f"{1:032x}"))
    log.close()
    observer = Observer(plane)
    while observer.observe(now, now):
        pass
    found = {one.name: one for one in plane.observations.signals("helpdesk") if one.release == CANDIDATE.id}
    quality = found["quality"]
    assert (quality.n, quality.value) == (41, pytest.approx((40 * 0.125 + 1) / 41))
    assert quality.threshold == pytest.approx(0.15 + 0.05)
    assert found["harm"].n == 41
