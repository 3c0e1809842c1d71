"""The gates of kind llm: a worse prompt is refused, an equal and dearer one too, an undecided one is not released."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from paper_llm_trial import PaperLlmTrial, cases_text, llm_system, right, saying, wrong_every
from roadworthy import plugins
from roadworthy.domain.verdict import Judgement, VerdictState
from roadworthy.ports.evaluation import Answered, Case
from roadworthy.stats.calibrated import calibrated_mean

JUDGED = "judges: [{name: helpful, pin: main, rubric: Does it help?}]"
CHEAP, DEAR = {"cost_picos": 100, "latency_us": 1000}, {"cost_picos": 101, "latency_us": 1000}


def judge(gate: str, trial: PaperLlmTrial, **parameters: Any) -> Judgement:
    """Let one installed gate judge."""
    return plugins.load("gates", gate).judge(trial, parameters)


def labelled(n: int, score: Any) -> str:
    """Write a judged suite in which people scored a good and a bad answer of each case."""
    rows = [
        f"  - {{id: c{at}, question: 'Q{at}?', {JUDGED}, labels: [{{answer: yes, score: {score(True, at)}}}, "
        f"{{answer: no, score: {score(False, at)}}}]}}"
        for at in range(n)
    ]
    return "cases:\n" + "\n".join(rows)


def test_a_suite_passes_only_at_the_whole_interval() -> None:
    """A good mean over few cases is no proof."""
    assert judge("suite", PaperLlmTrial(), at_least=0.7).state is VerdictState.PASS
    few = PaperLlmTrial(suites={"s.yaml": cases_text(4)})
    found = judge("suite", few, at_least=0.9)
    assert found.state is VerdictState.INCONCLUSIVE
    assert "undecided" in found.reason


def test_a_suite_fails_when_even_the_best_end_is_too_low() -> None:
    """The refusal names the cases that went worst."""
    found = judge("suite", PaperLlmTrial(own=saying(wrong_every(2))), at_least=0.9)
    assert found.state is VerdictState.FAIL
    assert "worst: s/c0" in found.reason
    assert found.evidence["scorers"] == {"equals": 0.5}


def test_asking_one_case_often_does_not_narrow_the_interval() -> None:
    """Repeats of a case are one witness."""
    trial = PaperLlmTrial(own=saying(wrong_every(3)), suites={"s.yaml": cases_text(12)})
    once, often = (judge("suite", trial, repeats=n).evidence["score"] for n in (1, 20))
    assert once == often


def test_a_suite_without_cases_is_no_pass() -> None:
    """Where nothing was asked nothing is known."""
    for suites in ({}, {"s.yaml": "cases: []"}, {"s.yaml": "cases: [{id: a, question: q, passages: x.md}]"}):
        assert judge("suite", PaperLlmTrial(suites=suites)).state is VerdictState.INCONCLUSIVE
    wrong = judge("suite", PaperLlmTrial(suites={"s.yaml": "cases: [{id: a}]"}))
    assert wrong.state is VerdictState.INCONCLUSIVE
    assert "'question' is missing" in wrong.reason


def test_a_judge_that_does_not_agree_with_people_decides_nothing() -> None:
    """A judge is believed as far as people's labels show."""
    agreeing = PaperLlmTrial(suites={"s.yaml": labelled(40, lambda good, at: int(good))})
    contrary = PaperLlmTrial(suites={"s.yaml": labelled(40, lambda good, at: int(good) if at % 2 else int(not good))})
    unknown = PaperLlmTrial(suites={"s.yaml": cases_text(40, JUDGED)})
    one_sided = PaperLlmTrial(suites={"s.yaml": labelled(40, lambda good, at: 1)}, judge=lambda said: "SCORE: 1")
    assert judge("suite", agreeing).state is VerdictState.PASS
    for trial, why in ((contrary, "kappa 0.00"), (unknown, "nobody has labelled"), (one_sided, "on one side")):
        found = judge("suite", trial)
        assert (found.state, why in found.reason) == (VerdictState.INCONCLUSIVE, True)


def test_a_lenient_judge_is_corrected_by_people() -> None:
    """What the judge gives too much is taken off again."""
    lenient = PaperLlmTrial(
        suites={"s.yaml": labelled(60, lambda good, at: 0.5 if good else 0)},
        judge=lambda said: "SCORE: 0.9" if "yes" in said else "SCORE: 0.4",
    )
    found = judge("suite", lenient, at_least=0.7)
    assert found.evidence["uncorrected"]["value"] == pytest.approx(0.9)
    assert found.evidence["score"]["value"] == pytest.approx(0.5)
    assert found.state is VerdictState.FAIL


def test_a_judge_that_cannot_be_read_leaves_the_verdict_open() -> None:
    """Answers without a score may be the bad ones."""
    mute = PaperLlmTrial(suites={"s.yaml": labelled(10, lambda good, at: int(good))}, judge=lambda said: "Hm.")
    found = judge("suite", mute)
    assert found.state is VerdictState.INCONCLUSIVE
    assert "could not be judged" in found.reason


def test_answers_that_do_not_come_score_nothing_until_most_are_missing() -> None:
    """A few errors are the candidate's; an outage says nothing of the prompt."""

    def failing(share: int) -> Any:
        def release(case: Case, repeat: int) -> Answered:
            problem = "503: down" if int(case.id[1:]) % share == 0 else ""
            return Answered(case=case.name, repeat=repeat, text="" if problem else "yes", problem=problem)

        return release

    assert judge("suite", PaperLlmTrial(own=failing(5))).evidence["score"]["value"] == pytest.approx(0.8)
    outage = judge("suite", PaperLlmTrial(own=failing(1)))
    assert (outage.state, "503: down" in outage.reason) == (VerdictState.INCONCLUSIVE, True)


def test_the_baseline_must_be_beaten_and_wins_a_tie() -> None:
    """A language model that is no better than the best passage is not worth its cost."""
    worse, half = saying(wrong_every(1)), saying(wrong_every(2))
    good = saying(right)
    large = {"s.yaml": cases_text(400)}
    small = {"s.yaml": cases_text(8)}
    assert judge("baseline", PaperLlmTrial(rivals={"baseline": half})).state is VerdictState.PASS
    assert judge("baseline", PaperLlmTrial(own=worse, rivals={"baseline": half})).state is VerdictState.FAIL
    tie = judge("baseline", PaperLlmTrial(suites=large, rivals={"baseline": good}))
    assert (tie.state, "the simpler one wins" in tie.reason) == (VerdictState.FAIL, True)
    open_ = judge("baseline", PaperLlmTrial(suites=small, rivals={"baseline": good}))
    assert (open_.state, "undecided" in open_.reason) == (VerdictState.INCONCLUSIVE, True)
    assert judge("baseline", PaperLlmTrial()).state is VerdictState.FAIL


@pytest.mark.parametrize(
    ("own", "champion", "cases", "state", "why"),
    [
        (saying(wrong_every(2), **CHEAP), saying(right, **CHEAP), 60, VerdictState.FAIL, "worse than the release"),
        (saying(right, **DEAR), saying(right, **CHEAP), 400, VerdictState.FAIL, "but dearer"),
        (
            saying(right, **{**CHEAP, "latency_us": 2000}),
            saying(right, **CHEAP),
            400,
            VerdictState.FAIL,
            "but slower",
        ),
        (saying(right, **CHEAP), saying(right, **CHEAP), 400, VerdictState.PASS, "no worse"),
        (saying(right, **CHEAP), saying(right, **DEAR), 400, VerdictState.PASS, "no worse"),
        (saying(right, **DEAR), saying(wrong_every(2), **CHEAP), 60, VerdictState.PASS, "better"),
        (saying(right, **CHEAP), saying(right, **CHEAP), 20, VerdictState.INCONCLUSIVE, "undecided"),
        (saying(wrong_every(9), **CHEAP), saying(right, **CHEAP), 12, VerdictState.INCONCLUSIVE, "undecided"),
    ],
)
def test_the_champion_yields_to_the_better_or_the_cheaper_equal(
    own: Any, champion: Any, cases: int, state: VerdictState, why: str
) -> None:
    """Quality decides; between equals cost and time do; without evidence nothing moves."""
    trial = PaperLlmTrial(own=own, rivals={"champion": champion}, suites={"s.yaml": cases_text(cases)})
    found = judge("champion", trial)
    assert (found.state, why in found.reason) == (state, True), found.reason


def test_the_first_release_has_no_champion_to_fear() -> None:
    """The other gates judge it."""
    assert judge("champion", PaperLlmTrial()).state is VerdictState.PASS


def test_retrieval_is_judged_apart_from_the_answers() -> None:
    """A passage or a file that a case names must be among those that reach the prompt."""
    suites = {"s.yaml": cases_text(60, "passages: [docs/a.md, 'docs/b.md#x-1']")}

    def finding(*found: str) -> PaperLlmTrial:
        return PaperLlmTrial(own=saying(right, passages=found), suites=suites)

    good = judge("retrieval", finding("docs/a.md#y-1", "docs/a.md#y-2", "docs/b.md#x-1"))
    assert good.state is VerdictState.PASS
    assert good.evidence["mrr"]["value"] == 1.0
    bad = judge("retrieval", finding("docs/c.md#y-1", "docs/b.md#x-1"))
    assert bad.state is VerdictState.FAIL
    assert bad.evidence["recall"]["value"] == 0.5
    late = judge("retrieval", finding(*(f"docs/c.md#y-{at}" for at in range(4)), "docs/a.md#y-1", "docs/b.md#x-1"))
    assert late.evidence["recall"]["value"] == 0.0
    few = replace(finding("docs/a.md#y-1", "docs/b.md#x-1"), suites={"s.yaml": cases_text(3, "passages: docs/a.md")})
    assert judge("retrieval", few).state is VerdictState.INCONCLUSIVE


def test_retrieval_without_an_index_passes_and_without_named_passages_does_not() -> None:
    """Nothing to retrieve is no fault; nothing to compare with is no proof."""
    assert judge("retrieval", PaperLlmTrial(system=llm_system(index=False))).state is VerdictState.PASS
    assert judge("retrieval", PaperLlmTrial()).state is VerdictState.INCONCLUSIVE


def test_a_snapshot_holds_until_meaning_or_score_changes_and_shows_its_diff() -> None:
    """A person approves new wording; the tool only shows it."""
    suites = {"s.yaml": cases_text(2, "checks: {contains: seven days}, snapshot: true")}

    def said(text: str) -> PaperLlmTrial:
        old = {f"s/c{at}": "You have seven days to send it back to us." for at in range(2)}
        return PaperLlmTrial(own=saying(lambda case, repeat: text), suites=suites, wordings=old)

    same = judge("snapshots", said("You have seven days to send it back to us!"))
    assert same.state is VerdictState.PASS
    moved = judge("snapshots", said("You have nine days to send it back to us."))
    assert moved.state is VerdictState.FAIL
    assert "[-seven-] {+nine+} days" in moved.reason
    other = judge("snapshots", said("Our shop opens at ten, and seven days a week we are here."))
    assert other.state is VerdictState.FAIL
    fresh = judge("snapshots", replace(said("x"), wordings={}))
    assert (fresh.state, "roadworthy snapshots approve" in fresh.reason) == (VerdictState.INCONCLUSIVE, True)
    assert judge("snapshots", PaperLlmTrial()).state is VerdictState.PASS


@pytest.mark.parametrize(
    ("n", "m", "share", "noise", "bias"),
    [(20, 8, 0.7, 0.1, 0.2), (60, 20, 0.9, 0.05, 0.3), (30, 30, 0.5, 0.2, 0.0), (40, 5, 0.8, 0.0, 0.1)],
)
def test_the_corrected_interval_holds_the_truth_at_least_93_times_in_100(
    n: int, m: int, share: float, noise: float, bias: float
) -> None:
    """The bound that a gate tests keeps its level, also with few labels and a biased judge."""
    rng, rounds, held = np.random.default_rng(7), 600, 0
    truth = float(np.clip(rng.normal(share, 0.1, 400_000), 0, 1).mean())
    for _ in range(rounds):
        likely = np.clip(rng.normal(share, 0.1, n), 0, 1)
        new, old = (rng.random(n) < likely).astype(float), (rng.random(n) < likely).astype(float)
        scores = [np.where(rng.random(n) < noise, 1 - one, one) * (1 - bias) + bias for one in (new, old)]
        errors = np.full(n, np.nan)
        people = rng.permutation(n)[:m]
        errors[people] = old[people] - scores[1][people]
        found = calibrated_mean(scores[0][:, None], errors, np.ones(n)).interval
        held += found.holds(truth)
    assert held / rounds >= 0.93


def test_cases_that_no_judge_scores_need_no_labels() -> None:
    """A deterministic check is its own truth."""
    found = calibrated_mean([[1.0], [0.0], [1.0]], [np.nan] * 3, [0.0] * 3)
    assert found.interval.estimate == pytest.approx(2 / 3)
    unknown = calibrated_mean([[1.0]] * 5, [np.nan] * 5, [1.0] * 5)
    assert (unknown.interval.low, unknown.interval.high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="as many errors and weights"):
        calibrated_mean([[1.0]], [0.0, 0.0], [1.0])


def test_every_verdict_keeps_its_answers_in_full() -> None:
    """Whoever is refused can read what was answered."""
    trial = PaperLlmTrial(rivals={"baseline": saying(wrong_every(2))})
    judge("suite", trial)
    judge("baseline", trial)
    assert sorted(trial.kept) == ["baseline-baseline", "baseline-candidate", "suite"]
    assert b'"text": "yes"' in trial.kept["suite"]
