"""Shape → System: defaults filled in, names looked up, and what the sections must be to each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from roadworthy.domain.interface import FieldType, Interface, Task
from roadworthy.domain.moment import parse_iso
from roadworthy.domain.system import (
    Assumption,
    Decision,
    Goal,
    KeepPlan,
    Kind,
    NonGoal,
    Owner,
    Policy,
    StatedWaiver,
    System,
    Tier,
)
from roadworthy.manifest import defaults_llm_v1
from roadworthy.manifest.contents import interface_in, model_content
from roadworthy.manifest.gate_plans import gate_plans
from roadworthy.manifest.llm import llm_content, llm_interface, pin_terms
from roadworthy.manifest.reading import Reading
from roadworthy.manifest.shape import DecisionShape, ManifestShape, OwnerShape
from roadworthy.manifest.stages import order_problem
from roadworthy.manifest.watching import failure_plan, probed_in, serve_plan, watch_plan

SCHEMA_VERSION: Final = 1
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_PRINCIPAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ID: Final = re.compile(r"[1-9][0-9]{0,3}")


def resolve(shape: ManifestShape, reading: Reading) -> System | None:
    """Build the system, noting in the reading whatever stands in the way; None when it cannot be built."""
    _check_head(shape, reading)
    reading.tier = Tier(shape.decision.tier) if shape.decision else Tier.LOW
    reading.kind = Kind.LLM if shape.kind == Kind.LLM else Kind.MODEL
    waivers = _waivers(shape, reading)
    owner = _owner(shape.owner, reading)
    decision = _decision(shape.decision, reading)
    is_llm = reading.kind is Kind.LLM
    interface = llm_interface(shape, reading) if is_llm else interface_in(shape, reading)
    waived = {waiver.gate for waiver in waivers}
    content = (llm_content if is_llm else model_content)(shape, interface, waived, reading)
    policy = _policy(shape, owner, decision, waivers, interface, reading)
    if content is None or shape.system is None:
        return None
    return System(name=shape.system, kind=reading.kind, content=content, policy=policy, schema_version=SCHEMA_VERSION)


def _check_head(shape: ManifestShape, reading: Reading) -> None:
    if shape.roadworthy is None and not reading.says("roadworthy"):
        reading.note((), "the schema version is missing", "begin the file with: roadworthy: 1")
    elif shape.roadworthy is not None and shape.roadworthy > SCHEMA_VERSION:
        message = (
            f"schema version {shape.roadworthy} is newer than this roadworthy, which reads version {SCHEMA_VERSION}"
        )
        reading.note(("roadworthy",), message, "install a newer roadworthy")
    elif shape.roadworthy is not None and shape.roadworthy < SCHEMA_VERSION:
        reading.note(("roadworthy",), f"there is no schema version {shape.roadworthy}", "write: roadworthy: 1")
    of_kind = ("pins", "prompt") if shape.kind == Kind.LLM else ("data",)
    for key in ("system", "kind", "owner", "decision", "use", *of_kind):
        if not getattr(shape, key) and not reading.says(key):
            reading.note((), f"'{key}' is missing", _HINTS[key])
        elif getattr(shape, key) is None and reading.document.value.get(key) is None:
            reading.note((key,), f"'{key}' is empty", _HINTS[key])
    if shape.system is not None and not _NAME.fullmatch(shape.system):
        hint = "a name has small letters, digits and hyphens, begins with a letter and has at most 63 characters"
        reading.note(("system",), f"'{shape.system[:80]}' is not a name for a system", hint)
    if shape.kind is not None and shape.kind not in (Kind.MODEL, Kind.LLM):
        reading.note(("kind",), f"kind '{shape.kind[:40]}' is not served by this version; kinds: model, llm")


_HINTS: Final = {
    "system": "such as system: flights",
    "kind": "write: kind: model, or kind: llm",
    "owner": "such as owner: ana@example.com",
    "decision": "such as decision: whom to call before the flight",
    "use": "such as use: model.skops",
    "pins": "such as pins: {main: {provider: openai, url: https://api.openai.com/v1, model: gpt-4o-mini}}",
    "prompt": "such as prompt: prompt.md",
    "data": "such as data: {table: flights.parquet, target: late}",
}


def _owner(shape: OwnerShape | None, reading: Reading) -> Owner:
    if shape is None:
        return Owner(principal="", contact="")
    if shape.contact is None:
        reading.note(("owner",), "the owner has no contact", "such as contact: ana@example.com")
    contact = shape.contact or ""
    principal = shape.name or contact.split("@", 1)[0]
    backup, backup_contact = _backup(shape, str(reading.document.value.get("system", "")))
    for key, name in (("name", principal), ("backup", backup)):
        if name and not _PRINCIPAL.fullmatch(name):
            reading.note(("owner", key), f"'{name[:60]}' is not a principal's id", "letters, digits, dots and hyphens")
    if reading.tier is not Tier.LOW and not backup and not reading.says("owner", "backup"):
        reading.note(
            ("owner",), f"tier {reading.tier} asks for a backup of the owner", "such as backup: ben@example.com"
        )
    if backup and backup == principal:
        reading.note(("owner", "backup"), "owner and backup are the same person")
    return Owner(principal=principal, contact=contact, backup=backup, backup_contact=backup_contact)


def _backup(shape: OwnerShape, system: str) -> tuple[str, str]:
    """Return the backup's id and contact. A bare address says both; a web address is the team's."""
    given = shape.backup or ""
    contact = shape.backup_contact or (given if "@" in given or ":" in given else "")
    name = given or contact
    if ":" in name:
        return f"{system}-team", contact
    return name.split("@", 1)[0], contact


def _decision(shape: DecisionShape | None, reading: Reading) -> Decision:
    if shape is None:
        return Decision()
    if not shape.what.strip() and not reading.says("decision", "what"):
        reading.note(
            ("decision",), "the decision does not say what it is", "such as what: whom to call before the flight"
        )
    if reading.tier is not Tier.LOW and shape.sponsor is None and not reading.says("decision", "sponsor"):
        reading.note(("decision",), f"tier {reading.tier} asks for a sponsor", "such as sponsor: eva@example.com")
    cost, currency = shape.cost_of_failure or (0, "EUR")
    return Decision(
        what=shape.what,
        tier=reading.tier,
        cost_of_failure_micros=cost,
        currency=currency,
        sponsor=shape.sponsor or "",
    )


def _waivers(shape: ManifestShape, reading: Reading) -> tuple[StatedWaiver, ...]:
    found: list[StatedWaiver] = []
    for place, waiver in enumerate(shape.waivers):
        if waiver.gate not in reading.catalogue.gates:
            reading.unknown("gate", waiver.gate, reading.catalogue.gates, ("waivers", place, "gate"))
        try:
            until = parse_iso(waiver.until)
        except ValueError:
            reading.note(("waivers", place, "until"), f"'{waiver.until[:40]}' is not a date", "such as 2026-12-31")
            continue
        found.append(StatedWaiver(gate=waiver.gate, by=waiver.by, why=waiver.why, until=until))
    return tuple(sorted(found, key=lambda waiver: (waiver.gate, waiver.until, waiver.by)))


def _policy(
    shape: ManifestShape,
    owner: Owner,
    decision: Decision,
    waivers: tuple[StatedWaiver, ...],
    interface: Interface | None,
    reading: Reading,
) -> Policy:
    tier = reading.defaults
    gates = gate_plans(shape.gates, waivers, reading)
    serve = serve_plan(shape.serve, sorted(shape.pins), shape.use or "", reading)
    pins = pin_terms(shape, serve, reading)
    mask = defaults_llm_v1.MASKED if shape.keep.mask is None and reading.kind is Kind.LLM else shape.keep.mask or ()
    if interface is not None and serve.stated_default is not None:
        _check_default(serve.stated_default, interface, reading)
    watch = watch_plan(shape, serve, interface, reading)
    watch = probed_in(watch, shape.watch, pins, reading)
    failure, watch = failure_plan(shape.failure, watch, interface, reading)
    stages = tuple(shape.rollout) if shape.rollout is not None else tier.rollout
    if shape.rollout is not None and (problem := order_problem(stages)):
        reading.note(("rollout", problem[0]), problem[1])
    names = {gate.name for gate in gates} | {objective.name for objective in watch.objectives}
    return Policy(
        owner=owner,
        decision=decision,
        goals=_goals(shape, names, reading),
        non_goals=_non_goals(shape, reading),
        assumptions=_assumptions(shape, reading),
        gates=gates,
        serve=serve,
        rollout=stages,
        watch=watch,
        failure=failure,
        keep=KeepPlan(payload=shape.keep.payload, mask=tuple(sorted(mask))),
        glossary=dict(sorted(shape.glossary.items())),
        waivers=waivers,
        pins=pins,
    )


def _check_ids(section: str, ids: Iterable[str], reading: Reading) -> None:
    letter = section[0].upper()
    for name in ids:
        if name[:1] != letter or not _ID.fullmatch(name[1:]):
            message = f"'{name[:40]}' is not an id here; they are {letter}1, {letter}2, …"
            reading.note((section, name), message, key=True)


def _goals(shape: ManifestShape, names: set[str], reading: Reading) -> tuple[Goal, ...]:
    _check_ids("goals", shape.goals, reading)
    for name, goal in shape.goals.items():
        if not goal.measured_by and not reading.says("goals", name, "measured_by", 0):
            hint = f"add measured_by with one of: {', '.join(sorted(names))}"
            reading.note(("goals", name), f"goal {name} is measured by no gate and no objective", hint)
        for place, measure in enumerate(goal.measured_by):
            if measure not in names:
                reading.unknown("gate or objective", measure, names, ("goals", name, "measured_by", place))
    return tuple(
        Goal(id=name, text=goal.text, measured_by=tuple(sorted(set(goal.measured_by))))
        for name, goal in sorted(shape.goals.items())
    )


def _non_goals(shape: ManifestShape, reading: Reading) -> tuple[NonGoal, ...]:
    _check_ids("non_goals", shape.non_goals, reading)
    return tuple(
        NonGoal(id=name, text=goal.text, purpose=goal.purpose or "") for name, goal in sorted(shape.non_goals.items())
    )


def _assumptions(shape: ManifestShape, reading: Reading) -> tuple[Assumption, ...]:
    _check_ids("assumptions", shape.assumptions, reading)
    return tuple(
        Assumption(id=name, text=assumption.text, objective=name)
        for name, assumption in sorted(shape.assumptions.items())
    )


_OUTPUTS: Final[Mapping[Task, Mapping[str, tuple[FieldType, ...]]]] = {
    Task.BINARY: {"probability": (FieldType.NUMBER,), "label": (FieldType.STRING,)},
    Task.MULTICLASS: {"label": (FieldType.STRING,)},
    Task.REGRESSION: {"value": (FieldType.NUMBER,)},
    Task.TEXT: {"text": (FieldType.STRING,)},
}


def _check_default(stated: Mapping[str, Any], interface: Interface, reading: Reading) -> None:
    """A stated default answers like the model would: the outputs of its task, each of its type."""
    wanted = _OUTPUTS[interface.task]
    for name, value in stated.items():
        path = ("serve", "default", name)
        if name not in wanted:
            known = ", ".join(wanted)
            reading.note(path, f"'{name[:60]}' is no output of a {interface.task} task; outputs: {known}", key=True)
        elif wanted[name] == (FieldType.NUMBER,) and (isinstance(value, bool) or not isinstance(value, int | float)):
            reading.note(path, f"{name} must be a number")
        elif name == "text" and not isinstance(value, str):
            reading.note(path, "text must be text")
        elif name == "label" and value not in interface.labels:
            reading.note(path, f"label must be one of: {', '.join(interface.labels[:12])}")
        elif name == "probability" and not (isinstance(value, int | float) and 0 <= value <= 1):
            reading.note(path, "probability must lie in [0, 1]")
    for name in wanted:
        if name not in stated:
            reading.note(("serve", "default"), f"the stated default lacks '{name}'")
