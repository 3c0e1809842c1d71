"""Every default of kind llm in schema version 1, frozen like those of `defaults_v1`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from roadworthy.domain.failure_plan import ActionKind, Rule
from roadworthy.domain.rollout import Stage, StagePlan
from roadworthy.domain.system import Tier
from roadworthy.manifest.defaults_v1 import TierDefaults

MASKED: Final = ("secrets", "pii")
DEADLINE_MS: Final = 60_000.0
MONITORS: Final = ("budget", "cache", "cost", "first_token", "grounded", "guards", "model_change", "refusals", "tokens")
GUARDS: Final = ("canary", "limits")
"""In force without a word in the manifest; the others guard what the manifest tells them."""

_SUITES: Final = {"files": ["suites/*.yaml"]}
GATE_PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "suite": {**_SUITES, "at_least": 0.7, "repeats": 3, "confidence": 0.95, "agreement": 0.4},
    "champion": {**_SUITES, "margin": 0.02, "repeats": 3, "confidence": 0.95, "slower": 0.1},
    "retrieval": {**_SUITES, "at_least": 0.7, "confidence": 0.95},
    "snapshots": {**_SUITES, "at_least": 0.85},
}
SHARED_GATE_PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "baseline": {**_SUITES, "margin": 0.02, "repeats": 3, "confidence": 0.95},
}
"""Gates of both kinds, with what they are told about an llm system."""

GUARD_PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "canary": {"overlap": 0.25, "ngram": 5, "least_grams": 8},
    "egress": {"on_foreign": "remove", "hosts": [], "bare_hosts": True, "mark": "[link removed]"},
    "limits": {
        "question_characters": 100_000, "question_tokens": 16_000, "messages": 100, "tools": 64,
        "answer_characters": 0, "answer_tokens": 4_096,
    },
    "output_schema": {"repair": True, "most_characters": 1_000_000},
    "pii": {
        "on_question": "mask", "on_answer": "mask",
        "classes": ["card", "email", "iban", "id_number", "ip", "phone", "ssn"],
    },
    "secrets": {"on_question": "mask", "on_answer": "mask"},
}  # fmt: skip

_FULL: Final = StagePlan(stage=Stage.FULL, share=1.0)
_HURTS: Final = (ActionKind.ROLLBACK, ActionKind.PAGE)
_TELL: Final = (ActionKind.PAGE,)
_GATES: Final = ("suite", "baseline", "champion")
_OBJECTIVES: Final = {
    "errors": "errors > 5% for 30s",
    "latency": "latency > {deadline} for 1m",
    "harm": "harm > 0",
    "model_change": "model_change > 0",
    "violations": "violations > 10% for 5m",
    "budget": "budget > 90%",
}
_RULES: Final = (
    Rule(objective="errors", do=_HURTS),
    Rule(objective="latency", do=_TELL),
    Rule(objective="harm", do=_HURTS),
    Rule(objective="model_change", do=(ActionKind.FALLBACK, ActionKind.PAGE)),
    Rule(objective="violations", do=_TELL),
    Rule(objective="budget", do=_TELL),
)

TIERS: Final[Mapping[Tier, TierDefaults]] = {
    Tier.LOW: TierDefaults(
        gates=_GATES,
        rollout=(StagePlan(stage=Stage.CANARY, share=0.25, records=20), _FULL),
        objectives=_OBJECTIVES,
        rules=_RULES,
    ),
    Tier.STANDARD: TierDefaults(
        gates=(*_GATES, "snapshots"),
        rollout=(
            StagePlan(stage=Stage.SHADOW, share=0.1, records=20),
            StagePlan(stage=Stage.CANARY, share=0.1, records=100, outcomes=20),
            _FULL,
        ),
        objectives=_OBJECTIVES,
        rules=_RULES,
    ),
    Tier.HIGH: TierDefaults(
        gates=(*_GATES, "snapshots"),
        rollout=(
            StagePlan(stage=Stage.SHADOW, share=0.1, records=100),
            StagePlan(stage=Stage.CANARY, share=0.05, records=200, outcomes=50),
            StagePlan(stage=Stage.CANARY, share=0.25, records=500, outcomes=100),
            _FULL,
        ),
        objectives={**_OBJECTIVES, "errors": "errors > 1% for 30s"},
        rules=_RULES,
    ),
}
