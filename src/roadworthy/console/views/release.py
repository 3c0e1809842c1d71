"""A release, or a candidate that asks to be one, with its whole proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from roadworthy.console.views.chat import AssistantView, assistant_view
from roadworthy.console.views.evidence import GateView, gates, summary
from roadworthy.domain.candidate import Artifact, Candidate, Run
from roadworthy.domain.digest import Digest, short
from roadworthy.domain.exposure import Role, role_of
from roadworthy.domain.interface import Scalar
from roadworthy.domain.ledger import Noun
from roadworthy.domain.moment import Micros
from roadworthy.domain.release import Release
from roadworthy.domain.route import Route
from roadworthy.domain.verdict import Approval, Waiver
from roadworthy.errors import NotFoundError
from roadworthy.lifecycle import present
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc

_FEWEST_DIGITS = 6
_BASELINE = "baseline."
_ROLES: Final = {
    Role.CHAMPION: ("champion", "it answers callers now"),
    Role.CHALLENGER: ("challenger", "it is under trial and answers a share of the callers"),
    Role.SHADOW: ("shadow", "it is under trial: it sees requests, callers do not see its answers"),
    Role.FALLBACK: ("fallback", "it answers in place of the champion"),
    Role.RESERVE: ("in reserve", "it answers when the champion cannot, or after a rollback"),
    Role.NONE: ("not in the route", "it was admitted and serves nobody now"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of the build on the hold-out, the baseline's beside it."""

    name: str
    model: float | None
    baseline: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """The build: the experiment record."""

    id: str
    at: Micros
    seconds: float
    commit: str
    dirty: bool
    machine: str
    recipe: Digest
    data: Mapping[str, Digest]
    parameters: Mapping[str, Scalar]
    metrics: tuple[Metric, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseView:
    """A release or candidate: what it is, what it does now, and what it rests on."""

    system: str
    name: str
    id: Digest
    is_release: bool
    is_baseline: bool
    role: str
    state: str
    sentence: str
    admitted_at: Micros | None
    admitted_by: str
    forced_by: str
    withdrawn_for: tuple[str, ...]
    gates: tuple[GateView, ...]
    gates_summary: str
    approvals: tuple[Approval, ...]
    waivers: tuple[Waiver, ...]
    needs_approval: bool
    run: RunView | None
    artifacts: tuple[Artifact, ...]
    runtime: str
    python: str
    platform: str
    distributions: Mapping[str, str]
    environment: Digest
    task: str
    now: Micros
    fields: tuple[tuple[str, str, str], ...] = field(default_factory=tuple)
    assistant: AssistantView | None = None

    @property
    def title(self) -> str:
        """Say what it is and how it stands."""
        return f"{self.name}: {self.state}"


def release_view(plane: Plane, system: str, text: str, environment: str = "live") -> ReleaseView:
    """Find a release by name or digest, or a candidate by digest, and gather its proof.

    Raises:
        NotFoundError: there is neither; names the nearest release.
    """
    policy, now = present.policy(plane, system), plane.clock.now()
    known = present.releases(plane, system)
    release, candidate = _find(plane, known, system, text)
    views = gates(plane, policy, candidate.id, system, now)
    route = present.route(plane, system, environment)
    role = role_of(route, candidate.id) if route is not None and release else Role.NONE
    name = release.name if release else f"{system} candidate {short(candidate.id)}"
    state, sentence = _standing(release, role, views, route)
    if candidate.is_baseline:
        views = tuple(view for view in views if view.state != "not judged")
    return ReleaseView(
        system=system,
        name=name,
        id=candidate.id,
        is_release=release is not None,
        is_baseline=candidate.is_baseline,
        role=str(role),
        state=state,
        sentence=sentence,
        admitted_at=release.admitted_at if release else None,
        admitted_by=release.admitted_by if release else "",
        forced_by=release.forced_by if release else "",
        withdrawn_for=release.withdrawn_for if release else (),
        gates=views,
        gates_summary=summary(views),
        approvals=tuple(one for one in _approvals(plane, system) if one.candidate == candidate.id),
        waivers=_waivers(plane, system, now),
        needs_approval=policy.decision.tier != "low",
        run=_run(plane, system, candidate.id, release.run if release else ""),
        artifacts=candidate.artifacts,
        runtime=candidate.runtime,
        python=candidate.environment.python,
        platform=candidate.environment.platform,
        distributions=candidate.environment.distributions,
        environment=candidate.environment.digest,
        task=str(candidate.interface.task),
        now=now,
        fields=tuple((one.name, str(one.type), ", ".join(one.classes)) for one in candidate.interface.inputs),
        assistant=assistant_view(plane, release or _as_release(candidate, known), known, policy),
    )


def _as_release(candidate: Candidate, known: Mapping[Digest, Release]) -> Release:
    """Stand a candidate behind every release, so that it is compared with the newest."""
    number = max((one.number for one in known.values()), default=0) + 1
    return Release(
        id=candidate.id, system=candidate.system, number=number, candidate=candidate, policy="", run="", admitted_at=0,
        admitted_by="",
    )  # fmt: skip


def _find(plane: Plane, known: dict[Digest, Release], system: str, text: str) -> tuple[Release | None, Candidate]:
    try:
        found = present.find_release(known, text, system)
    except NotFoundError:
        states = plane.ledger.states(Noun.CANDIDATE, system)
        digits = text.removeprefix("sha256:")
        names = [name for name in states if name.removeprefix("sha256:").startswith(digits)]
        if len(digits) < _FEWEST_DIGITS or len(names) != 1:
            raise
        return None, from_doc(Candidate, states[names[0]])
    return found, found.candidate


def _standing(release: Release | None, role: Role, views: tuple[GateView, ...], route: Route | None) -> tuple[str, str]:
    against = [view for view in views if not view.passed]
    if release is None:
        judged = [view for view in against if view.state != "not judged"]
        if judged:
            names = ", ".join(view.gate for view in judged)
            return "refused", f"refused by {len(judged)} of {len(views)} gates ({names}); it serves nobody"
        return "candidate", "a candidate that no gate has refused; it serves nobody until it is released"
    if release.withdrawn_for:
        causes = ", ".join(release.withdrawn_for)
        return "withdrawn", f"rolled back for {causes}; automation will not return to it for that cause"
    state, sentence = _ROLES[role]
    if role is Role.CHAMPION and route is not None and route.stopped:
        state, sentence = "stopped", f"the champion, stopped: {route.stopped_for}"
    elif role is Role.CHAMPION and route is not None and route.degraded_by:
        state = "champion, behind its fallback"
        sentence = f"the fallback answers for it since incident {route.degraded_by}"
    if release.forced_by:
        return f"{state}, forced", f"{sentence}; {release.forced_by} promoted it past its gates"
    return state, sentence


def _approvals(plane: Plane, system: str) -> tuple[Approval, ...]:
    return tuple(from_doc(Approval, document) for document in plane.ledger.states(Noun.APPROVAL, system).values())


def _waivers(plane: Plane, system: str, now: Micros) -> tuple[Waiver, ...]:
    found = (from_doc(Waiver, document) for document in plane.ledger.states(Noun.WAIVER, system).values())
    return tuple(waiver for waiver in found if now < waiver.until)


def _run(plane: Plane, system: str, candidate: Digest, named: str) -> RunView | None:
    runs = [from_doc(Run, document) for document in plane.ledger.states(Noun.RUN, system).values()]
    mine = [run for run in runs if run.id == named or run.candidate == candidate]
    if not mine:
        return None
    run = next((one for one in mine if one.id == named), mine[-1])
    names = [name for name in run.metrics if not name.startswith(_BASELINE)]
    return RunView(
        id=run.id,
        at=run.started_at,
        seconds=run.seconds,
        commit=run.commit,
        dirty=run.dirty,
        machine=run.machine,
        recipe=run.recipe,
        data=run.data,
        parameters=run.parameters,
        metrics=tuple(
            Metric(name=name, model=run.metrics[name], baseline=run.metrics.get(_BASELINE + name)) for name in names
        ),
        notes=run.notes,
    )
