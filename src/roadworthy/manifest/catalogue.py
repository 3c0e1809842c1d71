"""What a manifest may name: the plug-ins that are installed, handed in by wiring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from roadworthy.domain.failure_plan import ActionKind
from roadworthy.domain.pin import Pin, Price
from roadworthy.manifest import defaults_llm_v1, defaults_v1

GATE_PARAMETERS: Final = {**defaults_v1.GATE_PARAMETERS, **defaults_llm_v1.GATE_PARAMETERS}
"""The parameters of every built-in gate with their frozen defaults."""


def _unknown_price(_pin: Pin) -> Price | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Names of the installed plug-ins, and per gate and guard its parameters with their defaults.

    A parameter's default decides its type. Gates that the frozen defaults know keep those values. `price_of` knows
    what a pin costs that states no price, or None.
    """

    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, "Mapping[str, Any]"])
    monitors: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()
    runtimes: frozenset[str] = frozenset()
    guards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, "Mapping[str, Any]"])
    price_of: Callable[[Pin], Price | None] = _unknown_price

    @classmethod
    def of(
        cls,
        *,
        gates: Mapping[str, Mapping[str, Any]] | Iterable[str],
        monitors: Iterable[str],
        actions: Iterable[str],
        runtimes: Iterable[str],
        guards: Mapping[str, Mapping[str, Any]] | None = None,
        price_of: Callable[[Pin], Price | None] = _unknown_price,
    ) -> Catalogue:
        """Build a catalogue from names; gates may come with the parameters they take."""
        own: dict[str, Mapping[str, Any]] = {name: {} for name in gates}
        if isinstance(gates, Mapping):
            own |= cast("Mapping[str, Mapping[str, Any]]", gates)
        return cls(
            gates={name: {**GATE_PARAMETERS.get(name, {}), **own[name]} for name in own},
            monitors=frozenset(monitors),
            actions=frozenset(actions),
            runtimes=frozenset(runtimes),
            guards=guards or {},
            price_of=price_of,
        )


BUILT_IN = Catalogue.of(
    gates=GATE_PARAMETERS,
    monitors=(*defaults_v1.MONITORS, *defaults_llm_v1.MONITORS),
    actions=(ActionKind.FALLBACK, ActionKind.ROLLBACK, ActionKind.STOP, ActionKind.PAGE),
    runtimes=("llm", "onnx", "sklearn", "sql"),
    guards=defaults_llm_v1.GUARD_PARAMETERS,
)
