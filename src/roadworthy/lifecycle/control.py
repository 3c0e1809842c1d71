"""The control process's work: look four times a second while it leads; deliver pages, compact records, pay beside.

A thread each, so that a pager that does not answer or a long compaction never delays a rollback. Each survives any
error: it is written down, and the next look tries again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from roadworthy.domain.moment import Micros
from roadworthy.errors import RoadworthyError
from roadworthy.lifecycle.budgets import Paymaster
from roadworthy.lifecycle.page import Send, deliver, sender
from roadworthy.lifecycle.provider_books import books_of
from roadworthy.lifecycle.reconcile import ProgressOf, reconcile
from roadworthy.lifecycle.respond import Command
from roadworthy.lifecycle.settle import Ask, Patience, Settler
from roadworthy.lifecycle.watch_pins import PinWatcher
from roadworthy.ports.leases import LEADER
from roadworthy.ports.plane import Plane

LOOK_EVERY_S: Final = 0.25
DELIVER_EVERY_S: Final = 0.25
COMPACT_EVERY_S: Final = 5.0
SCORE_EVERY_S: Final = 5.0
WATCH_PINS_EVERY_S: Final = 0.5
PAY_EVERY_S: Final = 0.05
SETTLE_EVERY_S: Final = 0.5
LEASE_S: Final = 4.0
_RENEW_AFTER_S: Final = 1.0
_log: Final = logging.getLogger("roadworthy.control")

Observe = Callable[[Micros, Micros], int]
"""Folds what is new in the record log; takes the home's time and the wall's, returns the frames folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the control process is: whether it leads, when it looked last, what it could not do."""

    leads: bool = False
    epoch: int = 0
    looks: int = 0
    looked_at: Micros = 0
    last_look_ms: float = 0.0
    problems: tuple[str, ...] = ()


class Control:
    """Leads a home while it holds the lease; a second one waits until the lease is free."""

    def __init__(
        self,
        plane: Plane,
        observe: Observe,
        progress: ProgressOf,
        *,
        url: str = "",
        send: Send | None = None,
        ask: Ask | None = None,
        patience: Patience | None = None,
        score: Callable[[], int] | None = None,
        watcher: PinWatcher | None = None,
        wall: Callable[[], Micros] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self.health = Health()
        self._plane = plane
        self._observe = observe
        self._progress = progress
        self._url = url
        self._send = send or sender(plane)
        self._paymaster = Paymaster(plane)
        self._settler = Settler(plane, self._paymaster, ask or books_of(plane.home.root.parent), patience=patience)
        self._score = score
        self._watcher = watcher or PinWatcher(plane, wall=wall)
        self._wall = wall
        self._holder = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._epoch: int | None = None
        self._renewed_at = 0.0

    def look(self) -> None:
        """Observe, then reconcile, if this process leads. One thread calls this.

        Raises:
            RoadworthyError: what could not be done; nothing is half done.
        """
        if self._lead() is None:
            self.health = replace(self.health, leads=False)
            return
        began = time.perf_counter()
        problems: list[str] = []
        try:
            self._observe(self._plane.clock.now(), self._wall())
        except RoadworthyError as error:
            # What was observed before still counts: a full disk must not keep a rollback waiting.
            problems.append(f"observe: {error.message}")
        done = reconcile(self._plane, self._progress, Command(fence=self._epoch, wall=self._wall(), url=self._url))
        problems += [f"{name}: {why}" for name, why in done.problems.items()]
        for problem in set(problems) - set(self.health.problems):
            _log.error("%s", problem)
        self.health = Health(
            leads=True,
            epoch=self._epoch or 0,
            looks=self.health.looks + 1,
            looked_at=self._wall(),
            last_look_ms=(time.perf_counter() - began) * 1_000,
            problems=tuple(problems),
        )

    def deliver(self) -> None:
        """Send the pages that are due, if this process leads."""
        if self.health.leads:
            deliver(self._plane, self._send, self._wall())

    def compact(self) -> None:
        """Turn sealed segments into Parquet, if this process leads."""
        if self.health.leads:
            self._plane.records.compact()

    def pay(self) -> None:
        """Lease money from budgets to the workers, if this process leads."""
        if self.health.leads:
            self._paymaster.pay(self._epoch)

    def settle(self) -> None:
        """Settle what dead workers left of their leases, if this process leads."""
        if self.health.leads:
            self._settler.settle(self._epoch)

    def score(self) -> None:
        """Score live answers of kind llm, if this process leads."""
        if self.health.leads and self._score is not None:
            self._score()

    def watch_pins(self) -> None:
        """Probe the pins that are due, if this process leads."""
        if self.health.leads:
            self._watcher.watch()

    def resign(self) -> None:
        """Give the lease back, so that the next process need not wait for its end."""
        if self._epoch is not None:
            self._plane.leases.release(LEADER, self._holder)
            self._epoch = None
        self._paymaster.close()

    async def run(self, ended: asyncio.Event) -> None:
        """Work until `ended` is set; then let what is under way finish and resign."""
        with ThreadPoolExecutor(max_workers=7, thread_name_prefix="control") as threads:
            jobs = (
                (self.look, LOOK_EVERY_S),
                (self.deliver, DELIVER_EVERY_S),
                (self.compact, COMPACT_EVERY_S),
                (self.score, SCORE_EVERY_S),
                (self.watch_pins, WATCH_PINS_EVERY_S),
                (self.pay, PAY_EVERY_S),
                (self.settle, SETTLE_EVERY_S),
            )
            work = (_again_and_again(threads, job, pause, ended) for job, pause in jobs)
            await asyncio.gather(*work, self._stop_asking(ended))
        self.resign()

    async def _stop_asking(self, ended: asyncio.Event) -> None:
        """A provider that takes its time must not hold up the end of this process."""
        await ended.wait()
        self._watcher.stop()

    def _lead(self) -> int | None:
        now = time.monotonic()
        if self._epoch is None or now - self._renewed_at > _RENEW_AFTER_S:
            self._epoch = self._plane.leases.acquire(LEADER, self._holder, LEASE_S)
            self._renewed_at = now
        return self._epoch


async def _again_and_again(
    threads: ThreadPoolExecutor, job: Callable[[], None], pause: float, ended: asyncio.Event
) -> None:
    loop = asyncio.get_running_loop()
    while not ended.is_set():
        began = loop.time()
        try:
            await loop.run_in_executor(threads, job)
        except RoadworthyError as error:
            _log.error("%s: %s", job.__name__, error.message)
        except Exception:  # noqa: BLE001 (written down with its traceback)
            # A fault in one look must not end the process that carries the failure plan.
            _log.exception("%s failed; the next one tries again", job.__name__)
        left = max(0.0, pause - (loop.time() - began))
        try:
            await asyncio.wait_for(ended.wait(), max(left, 0.02))
        except TimeoutError:
            continue
