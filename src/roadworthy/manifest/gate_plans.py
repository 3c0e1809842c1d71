"""Which gates are in force, with every parameter spelled out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from roadworthy.domain.moment import MILLISECOND, SECOND
from roadworthy.domain.system import GatePlan, StatedWaiver
from roadworthy.manifest import defaults_v1
from roadworthy.manifest.reading import Reading, nearest
from roadworthy.manifest.units import UnitError, duration, share


def gate_plans(
    stated: Mapping[str, Mapping[str, Any] | str], waivers: Collection[StatedWaiver], reading: Reading
) -> tuple[GatePlan, ...]:
    """Return the tier's gates and those the manifest adds, by name; parameters are defaults under what is stated."""
    installed = reading.catalogue.gates
    waived = {waiver.gate for waiver in waivers}
    for name in stated:
        if name not in installed:
            reading.unknown("gate", name, installed, ("gates", name), key=True)
    names = sorted(({*defaults_v1.TIERS[reading.tier].gates, *stated}) & set(installed))
    return tuple(
        GatePlan(name=name, parameters=_parameters(name, stated.get(name, {}), waived, reading)) for name in names
    )


def _parameters(name: str, stated: Mapping[str, Any] | str, waived: set[str], reading: Reading) -> dict[str, Any]:
    defaults = reading.catalogue.gates[name]
    if isinstance(stated, str):
        if name not in waived:
            hint = f"waivers: [{{gate: {name}, by: …, why: …, until: 2026-12-31}}]"
            reading.note(("gates", name), f"the gate '{name}' is not switched off without a waiver", hint)
        stated = {}
    found = dict(defaults)
    for key, value in stated.items():
        if key not in defaults:
            hint = nearest(key, defaults) or f"known: {', '.join(sorted(defaults)) or 'none'}"
            reading.note(("gates", name, key), f"the gate '{name}' has no parameter '{key[:60]}'", hint, key=True)
            continue
        try:
            found[key] = _value(key, value, defaults[key])
        except ValueError as error:
            reading.note(("gates", name, key), f"{name}.{key}: {error}")
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
