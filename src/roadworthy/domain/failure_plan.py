"""The failure plan: rules from breach to actions, and what a rule wants done."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from roadworthy.domain.moment import Micros


class ActionKind(StrEnum):
    """What a failure plan can do. Automation may lower exposure at any time."""

    FALLBACK = "fallback"
    DEGRADE = "degrade"
    ROLLBACK = "rollback"
    RETRAIN = "retrain"
    REVIEW = "review"
    STOP = "stop"
    PAGE = "page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When this objective is in breach, take these actions in this order."""

    objective: str
    do: tuple[ActionKind, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePlan:
    """The rules, the cool-down between two automatic rollbacks, where pages go, the runbook."""

    rules: tuple[Rule, ...] = ()
    cool_down: Micros = 3_600_000_000
    pager: tuple[str, ...] = ()
    runbook: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What a rule wants done. `key` is unique: the same intent is carried out once, however often it is asked."""

    key: str
    system: str
    action: ActionKind
    objective: str
    reason: str
    environment: str = "live"
    release: str = ""
    incident: str = ""
    target: str = ""
    detail: dict[str, str] = field(default_factory=dict[str, str])
