"""Every default of schema version 1, frozen: a released manifest never changes its meaning by an upgrade.

Change nothing here. A new default is a new schema version with a file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from roadworthy.domain.failure_plan import ActionKind, Rule
from roadworthy.domain.rollout import Stage, StagePlan
from roadworthy.domain.system import Tier

INTERFACE: Final = "interface.yaml"
PAGER: Final = ("file:pages.jsonl",)
MONITORS: Final = (
    "auc",
    "brier",
    "drift",
    "errors",
    "freshness",
    "harm",
    "latency",
    "outcomes",
    "predictions",
    "quality",
    "traffic",
    "violations",
)

GATE_PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tests": {"timeout_s": 120.0},
    "contract": {"rows": 200, "most_broken": 0.01},
    "baseline": {"confidence": 0.95, "margin": 0.0},
    "quality": {"metric": "", "at_least": None, "at_most": None, "confidence": 0.95, "margin": 0.02},
    "latency": {"p99_ms": 50.0, "rate": 50.0, "seconds": 3.0},
    "export": {"tolerance": 1e-5},
    "skew": {"rows": 200, "tolerance": 1e-5},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TierDefaults:
    """What a tier puts in force. `{deadline}` in a condition is the serving deadline."""

    gates: tuple[str, ...]
    rollout: tuple[StagePlan, ...]
    objectives: Mapping[str, str]
    rules: tuple[Rule, ...]


_FULL: Final = StagePlan(stage=Stage.FULL, share=1.0)
_HURTS: Final = (ActionKind.ROLLBACK, ActionKind.PAGE)
_TELL: Final = (ActionKind.PAGE,)
_GATES: Final = ("tests", "contract", "baseline", "latency", "export", "skew")
_OBJECTIVES: Final = {
    "errors": "errors > 5% for 30s",
    "latency": "latency > {deadline} for 1m",
    "harm": "harm > 0",
    "violations": "violations > 10% for 5m",
    "outcomes": "no_data(outcomes) for 3d",
    "drift": "drift > 0",
}
_ORDER: Final = (
    Rule(objective="errors", do=_HURTS),
    Rule(objective="latency", do=_HURTS),
    Rule(objective="harm", do=_HURTS),
    Rule(objective="violations", do=_TELL),
    Rule(objective="outcomes", do=_TELL),
)

TIERS: Final[Mapping[Tier, TierDefaults]] = {
    Tier.LOW: TierDefaults(
        gates=_GATES,
        rollout=(StagePlan(stage=Stage.CANARY, share=0.25, records=200), _FULL),
        objectives=_OBJECTIVES,
        rules=(*_ORDER, Rule(objective="drift", do=())),
    ),
    Tier.STANDARD: TierDefaults(
        gates=(*_GATES, "quality"),
        rollout=(
            StagePlan(stage=Stage.SHADOW, share=1.0, records=200),
            StagePlan(stage=Stage.CANARY, share=0.1, records=500, outcomes=100),
            _FULL,
        ),
        objectives=_OBJECTIVES,
        rules=(*_ORDER, Rule(objective="drift", do=_TELL)),
    ),
    Tier.HIGH: TierDefaults(
        gates=(*_GATES, "quality"),
        rollout=(
            StagePlan(stage=Stage.SHADOW, share=1.0, records=1000),
            StagePlan(stage=Stage.CANARY, share=0.05, records=1000, outcomes=200),
            StagePlan(stage=Stage.CANARY, share=0.25, records=2000, outcomes=500),
            _FULL,
        ),
        objectives={**_OBJECTIVES, "errors": "errors > 1% for 30s", "violations": "violations > 5% for 5m"},
        rules=(*_ORDER, Rule(objective="drift", do=_TELL)),
    ),
}
