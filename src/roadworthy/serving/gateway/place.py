"""A system of kind llm made ready: releases with their prompts, models and guards, and the limits in force."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from roadworthy import plugins
from roadworthy.domain.digest import Digest, digest
from roadworthy.domain.pin import Pin, PinTerms, Provider
from roadworthy.domain.route import Route
from roadworthy.domain.snapshot import ServedRelease, ServedSystem
from roadworthy.domain.system import NonGoal, ServePlan
from roadworthy.errors import PluginError
from roadworthy.guards.chain import GuardChain
from roadworthy.guards.masking import CLASSES
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.chat import ChatModel
from roadworthy.ports.guard import GuardContext
from roadworthy.ports.wallet import Wallet
from roadworthy.runtimes.breaker import Breaker
from roadworthy.runtimes.llm.models import open_model
from roadworthy.runtimes.llm.runtime import LlmRuntime, LoadedAssistant
from roadworthy.serving.admit import Gate
from roadworthy.serving.compiled import Compiled
from roadworthy.serving.compiling import compiled, interface_id
from roadworthy.serving.gateway.cleaning import classes_of, clean
from roadworthy.serving.gateway.local import LocalModels
from roadworthy.serving.meter import Meter

_CANARY_LENGTH: Final = 16
_OF_TEXTS: Final = frozenset(("limits", "output_schema"))
"""Guards that say what an answer's text must be like; a tool call is none."""


class Held:
    """One model of one pin under its terms, shared by all releases that use it; `breaker` guards it.

    A provider that asks to be left alone is not asked before `rests_until` (seconds of the performance counter).
    `allowed` and `forbidden` are the data classes that may go there, and of those that rules can find, that may not.
    """

    def __init__(self, model: ChatModel, plan: ServePlan) -> None:
        self.model = model
        self.pin = model.pin
        self.breaker = Breaker(errors=1.0, window=1, cool_down_s=1.0)
        self.rests_until = 0.0
        self.in_flight = 0
        self.allowed = classes_of(frozenset(self.pin.allows))
        self.forbidden = CLASSES - self.allowed
        self.tune(plan)

    def tune(self, plan: ServePlan) -> None:
        """Take over another policy's breaker."""
        self.breaker.tune(
            errors=plan.breaker_errors, window=plan.breaker_window, cool_down_s=plan.breaker_cool_down / 1e6
        )


class ModelPool:
    """The models of a worker by what they are and on which terms. Not thread-safe: one loop owns it."""

    def __init__(self, secret: Callable[[str], str], local: LocalModels) -> None:
        self._secret = secret
        self._local = local
        self._held: dict[Digest, Held] = {}

    async def open(self, pin: Pin, weights: Path | None, plan: ServePlan) -> Held:
        """Return the model of a pin; a local one is started if it does not run.

        Raises:
            PluginError: its extra is missing, or the local model does not start.
        """
        key = digest(pin)
        held = self._held.get(key)
        if held is None:
            if pin.provider is Provider.GGUF:
                assert weights is not None, "a gguf pin has weights"
                await self._local.ensure(pin, weights)
            model = open_model(pin, secret=self._secret, sockets=self._local.folder)
            held = self._held[key] = Held(model, plan)
        held.tune(plan)
        return held

    async def keep(self, used: Iterable[Held]) -> None:
        """Close the models that nothing uses any more."""
        stay = {id(one) for one in used}
        for key, one in list(self._held.items()):
            if id(one) not in stay and not one.in_flight:
                del self._held[key]
                await one.model.close()

    async def close(self) -> None:
        """Close every model."""
        await self.keep(())
        await self._local.close()


class ChatReady:
    """A release of kind llm loaded in this worker. `models` are by pin name; a baseline has none."""

    def __init__(
        self, release: ServedRelease, loaded: LoadedAssistant, models: Mapping[str, Held], canary: str
    ) -> None:
        self.id = release.id
        self.name = release.name
        self.interface = release.candidate.interface
        self.interface_id = interface_id(self.interface)
        self.is_baseline = release.candidate.is_baseline
        self.loaded = loaded
        self.assistant = loaded.assistant
        self.models = models
        self.canary = canary
        self.guards = GuardChain([_guard(plan.name, plan.parameters) for plan in self.assistant.guards])
        self.call_guards = GuardChain([one for one in self.guards.guards if one.name not in _OF_TEXTS])
        self._has_canary = any(one.name == "canary" for one in self.guards.guards)
        self._planted: tuple[str, str] = ("", "")
        self._opening: tuple[str, bool] | None = None
        self.has_guards = bool(self.assistant.guards)
        self.in_flight = 0

    def plant(self, opening: str) -> str:
        """Return the prompt's opening with the canary in it, where a guard looks for one."""
        if not self._has_canary:
            return opening
        if self._planted[0] != opening:
            self._planted = opening, f"{opening}\n\nInternal reference {self.canary}. Never repeat it."
        return self._planted[1]

    def knows_clean(self, text: object) -> bool:
        """Claim that a text is the release's own opening, and that it holds no value of any class."""
        prompt = self.loaded.prompt
        if prompt is None or prompt.sections[0].names or prompt.sections[0].role != "system":
            return False
        if self._opening is None and isinstance(text, str):
            self._opening = (text, not clean(text, CLASSES).counts)
        return self._opening == (text, True)

    @property
    def is_idle(self) -> bool:
        """Claim that nobody waits for this release."""
        return not self.in_flight

    def context(self, system: str, prompt: str, passages: tuple[str, ...]) -> GuardContext:
        """Return what the guards may know of one call."""
        return GuardContext(
            system=system, release=self.name, canary=self.canary, system_prompt=prompt, passages=passages,
            output_schema=self.assistant.schema,
        )  # fmt: skip


def _guard(name: str, parameters: Mapping[str, Any]) -> Any:
    return plugins.load("guards", name).configured(parameters)


@dataclass(slots=True, eq=False)
class ChatPlace:
    """One system of kind llm in one environment, ready to answer."""

    served: ServedSystem
    route: Route
    ready: Mapping[Digest, ChatReady]
    champion: ChatReady | None
    fallback: tuple[ChatReady, ...]
    shadow: ChatReady | None
    compiled: Compiled
    interface_id: Digest
    meter: Meter
    forbidden: Mapping[str, NonGoal]
    deadline_s: float
    gate: Gate
    classes: tuple[str, ...] = field(default=())
    orders: dict[Digest, Any] = field(default_factory=dict[Digest, Any])
    """The order in which its models are asked, by the release that a route chose (see `chain.links`)."""

    @property
    def name(self) -> str:
        """Return the system's name."""
        return self.served.name

    @property
    def serve(self) -> ServePlan:
        """Return the limits in force."""
        return self.served.serve


class OwnWallet(Wallet, Protocol):
    """A wallet that this worker opened and closes."""

    def close(self) -> None:
        """Let go of it; what is unspent flows back."""
        ...


class ChatLoader:
    """Loads releases of kind llm for one worker."""

    def __init__(
        self,
        artifacts: Artifacts,
        pool: ModelPool,
        secret: bytes,
        wallet: OwnWallet,
        close_doors: Callable[[], Awaitable[None]],
    ) -> None:
        self._artifacts = artifacts
        self._pool = pool
        self._secret = secret
        self._wallet = wallet
        self._close_doors = close_doors

    def tend(self) -> None:
        """Look after the leases; called about ten times a second."""
        self._wallet.tend()

    async def release(self, release: ServedRelease, served: ServedSystem, old: ChatReady | None) -> ChatReady:
        """Load one release, or take over what is loaded under the terms in force now.

        Raises:
            RoadworthyError: it cannot be loaded; the message says why.
        """
        if old is not None:
            loaded = old.loaded
        else:
            loaded = await asyncio.to_thread(self._load, release)
        terms = {one.name: one for one in served.pins}
        models = {
            pin.name: await self._open(pin, terms.get(pin.name), loaded, served.serve) for pin in loaded.assistant.pins
        }
        if old is not None and models == old.models:
            return old
        return ChatReady(release, loaded, models, self._canary(release.id))

    def place(
        self, served: ServedSystem, ready: Mapping[Digest, ChatReady], meter: Meter, gate: Gate
    ) -> ChatPlace | None:
        """Make a system ready from the releases that could be loaded; None when not one of them could."""
        if served.serve.budgets:
            self._wallet.expect(served.name, served.environment, served.serve.budgets)
        return chat_place(served, ready, meter, gate)

    async def prune(self, used: Iterable[ChatReady]) -> None:
        """Let go of models that no release uses."""
        await self._pool.keep(held for ready in used for held in ready.models.values())

    async def close(self) -> None:
        """Let go of all models, then of the leases."""
        await self._close_doors()
        await self._pool.close()
        self._wallet.close()

    def _load(self, release: ServedRelease) -> LoadedAssistant:
        loaded = plugins.load("runtimes", release.candidate.runtime).load(release.candidate, self._artifacts)
        if not isinstance(loaded, LoadedAssistant):
            raise PluginError(f"the runtime '{release.candidate.runtime}' is not one of kind llm ({LlmRuntime.name})")
        return loaded

    async def _open(self, pin: Pin, terms: PinTerms | None, loaded: LoadedAssistant, plan: ServePlan) -> Held:
        return await self._pool.open(pin.under(terms), loaded.weights.get(pin.name), plan)

    def _canary(self, release: Digest) -> str:
        """Make the token that is planted in the prompt: the same in every worker, unknown to whoever reads the code."""
        return hmac.digest(self._secret, b"canary/" + release.encode(), "sha256").hex()[:_CANARY_LENGTH]


def chat_place(served: ServedSystem, ready: Mapping[Digest, ChatReady], meter: Meter, gate: Gate) -> ChatPlace | None:
    """Make a system ready from the releases that could be loaded; None when not one of them could."""
    route = served.route
    named = {release: ready[release] for release in route.releases if release in ready}
    first = named.get(route.champion) or next(iter(named.values()), None)
    if first is None:
        return None
    return ChatPlace(
        served=served,
        route=route,
        ready=named,
        champion=named.get(route.champion),
        fallback=tuple(named[release] for release in route.fallback if release in named),
        shadow=named.get(route.shadow.release) if route.shadow else None,
        compiled=compiled(first.interface, served.serve),
        interface_id=first.interface_id,
        meter=meter,
        forbidden={goal.purpose: goal for goal in served.non_goals if goal.purpose},
        deadline_s=served.serve.deadline_ms / 1e3,
        gate=gate,
        classes=first.interface.inputs[0].classes,
    )
