"""One incident's story: what broke, since when, what was done, what changed before it, what is left to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from roadworthy.console.views.lights import objectives
from roadworthy.console.views.signals import SignalView, signal_view
from roadworthy.console.views.system import look
from roadworthy.domain.incident import ActionTaken, Change, Incident, IncidentState
from roadworthy.domain.moment import Micros
from roadworthy.domain.objective import Objective, Signal
from roadworthy.domain.response import actions_for
from roadworthy.lifecycle import present
from roadworthy.lifecycle.incidents import incident as find
from roadworthy.lifecycle.status import status
from roadworthy.ports.plane import Plane


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentView:
    """Everything the incident's page shows."""

    incident: Incident
    release: str
    state: str
    sentence: str
    next: str
    condition: str
    objective_text: str
    actions: tuple[ActionTaken, ...]
    changed_before: tuple[Change, ...]
    signal: SignalView | None
    contact: str
    plan: tuple[str, ...]
    silenced_until: Micros | None
    now: Micros

    @property
    def title(self) -> str:
        """Say what broke and how it stands."""
        return f"{self.incident.id} ({self.incident.severity}, {self.state}): {self.incident.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentsView:
    """All incidents the caller may see: open ones first, then newest first."""

    open: tuple[Incident, ...]
    closed: tuple[Incident, ...]
    now: Micros

    @property
    def title(self) -> str:
        """Say how many are open."""
        return f"Incidents: {len(self.open)} open" if self.open else "Incidents: none open"


def incidents_view(plane: Plane, opens: Callable[[str], bool]) -> IncidentsView:
    """Gather the list."""
    stories = sorted(
        (one for one in present.incidents(plane) if opens(one.system)), key=lambda one: (one.opened_at, one.id)
    )
    return IncidentsView(
        open=tuple(one for one in reversed(stories) if not one.is_closed),
        closed=tuple(one for one in reversed(stories) if one.is_closed),
        now=plane.clock.now(),
    )


def incident_view(plane: Plane, incident: str) -> IncidentView:
    """Gather an incident's story.

    Raises:
        NotFoundError: no such incident.
    """
    found = find(plane, incident)
    policy, now = present.policy(plane, found.system), plane.clock.now()
    known = present.releases(plane, found.system)
    objective = next((one for one in policy.watch.objectives if one.name == found.objective), None)
    state, sentence, step = _standing(found)
    is_silent = found.silenced_until is not None and found.silenced_until > now
    return IncidentView(
        incident=found,
        release=present.name_of(known, found.release) if found.release else "",
        state=state,
        sentence=sentence,
        next=step,
        condition=str(objective.when) if objective else "",
        objective_text=_goal(objective),
        actions=found.actions,
        changed_before=found.changed_before,
        signal=_signal(plane, found, objective),
        contact=policy.owner.backup if found.owner != policy.owner.backup else "",
        plan=tuple(str(action) for action in actions_for(policy.failure, found.objective)),
        silenced_until=found.silenced_until if is_silent else None,
        now=now,
    )


def _standing(incident: Incident) -> tuple[str, str, str]:
    """Return the state, a sentence on it, and what is left to do."""
    if incident.is_closed:
        return "closed", f"closed by {incident.closed_by}; the new test: {incident.new_test}", "Nothing: it is closed."
    has_it = incident.acknowledged_by
    hand = f"{has_it} has it in hand" if has_it else "nobody has acknowledged it yet"
    if incident.recovered_at is not None:
        step = "Close it with the test that would have caught it."
        return "recovered", f"it is over, and {hand}", step if has_it else f"Acknowledge it. {step}"
    if incident.state is IncidentState.ACKNOWLEDGED:
        return "acknowledged", f"it goes on; {hand}", "Follow the runbook until it has recovered, then close it."
    return "open", f"it goes on, and {hand}", "Acknowledge it, so that everyone knows somebody has it in hand."


def _signal(plane: Plane, incident: Incident, objective: Objective | None) -> SignalView | None:
    """Return the signal that broke, for the release that broke it, also when that release left the route."""
    if objective is None:
        return None
    policy, known = present.policy(plane, incident.system), present.releases(plane, incident.system)
    found = status(plane, incident.system, incident.environment)
    seen = look(found, policy, known)
    name = objective.when.signal
    newest = seen.signal(name, incident.release) or _last(plane, incident, name) if seen else None
    if seen is None or newest is None:
        return None
    kept = objectives(found, policy, known)
    return signal_view(plane, seen, newest, objective, kept, mark=incident.opened_at)


def _last(plane: Plane, incident: Incident, name: str) -> Signal | None:
    past = plane.observations.history(incident.system, incident.environment, incident.release, name)
    return past[-1] if past else None


def _goal(objective: Objective | None) -> str:
    if objective is None:
        return ""
    if objective.assumption:
        return f"it guards the assumption {objective.assumption}"
    return f"it serves the goal {objective.goal}" if objective.goal else ""
