"""Who answers and who is about to: the route with its shares, the rollout with its stages and its reason to wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from roadworthy.console.views.lights import Seen
from roadworthy.domain.moment import Micros
from roadworthy.domain.release import Release
from roadworthy.domain.rollout import Rollout, RolloutState
from roadworthy.lifecycle import present
from roadworthy.lifecycle.status import RolloutStatus, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A release's part of the route. `role` is champion, challenger, shadow, or fallback 1 and on."""

    role: str
    release: str
    id: str
    share: float
    start: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteView:
    """Who answers: arms with shares, shadow, fallback order; and whether the workers have it."""

    version: int
    arms: tuple[Part, ...]
    shadow: Part | None
    fallback: tuple[Part, ...]
    last_good: str
    stopped_for: str
    degraded_by: str
    workers: int
    is_applied: bool
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageView:
    """One stage of a rollout: `past`, `now`, `stopped` or `ahead`, and what ends it."""

    stage: str
    share: float
    needs: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutView:
    """The newest rollout, with its reason to wait in words."""

    release: str
    replaces: str
    state: RolloutState
    stages: tuple[StageView, ...]
    sentence: str
    started_at: Micros
    started_by: str
    ended_at: Micros | None


def route_view(status: Status, seen: Seen) -> RouteView:
    """Return the route as one reads it; shares add up from the left."""
    route = seen.route
    arms: list[Part] = []
    for arm in route.arms:
        start = arms[-1].start + arms[-1].share if arms else 0.0
        name = seen.name(arm.release)
        arms.append(Part(role=str(arm.role), release=name, id=arm.release, share=arm.share, start=start))
    shadow = route.shadow
    return RouteView(
        version=route.version,
        arms=tuple(arms),
        shadow=Part(role="shadow", release=seen.name(shadow.release), id=shadow.release, share=shadow.rate)
        if shadow
        else None,
        fallback=tuple(
            Part(role=f"fallback {place}", release=seen.name(name), id=name, share=0.0)
            for place, name in enumerate(route.fallback, 1)
        ),
        last_good=seen.name(route.last_good) if route.last_good else "",
        stopped_for=route.stopped_for if route.stopped else "",
        degraded_by=route.degraded_by,
        workers=len(status.workers),
        is_applied=status.applied,
        refused=tuple(f"{seen.name(name)}: {why}" for word in status.workers for name, why in word.refused),
    )


def rollout_view(found: RolloutStatus, rollout: Rollout, known: Mapping[str, Release]) -> RolloutView:
    """Return the rollout as one reads it."""
    sentences = {
        RolloutState.RUNNING: f"is in {found.stage} and waits for {found.waiting_for}"
        if found.waiting_for
        else f"is in {found.stage} and moves on by itself",
        RolloutState.PAUSED: f"is on hold in {found.stage}; harm still aborts it",
        RolloutState.DONE: "is done: it has all traffic",
        RolloutState.ABORTED: f"was aborted in {found.stage}: {found.ended_for or 'no reason was given'}",
    }
    return RolloutView(
        release=found.name,
        replaces=present.name_of(dict(known), rollout.replaces),
        state=found.state,
        stages=tuple(_stage(rollout, place) for place in range(len(rollout.plan))),
        sentence=f"{found.name} {sentences[found.state]}",
        started_at=found.started_at,
        started_by=found.started_by,
        ended_at=found.ended_at,
    )


def _stage(rollout: Rollout, place: int) -> StageView:
    plan = rollout.plan[place]
    needs = [f"{plan.records:,} records"] if plan.records else []
    needs += [f"{plan.outcomes:,} outcomes"] if plan.outcomes else []
    is_past = place < rollout.stage_index or rollout.state is RolloutState.DONE
    here = "stopped" if rollout.state is RolloutState.ABORTED else "now"
    return StageView(
        stage=str(plan.stage),
        share=plan.share,
        needs=", ".join(needs),
        place="past" if is_past else here if place == rollout.stage_index else "ahead",
    )
