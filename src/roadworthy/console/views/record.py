"""One answer explained, as its page shows it: values of classified fields are left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from roadworthy.console.views.evidence import gates, summary
from roadworthy.domain.interface import Interface, Task
from roadworthy.domain.moment import Micros
from roadworthy.lifecycle import present
from roadworthy.lifecycle.explain import Explanation, explain
from roadworthy.ports.plane import Plane

_REPEATS: Final = "it may repeat what was asked, which is classified"
_UNKNOWN: Final = "its release is not known here, so it could be classified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One named value; `hidden` says why it is not shown."""

    name: str
    value: Any
    hidden: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An outcome of the answer. Whom it is about stays out."""

    scorer: str
    value: Any
    known_at: Micros
    received_at: Micros
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordView:
    """One answer with everything it rests on."""

    id: str
    system: str
    environment: str
    answered_at: Micros
    event_time: Micros
    latency_us: int
    status: int
    flags: tuple[str, ...]
    sentence: str
    error: str
    inputs: tuple[Cell, ...]
    outputs: tuple[Cell, ...]
    outcomes: tuple[Known, ...]
    gates: str
    explained: Explanation
    now: Micros

    @property
    def title(self) -> str:
        """Say what was answered, by whom."""
        who = self.explained.release.name if self.explained.release else self.system
        if self.explained.chat is not None:
            return f"Record {self.id[:12]}: {who} answered a question"
        said = next((f"{cell.name} {cell.value}" for cell in self.outputs), f"status {self.status}")
        return f"Record {self.id[:12]}: {who} answered {said}"


def record_view(plane: Plane, record_id: str) -> RecordView:
    """Explain one answer.

    Raises:
        NotFoundError: no record has this id.
    """
    found = explain(plane, record_id)
    interface = _interface(plane, found)
    now = plane.clock.now()
    policy = present.policy(plane, found.system)
    closed = interface is None or any(one.is_classified for one in interface.inputs)
    shown = dict.fromkeys(found.inputs) if interface is None else _open_inputs(interface, found)
    return RecordView(
        id=found.record,
        system=found.system,
        environment=found.environment,
        answered_at=found.answered_at,
        event_time=found.event_time,
        latency_us=found.latency_us,
        status=found.status,
        flags=found.flags,
        sentence=found.sentence,
        error=found.error,
        inputs=tuple(_cell(name, value, interface) for name, value in shown.items()),
        outputs=tuple(_output(name, value, interface, closed=closed) for name, value in found.outputs.items()),
        outcomes=tuple(
            Known(
                scorer=one.scorer,
                value=one.value,
                known_at=one.known_at,
                received_at=one.received_at,
                source=one.source,
            )
            for one in found.outcomes
        ),
        gates=summary(gates(plane, policy, found.release.id, found.system, now)) if found.release else "",
        explained=_without_values(found, shown),
        now=now,
    )


def _interface(plane: Plane, found: Explanation) -> Interface | None:
    known = present.releases(plane, found.system)
    asked = found.intended or found.release
    release = known.get(asked.id) if asked else None
    return release.candidate.interface if release else None


def _open_inputs(interface: Interface, found: Explanation) -> dict[str, Any]:
    """Keep the values that may be shown; the others become None, whatever the record holds."""
    closed = {field.name for field in interface.inputs if field.is_classified}
    return {name: None if name in closed else value for name, value in found.inputs.items()}


def _cell(name: str, value: Any, interface: Interface | None) -> Cell:
    if interface is None:
        return Cell(name=name, value=None, hidden=_UNKNOWN)
    classes = next((field.classes for field in interface.inputs if field.name == name), ())
    return Cell(name=name, value=value, hidden=f"classified: {', '.join(classes)}" if classes else "")


def _output(name: str, value: Any, interface: Interface | None, *, closed: bool) -> Cell:
    """Return an output; a text may repeat what was asked, so it is as closed as the question."""
    if closed and interface is not None and interface.task is Task.TEXT and name == "text":
        return Cell(name=name, value=None, hidden=_REPEATS)
    return Cell(name=name, value=value)


def _without_values(found: Explanation, shown: dict[str, Any]) -> Explanation:
    """Return the explanation fit for a page: open values only, outcomes without whom they are about."""
    outcomes = tuple(one._replace(entity="", key="") for one in found.outcomes)
    return replace(found, inputs=shown, outcomes=outcomes)
