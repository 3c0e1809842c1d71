"""All systems, one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from roadworthy.console.views.lights import LightView, State, lights, objectives
from roadworthy.console.views.system import look
from roadworthy.domain.moment import Micros
from roadworthy.domain.rollout import RolloutState
from roadworthy.lifecycle import present
from roadworthy.lifecycle.status import RolloutStatus, status
from roadworthy.ports.plane import Plane
from roadworthy.ports.records import Losses

_PER_MINUTE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemRow:
    """One system at a glance."""

    name: str
    kind: str
    owner: str
    lights: tuple[LightView, ...]
    release: str
    incidents: int
    worst_severity: str
    answers_per_minute: float | None
    rollout: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemsView:
    """Every system the caller may see, those in trouble first. `books` only for keys of the whole home."""

    systems: tuple[SystemRow, ...]
    books: Losses | None
    now: Micros
    is_replay: bool
    problems: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Say how many need somebody."""
        troubled = sum(row.incidents > 0 or _is_bad(row) for row in self.systems)
        if not self.systems:
            return "Systems: none yet"
        count = len(self.systems)
        return f"Systems: {troubled} of {count} need somebody" if troubled else f"Systems: all {count} without trouble"


def systems_view(
    plane: Plane, opens: Callable[[str], bool], environment: str = "live", problems: tuple[str, ...] = ()
) -> SystemsView:
    """Gather the list; `problems` are what the control loop could not do."""
    rows = [_row(plane, name, environment) for name in present.systems(plane) if opens(name)]
    return SystemsView(
        systems=tuple(sorted(rows, key=lambda row: (not _is_bad(row), row.incidents == 0, row.name))),
        books=plane.records.losses() if opens("") else None,
        now=plane.clock.now(),
        is_replay=plane.home.is_replay,
        problems=problems,
    )


def _row(plane: Plane, system: str, environment: str) -> SystemRow:
    found = status(plane, system, environment)
    policy, known = present.policy(plane, system), present.releases(plane, system)
    seen = look(found, policy, known)
    standing = present.standing(plane, system)
    notes = [f"paused by {standing.get('paused_by') or 'somebody'}"] if found.paused else []
    notes += ["no owner"] if found.orphaned else []
    notes += [f"on its fallback since {found.route.degraded_by}"] if found.route and found.route.degraded_by else []
    traffic = (seen.signal("traffic", "") or seen.signal("traffic", seen.front)) if seen else None
    return SystemRow(
        name=system,
        kind=str(standing.get("kind", "model")),
        owner=policy.owner.principal,
        lights=lights(found, objectives(found, policy, known)),
        release=seen.name(seen.front) if seen else "",
        incidents=len(found.incidents),
        worst_severity=min((str(one.severity) for one in found.incidents), default=""),
        answers_per_minute=traffic.value * _PER_MINUTE if traffic and traffic.value is not None else None,
        rollout=_rollout(found.rollout),
        notes=tuple(notes),
    )


def _rollout(rollout: RolloutStatus | None) -> str:
    if rollout is None or rollout.state in (RolloutState.DONE, RolloutState.ABORTED):
        return ""
    state = "on hold in" if rollout.state is RolloutState.PAUSED else "in"
    waiting = f", waits for {rollout.waiting_for}" if rollout.waiting_for else ""
    return f"{rollout.name} {state} {rollout.stage}{waiting}"


def _is_bad(row: SystemRow) -> bool:
    return any(light.state in (State.BROKEN, State.STOPPED) for light in row.lights)
