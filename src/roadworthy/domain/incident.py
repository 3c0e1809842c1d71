"""Incidents: breaches handled as one story, never deleted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from roadworthy.domain.moment import Micros
from roadworthy.domain.objective import Light
from roadworthy.domain.system import Decision, Tier

_UNIT: Final = 1_000_000
_STEPS: Final = (100, 1_000)


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

    `recovered_at` is when the objective was ok again, or the release that broke it no longer answered. A breach
    after that begins another `episode` of the same incident, so the plan may act once more. Closing asks a person for
    the test that would have caught it.
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
    episode: int = 1

    @property
    def handle(self) -> str:
        """Name this episode of the incident; actions are taken once for each."""
        return self.id if self.episode == 1 else f"{self.id}.{self.episode}"

    @property
    def is_closed(self) -> bool:
        """Claim that a person has closed it."""
        return self.state is IncidentState.CLOSED

    @property
    def cause(self) -> tuple[str, str, str]:
        """Name what two incidents must not share while both are open."""
        return (self.environment, self.objective, self.release)


def severity_of(decision: Decision, light: Light, *, answering: bool) -> Severity:
    """Rate an incident by what a failure costs and by whether callers get the answers in question.

    Costs are of one failure, in whole units of the decision's currency: from 1,000 on it is sev1, from 100 on sev2,
    below that sev3. Callers without a sound operation (the operations light) are one step worse, as is tier standard;
    tier high is always sev1. What no caller sees is never above sev3.
    """
    if not answering:
        return Severity.SEV3
    step = sum(decision.cost_of_failure_micros >= cost * _UNIT for cost in _STEPS)
    step += light is Light.OPERATIONS
    step += decision.tier is Tier.STANDARD
    if decision.tier is Tier.HIGH or step >= len(_STEPS):
        return Severity.SEV1
    return Severity.SEV2 if step else Severity.SEV3


def acknowledge(incident: Incident, by: str) -> Incident:
    """Say that a person has it in hand; a closed incident stays closed.

    Raises:
        ValueError: it is closed.
    """
    _must_be_open(incident)
    return replace(incident, state=IncidentState.ACKNOWLEDGED, acknowledged_by=by)


def silence(incident: Incident, until: Micros) -> Incident:
    """Send no pages for it until a time; its actions go on.

    Raises:
        ValueError: it is closed.
    """
    _must_be_open(incident)
    return replace(incident, silenced_until=until)


def close(incident: Incident, by: str, new_test: str, now: Micros) -> Incident:
    """End it, naming the test that would have caught it, or why there can be none.

    Raises:
        ValueError: it is closed already, or `new_test` says nothing.
    """
    _must_be_open(incident)
    if not new_test.strip():
        raise ValueError("closing an incident needs the new test that would have caught it")
    return replace(incident, state=IncidentState.CLOSED, closed_at=now, closed_by=by, new_test=new_test.strip())


def recover(incident: Incident, now: Micros) -> Incident:
    """Note when it was over; a person still closes it."""
    return incident if incident.is_closed or incident.recovered_at is not None else replace(incident, recovered_at=now)


def relapse(incident: Incident, signal: str) -> Incident:
    """Begin another episode when the breach comes back before a person closed it."""
    if incident.is_closed or incident.recovered_at is None:
        return incident
    return replace(incident, recovered_at=None, episode=incident.episode + 1, signal=signal)


def took(incident: Incident, action: ActionTaken) -> Incident:
    """Add an action to the story; the same action at the same time only once."""
    return incident if action in incident.actions else replace(incident, actions=(*incident.actions, action))


def _must_be_open(incident: Incident) -> None:
    if incident.is_closed:
        raise ValueError(f"incident {incident.id} is closed; it is kept as it is")
