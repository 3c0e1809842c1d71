"""One system on one page: what answers, how well, what changes, what broke, what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from roadworthy.console.views.budgets import BudgetRow, budget_rows
from roadworthy.console.views.chat import AssistantView, live_assistant
from roadworthy.console.views.evidence import gates, summary
from roadworthy.console.views.example_call import example_call
from roadworthy.console.views.ledger import Entry, entries
from roadworthy.console.views.lights import Kept, LightView, Seen, lights, objectives
from roadworthy.console.views.next_step import Case, NextStep, next_step
from roadworthy.console.views.route import RolloutView, RouteView, rollout_view, route_view
from roadworthy.console.views.signals import SignalsView, signals
from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import short
from roadworthy.domain.exposure import role_of
from roadworthy.domain.incident import Incident
from roadworthy.domain.ledger import Noun
from roadworthy.domain.moment import Micros
from roadworthy.domain.release import Release
from roadworthy.domain.route import Route
from roadworthy.domain.system import Policy
from roadworthy.lifecycle import present
from roadworthy.lifecycle.status import DrillStatus, Status, status
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc

_MOST_ENTRIES: Final = 12
_MOST_RELEASES: Final = 8
_MOST_PAST: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRow:
    """One release or candidate in the list."""

    name: str
    id: str
    state: str
    gates: str
    at: Micros
    by: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemView:
    """Everything the system's page shows. `pager_problem` is why a page could not be delivered yet."""

    name: str
    environment: str
    kind: str
    decision: str
    tier: str
    owner: str
    backup: str
    runbook: str
    now: Micros
    is_replay: bool
    serving: str
    lights: tuple[LightView, ...]
    next: NextStep
    paused_by: str
    paused_for: str
    orphaned: bool
    pager_problem: str
    route: RouteView | None
    rollout: RolloutView | None
    objectives: tuple[Kept, ...]
    signals: SignalsView | None
    incidents: tuple[Incident, ...]
    past_incidents: tuple[Incident, ...]
    releases: tuple[ReleaseRow, ...]
    drill: DrillStatus
    entries: tuple[Entry, ...]
    example: str
    assistant: AssistantView | None = None
    budgets: tuple[BudgetRow, ...] = ()

    @property
    def title(self) -> str:
        """Say the state of both lights, where a browser's tab shows it."""
        return f"{self.name}: " + ", ".join(f"{light.light} {light.state}" for light in self.lights)


def system_view(plane: Plane, system: str, environment: str = "live") -> SystemView:
    """Gather a system's page.

    Raises:
        NotFoundError: no such system.
    """
    found = status(plane, system, environment)
    policy, known = present.policy(plane, system), present.releases(plane, system)
    seen = look(found, policy, known)
    kept = objectives(found, policy, known)
    rollout = present.rollout(plane, system, environment)
    standing = present.standing(plane, system)
    paused_by = str(standing.get("paused_by") or "somebody") if found.paused else ""
    case = Case(status=found, seen=seen, kept=kept, paused_by=paused_by)
    stories = sorted(present.incidents(plane, system), key=lambda one: -one.opened_at)
    late = [one for one in found.undelivered if one.error]
    return SystemView(
        name=system,
        environment=environment,
        kind=str(standing.get("kind", "model")),
        decision=policy.decision.what,
        tier=str(policy.decision.tier),
        owner=policy.owner.principal,
        backup=policy.owner.backup,
        runbook=policy.failure.runbook,
        now=found.at,
        is_replay=found.replay,
        serving=str(found.serving),
        lights=lights(found, kept),
        next=next_step(case),
        paused_by=paused_by,
        paused_for=found.paused_for,
        orphaned=found.orphaned,
        pager_problem=f"{len(late)} pages are not delivered yet: {late[0].error}" if late else "",
        route=route_view(found, seen) if seen else None,
        rollout=rollout_view(found.rollout, rollout, known) if found.rollout and rollout else None,
        objectives=kept,
        signals=signals(plane, seen, kept) if seen else None,
        incidents=tuple(sorted(found.incidents, key=lambda one: (one.recovered_at is not None, one.severity))),
        past_incidents=tuple(one for one in stories if one.is_closed and one.environment == environment)[:_MOST_PAST],
        releases=_releases(plane, policy, found.route, known, system, found.at),
        drill=found.drill,
        entries=entries(plane, system=system, limit=_MOST_ENTRIES),
        example=_example(system, seen, found),
        assistant=live_assistant(plane, seen, environment) if seen else None,
        budgets=budget_rows(plane, policy, system, environment, found.at),
    )


def look(found: Status, policy: Policy, known: Mapping[str, Release]) -> Seen | None:
    """Return what a page needs beside the status; None before the first promotion."""
    if found.route is None:
        return None
    return Seen(policy=policy, route=found.route, known=known, signals=found.signals, now=found.at)


def _example(system: str, seen: Seen | None, found: Status) -> str:
    if seen is None or seen.front not in seen.known:
        return ""
    return example_call(found.data_plane, system, seen.known[seen.front].candidate.interface)


def _releases(
    plane: Plane, policy: Policy, route: Route | None, known: Mapping[str, Release], system: str, now: Micros
) -> tuple[ReleaseRow, ...]:
    """List releases and candidates that are none, newest first."""
    rows = [_release_row(plane, policy, one, route, now) for one in known.values()]
    for name, document in plane.ledger.states(Noun.CANDIDATE, system).items():
        if name not in known and not from_doc(Candidate, document).is_baseline:
            rows.append(_candidate_row(plane, policy, name, system, now))
    return tuple(sorted(rows, key=lambda row: -row.at)[:_MOST_RELEASES])


def _release_row(plane: Plane, policy: Policy, one: Release, route: Route | None, now: Micros) -> ReleaseRow:
    said = "" if one.candidate.is_baseline else summary(gates(plane, policy, one.id, one.system, now))
    return ReleaseRow(
        name=one.name,
        id=one.id,
        state=_state(one, route),
        gates=f"{said}; forced by {one.forced_by}" if one.forced_by else said,
        at=one.admitted_at,
        by=", ".join(one.approved_by) or one.admitted_by,
        url=f"/systems/{one.system}/releases/{one.name.partition('@')[2]}",
    )


def _candidate_row(plane: Plane, policy: Policy, name: str, system: str, now: Micros) -> ReleaseRow:
    views = gates(plane, policy, name, system, now)
    said = summary(views)
    return ReleaseRow(
        name=short(name),
        id=name,
        state="refused" if said.startswith("refused") else "candidate",
        gates=said,
        at=max((view.at for view in views if view.at), default=0),
        by="",
        url=f"/systems/{system}/releases/{short(name)}",
    )


def _state(release: Release, route: Route | None) -> str:
    if release.withdrawn_for:
        return f"withdrawn for {', '.join(release.withdrawn_for)}"
    role = str(role_of(route, release.id)) if route else "none"
    return {"none": "not in the route", "reserve": "in reserve"}.get(role, role)
