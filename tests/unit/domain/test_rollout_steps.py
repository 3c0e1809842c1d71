"""What a rollout waits for, goes on for and is aborted for."""

from __future__ import annotations

from roadworthy.domain.moment import MINUTE
from roadworthy.domain.rollout import Harm, Move, Progress, Rollout, Stage, StagePlan, advance

PLAN = (
    StagePlan(stage=Stage.CANARY, share=0.1, records=2_000, outcomes=100, hold=MINUTE),
    StagePlan(stage=Stage.FULL, share=1.0),
)
ROLLOUT = Rollout(
    id="r", system="flights", release="v2", replaces="v1", policy="p", plan=PLAN, started_at=0, started_by="ada"
)


def harm(low: float, high: float) -> Harm:
    """Build an interval for how much worse the challenger is."""
    return Harm(metric="decision loss", low=low, high=high, margin=0.05, n=80)


def test_a_wait_names_everything_that_is_missing() -> None:
    """A person reads how many records, outcomes and seconds are left, and what harm cannot be ruled out yet."""
    step = advance(ROLLOUT, Progress(records=412, outcomes=38, harm=(harm(-0.01, 0.07),)), 20_000_000)
    assert step.move is Move.WAIT
    assert step.reason == (
        "412 of 2,000 records; outcomes for 38 of 100; 40 s of the stage's time left; "
        "decision loss may be worse by 0.0700, more than the margin 0.0500 (n=80)"
    )


def test_a_stage_is_complete_when_nothing_is_missing() -> None:
    """Enough records, outcomes and time, and harm above the margin ruled out."""
    step = advance(ROLLOUT, Progress(records=2_000, outcomes=100, harm=(harm(-0.02, 0.049),)), MINUTE)
    assert (step.move, step.reason) == (Move.GO_ON, "canary is complete: 2000 records, no harm found")


def test_harm_above_zero_aborts_at_any_stage() -> None:
    """One does not wait for the records of a release that is worse."""
    step = advance(ROLLOUT, Progress(records=5, harm=(harm(0.01, 0.2),)), 1)
    assert (step.move, step.reason) == (
        Move.ABORT,
        "decision loss is worse than the champion's by at least 0.0100 (n=80)",
    )


def test_a_breach_or_a_broken_split_aborts() -> None:
    """The reason names the objective, or the split."""
    assert advance(ROLLOUT, Progress(breaches=("errors", "latency")), 1).reason == "in breach: errors, latency"
    assert "split of traffic" in advance(ROLLOUT, Progress(sample_ratio_ok=False), 1).reason
