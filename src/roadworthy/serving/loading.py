"""From a snapshot to a table: load and warm what is new off the loop, keep what is loaded, name what cannot be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from roadworthy import plugins
from roadworthy.domain.digest import Digest
from roadworthy.domain.interface import Field, FieldType, Interface, Scalar
from roadworthy.domain.snapshot import ServedRelease, ServedSystem, Snapshot
from roadworthy.domain.system import Kind, ServePlan
from roadworthy.errors import PluginError, RoadworthyError
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.runtime import Predictor
from roadworthy.runtimes.columns import gather
from roadworthy.serving.admit import Gate, KeyRing
from roadworthy.serving.batcher import SLOW_S, Runner
from roadworthy.serving.meter import Counters, Meter
from roadworthy.serving.native_process import NativeProcess
from roadworthy.serving.runners import ThreadRunner, pace_of
from roadworthy.serving.table import Place, Ready, Table, place_of

if TYPE_CHECKING:
    from roadworthy.serving.gateway.place import ChatLoader, ChatPlace, ChatReady

_log: Final = logging.getLogger("roadworthy.serving")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A table and the releases that are not in it, with why; `retired` were in the last one and are no longer."""

    table: Table
    refused: tuple[tuple[Digest, str], ...]
    retired: tuple[Ready, ...]


class Loader:
    """Loads releases through the runtimes. Keeps counting and load-shedding state across tables."""

    def __init__(
        self,
        artifacts: Artifacts,
        artifacts_folder: Path,
        counters: Counters,
        open_chats: Callable[[], ChatLoader] | None = None,
    ) -> None:
        self._artifacts = artifacts
        self._folder = artifacts_folder
        self._counters = counters
        self._open_chats = open_chats
        self._chats: ChatLoader | None = None
        self._chat_ready: dict[Digest, ChatReady] = {}
        self._meters: dict[tuple[str, str], Meter] = {}
        self._gates: dict[tuple[str, str], Gate] = {}

    async def load(self, snapshot: Snapshot, old: Table | None) -> Loaded:
        """Make a snapshot ready. A system whose new arms cannot be loaded goes on as it was, if it was served."""
        kept: Mapping[Digest, Ready] = old.ready if old else {}
        ready: dict[Digest, Ready] = {}
        refused: dict[Digest, str] = {}
        for system in snapshot.systems:
            if system.kind == Kind.LLM:
                continue
            for release_id in system.route.releases:
                if release_id in ready or release_id in refused:
                    continue
                if release_id in kept:
                    ready[release_id] = kept[release_id].retuned(system.serve)
                    continue
                try:
                    ready[release_id] = await self._release(_named(system, release_id), system.serve)
                except RoadworthyError as error:
                    refused[release_id] = error.message
                    _log.warning("release %s is refused: %s", release_id, error.message)
        chats = await self._chat_places(snapshot, refused, old)
        places, unserved = self._places(snapshot, ready, refused, old)
        lost = {(one.name, one.environment) for one in snapshot.systems if one.kind == Kind.LLM} - set(chats)
        used = {one.id: one for place in places.values() for one in place.ready.values()}
        table = Table(snapshot.version, places, KeyRing(snapshot.keys), used, chats, unserved | lost)
        retired = tuple(one for name, one in kept.items() if name not in used)
        return Loaded(table, tuple(refused.items()), retired)

    def _places(
        self, snapshot: Snapshot, ready: Mapping[Digest, Ready], refused: Mapping[Digest, str], old: Table | None
    ) -> tuple[dict[tuple[str, str], Place], frozenset[tuple[str, str]]]:
        places: dict[tuple[str, str], Place] = {}
        unserved: set[tuple[str, str]] = set()
        for system in snapshot.systems:
            if system.kind == Kind.LLM:
                continue
            where = (system.name, system.environment)
            before = old.places.get(where) if old else None
            arms_refused = any(arm.release in refused for arm in system.route.arms if arm.share > 0)
            if before is not None and arms_refused and not system.route.stopped:
                places[where] = before
                continue
            place = place_of(system, ready, self._meter(*where), self._gates.setdefault(where, Gate()))
            if place is None:
                unserved.add(where)
            else:
                places[where] = place
        return places, frozenset(unserved)

    async def _chat_places(
        self, snapshot: Snapshot, refused: dict[Digest, str], old: Table | None
    ) -> dict[tuple[str, str], ChatPlace]:
        """Make the systems of kind llm ready; nothing of theirs is imported where there is none."""
        systems = [one for one in snapshot.systems if one.kind == Kind.LLM]
        if not systems and self._chats is None:
            return {}
        if self._open_chats is None:
            raise PluginError("this worker serves no systems of kind llm")
        self._chats = self._chats or self._open_chats()
        places: dict[tuple[str, str], ChatPlace] = {}
        ready: dict[Digest, ChatReady] = {}
        for system in systems:
            where = (system.name, system.environment)
            for release_id in system.route.releases:
                try:
                    known = self._chat_ready.get(release_id)
                    ready[release_id] = await self._chats.release(_named(system, release_id), system, known)
                except RoadworthyError as error:
                    refused[release_id] = error.message
                    _log.warning("release %s is refused: %s", release_id, error.message)
            before = old.chats.get(where) if old else None
            if before is not None and any(arm.release in refused for arm in system.route.arms if arm.share > 0):
                places[where] = before
                continue
            place = self._chats.place(system, ready, self._meter(*where), self._gates.setdefault(where, Gate()))
            if place is not None:
                places[where] = place
        self._chat_ready = {one.id: one for place in places.values() for one in place.ready.values()}
        await self._chats.prune(self._chat_ready.values())
        return places

    def tend(self) -> None:
        """Look after what systems of kind llm spend."""
        if self._chats is not None:
            self._chats.tend()

    async def close(self) -> None:
        """End what belongs to no single release."""
        if self._chats is not None:
            await self._chats.close()

    def _meter(self, system: str, environment: str) -> Meter:
        where = (system, environment)
        meter = self._meters.get(where)
        if meter is None:
            meter = self._meters[where] = Meter(self._counters, system, environment)
        return meter

    async def _release(self, release: ServedRelease, plan: ServePlan) -> Ready:
        """Load one release.

        Raises:
            RoadworthyError: it cannot be loaded; the message says why.
        """
        runtime = plugins.load("runtimes", release.candidate.runtime)
        runner: Runner
        if runtime.native:
            runner = NativeProcess(release.candidate, self._folder)
            await runner.start()
        else:
            runner = await asyncio.to_thread(self._in_process, runtime, release)
        return Ready(release, runner, plan)

    def _in_process(self, runtime: Any, release: ServedRelease) -> Runner:
        try:
            predictor: Predictor = runtime.load(release.candidate, self._artifacts)
            seconds = pace_of(predictor, invented(release.candidate.interface))
        except RoadworthyError:
            raise
        except Exception as error:
            _log.exception("release %s cannot be loaded", release.name)
            raise PluginError(f"{release.name} cannot be loaded ({type(error).__name__})") from error
        return ThreadRunner(predictor, release.name, is_fast=seconds < SLOW_S)


def _named(system: ServedSystem, release_id: Digest) -> ServedRelease:
    try:
        return system.release(release_id)
    except KeyError:
        raise PluginError(f"the snapshot routes {release_id} but does not describe it") from None


def invented(interface: Interface) -> Mapping[str, Any]:
    """Make up columns of one legal row, to measure a model's pace with."""
    return gather([{field.name: _legal(field) for field in interface.features}], interface.features)


def _legal(field: Field) -> Scalar:
    if field.type is FieldType.STRING:
        return field.categories[0] if field.categories else "x"
    if field.type is FieldType.BOOLEAN:
        return True
    low = field.minimum if field.minimum is not None else 0.0
    return low if field.type is FieldType.NUMBER else int(low)
