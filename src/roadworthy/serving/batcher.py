"""Micro-batches without a timer: what arrived while the last batch ran goes together.

A fast model runs on the loop: `submit` schedules one flush behind everything that is ready, so requests that came in
together share a call and a lone request waits for nothing. A slow or native model runs away from the loop (a thread or
a child process); meanwhile the next batch gathers, and a timer a request holds the deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from roadworthy.serving.compiled import Compiled, Row
from roadworthy.serving.outputs import Answer, OutputShape

Outputs: TypeAlias = Mapping[str, Any]
SLOW_S: Final = 0.002
MAX_BATCH_ROWS: Final = 512
_STRIKES: Final = 3
_BLOCKING_S: Final = 0.1
_TIMED_EVERY: Final = 8  # asking for a thread's CPU time is a system call


class DeadlineMissed(Exception):
    """The model did not answer in time; it may still be running."""


class Runner(Protocol):
    """How a loaded release is called. `here` runs on the loop; None means only `away` may be used."""

    @property
    def here(self) -> Callable[[Mapping[str, Any]], Outputs] | None:
        """Return the call that may run on the loop."""
        ...

    def away(self, columns: Mapping[str, Any]) -> Awaitable[Outputs]:
        """Run off the loop."""
        ...

    def overdue(self) -> None:
        """Hear that a deadline passed while a call was away; a stuck child is killed."""
        ...

    async def close(self) -> None:
        """Let go of the model."""
        ...


class Waiting:
    """The rows of one request and the future that gets their answers."""

    __slots__ = ("future", "rows", "timer")

    def __init__(self, rows: list[Row], future: asyncio.Future[list[Answer]]) -> None:
        self.rows = rows
        self.future = future
        self.timer: asyncio.TimerHandle | None = None


class Batcher:
    """Gathers requests to one release. Not thread-safe: lives on one loop.

    With `gather_s` it waits that long for company before a flush, which shadows do and answers never.
    """

    def __init__(
        self,
        compiled: Compiled,
        shape: OutputShape,
        runner: Runner,
        loop: asyncio.AbstractEventLoop,
        gather_s: float = 0.0,
    ) -> None:
        self._columns = compiled.columns
        self._read = shape.rows
        self._runner = runner
        self._loop = loop
        self._here = runner.here
        self._gather_s = gather_s
        self._waiting: list[Waiting] = []
        self._scheduled = False
        self._running: asyncio.Task[None] | None = None
        self._strikes = 0
        self._runs = 0

    def submit(self, rows: list[Row], deadline_s: float) -> asyncio.Future[list[Answer]]:
        """Ask for answers to rows. The future raises what the model raised, or DeadlineMissed."""
        waiting = Waiting(rows, self._loop.create_future())
        self._waiting.append(waiting)
        if self._here is None:
            waiting.timer = self._loop.call_later(deadline_s, self._expire, waiting)
        if not self._scheduled and self._running is None:
            self._scheduled = True
            if self._gather_s:
                self._loop.call_later(self._gather_s, self._flush)
            else:
                self._loop.call_soon(self._flush)
        return waiting.future

    @property
    def is_idle(self) -> bool:
        """Claim that nobody waits for an answer of this release."""
        return not self._waiting and self._running is None

    def _flush(self) -> None:
        self._scheduled = False
        batch = self._take()
        if not batch:
            return
        if self._here is None:
            self._running = self._loop.create_task(self._run_away(batch))
        else:
            self._run_here(batch, self._here)

    def _take(self) -> list[Waiting]:
        """Take what waits, up to a batch's rows; the rest is flushed next."""
        batch, self._waiting = self._waiting, []
        if self._here is None:
            batch = [waiting for waiting in batch if not waiting.future.done()]
        rows = 0
        for at, waiting in enumerate(batch):
            rows += len(waiting.rows)
            if rows > MAX_BATCH_ROWS and at:
                batch, self._waiting = batch[:at], batch[at:]
                self._scheduled = True
                self._loop.call_soon(self._flush)
                break
        return batch

    def _run_here(self, batch: list[Waiting], call: Callable[[Mapping[str, Any]], Outputs]) -> None:
        self._runs += 1
        is_timed = not self._runs % _TIMED_EVERY
        spent = time.thread_time() if is_timed else 0.0
        started = time.perf_counter()
        try:
            rows = batch[0].rows if len(batch) == 1 else [row for waiting in batch for row in waiting.rows]
            answers = self._read(call(self._columns(rows)), len(rows))
        except Exception as error:  # noqa: BLE001 (whatever a model raises is a failed attempt)
            self._fail_here(batch, call, error)
            return
        took = time.perf_counter() - started
        if is_timed or took > _BLOCKING_S:
            self._note_pace(time.thread_time() - spent if is_timed else 0.0, took, len(rows))
        _hand_out(batch, answers)

    def _fail_here(self, batch: list[Waiting], call: Callable[[Mapping[str, Any]], Outputs], error: Exception) -> None:
        """Run a failed batch again one by one, so that a row only fails its own request."""
        if len(batch) == 1:
            if not batch[0].future.done():
                batch[0].future.set_exception(error)
            return
        for waiting in batch:
            self._run_here([waiting], call)

    def _note_pace(self, spent_s: float, took_s: float, rows: int) -> None:
        """Move a model off the loop when small batches keep taking long: it would hold up everybody.

        Judged by the thread's CPU time, which a busy machine does not lengthen; waiting counts only when it is long.
        """
        if (spent_s < SLOW_S and took_s < _BLOCKING_S) or rows > 8:  # noqa: PLR2004 (a large batch may take its time)
            self._strikes = 0
            return
        self._strikes += 1
        if self._strikes >= _STRIKES:
            self._here = None

    async def _run_away(self, batch: list[Waiting]) -> None:
        rows = [row for waiting in batch for row in waiting.rows]
        try:
            answers = self._read(await self._runner.away(self._columns(rows)), len(rows))
        except Exception as error:  # noqa: BLE001 (whatever a model raises is a failed attempt)
            await self._fail_away(batch, error)
        else:
            _hand_out(batch, answers)
        self._running = None
        if self._waiting and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    async def _fail_away(self, batch: list[Waiting], error: Exception) -> None:
        alive = [waiting for waiting in batch if not waiting.future.done()]
        if len(batch) == 1 or not self._may_retry(error):
            for waiting in alive:
                _end(waiting, error)
            return
        for waiting in alive:
            try:
                outputs = await self._runner.away(self._columns(waiting.rows))
                _hand_out([waiting], self._read(outputs, len(waiting.rows)))
            except Exception as again:  # noqa: BLE001
                _end(waiting, again)

    def _may_retry(self, error: Exception) -> bool:
        """A model that raised may be asked again row by row; one that crashed or hangs may not."""
        return not isinstance(error, ConnectionError | TimeoutError)

    def _expire(self, waiting: Waiting) -> None:
        if not waiting.future.done():
            waiting.future.set_exception(DeadlineMissed)
            self._runner.overdue()


def _end(waiting: Waiting, error: Exception) -> None:
    if waiting.timer is not None:
        waiting.timer.cancel()
    if not waiting.future.done():
        waiting.future.set_exception(error)


def _hand_out(batch: list[Waiting], answers: list[Answer]) -> None:
    at = 0
    for waiting in batch:
        end = at + len(waiting.rows)
        if waiting.timer is not None:
            waiting.timer.cancel()
        if not waiting.future.done():
            waiting.future.set_result(answers[at:end])
        at = end
