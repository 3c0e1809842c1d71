"""Which gates are in force, with every parameter spelled out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from roadworthy.domain.moment import MILLISECOND, SECOND
from roadworthy.domain.system import GatePlan, Kind, StatedWaiver
from roadworthy.manifest import defaults_llm_v1, defaults_v1
from roadworthy.manifest.reading import Reading, nearest
from roadworthy.manifest.units import UnitError, duration, share


def gate_plans(
    stated: Mapping[str, Mapping[str, Any] | str], waivers: Collection[StatedWaiver], reading: Reading
) -> tuple[GatePlan, ...]:
    """Return the tier's gates and those the manifest adds, by name; parameters are defaults under what is stated."""
    installed = _of_kind(reading)
    waived = {waiver.gate for waiver in waivers}
    for name in stated:
        if name not in installed:
            reading.unknown("gate", name, installed, ("gates", name), key=True)
    names = sorted(({*reading.defaults.gates, *stated}) & set(installed))
    for name, given in stated.items():
        if isinstance(given, str) and name in installed and name not in waived:
            hint = f"waivers: [{{gate: {name}, by: …, why: …, until: 2026-12-31}}]"
            reading.note(("gates", name), f"the gate '{name}' is not switched off without a waiver", hint)
    return tuple(
        GatePlan(name=name, parameters=parameters_of("gates", name, installed[name], stated.get(name, {}), reading))
        for name in names
    )


def _of_kind(reading: Reading) -> Mapping[str, Mapping[str, Any]]:
    """Return the gates that judge this kind: its own built-in ones with its defaults, and whatever else there is."""
    model, llm = defaults_v1.GATE_PARAMETERS, defaults_llm_v1.GATE_PARAMETERS
    none: Mapping[str, Mapping[str, Any]] = {}
    shared = defaults_llm_v1.SHARED_GATE_PARAMETERS if reading.kind is Kind.LLM else none
    foreign = set(model) - set(shared) if reading.kind is Kind.LLM else set(llm)
    every = reading.catalogue.gates
    return {name: {**given, **shared.get(name, {})} for name, given in every.items() if name not in foreign}


def parameters_of(
    section: str, name: str, defaults: Mapping[str, Any], stated: Mapping[str, Any] | str, reading: Reading
) -> dict[str, Any]:
    """Return the parameters of a plug-in: its defaults under what the manifest states, each as its default's type."""
    found, given = dict(defaults), cast("Mapping[str, Any]", {} if isinstance(stated, str) else stated)
    for key, value in given.items():
        if key not in defaults:
            hint = nearest(key, defaults) or f"known: {', '.join(sorted(defaults)) or 'none'}"
            message = f"the {section.removesuffix('s')} '{name}' has no parameter '{key[:60]}'"
            reading.note((section, name, key), message, hint, key=True)
            continue
        try:
            found[key] = _value(key, value, defaults[key])
        except ValueError as error:
            reading.note((section, name, key), f"{name}.{key}: {error}")
    return dict(sorted(found.items()))


def _value(key: str, value: Any, default: Any) -> Any:
    """Read a parameter as the type of its default; a unit in its name lets it be written as a duration."""
    for kind, words in ((bool, "true or false"), (str, "text"), (list, "a list"), (int, "a whole number")):
        if isinstance(default, kind):
            # A bool is an int to Python, never to a person.
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise ValueError(f"must be {words}")
            return cast("Any", value)
    return _number(key, value, optional=default is None)


def _number(key: str, value: Any, *, optional: bool) -> float | None:
    if optional and value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    unit = MILLISECOND if key.endswith("_ms") else SECOND if key.endswith(("_s", "seconds")) else 0
    if isinstance(value, str) and unit:
        return duration(value) / unit
    try:
        return share(value)
    except UnitError:
        raise ValueError("must be a number") from None
