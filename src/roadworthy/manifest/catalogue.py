"""What a manifest may name: the plug-ins that are installed, handed in by wiring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from roadworthy.domain.failure_plan import ActionKind
from roadworthy.manifest import defaults_v1


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Names of the installed plug-ins, and per gate its parameters with their defaults.

    A parameter's default decides its type. Gates that the frozen defaults know keep those values.
    """

    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, "Mapping[str, Any]"])
    monitors: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()
    runtimes: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        *,
        gates: Mapping[str, Mapping[str, Any]] | Iterable[str],
        monitors: Iterable[str],
        actions: Iterable[str],
        runtimes: Iterable[str],
    ) -> Catalogue:
        """Build a catalogue from names; gates may come with the parameters they take."""
        own: dict[str, Mapping[str, Any]] = {name: {} for name in gates}
        if isinstance(gates, Mapping):
            own |= cast("Mapping[str, Mapping[str, Any]]", gates)
        return cls(
            gates={name: {**defaults_v1.GATE_PARAMETERS.get(name, {}), **own[name]} for name in own},
            monitors=frozenset(monitors),
            actions=frozenset(actions),
            runtimes=frozenset(runtimes),
        )


BUILT_IN = Catalogue.of(
    gates=defaults_v1.GATE_PARAMETERS,
    monitors=defaults_v1.MONITORS,
    actions=(ActionKind.FALLBACK, ActionKind.ROLLBACK, ActionKind.STOP, ActionKind.PAGE),
    runtimes=("onnx", "sklearn", "sql"),
)
