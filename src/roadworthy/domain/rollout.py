"""Rollouts: how a release takes traffic, as data that a pure function advances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from roadworthy.domain.digest import Digest
from roadworthy.domain.moment import Micros


class Stage(StrEnum):
    """The stages in their order. A plan may leave some out; it always ends in full."""

    SHADOW = "shadow"
    CANARY = "canary"
    EXPERIMENT = "experiment"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """What a stage does and what ends it: enough records, enough outcomes, and at least this long."""

    stage: Stage
    share: float = 0.0
    records: int = 0
    outcomes: int = 0
    hold: Micros = 0


class RolloutState(StrEnum):
    """A rollout is running, paused by a person, done or aborted."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One release on its way to all traffic. It ends under the policy revision it began with."""

    id: str
    system: str
    release: Digest
    replaces: Digest
    policy: Digest
    plan: tuple[StagePlan, ...]
    started_at: Micros
    started_by: str
    environment: str = "live"
    state: RolloutState = RolloutState.RUNNING
    stage_index: int = 0
    stage_started_at: Micros = 0
    waiting_for: str = ""
    ended_at: Micros | None = None
    ended_for: str = ""

    @property
    def has_ended(self) -> bool:
        """Claim that nothing will change it any more."""
        return self.state in (RolloutState.DONE, RolloutState.ABORTED)

    @property
    def stage(self) -> StagePlan:
        """Return the stage the rollout is in."""
        return self.plan[min(self.stage_index, len(self.plan) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What observation knows about a running stage.

    `harm` holds, per guarded metric, the interval of challenger loss minus champion loss with its margin; a
    metric without data is absent. `breaches` names objectives of the challenger that are in breach.
    """

    records: int = 0
    outcomes: int = 0
    harm: tuple[Harm, ...] = ()
    breaches: tuple[str, ...] = ()
    sample_ratio_ok: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """An anytime-valid interval for how much worse the challenger is, and how much worse it may be."""

    metric: str
    low: float
    high: float
    margin: float
    n: int


def enter(rollout: Rollout, index: int, now: Micros) -> Rollout:
    """Move a running rollout into a stage; entering `full` (or going past the last stage) ends it as done."""
    stage = rollout.plan[min(index, len(rollout.plan) - 1)].stage
    if stage is Stage.FULL or index >= len(rollout.plan):
        return end(replace(rollout, stage_index=min(index, len(rollout.plan) - 1)), RolloutState.DONE, "", now)
    return replace(rollout, stage_index=index, stage_started_at=now, waiting_for="")


def end(rollout: Rollout, state: RolloutState, reason: str, now: Micros) -> Rollout:
    """End a rollout as done or aborted; an ended one stays as it ended."""
    if rollout.has_ended:
        return rollout
    return replace(rollout, state=state, ended_at=now, ended_for=reason, waiting_for="")


class Move(StrEnum):
    """What a rollout does next."""

    GO_ON = "go on"
    WAIT = "wait"
    ABORT = "abort"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A move and its reason in one sentence a person can read."""

    move: Move
    reason: str


def advance(rollout: Rollout, progress: Progress, now: Micros) -> Step:
    """Say whether a running rollout goes on, waits or is aborted, and why.

    Harm whose lower bound is above 0 aborts, at any stage; non-inferiority needs the upper bound below the margin.
    """
    plan = rollout.stage
    if progress.breaches:
        return Step(move=Move.ABORT, reason=f"in breach: {', '.join(progress.breaches)}")
    for harm in progress.harm:
        if harm.low > 0:
            return Step(
                move=Move.ABORT,
                reason=f"{harm.metric} is worse than the champion's by at least {harm.low:.4f} (n={harm.n})",
            )
    if not progress.sample_ratio_ok:
        return Step(move=Move.ABORT, reason="the split of traffic differs from the route's shares")
    missing = _missing(plan, progress, now - rollout.stage_started_at)
    if missing:
        return Step(move=Move.WAIT, reason="; ".join(missing))
    return Step(move=Move.GO_ON, reason=f"{plan.stage} is complete: {progress.records} records, no harm found")


def _missing(plan: StagePlan, progress: Progress, held: Micros) -> list[str]:
    missing: list[str] = []
    if progress.records < plan.records:
        missing.append(f"{progress.records:,} of {plan.records:,} records")
    if progress.outcomes < plan.outcomes:
        missing.append(f"outcomes for {progress.outcomes:,} of {plan.outcomes:,}")
    if held < plan.hold:
        missing.append(f"{max(0, (plan.hold - held)) // 1_000_000:,} s of the stage's time left")
    if plan.outcomes:
        missing.extend(
            f"{harm.metric} may be worse by {harm.high:.4f}, more than the margin {harm.margin:.4f} (n={harm.n})"
            for harm in progress.harm
            if harm.high >= harm.margin
        )
    return missing
