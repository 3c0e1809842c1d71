"""The trial of a challenger in one stage of a rollout: what decides whether it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from roadworthy.domain.record import Flag, Record, Value
from roadworthy.domain.rollout import Harm, Progress, Rollout, Stage, StagePlan
from roadworthy.domain.route import bucket
from roadworthy.lifecycle.joining import Joined
from roadworthy.stats.sample_ratio import Ratio
from roadworthy.stats.sequences import Bounds, Moments, difference_bounds, mean_bounds

LOSS, ERRORS = "decision loss", "errors"
SRM_ALPHA = 1e-3
_ALPHA = 0.025
_MOST_ENTITIES = 100_000


@dataclass(slots=True, kw_only=True)
class TrialState:
    """Moments since the stage began. `paired` are challenger minus champion on the same request (shadow).

    `route` is the version of the stage's route: a worker that had not taken it over yet split traffic by the last
    stage's shares. `ratio` counts distinct keys by arm, for the sample-ratio check; `seen` are their places, rounded.
    """

    rollout: str = ""
    stage: int = 0
    route: int = 0
    records: int = 0
    outcomes: int = 0
    paired: dict[str, Any] = field(default_factory=dict[str, Any])
    challenger: dict[str, Any] = field(default_factory=dict[str, Any])
    champion: dict[str, Any] = field(default_factory=dict[str, Any])
    challenger_errors: dict[str, Any] = field(default_factory=dict[str, Any])
    champion_errors: dict[str, Any] = field(default_factory=dict[str, Any])
    ratio: dict[str, Any] = field(default_factory=dict[str, Any])
    seen: list[str] = field(default_factory=list[str])


def fold_trial(
    state: TrialState,
    rollout: Rollout,
    records: Iterable[Record],
    joined: Iterable[Joined],
    loss_of: Callable[[Record, Value], float | None],
) -> TrialState:
    """Add the answers and outcomes that belong to the rollout's present stage."""
    _fold_answers(state, rollout, [one for one in records if _is_in_stage(state, rollout, one)])
    for one in joined:
        if _is_in_stage(state, rollout, one.record) and one.replaces is None:
            _fold_outcome(state, rollout, one, loss_of)
    return state


def _is_in_stage(state: TrialState, rollout: Rollout, record: Record) -> bool:
    return record.answered_at >= rollout.stage_started_at and record.route_version >= state.route


def _fold_answers(state: TrialState, rollout: Rollout, records: list[Record]) -> None:
    challenger = [one for one in records if (one.intended or one.release) == rollout.release]
    champion = [one for one in records if not one.flags & Flag.SHADOW and one.intended == rollout.replaces]
    state.records += len(challenger)
    state.challenger_errors = _more(state.challenger_errors, [_failed(one) for one in challenger])
    state.champion_errors = _more(state.champion_errors, [_failed(one) for one in champion])
    plan = rollout.stage
    if plan.stage is Stage.CANARY and 0 < plan.share < 1:
        _fold_assignment(state, plan.share, challenger, champion)


def _fold_assignment(state: TrialState, share: float, challenger: list[Record], champion: list[Record]) -> None:
    """Count each key once: a busy caller stays in one arm and would look like a broken split."""
    known = set(state.seen)
    counts = [0, 0]
    for arm, group in enumerate((challenger, champion)):
        for one in group:
            name = one.subject or one.entity or one.id
            place = f"{bucket('seen', name):.9f}"
            if place in known or len(known) >= _MOST_ENTITIES:
                continue
            known.add(place)
            counts[arm] += 1
    shares = (share, 1 - share)
    before = Ratio.from_doc(state.ratio) if state.ratio else Ratio.start(shares)
    state.ratio = before.update((counts[0], counts[1])).to_doc()
    state.seen = list(known)


def _fold_outcome(
    state: TrialState, rollout: Rollout, one: Joined, loss_of: Callable[[Record, Value], float | None]
) -> None:
    own = loss_of(one.record, one.outcome.value)
    if own is None:
        return
    if one.record.release == rollout.release:
        state.challenger = _more(state.challenger, [own])
        state.outcomes += 1
    elif one.record.release == rollout.replaces:
        state.champion = _more(state.champion, [own])
    for shadow in one.shadows:
        rival = loss_of(shadow, one.outcome.value) if shadow.release == rollout.release else None
        if rival is not None:
            state.paired = _more(state.paired, [rival - own])
            state.outcomes += 1


def progress_of(state: TrialState, plan: StagePlan, margin: float) -> Progress:
    """Say how far the stage is: records, outcomes, harm with its bounds, and whether the split holds."""
    harm: list[Harm] = []
    if plan.stage is Stage.SHADOW:
        found = mean_bounds(_moments(state.paired), _ALPHA)
    else:
        found = difference_bounds(_moments(state.challenger), _moments(state.champion), _ALPHA)
    if found is not None:
        harm.append(_harm(LOSS, found, margin))
    failures = difference_bounds(_moments(state.challenger_errors), _moments(state.champion_errors), _ALPHA)
    if failures is not None:
        # The margin 2 is out of reach: more errors abort, but proving their absence is no condition for going on.
        harm.append(_harm(ERRORS, failures, 2.0))
    split_holds = not state.ratio or Ratio.from_doc(state.ratio).p_value > SRM_ALPHA
    return Progress(records=state.records, outcomes=state.outcomes, harm=tuple(harm), sample_ratio_ok=split_holds)


def _harm(metric: str, bounds: Bounds, margin: float) -> Harm:
    return Harm(metric=metric, low=bounds.low, high=min(bounds.high, 1.0), margin=margin, n=bounds.n)


def _failed(record: Record) -> float:
    return float(bool(record.flags & (Flag.FAILED | Flag.TIMED_OUT)) or record.status >= 500)  # noqa: PLR2004


def _more(document: dict[str, Any], values: list[float]) -> dict[str, Any]:
    return _moments(document).update(values).to_doc()


def _moments(document: dict[str, Any]) -> Moments:
    return Moments(**document) if document else Moments()
