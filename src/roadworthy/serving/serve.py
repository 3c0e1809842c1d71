"""The data plane's parent: holds the listening socket, keeps N workers alive, nothing else.

It imports neither numpy nor a model, so it starts at once and has no reason to die. Numeric libraries read their number
of threads when they are imported; the parent sets it in the environment of the workers, whose own threads are enough.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from roadworthy.errors import UnavailableError
from roadworthy.settings import Settings
from roadworthy.stores.atomic import write_bytes
from roadworthy.stores.codec import to_json
from roadworthy.stores.crash_points import arm
from roadworthy.stores.home import read_home

BACKLOG: Final = 4096
GRACE_S: Final = 15.0
_PAUSES_S: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
_QUIET_S: Final = 10.0
_LOOK_S: Final = 0.05
_ONE_THREAD: Final = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


@dataclass(slots=True)
class _Slot:
    """One worker's place: its process, its deaths in a row, when it may start again (monotonic seconds)."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    deaths: int = 0
    start_at: float = 0.0


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen; port 0 takes a free one.

    Raises:
        UnavailableError: the port is in use, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Every connection takes this over: a streamed piece must not wait until the last one was acknowledged (40 ms).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        why = (error.strerror or str(error)).lower()
        raise UnavailableError(
            f"cannot listen on {host}:{port}: {why}",
            hint="end the process that uses it, or choose another with ROADWORTHY_PORT",
        ) from error
    return listener


def inherit(fd: int) -> socket.socket:
    """Take over a listening socket from `up`, which keeps it open: callers wait in its backlog while we start again.

    Raises:
        UnavailableError: the descriptor is no listening socket.
    """
    try:
        listener = socket.socket(fileno=fd)
        is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise UnavailableError(f"descriptor {fd} is no socket", hint="unset ROADWORTHY_LISTEN_FD") from error
    if not is_listening:
        listener.detach()
        raise UnavailableError(f"descriptor {fd} does not listen", hint="unset ROADWORTHY_LISTEN_FD")
    listener.setblocking(False)
    return listener


class Parent:
    """Starts workers and starts them again; ends when told to."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._slots = [_Slot(number) for number in range(max(settings.workers, 1))]
        self._ending = False
        self._wake = socket.socketpair()

    def run(self) -> None:
        """Keep the workers alive until SIGTERM or SIGINT; then let them finish what is in flight."""
        for side in self._wake:
            side.setblocking(False)
        signal.set_wakeup_fd(self._wake[1].fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGCHLD, _only_wake)
        while not self._ending:
            pause = self._look()
            select.select([self._wake[0]], [], [], pause)
            with suppress(BlockingIOError):
                self._wake[0].recv(4096)
        self._stop()

    def _end(self, *_: object) -> None:
        self._ending = True

    def _look(self) -> float:
        """Start what is due; return the seconds until the next look."""
        now = time.monotonic()
        soonest = 5.0
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is not None:
                self._note_death(slot, now)
            if slot.process is None:
                if now >= slot.start_at:
                    self._start(slot, now)
                else:
                    soonest = min(soonest, slot.start_at - now)
        return max(soonest, _LOOK_S)

    def _note_death(self, slot: _Slot, now: float) -> None:
        code = slot.process.returncode if slot.process else 0
        how = f"signal {-code}" if code < 0 else f"code {code}"
        slot.deaths = slot.deaths + 1 if now - slot.started_at < _QUIET_S else 0
        pause = _PAUSES_S[min(slot.deaths, len(_PAUSES_S) - 1)]
        slot.process, slot.start_at = None, now + pause
        sys.stderr.write(f"worker {slot.number} ended by {how}; it starts again in {pause:g} s\n")

    def _start(self, slot: _Slot, now: float) -> None:
        settings, fd = self._settings, self._listener.fileno()
        command = [
            sys.executable, "-m", "roadworthy.serving.worker", "--home", str(settings.home.absolute()), "--fd", str(fd),
            "--number", str(slot.number), "--environment", settings.environment, "--parent", str(os.getpid()),
        ]  # fmt: skip
        slot.process = subprocess.Popen(  # noqa: S603 (our own module as the program, settings as its arguments)
            command, pass_fds=[fd], env=worker_environment(), stdin=subprocess.DEVNULL
        )
        slot.started_at = now

    def _stop(self) -> None:
        alive = [slot.process for slot in self._slots if slot.process is not None]
        for process in alive:
            process.terminate()
        give_up_at = time.monotonic() + GRACE_S
        for process in alive:
            try:
                process.wait(max(give_up_at - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _only_wake(_number: int, _frame: object) -> None:
    """Have a handler, so that the death of a worker wakes the loop through the wake-up descriptor."""


def worker_environment() -> dict[str, str]:
    """Return the environment of a worker: one thread for each numeric library, unless someone chose otherwise."""
    return {**dict.fromkeys(_ONE_THREAD, "1"), **os.environ}


def run(settings: Settings) -> None:
    """Serve a home's snapshot until SIGTERM or SIGINT. Says where in the home's `serve.json`.

    Raises:
        NotFoundError, StoreError: there is no home, or it may not be written.
        UnavailableError: the port is in use.
    """
    arm(settings.crash_at)
    home = read_home(settings.home)
    fd = settings.listen_fd
    listener = listen(settings.host, settings.port) if fd < 0 else inherit(fd)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    write_bytes(home.serve_file, to_json({"pid": os.getpid(), "url": url}), "process_file")
    try:
        with listener:
            Parent(settings, listener).run()
    finally:
        _forget(home.serve_file)


def _forget(file: Path) -> None:
    """Take the address back, unless another data plane has put its own in place."""
    with suppress(OSError):
        if f'"pid":{os.getpid()}'.encode() in file.read_bytes().replace(b" ", b""):
            file.unlink()


def main() -> None:
    """Serve as the environment's settings say: `python -m roadworthy.serving.serve`."""
    from roadworthy.errors import RoadworthyError
    from roadworthy.settings import from_environment

    try:
        run(from_environment())
    except RoadworthyError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
