"""Incidents: breaches handled as one story, never deleted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from roadworthy.domain.moment import Micros


class Severity(StrEnum):
    """From the cost of failure and the light that went out."""

    SEV1 = "sev1"
    SEV2 = "sev2"
    SEV3 = "sev3"


class IncidentState(StrEnum):
    """An incident is open, acknowledged by a person, or closed."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTaken:
    """One action of the failure plan and how it ended: `done`, `refused`, `failed` or `attempting`."""

    action: str
    at: Micros
    outcome: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that changed before the incident, newest first, for the reader who asks why."""

    at: Micros
    kind: str
    what: str
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One story: what broke, when, for whom, what was done. `cause` is (objective, release): one open incident each.

    `recovered_at` is when the objective was ok again; closing asks a person for the test that would have caught it.
    """

    id: str
    system: str
    objective: str
    severity: Severity
    state: IncidentState
    opened_at: Micros
    title: str
    owner: str
    environment: str = "live"
    release: str = ""
    assumption: str = ""
    signal: str = ""
    runbook: str = ""
    actions: tuple[ActionTaken, ...] = ()
    changed_before: tuple[Change, ...] = ()
    acknowledged_by: str = ""
    silenced_until: Micros | None = None
    recovered_at: Micros | None = None
    closed_at: Micros | None = None
    closed_by: str = ""
    new_test: str = ""

    @property
    def cause(self) -> tuple[str, str, str]:
        """Name what two incidents must not share while both are open."""
        return (self.environment, self.objective, self.release)
