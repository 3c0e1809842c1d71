"""A system: its content (what is released) and its policy (how it is owned, released, watched, recovered)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from roadworthy.domain.budget import Budget
from roadworthy.domain.digest import LATER, Digest, digest
from roadworthy.domain.failure_plan import FailurePlan
from roadworthy.domain.interface import Interface, Scalar
from roadworthy.domain.llm import LlmPlan
from roadworthy.domain.moment import DAY, HOUR, Micros
from roadworthy.domain.objective import Objective
from roadworthy.domain.pin import PinTerms
from roadworthy.domain.rollout import StagePlan


class Kind(StrEnum):
    """The four kinds that share one path."""

    MODEL = "model"
    LLM = "llm"
    PIPELINE = "pipeline"
    SEARCH = "search"


class Tier(StrEnum):
    """How much depends on the decision; scales the gates."""

    LOW = "low"
    STANDARD = "standard"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The one accountable principal, where to reach them, and who is paged when they are gone."""

    principal: str
    contact: str
    backup: str = ""
    backup_contact: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the answers decide, what a failure costs, and how much care that asks for."""

    what: str = ""
    tier: Tier = Tier.LOW
    cost_of_failure_micros: int = 0
    currency: str = "EUR"
    sponsor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What the system is for; each goal maps to gates or objectives (`measured_by`)."""

    id: str
    text: str
    measured_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NonGoal:
    """What the system must not be used for. A call that states `purpose` is rejected and logged."""

    id: str
    text: str
    purpose: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """Something believed to be true of the world; its objective checks it in production."""

    id: str
    text: str
    objective: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlan:
    """The table a release is trained and judged on. `time` makes the hold-out the newest rows, else it is by hash."""

    table: str
    target: str
    time: str = ""
    entity: str = ""
    holdout: float = 0.2
    owner: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a candidate is made from, as the manifest says. Paths are relative to the project's folder.

    `use` is the prototype; for kind llm the name of the pin that answers, and `llm` says the rest.
    """

    use: str
    data: DataPlan
    baseline: str
    interface: Interface
    code: tuple[str, ...] = ()
    seed: int = 0
    parameters: Mapping[str, Scalar] = field(default_factory=dict[str, "Scalar"])
    trusted_types: tuple[str, ...] = ()
    llm: LlmPlan | None = field(default=None, metadata=LATER)

    @property
    def digest(self) -> Digest:
        """Name the content sections in their resolved form."""
        return digest(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePlan:
    """One gate in force and its parameters, all of them spelled out."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])


class OnViolation(StrEnum):
    """What happens to a request that breaks the interface."""

    REJECT = "reject"
    DEFAULT = "default"
    FLAG = "flag"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServePlan:
    """Limits of the serving path. `stated_default` is the last fallback answer; None means a 503 with a reason.

    For kind llm `fallback` may name pins too. `cap_per_call_micros` is the most that one call may cost, 0 for no cap;
    `tries` is how often a pin is asked, `cache_for` how long an exact answer is given again, 0 for never.
    """

    deadline_ms: float = 250.0
    max_in_flight: int = 256
    max_body_bytes: int = 1_048_576
    on_violation: OnViolation = OnViolation.REJECT
    stated_default: Mapping[str, Scalar] | None = None
    breaker_errors: float = 0.5
    breaker_window: int = 20
    breaker_cool_down: Micros = 5_000_000
    fallback: tuple[str, ...] = ("previous", "baseline", "default")
    budgets: tuple[Budget, ...] = field(default=(), metadata=LATER)
    cap_per_call_micros: int = field(default=0, metadata=LATER)
    tries: int = field(default=2, metadata=LATER)
    cache_for: Micros = field(default=0, metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePlan:
    """Which live answers are scored, and by what: `text` is the suite file's, so that control needs no project.

    `share` is that of the answers, chosen by their ids. Judges are asked until the day has cost `cap_picos`.
    """

    suite: str
    text: str
    share: float = 0.1
    cap_picos: int = 0
    currency: str = "USD"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPlan:
    """What is observed. `window` is a monitor's span, `lateness` how late an event may come and still count.

    `harm_margin` is how much worse than on its hold-out a release may decide before it counts as harm, `harm_alpha`
    the chance of a false alarm of one of its tests. For kind llm pins are probed every `probe_every`, at a cost of at
    most `probe_budget` a day.
    """

    objectives: tuple[Objective, ...] = ()
    harm_margin: float = 0.05
    harm_alpha: float = 1e-4
    window: Micros = 300_000_000
    drift_window: Micros = 7 * DAY
    lateness: Micros = 3_600_000_000
    drill_every: Micros = 90 * DAY
    probe_every: Micros = field(default=6 * HOUR, metadata=LATER)
    probe_budget: Budget = field(default=Budget(limit_micros=100_000), metadata=LATER)
    score: ScorePlan | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepPlan:
    """How long records, outcomes and unrouted releases are kept; None is forever.

    `mask` names the classes of text (`secrets`, `pii`) that are masked before anything is kept, logged or cached.
    """

    records: Micros | None = 365 * DAY
    payload: bool = True
    mask: tuple[str, ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedWaiver:
    """A dated, named exception to one gate as the manifest states it; `apply` puts it in the ledger."""

    gate: str
    by: str
    why: str
    until: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The policy sections in force; put in force by `apply`, pinned by verdicts, rollouts and incidents."""

    owner: Owner
    decision: Decision = Decision()
    goals: tuple[Goal, ...] = ()
    non_goals: tuple[NonGoal, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    gates: tuple[GatePlan, ...] = ()
    serve: ServePlan = ServePlan()
    rollout: tuple[StagePlan, ...] = ()
    watch: WatchPlan = WatchPlan()
    failure: FailurePlan = FailurePlan()
    keep: KeepPlan = KeepPlan()
    glossary: Mapping[str, str] = field(default_factory=dict[str, str])
    waivers: tuple[StatedWaiver, ...] = ()
    pins: tuple[PinTerms, ...] = field(default=(), metadata=LATER)

    @property
    def for_ledger(self) -> Policy:
        """Return what the ledger keeps: everything but contacts, which live where they can be erased."""
        return replace(self, owner=replace(self.owner, contact="", backup_contact=""))

    @property
    def digest(self) -> Digest:
        """Name this policy revision; contacts are no part of it."""
        return digest(self.for_ledger)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What is owned and released: the resolved manifest."""

    name: str
    kind: Kind
    content: Content
    policy: Policy
    schema_version: int = 1
