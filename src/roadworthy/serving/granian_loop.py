"""Granian under our own roof: its RSGI server on a socket that another process holds.

Granian's own multi-process server gives each worker a listener of its own (SO_REUSEPORT), so that a killed worker takes
its waiting connections with it, and it ends when a worker dies twice in 5.5 s. Here the parent holds one listening
socket for all workers: connections wait in its backlog while a worker starts again.
"""

# pyright: reportMissingModuleSource=false, reportPrivateUsage=false
from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from granian import _futures, _granian
from granian.http import HTTP1Settings, HTTP2Settings

BLOCKING_IDLE_S: Final = 30
BACKPRESSURE: Final = 4096
BACKLOG: Final = 4096


def drive(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, on uvloop where it is installed."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        new_event_loop = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


async def granian_serve(app: Callable[[Any, Any], Awaitable[None]], listener: socket.socket) -> None:
    """Accept on a listening socket until SIGTERM or SIGINT; requests in flight are finished."""
    loop = asyncio.get_running_loop()
    native: Any = _granian
    futures: Any = _futures
    stop = native.WorkerSignal()
    ended = loop.create_future()

    def finish() -> None:
        if not ended.done():
            ended.set_result(None)

    stop.add_cb(lambda: loop.call_soon_threadsafe(finish))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    holder = native.SocketHolder(os.dup(listener.fileno()), False, BACKLOG)
    worker = native.RSGIWorker(
        1, (None, holder), None, 1, 512, 1, BLOCKING_IDLE_S, BACKPRESSURE, "1", HTTP1Settings(), HTTP2Settings(),
        False, None, False, None, None, None, "tls1.3", None, [], False, (None, None),
    )  # fmt: skip
    scheduler = futures._new_cbscheduler(loop, futures._future_watcher_wrapper(app), impl_asyncio=True)  # noqa: SLF001 (see above)
    worker.serve_async(scheduler, loop, stop)
    await ended
