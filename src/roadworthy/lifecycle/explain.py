"""Explain one answer: from the record back to its release, code, data, gates, approver, and on to its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from roadworthy.domain.candidate import Run
from roadworthy.domain.digest import Digest
from roadworthy.domain.interface import FieldRole, Interface, Task
from roadworthy.domain.ledger import Event, Noun
from roadworthy.domain.llm import TEXT_OUTPUTS
from roadworthy.domain.moment import Micros
from roadworthy.domain.record import Flag, Outcome, Record, StepTaken
from roadworthy.domain.release import Release
from roadworthy.domain.route import Route
from roadworthy.domain.verdict import Approval, Verdict
from roadworthy.errors import NotFoundError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.assistants import AssistantExplained, explain_assistant
from roadworthy.lifecycle.explain_chat import ChatExplained, explain_chat
from roadworthy.lifecycle.present import place
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc

_HIDDEN: Final = "not kept: the field is classified"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateExplained:
    """One gate's verdict on the candidate, with its evidence and when it expires."""

    gate: str
    state: str
    reason: str
    at: Micros
    expires_at: Micros
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])
    waiver: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseExplained:
    """A release back to code, data and people. `forced_by` names who passed its gates by force."""

    id: Digest
    name: str
    is_baseline: bool
    admitted_at: Micros
    admitted_by: str
    approved_by: tuple[str, ...]
    forced_by: str
    withdrawn_for: tuple[str, ...]
    policy: Digest
    recipe: Digest
    run: str
    commit: str
    dirty: bool
    machine: str
    built_at: Micros | None
    data: Mapping[str, Digest]
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    artifacts: tuple[tuple[str, str, Digest], ...]
    environment: Digest
    gates: tuple[GateExplained, ...]
    approvals: tuple[Approval, ...] = ()
    assistant: AssistantExplained | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedBy:
    """The decision that put the route in force under which the answer was given."""

    version: int
    arm: str
    share: float
    seq: int
    at: Micros
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeExplained:
    """How old the newest input behind a feature was when the answer was given; None where the caller did not say."""

    field: str
    age_of: str
    age_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One answer with everything it rests on. `intended` is the release the route chose, where another answered."""

    record: str
    system: str
    environment: str
    answered_at: Micros
    event_time: Micros
    latency_us: int
    status: int
    flags: tuple[str, ...]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    violations: tuple[tuple[str, str], ...]
    steps: tuple[StepTaken, ...]
    error: str
    sentence: str
    release: ReleaseExplained | None
    intended: ReleaseExplained | None
    route: RoutedBy | None
    ages: tuple[AgeExplained, ...]
    outcomes: tuple[Outcome, ...]
    shadow_of: str = ""
    chat: ChatExplained | None = None


def explain(plane: Plane, record_id: str) -> Explanation:
    """Trace one answer back to what it rests on, also where a fallback gave it.

    Raises:
        NotFoundError: no record has this id, or it was erased or kept shorter than this.
    """
    record = plane.records.find(record_id)
    if record is None:
        raise NotFoundError(f"there is no record {record_id}", hint="roadworthy logs lists the newest ones")
    known = present.releases(plane, record.system)
    answered = _release(plane, known, record.release)
    fell_back = record.intended and record.intended != record.release
    intended = _release(plane, known, record.intended) if fell_back else None
    interface = _interface(known, record)
    outcomes = tuple(plane.records.outcomes_of(record.id))
    return Explanation(
        record=record.id,
        system=record.system,
        environment=record.environment,
        answered_at=record.answered_at,
        event_time=record.event_time,
        latency_us=record.latency_us,
        status=record.status,
        flags=flags_of(record.flags),
        inputs=_inputs(interface, record.inputs),
        outputs=_outputs(interface, record.outputs),
        violations=tuple(record.violations),
        steps=tuple(record.steps),
        error=record.error,
        sentence=_sentence(record, answered, intended, outcomes),
        release=answered,
        intended=intended,
        route=_routed_by(plane, record),
        ages=_ages(interface, record.ages_ms),
        outcomes=outcomes,
        shadow_of=record.shadow_of,
        chat=explain_chat(plane, record, known.get(record.release), present.policy(plane, record.system)),
    )


def explain_release(plane: Plane, release: Release) -> ReleaseExplained:
    """Trace a release back to its run, code, data, gates and the people who let it through."""
    candidate = release.candidate
    document = plane.ledger.state(Noun.RUN, release.run) if release.run else None
    run = from_doc(Run, document) if document else None
    return ReleaseExplained(
        id=release.id,
        name=release.name,
        is_baseline=candidate.is_baseline,
        admitted_at=release.admitted_at,
        admitted_by=release.admitted_by,
        approved_by=release.approved_by,
        forced_by=release.forced_by,
        withdrawn_for=release.withdrawn_for,
        policy=release.policy,
        recipe=candidate.recipe,
        run=release.run,
        commit=run.commit if run else "",
        dirty=run.dirty if run else False,
        machine=run.machine if run else "",
        built_at=run.started_at if run else None,
        data=dict(run.data) if run else {},
        parameters=dict(run.parameters) if run else {},
        metrics=dict(run.metrics) if run else {},
        artifacts=tuple((one.role, one.format, one.digest) for one in candidate.artifacts),
        environment=candidate.environment.digest,
        gates=_gates(plane, release),
        approvals=_approvals(plane, release),
        assistant=explain_assistant(candidate, plane.artifacts),
    )


def flags_of(flags: int) -> tuple[str, ...]:
    """Name what was special about an answer."""
    return tuple(flag.name.lower() for flag in Flag if flag & flags and flag.name)


def _release(plane: Plane, known: Mapping[Digest, Release], name: Digest) -> ReleaseExplained | None:
    release = known.get(name)
    return None if release is None else explain_release(plane, release)


def _gates(plane: Plane, release: Release) -> tuple[GateExplained, ...]:
    states = plane.ledger.states(Noun.VERDICT, release.system)
    verdicts = [from_doc(Verdict, document) for name, document in states.items() if name.startswith(f"{release.id}/")]
    return tuple(
        GateExplained(
            gate=one.gate,
            state=one.state.value,
            reason=one.reason,
            at=one.at,
            expires_at=one.expires_at,
            evidence=one.evidence,
            waiver=one.waiver,
        )
        for one in sorted(verdicts, key=lambda one: one.gate)
    )


def _approvals(plane: Plane, release: Release) -> tuple[Approval, ...]:
    states = plane.ledger.states(Noun.APPROVAL, release.system)
    return tuple(from_doc(Approval, document) for name, document in states.items() if name.startswith(f"{release.id}/"))


def _routed_by(plane: Plane, record: Record) -> RoutedBy | None:
    """Find the decision behind the route version that the record names; the ledger keeps all of them."""
    subject = place(record.system, record.environment)
    for event in plane.ledger.events(system=record.system):
        if event.noun == Noun.ROUTE and event.subject == subject and event.after is not None:
            route = from_doc(Route, event.after)
            if route.version == record.route_version:
                return _as_routed(event, route, record)
    return None


def _as_routed(event: Event, route: Route, record: Record) -> RoutedBy:
    chosen = record.intended or record.release
    share = next((arm.share for arm in route.arms if arm.release == chosen), 0.0)
    if record.flags & Flag.SHADOW and route.shadow is not None:
        share = route.shadow.rate
    return RoutedBy(
        version=route.version,
        arm=record.arm,
        share=share,
        seq=event.seq,
        at=event.at,
        actor=event.actor,
        reason=event.reason,
    )


def _interface(known: Mapping[Digest, Release], record: Record) -> Interface | None:
    """Find the interface the record was checked against, which is the intended release's."""
    release = known.get(record.intended) or known.get(record.release)
    return release.candidate.interface if release else None


def _inputs(interface: Interface | None, values: Sequence[Any]) -> dict[str, Any]:
    if interface is None:
        return {f"input {place + 1}": value for place, value in enumerate(values)}
    return {
        one.name: _HIDDEN if one.is_classified else value for one, value in zip(interface.inputs, values, strict=False)
    }


def _outputs(interface: Interface | None, values: Sequence[Any]) -> dict[str, Any]:
    names = _output_names(interface) if interface else ()
    if len(values) == len(TEXT_OUTPUTS) and (interface is None or _repeats_what_is_classified(interface)):
        values = [_HIDDEN, *values[1:]]
    return {names[at] if at < len(names) else f"output {at + 1}": value for at, value in enumerate(values)}


def _repeats_what_is_classified(interface: Interface) -> bool:
    """Claim that an answer may repeat a question that is not shown."""
    return interface.task is Task.TEXT and any(one.is_classified for one in interface.inputs)


def _output_names(interface: Interface) -> tuple[str, ...]:
    match interface.task:
        case Task.BINARY:
            return ("probability", "label")
        case Task.MULTICLASS:
            return ("label", *(f"probability of {label}" for label in interface.labels))
        case Task.TEXT:
            return TEXT_OUTPUTS
        case _:
            return ("value",)


def _ages(interface: Interface | None, ages: Sequence[int | None]) -> tuple[AgeExplained, ...]:
    if interface is None:
        return ()
    fields = [one for one in interface.inputs if one.role is FieldRole.AGE]
    return tuple(
        AgeExplained(field=one.name, age_of=one.age_of, age_ms=age) for one, age in zip(fields, ages, strict=False)
    )


def _sentence(
    record: Record,
    answered: ReleaseExplained | None,
    intended: ReleaseExplained | None,
    outcomes: Sequence[Outcome],
) -> str:
    who = answered.name if answered else record.release or "the stated default"
    if record.flags & Flag.SHADOW:
        said = f"{who} answered in the shadow of record {record.shadow_of}; no caller saw it"
    elif intended is not None:
        why = f": {record.error}" if record.error else ""
        said = f"{who} answered as the fallback of {intended.name}{why}"
    else:
        said = f"{who} answered as {record.arm}"
    if not outcomes:
        return f"{said}; its outcome is not known yet"
    return f"{said}; the outcome was {outcomes[-1].value}"
