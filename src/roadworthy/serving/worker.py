"""One worker process: `python -m roadworthy.serving.worker --home H --fd N --number K …`, started by `serve.py`.

It accepts on the socket that its parent holds, follows the snapshot, and never opens the metadata database. Threads of
numeric libraries are pinned by the parent through the environment, before numpy is imported here.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from roadworthy.domain.record import Flag
from roadworthy.domain.snapshot import Acknowledgement
from roadworthy.errors import RoadworthyError
from roadworthy.ports.clock import Clock
from roadworthy.ports.snapshots import Snapshots
from roadworthy.runtimes.parent import end_with_parent
from roadworthy.serving.admit import Parts
from roadworthy.serving.answer import Answerer
from roadworthy.serving.app import App
from roadworthy.serving.faults import DISK_FULL, DrilledLog, FaultFolder
from roadworthy.serving.granian_loop import drive, granian_serve
from roadworthy.serving.loading import Loader
from roadworthy.serving.table import Ready
from roadworthy.settings import from_environment
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.clock import clock_of
from roadworthy.stores.crash_points import arm
from roadworthy.stores.home import read_home, secret_of
from roadworthy.stores.presence import WorkerPresence
from roadworthy.stores.records.books import totals
from roadworthy.stores.records.counters import ANSWERS, UNRECORDED, Counters, counters_file
from roadworthy.stores.records.ids import new_record_id
from roadworthy.stores.records.log import open_log
from roadworthy.stores.snapshots import FileSnapshots

if TYPE_CHECKING:
    from roadworthy.serving.gateway.place import ChatLoader

POLL_S: Final = 0.1
RETIRE_AFTER_S: Final = 2.0
FIRST_LOOK_S: Final = 30.0
_NEW_OBJECTS: Final = 10_000
_log: Final = logging.getLogger("roadworthy.serving")


class Worker:
    """Keeps an App's table in step with the snapshot."""

    def __init__(
        self,
        *,
        name: str,
        snapshots: Snapshots,
        loader: Loader,
        app: App,
        log: DrilledLog,
        faults: FaultFolder,
        clock: Clock,
    ) -> None:
        self.app = app
        self._name = name
        self._snapshots = snapshots
        self._loader = loader
        self._log = log
        self._faults = faults
        self._clock = clock
        self._seen = -1
        self._retiring: list[tuple[float, Ready]] = []
        self._following: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()

    def start(self) -> None:
        """Follow the snapshot from now on, beginning at once."""
        self._following = asyncio.get_running_loop().create_task(self._follow())

    async def looked(self) -> None:
        """Wait until the first look is over, well or not, or has taken half a minute.

        Who accepts before that would refuse callers whom another worker, or this one a moment later, answers: their
        connections wait in the backlog instead.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self._looked.wait(), FIRST_LOOK_S)

    async def stop(self) -> None:
        """Stop following, end every model, seal the log."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        table = self.app.table
        for ready in [*(table.ready.values() if table else ()), *(one for _, one in self._retiring)]:
            await ready.runner.close()
        await self._loader.close()
        self._log.close()

    async def _follow(self) -> None:
        while True:
            try:
                await self.step()
            except RoadworthyError as error:
                self.app.why_not_ready = error.message
                _log.warning("the snapshot cannot be followed: %s", error.message)
            except Exception:  # noqa: BLE001 (whatever is wrong with a snapshot, the last one goes on serving)
                _log.exception("the snapshot cannot be followed")
            self._looked.set()
            await asyncio.sleep(POLL_S)

    async def step(self) -> None:
        """Look once: faults, the snapshot's version, releases that may go."""
        in_force = self._faults.in_force()
        self._log.full_for = frozenset(
            (name, fault.environment) for name, some in in_force.items() for fault in some if fault.fault == DISK_FULL
        )
        self.app.answerer.faults = in_force
        version = self._snapshots.version()
        if version != self._seen:
            await self._swap(version)
        await self._retire()
        self._loader.tend()

    async def _swap(self, version: int) -> None:
        snapshot = await asyncio.to_thread(self._snapshots.read)
        if snapshot is None:
            self._seen = version
            return
        old = self.app.table
        if old is not None and snapshot.version <= old.version:
            self._seen = version
            return
        if old is None:
            self.app.why_not_ready = "the releases are being loaded"
        loaded = await self._loader.load(snapshot, old)
        self.app.table = loaded.table
        self._seen = min(version, snapshot.version) if snapshot.version < version else snapshot.version
        now = time.monotonic()
        self._retiring += [(now + RETIRE_AFTER_S, one) for one in loaded.retired]
        await asyncio.to_thread(
            self._snapshots.acknowledge,
            Acknowledgement(
                worker=self._name,
                pid=os.getpid(),
                version=snapshot.version,
                at=self._clock.now(),
                refused=loaded.refused,
            ),
        )

    async def _retire(self) -> None:
        """End releases that no route names any more, once nobody waits for them."""
        now = time.monotonic()
        table = self.app.table
        stay: list[tuple[float, Ready]] = []
        for when, one in self._retiring:
            if table is not None and table.ready.get(one.id) is one:
                continue
            if now < when or not one.is_idle:
                stay.append((when, one))
            else:
                await one.runner.close()
        self._retiring = stay


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a worker is started: where the home is, which worker this is, which environment it answers by default."""

    home: Path
    number: int = 0
    environment: str = "live"


class Opened:
    """A worker with what must be let go of when it ends."""

    def __init__(self, worker: Worker, presence: WorkerPresence) -> None:
        self.worker = worker
        self.app = worker.app
        self._presence = presence

    async def close(self) -> None:
        """Stop following, end models, seal the log, then leave."""
        await self.worker.stop()
        self._presence.close()


def open_worker(start: Start) -> Opened:
    """Pick the adapters of a worker and join them; the one place in serving that names them. Needs a running loop.

    Raises:
        RoadworthyError: there is no home, another worker runs under this number, the disk is full or read-only.
    """
    home = read_home(start.home)
    name = f"w{start.number}"
    presence = WorkerPresence(home.workers, name)
    counters = Counters.open(counters_file(home.counters, name), wait_s=5.0)

    def count_loss() -> None:
        counters.add(ANSWERS)
        counters.add(UNRECORDED)

    log = DrilledLog(open_log(home.records, name, counters), count_loss)
    clock = clock_of(home)
    answerer = Answerer(log, clock, partial(new_record_id, start.number), secret_of(home))
    answerer.extra_flags = int(Flag.REPLAY) if home.is_replay else 0
    unauthenticated = counters.slot("unauthenticated")
    parts = Parts(
        log=log,
        now=clock.now,
        read_counters=lambda: totals(home.counters),
        count_stranger=lambda: counters.add(unauthenticated),
    )
    app, artifacts = App(answerer, parts, start.environment), FileArtifacts(home.artifacts)

    def open_chats() -> ChatLoader:
        # Imported for the first system of kind llm: its extras need not be installed where there is none.
        from roadworthy.serving.gateway.opening import open_gateway

        new_id = partial(new_record_id, start.number)
        return open_gateway(app, home, artifacts, log, new_id, answerer.extra_flags, worker=name, now=clock.now)

    worker = Worker(
        name=name,
        snapshots=FileSnapshots(home.snapshot, home.workers),
        loader=Loader(artifacts, home.artifacts, counters, open_chats),
        app=app,
        log=log,
        faults=FaultFolder(home.root, _wall),
        clock=clock,
    )
    return Opened(worker, presence)


def _spare_the_collector() -> None:
    """Keep the garbage collector from looking through all that was loaded, and from looking at every few requests.

    What a request makes goes with its last reference; the collector is left for the cycles of exceptions and tasks.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)


def _wall() -> int:
    return time.time_ns() // 1_000


async def run(start: Start, listener: socket.socket) -> None:
    """Serve on a socket that is already listening until SIGTERM or SIGINT, then finish what is in flight."""
    opened = open_worker(start)
    opened.worker.start()
    try:
        await opened.worker.looked()
        _spare_the_collector()
        await granian_serve(opened.app, listener)
    finally:
        await opened.close()


def main() -> None:
    """Run one worker as its parent's arguments say."""
    parser = argparse.ArgumentParser(prog="roadworthy-worker", allow_abbrev=False)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--environment", default="live")
    parser.add_argument("--parent", type=int, default=0)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    end_with_parent(given.parent)
    arm(from_environment().crash_at)
    start = Start(home=given.home, number=given.number, environment=given.environment)
    try:
        with socket.socket(fileno=given.fd) as listener:
            drive(run(start, listener))
    except RoadworthyError as error:
        raise SystemExit(f"worker {given.number}: {error}") from None


if __name__ == "__main__":
    main()
