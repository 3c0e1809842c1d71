"""The routing table of a worker: a snapshot made ready. Immutable; swapped by one assignment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from roadworthy.domain.digest import Digest
from roadworthy.domain.interface import Interface
from roadworthy.domain.route import Route
from roadworthy.domain.snapshot import ServedRelease, ServedSystem
from roadworthy.domain.system import NonGoal, ServePlan
from roadworthy.runtimes.breaker import Breaker
from roadworthy.serving.admit import Gate, KeyRing
from roadworthy.serving.batcher import Batcher, Runner
from roadworthy.serving.compiled import Compiled
from roadworthy.serving.compiling import compiled, interface_id
from roadworthy.serving.meter import Meter
from roadworthy.serving.outputs import OutputShape

if TYPE_CHECKING:
    from roadworthy.serving.gateway.place import ChatPlace

SHADOW_GATHER_S: Final = 0.05
"""Shadows wait for company: a call in another thread costs the serving thread more than the model does."""


class Ready:
    """A release loaded in this worker: its batchers (answers, and shadows apart), its breaker, its interface."""

    def __init__(self, release: ServedRelease, runner: Runner, plan: ServePlan) -> None:
        loop = asyncio.get_running_loop()
        interface = release.candidate.interface
        self.id = release.id
        self.name = release.name
        self.interface = interface
        self.interface_id = interface_id(interface)
        self.is_baseline = release.candidate.is_baseline
        self.runner = runner
        self.compiled = compiled(interface, plan)
        self.shape = OutputShape(interface)
        self.batcher = Batcher(self.compiled, self.shape, runner, loop)
        self.shadows = Batcher(self.compiled, self.shape, Away(runner), loop, SHADOW_GATHER_S)
        self.breaker = Breaker(errors=1.0, window=1, cool_down_s=1.0)
        self.in_flight = 0
        self.retuned(plan)

    def retuned(self, plan: ServePlan) -> Ready:
        """Take over another policy's breaker; what it has seen stays."""
        self.breaker.tune(
            errors=plan.breaker_errors, window=plan.breaker_window, cool_down_s=plan.breaker_cool_down / 1e6
        )
        return self

    @property
    def is_idle(self) -> bool:
        """Claim that nobody waits for this release."""
        return not self.in_flight and self.batcher.is_idle and self.shadows.is_idle


class Away:
    """A runner that never uses the loop: what shadows run on."""

    here = None

    def __init__(self, runner: Runner) -> None:
        self.away = runner.away
        self.overdue = runner.overdue

    async def close(self) -> None:
        """Leave the model to its owner."""


@dataclass(slots=True, eq=False)
class Place:
    """One system in one environment, ready to answer."""

    served: ServedSystem
    route: Route
    ready: Mapping[Digest, Ready]
    champion: Ready | None
    only_arm: Ready | None
    only_role: str
    fallback: tuple[Ready, ...]
    shadow: Ready | None
    compiled: Compiled
    shape: OutputShape
    interface: Interface
    interface_id: Digest
    meter: Meter
    forbidden: Mapping[str, NonGoal]
    deadline_s: float
    decoders: Mapping[Digest, Compiled]
    gate: Gate

    @property
    def name(self) -> str:
        """Return the system's name."""
        return self.served.name


@dataclass(slots=True, eq=False)
class Table:
    """Everything a worker answers from, by (system, environment): `places` of kind model, `chats` of kind llm."""

    version: int
    places: Mapping[tuple[str, str], Place]
    keys: KeyRing
    ready: Mapping[Digest, Ready]
    chats: Mapping[tuple[str, str], ChatPlace] = field(default_factory=dict[tuple[str, str], "ChatPlace"])
    unserved: frozenset[tuple[str, str]] = frozenset()


def place_of(served: ServedSystem, ready: Mapping[Digest, Ready], meter: Meter, gate: Gate) -> Place | None:
    """Make a system ready from the releases that could be loaded; None when not one of them could."""
    route = served.route
    named = {release: ready[release] for release in route.releases if release in ready}
    champion = named.get(route.champion)
    first = champion or next(iter(named.values()), None)
    if first is None:
        return None
    active = [arm for arm in route.arms if arm.share > 0]
    sole = named.get(active[0].release) if len(active) == 1 else None
    return Place(
        served=served,
        route=route,
        ready=named,
        champion=champion,
        only_arm=sole,
        only_role=active[0].role.value,
        fallback=tuple(named[release] for release in _chain(route, served.serve, named)),
        shadow=named.get(route.shadow.release) if route.shadow else None,
        compiled=compiled(first.interface, served.serve),
        shape=first.shape,
        interface=first.interface,
        interface_id=first.interface_id,
        meter=meter,
        forbidden={goal.purpose: goal for goal in served.non_goals if goal.purpose},
        deadline_s=served.serve.deadline_ms / 1e3,
        decoders={release: compiled(one.interface, served.serve) for release, one in named.items()},
        gate=gate,
    )


def _chain(route: Route, plan: ServePlan, ready: Mapping[Digest, Ready]) -> list[Digest]:
    """Order the fallbacks as the route lists them, without the kinds that the plan leaves out."""
    return [name for name in route.fallback if name in ready and fallback_kind(ready[name]) in plan.fallback]


def fallback_kind(release: Ready) -> str:
    """Say how a fallback answer by this release is marked."""
    return "baseline" if release.is_baseline else "previous"
