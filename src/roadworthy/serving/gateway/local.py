"""Models on this machine: one process a model file, shared by the workers of a home, spoken to over a Unix socket."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from roadworthy.domain.pin import Pin
from roadworthy.errors import PluginError
from roadworthy.runtimes.llm.gguf import folder_for_sockets, socket_of, start_adapter

START_S: Final = 60.0
_LOOK_S: Final = 0.05
_GRACE_S: Final = 3.0


@dataclass(slots=True)
class _Adapter:
    """A process that this worker started, and the lock that says so."""

    process: subprocess.Popen[bytes]
    lock: int


class LocalModels:
    """Starts the process of a model that nobody serves yet, and ends those it started. One a worker.

    Whoever starts one holds a lock while it lives, so two workers never load one model twice; it ends with that worker,
    and the next one that finds it gone starts it again. `folder` holds the sockets, and beside each a log and a lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = self._wanted = folder
        self._started: dict[Path, _Adapter] = {}

    async def ensure(self, pin: Pin, weights: Path) -> None:
        """Return once the model answers.

        Raises:
            PluginError: it does not start; says where its log is.
        """
        self.folder = folder_for_sockets(self._wanted)
        socket = socket_of(pin, self.folder)
        until = time.monotonic() + START_S
        while not await _answers(socket):
            if time.monotonic() > until:
                raise PluginError(f"the model of pin '{pin.name}' does not start", hint=f"see {socket}.log")
            self._start(socket, pin, weights)
            await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        """End what this worker started."""
        for adapter in self._started.values():
            adapter.process.terminate()
        for adapter in self._started.values():
            try:
                await asyncio.to_thread(adapter.process.wait, _GRACE_S)
            except subprocess.TimeoutExpired:
                adapter.process.kill()
            os.close(adapter.lock)
        self._started.clear()

    def _start(self, socket: Path, pin: Pin, weights: Path) -> None:
        """Start the process, unless one lives or another worker is at it.

        Raises:
            PluginError: it ended at once; says its last words.
        """
        known = self._started.get(socket)
        if known is not None:
            if known.process.poll() is None:
                return
            os.close(known.lock)
            del self._started[socket]
            raise PluginError(
                f"the model of pin '{pin.name}' ended at once: {_last_line(socket)}", hint=f"see {socket}.log"
            )
        lock = os.open(f"{socket}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return
        with Path(f"{socket}.log").open("ab") as log:
            self._started[socket] = _Adapter(start_adapter(weights, pin, self.folder, log=log.fileno()), lock)


async def _answers(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    writer.close()
    return True


def _last_line(socket: Path) -> str:
    try:
        lines = Path(f"{socket}.log").read_text(errors="replace").strip().splitlines()
    except OSError:
        return "it said nothing"
    return lines[-1][:300] if lines else "it said nothing"
