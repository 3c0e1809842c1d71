"""A native model in a child process, so that a segfault, a stuck C call or an eaten memory cannot take the worker.

One child a release. It is spawned, not forked; it starts again after a death, with a pause that grows. While it is
away, calls fail at once and the request falls back.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from roadworthy.domain.candidate import Candidate
from roadworthy.errors import ArtifactError, EnvironmentMismatch, UnavailableError
from roadworthy.serving.batcher import Outputs
from roadworthy.serving.native_frames import HEAD, frame, message, pack_arrays, unpack_arrays
from roadworthy.stores.codec import to_doc

START_S: Final = 60.0
_STUCK_S: Final = 1.0
_PAUSES_S: Final = (0.0, 0.2, 1.0, 5.0, 15.0)
_QUIET_S: Final = 30.0
_KINDS: Final = {"EnvironmentMismatch": EnvironmentMismatch}


class ChildDied(ConnectionError):
    """The child process ended in the middle of a call."""


class ModelFailed(Exception):
    """The model raised in its child; carries the name of the exception only, since texts may hold values."""


class NativeProcess:
    """A runner whose model lives in a child. Made with `start`, which waits until the model is loaded."""

    here: Callable[[Mapping[str, Any]], Outputs] | None = None

    def __init__(self, candidate: Candidate, artifacts: Path) -> None:
        self._order = frame({"candidate": to_doc(candidate), "artifacts": str(artifacts)})
        self._child: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()
        self._deaths = 0
        self._died_at = 0.0
        self._restart: asyncio.Task[None] | None = None
        self._killer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def pid(self) -> int:
        """Return the child's process id, 0 while there is none."""
        return self._child.pid if self._child else 0

    async def start(self) -> None:
        """Start the child and wait until its model is loaded.

        Raises:
            ArtifactError, EnvironmentMismatch: the release cannot be loaded.
            UnavailableError: the child died or did not get ready in a minute.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            self._child = subprocess.Popen(  # noqa: ASYNC220, S603 (a millisecond; our own module as the program)
                [sys.executable, "-m", "roadworthy.serving.native_child", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            )
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        self._writer.write(self._order)
        try:
            reply = await asyncio.wait_for(self._reply(), START_S)
        except (ConnectionError, TimeoutError) as error:
            self._end()
            raise UnavailableError("the model's process ended or hung while it was loading") from error
        if "failed" in reply:
            self._end()
            raise _KINDS.get(reply["kind"], ArtifactError)(str(reply["failed"]))

    async def away(self, columns: Mapping[str, Any]) -> Outputs:
        """Run in the child.

        Raises:
            ChildDied: it is dead or died of this call; it is being started again.
            ModelFailed: the model raised.
        """
        async with self._turn:
            if self._writer is None or self._restart is not None:
                raise ChildDied("the model's process is starting again")
            try:
                self._writer.write(frame({"columns": pack_arrays(columns)}))
                reply = await self._reply()
            except ConnectionError:
                self._revive()
                raise
            finally:
                self._forget_killer()
        if "failed" in reply:
            raise ModelFailed(str(reply["failed"]))
        return unpack_arrays(reply["outputs"])

    def overdue(self) -> None:
        """Give the call in the child a last moment, then kill it: a C call cannot be asked to stop."""
        if self._killer is None and self._turn.locked():
            self._killer = asyncio.get_running_loop().call_later(_STUCK_S, self._kill)

    async def close(self) -> None:
        """End the child."""
        self._closed = True
        if self._restart is not None:
            self._restart.cancel()
        self._end()

    async def _reply(self) -> dict[str, Any]:
        assert self._reader is not None
        try:
            head = await self._reader.readexactly(HEAD.size)
            return message(await self._reader.readexactly(HEAD.unpack(head)[0]))
        except asyncio.IncompleteReadError as error:
            raise ChildDied("the model's process died") from error

    def _forget_killer(self) -> None:
        if self._killer is not None:
            self._killer.cancel()
            self._killer = None

    def _kill(self) -> None:
        self._killer = None
        if self._child is not None:
            self._child.kill()

    def _end(self) -> None:
        self._forget_killer()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def _revive(self) -> None:
        self._end()
        if self._closed:
            return
        now = time.monotonic()
        self._deaths = self._deaths + 1 if now - self._died_at < _QUIET_S else 0
        self._died_at = now
        self._restart = asyncio.get_running_loop().create_task(self._start_again())

    async def _start_again(self) -> None:
        try:
            while not self._closed:
                await asyncio.sleep(_PAUSES_S[min(self._deaths, len(_PAUSES_S) - 1)])
                with suppress(ArtifactError, EnvironmentMismatch, UnavailableError):
                    await self.start()
                    return
                self._deaths += 1
        finally:
            self._restart = None
