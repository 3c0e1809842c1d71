"""The two clocks: the system's, and a replayed one that is driven from outside."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from roadworthy.domain.moment import Micros
from roadworthy.errors import RefusedError
from roadworthy.ports.clock import Clock
from roadworthy.ports.home import Home
from roadworthy.stores.atomic import plain_errors
from roadworthy.stores.shared_number import SharedNumber


class SystemClock:
    """The system's time in UTC."""

    def now(self) -> Micros:
        """Return the time in int64 µs UTC."""
        return time.time_ns() // 1_000


class ReplayClock:
    """The time of a replay home: eight mapped bytes, seen by control and workers at once."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self._path = path
        self._number = SharedNumber(path, writable=writable)

    def now(self) -> Micros:
        """Return the replayed time in int64 µs UTC."""
        return self._number.get()

    def set(self, now: Micros) -> Micros:
        """Move the time forward; an earlier time is left out, since time never goes back. Return what it is now."""
        with plain_errors(f"set {self._path}"):
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                # Two drivers could otherwise read, both decide to go forward, and the later write go back.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if now > self._number.get():
                    self._number.set(now)
                return self._number.get()
            finally:
                os.close(descriptor)


def clock_of(home: Home) -> Clock:
    """Return the clock that a home was created with."""
    return ReplayClock(home.clock_file) if home.is_replay else SystemClock()


def set_clock(home: Home, now: Micros) -> Micros:
    """Move a replay home's time forward; return what it is now.

    Raises:
        RefusedError: the home runs on the system's clock.
    """
    if not home.is_replay:
        raise RefusedError(
            f"the home at {home.root} runs on the system's clock, which nobody may set",
            hint="only a home created with the replay clock can be driven",
        )
    return ReplayClock(home.clock_file).set(now)
