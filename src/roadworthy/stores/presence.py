"""Which workers live: each holds a lock on its file, which the kernel lets go of however it dies."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from roadworthy.errors import InputError, StoreError
from roadworthy.stores.atomic import plain_errors
from roadworthy.stores.crash_points import crash_point

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LOCK: Final = ".lock"
_PATIENCE_SECONDS: Final = 1.0


class WorkerPresence:
    """Marks this process as a live worker until `close` or death. `worker` must be unique to the process."""

    def __init__(self, folder: Path, worker: str) -> None:
        self.worker = checked_name(worker)
        with plain_errors(f"lock {folder / (worker + _LOCK)}"):
            self._descriptor = _locked(folder / f"{self.worker}{_LOCK}")
        crash_point("acknowledgement.after_lock")

    def close(self) -> None:
        """Leave; the next look of control sweeps what this worker said."""
        with suppress(OSError):
            os.close(self._descriptor)


def checked_name(worker: str) -> str:
    """Return a worker's name, or refuse one that could leave its folder.

    Raises:
        InputError: the name holds other than letters, digits, dots, dashes and underscores.
    """
    if not _NAME.fullmatch(worker):
        raise InputError(f"{worker[:80]!r} is no worker name (letters, digits, dots, dashes, at most 100)")
    return worker


def look(folder: Path) -> Iterator[tuple[str, int, bool]]:
    """Give (worker, pid, lives) for each lock file, by name; the pid is 0 if it was not written yet."""
    for path in sorted(folder.glob(f"*{_LOCK}")):
        with suppress(FileNotFoundError):
            yield path.name.removesuffix(_LOCK), *_probe(path)


def _locked(path: Path) -> int:
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A sweeper holds the lock for an instant, a worker for its life.
            os.close(descriptor)
            if time.monotonic() > give_up_at:
                raise StoreError(f"another worker runs under the name of {path}", hint="give each its own") from None
            time.sleep(0.01)
            continue
        # A sweeper may have unlinked the file between open and lock; then the lock protects nothing.
        with suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
                return descriptor
        os.close(descriptor)


def _probe(path: Path) -> tuple[int, bool]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.pread(descriptor, 20, 0)
        pid = int(text) if text.isdigit() else 0
        try:
            # Shared, so that two lookers do not take each other for a live worker.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return pid, True
        return pid, False
    finally:
        os.close(descriptor)


def sweep(folder: Path, worker: str) -> None:
    """Remove the files of a dead worker; does nothing if it turns out to live."""
    lock = folder / f"{worker}{_LOCK}"
    with suppress(FileNotFoundError):
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (folder / f"{worker}.ack").unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
        except BlockingIOError:
            return
        finally:
            os.close(descriptor)
