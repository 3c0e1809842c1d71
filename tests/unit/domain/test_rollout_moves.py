"""A rollout goes on, waits or is aborted, each with its reason in one sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.domain.rollout import (
    Harm,
    Move,
    Progress,
    Rollout,
    RolloutState,
    Stage,
    StagePlan,
    advance,
    end,
    enter,
)

CANARY = StagePlan(stage=Stage.CANARY, share=0.1, records=2000, outcomes=100, hold=60_000_000)
FULL = StagePlan(stage=Stage.FULL, share=1.0)
ROLLOUT = Rollout(
    id="r", system="flights", release="b", replaces="a", policy="p", plan=(CANARY, FULL), started_at=0, started_by="ana"
)
DONE = Progress(records=2000, outcomes=100)
LATE = 60_000_000


def _harm(low: float, high: float) -> Harm:
    return Harm(metric="quality", low=low, high=high, margin=0.05, n=120)


def test_a_complete_stage_without_harm_goes_on():
    """Exactly enough records, outcomes and time is enough."""
    step = advance(ROLLOUT, replace(DONE, harm=(_harm(-0.02, 0.04),)), now=LATE)
    assert (step.move, step.reason) == (Move.GO_ON, "canary is complete: 2000 records, no harm found")


@pytest.mark.parametrize(
    ("progress", "now", "reason"),
    [
        (Progress(records=412, outcomes=100), LATE, "412 of 2,000 records"),
        (Progress(records=2000, outcomes=38), LATE, "outcomes for 38 of 100"),
        (DONE, 20_000_000, "40 s of the stage's time left"),
        (DONE, LATE - 1, "0 s of the stage's time left"),
        (
            replace(DONE, harm=(_harm(-0.02, 0.05),)),
            LATE,
            "quality may be worse by 0.0500, more than the margin 0.0500 (n=120)",
        ),
        (
            Progress(records=1, outcomes=2),
            1_000_000,
            "1 of 2,000 records; outcomes for 2 of 100; 59 s of the stage's time left",
        ),
    ],
)
def test_each_wait_has_its_reason(progress, now, reason):
    """Whoever asks why nothing moves is told what is missing."""
    step = advance(ROLLOUT, progress, now)
    assert (step.move, step.reason) == (Move.WAIT, reason)


@pytest.mark.parametrize(
    ("progress", "reason"),
    [
        (replace(DONE, breaches=("errors", "latency")), "in breach: errors, latency"),
        (
            replace(DONE, harm=(_harm(-1, -0.5), _harm(0.0123, 0.2))),
            "quality is worse than the champion's by at least 0.0123 (n=120)",
        ),
        (replace(DONE, sample_ratio_ok=False), "the split of traffic differs from the route's shares"),
    ],
)
def test_a_breach_proven_harm_or_a_wrong_split_aborts(progress, reason):
    """Harm ends a rollout at once, in whatever stage and however little is known otherwise."""
    for known in (progress, replace(progress, records=0, outcomes=0)):
        step = advance(ROLLOUT, known, now=LATE)
        assert (step.move, step.reason) == (Move.ABORT, reason)


def test_a_lower_bound_of_nothing_is_no_harm():
    """Harm must be proven: a bound at 0 waits or goes on."""
    assert advance(ROLLOUT, replace(DONE, harm=(_harm(0.0, 0.04),)), now=LATE).move is Move.GO_ON


def test_a_stage_without_outcomes_asks_for_no_proof_of_harmlessness():
    """Where no outcome is waited for, an open question about harm holds nothing up."""
    free = replace(ROLLOUT, plan=(replace(CANARY, outcomes=0), FULL))
    assert advance(free, Progress(records=2000, harm=(_harm(-1, 1),)), now=LATE).move is Move.GO_ON


def test_the_time_of_a_stage_counts_from_its_own_start():
    """An earlier stage's hours do not shorten the next one."""
    later = replace(ROLLOUT, stage_started_at=1_000_000_000)
    assert advance(later, DONE, now=1_000_000_000 + LATE - 1).move is Move.WAIT
    assert advance(later, DONE, now=1_000_000_000 + LATE).move is Move.GO_ON


def test_a_rollout_enters_its_stages_in_order_and_full_ends_it():
    """Being in full is being done."""
    first = enter(ROLLOUT, 0, now=5)
    assert (first.stage, first.stage_index, first.stage_started_at) == (CANARY, 0, 5)
    assert not first.has_ended
    done = enter(replace(first, waiting_for="x"), 1, now=9)
    assert (done.state, done.stage, done.ended_at, done.waiting_for) == (RolloutState.DONE, FULL, 9, "")
    assert done.has_ended
    beyond = enter(replace(ROLLOUT, plan=(CANARY,)), 1, now=9)
    assert (beyond.state, beyond.stage_index) == (RolloutState.DONE, 0)
    assert enter(replace(ROLLOUT, waiting_for="x"), 0, now=1).waiting_for == ""


def test_an_ended_rollout_stays_as_it_ended():
    """Aborting what is done, or twice, changes nothing."""
    aborted = end(ROLLOUT, RolloutState.ABORTED, "harm", now=7)
    assert (aborted.state, aborted.ended_for, aborted.ended_at) == (RolloutState.ABORTED, "harm", 7)
    assert end(aborted, RolloutState.DONE, "", now=9) is aborted
    assert not replace(ROLLOUT, state=RolloutState.PAUSED).has_ended
    assert replace(ROLLOUT, stage_index=99).stage == FULL


@given(
    st.integers(0, 4000),
    st.integers(0, 200),
    st.integers(0, 2 * LATE),
    st.floats(-1, 1),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_rollout_never_goes_on_without_evidence(records, outcomes, now, low, width, ratio):
    """Going on means: enough of everything, and harm beyond the margin ruled out."""
    harm = _harm(low, low + width)
    step = advance(ROLLOUT, Progress(records=records, outcomes=outcomes, harm=(harm,), sample_ratio_ok=ratio), now)
    enough = records >= 2000 and outcomes >= 100 and now >= LATE
    assert (step.move is Move.GO_ON) == (enough and ratio and low <= 0 and harm.high < harm.margin)
    assert (step.move is Move.ABORT) == (low > 0 or not ratio)
    assert step.reason
