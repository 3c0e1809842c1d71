"""The supervisor of `up`: starts the children, starts them again when they end, ends them when it is told to.

It does nothing else, so it has no reason to die. On Linux the kernel tells the children when it died all the same, so
none is left behind; it never signals a process that it did not start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from roadworthy.stores.atomic import plain_errors

DRAIN_S: Final = 20.0
_PAUSES_S: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
_QUIET_S: Final = 10.0
_LOOK_S: Final = 0.1
_PR_SET_PDEATHSIG: Final = 1
_TAIL: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A program to keep running; its output goes to `log`. `keeps` are descriptors of this process that it shares."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    keeps: tuple[int, ...] = ()


@dataclass(slots=True)
class _Kept:
    child: Child
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    deaths: int = 0
    start_at: float = 0.0


class Supervisor:
    """Keeps children alive until SIGTERM or SIGINT."""

    def __init__(self, children: Sequence[Child], say: Callable[[str], None]) -> None:
        self._kept = [_Kept(child) for child in children]
        self._say = say
        self._ending = False
        self._bind_to_parent = _parent_binder()

    def run(self, every_look: Callable[[], None] = lambda: None) -> None:
        """Start the children and keep them alive; at the end, let the first ones drain before the later ones end.

        Raises:
            StoreError: a log file cannot be written.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        try:
            while not self._ending:
                self.look()
                every_look()
                time.sleep(_LOOK_S)
        finally:
            self.stop()

    def look(self) -> None:
        """Start what is due and note what ended."""
        now = time.monotonic()
        for kept in self._kept:
            if kept.process is not None and kept.process.poll() is not None:
                self._note_end(kept, now)
            if kept.process is None and now >= kept.start_at:
                kept.process = self._start(kept.child)
                kept.started_at = now

    def stop(self) -> None:
        """Tell the children to end, in order, and wait; kill what does not end in time."""
        for kept in self._kept:
            process, kept.process = kept.process, None
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(DRAIN_S)
            except subprocess.TimeoutExpired:
                self._say(f"{kept.child.name} did not end within {DRAIN_S:g} s and was killed")
                process.kill()
                process.wait()

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ending = True

    def _start(self, child: Child) -> subprocess.Popen[bytes]:
        with plain_errors(f"write {child.log}"):
            child.log.parent.mkdir(parents=True, exist_ok=True)
            log = child.log.open("ab")
        with log:
            return subprocess.Popen(  # noqa: S603 (our own program)
                list(child.command),
                env=dict(child.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=child.keeps,
                preexec_fn=self._bind_to_parent,  # noqa: PLW1509 (this process has one thread)
            )

    def _note_end(self, kept: _Kept, now: float) -> None:
        code = kept.process.returncode if kept.process else 0
        how = f"signal {-code}" if code < 0 else f"code {code}"
        kept.deaths = kept.deaths + 1 if now - kept.started_at < _QUIET_S else 0
        pause = _PAUSES_S[min(kept.deaths, len(_PAUSES_S) - 1)]
        kept.process, kept.start_at = None, now + pause
        last = last_line(kept.child.log) if code > 0 else ""
        why = f": {last}" if last else ""
        self._say(f"{kept.child.name} ended by {how}{why}; it starts again in {pause:g} s")


def last_line(log: Path) -> str:
    """Return the last line that is not empty, which is where a program says why it ended."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")
    return ""


def _parent_binder() -> Callable[[], None] | None:
    """Return what makes a child end when this process dies; None where the kernel cannot."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def bind() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:
            # The parent died between fork and here; its signal will not come any more.
            os.kill(os.getpid(), signal.SIGTERM)

    return bind
