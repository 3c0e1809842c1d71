"""Where a loaded release runs: on the loop while it is fast, in a thread when it is slow, in a child if native."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from roadworthy.ports.runtime import Predictor
from roadworthy.serving.batcher import SLOW_S, Outputs

_TRIES: Final = 3


class ThreadRunner:
    """Runs a predictor in this process: on the loop if `is_fast`, else (and for shadows) in its one thread.

    A call that hangs in the thread holds up later ones of the same release, which then fall back at their deadline.
    """

    def __init__(self, predictor: Predictor, name: str, *, is_fast: bool) -> None:
        self._predict = predictor.predict
        self._name = name
        self._is_fast = is_fast
        self._threads: ThreadPoolExecutor | None = None

    @property
    def here(self) -> Callable[[Mapping[str, Any]], Outputs] | None:
        """Return the call when it is fast enough for the loop."""
        return self._predict if self._is_fast else None

    def away(self, columns: Mapping[str, Any]) -> Awaitable[Outputs]:
        """Run in the thread."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"predict-{self._name}")
        return asyncio.get_running_loop().run_in_executor(self._threads, self._predict, columns)

    def overdue(self) -> None:
        """Do nothing: a thread cannot be killed; the breaker keeps callers away from it."""

    async def close(self) -> None:
        """Let the thread end after its call."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def pace_of(predictor: Predictor, columns: Mapping[str, Any]) -> float:
    """Measure the CPU seconds of a call of one row, the median of three; a model that raises says nothing of it."""
    seconds: list[float] = []
    for _ in range(_TRIES):
        started = time.thread_time()
        try:
            predictor.predict(columns)
        except Exception:  # noqa: BLE001 (an invented row may be refused; the real ones decide)
            return SLOW_S / 2
        seconds.append(time.thread_time() - started)
    return statistics.median(seconds)
