"""Monitors: pure functions of windows, outcomes and the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from roadworthy.domain.interface import Interface
from roadworthy.domain.moment import Micros
from roadworthy.domain.objective import Light, Signal
from roadworthy.domain.pin_watch import PinWatch, Said
from roadworthy.domain.reference import Reference
from roadworthy.domain.release import Release
from roadworthy.domain.system import Policy
from roadworthy.ports.chats import ChatBucket, GroundedBucket


@dataclass(slots=True, kw_only=True)
class AnswerBucket:
    """Answers of one span of answered time. `failed` counts answers whose intended release did not give them.

    `unserved` counts those that got no answer at all (5xx), `latencies` is `stats.quantiles.Latencies.to_doc()`,
    `violations` counts by "field: rule", `ages_ms` holds (n, sum, max) by age field.
    """

    start: Micros
    answers: int = 0
    failed: int = 0
    unserved: int = 0
    violated: int = 0
    shadows: int = 0
    fallbacks: dict[str, int] = field(default_factory=dict[str, int])
    violations: dict[str, int] = field(default_factory=dict[str, int])
    latencies: dict[str, Any] = field(default_factory=dict[str, Any])
    ages_ms: dict[str, list[int]] = field(default_factory=dict[str, "list[int]"])


@dataclass(slots=True, kw_only=True)
class FeatureBucket:
    """Counts of one span of event time: `stats.counts.Counts.to_doc()` by feature, and of the predictions."""

    start: Micros
    rows: int = 0
    counts: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    predictions: dict[str, Any] = field(default_factory=dict[str, Any])


SCORE_BINS = 50


@dataclass(slots=True, kw_only=True)
class QualityBucket:
    """Outcomes of one span of event time. `scores` counts the score of binary answers: [negatives, positives].

    `cost_picos` is what the answers with an outcome cost.
    """

    start: Micros
    records: int = 0
    outcomes: int = 0
    loss: float = 0.0
    loss_squares: float = 0.0
    brier: float = 0.0
    cost_picos: int = 0
    scores: list[list[int]] = field(default_factory=lambda: [[0] * SCORE_BINS, [0] * SCORE_BINS])


@dataclass(slots=True, kw_only=True)
class HarmState:
    """The anytime-valid test that a release decides worse than it promised, since `since` (its last promotion).

    Several tests run, each restarted after some outcomes, so that an old release is judged on what it does now.
    `bets` are `stats.sequential.Bets.to_doc()`, one for each of `monitors.harm.TESTS`.
    """

    since: str
    outcomes: int = 0
    rejected_at: Micros = 0
    bets: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


@dataclass(frozen=True, slots=True, kw_only=True)
class PinSeen:
    """One pin of a release: where the watch on it stands, and how many live answers said they are what.

    A local one has no watch: its file is held to its digest whenever it is loaded.
    """

    name: str
    is_local: bool = False
    watch: PinWatch | None = None
    said: Mapping[Said, int] = field(default_factory=dict[Said, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a monitor sees of one release in one environment, or of the whole system (`release` None).

    Buckets are oldest first; `answers` span `watch.window` of answered time, the others `watch.drift_window` of event
    time. `past_features` are the windows before, each merged to one bucket. Of kind llm only: `chats` span
    `watch.window`, `grounded` the drift window, `asked` is what the first questions of a release looked like (counts
    by feature) and `asked_rows` how many of them are known while it is not yet complete; `budgets` are, for the whole
    system, the largest share spent and the number of purses by budget.
    """

    system: str
    policy: Policy
    interface: Interface
    environment: str
    release: Release | None
    reference: Reference | None
    now: Micros
    watermark: Micros
    answers: Sequence[AnswerBucket] = ()
    features: Sequence[FeatureBucket] = ()
    past_features: Sequence[FeatureBucket] = ()
    quality: Sequence[QualityBucket] = ()
    harm: HarmState | None = None
    chats: Sequence[ChatBucket] = ()
    grounded: Sequence[GroundedBucket] = ()
    asked: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    asked_rows: int = 0
    pins: Sequence[PinSeen] = ()
    budgets: Mapping[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])


class Monitor(Protocol):
    """Turns a view into signals: value, n, interval, or no data with the reason."""

    name: str
    light: Light

    def watch(self, view: View) -> Sequence[Signal]:
        """Return one signal, or one per argument (`drift(hour)`, `drift(origin)`)."""
        ...
