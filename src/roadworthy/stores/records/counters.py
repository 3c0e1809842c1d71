"""Counters of one worker: a preallocated file of uint64 that survives the worker, read by whoever sums them.

A header names the slots, so that readers of another version understand the file. Each worker slot has one file that
its successors open again: what a dead worker counted is kept. Adding is one aligned 8-byte store into memory shared
with the page cache; it needs no disk space, so it works on a full disk, and a kill leaves the old or the new number.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from roadworthy.errors import StoreError
from roadworthy.stores.atomic import plain_errors

_MAGIC: Final = int.from_bytes(b"RWCOUNT1", "little")
_NAMES_AT: Final = 64
_SLOTS_AT: Final = 1 << 17
_SIZE: Final = 1 << 18
_CELL: Final = 8
_SLOTS: Final = (_SIZE - _SLOTS_AT) // _CELL
_FIRST: Final = _SLOTS_AT // _CELL
_LENGTH_CELL: Final = 1
_WORKER: Final = re.compile(r"[a-z0-9_]{1,40}")

ANSWERS: Final = 0
RECORDS: Final = 1
UNRECORDED: Final = 2
SEGMENT: Final = 3
SETTLED: Final = 4
PATIENCE_S: Final = 2.0
FIXED: Final = ("answers", "records", "unrecorded", "segment", "settled")
"""The slots every file begins with: the books, the newest segment's number, the newest settled segment's number."""


def is_worker_name(name: str) -> bool:
    """Claim that a text may name a worker in file names: lower-case letters, digits, underscores."""
    return _WORKER.fullmatch(name) is not None


def counters_file(folder: Path, worker: str) -> Path:
    """Return where a worker's counters are kept."""
    return folder / f"{worker}.counters"


class Counters:
    """Named counters; written by one thread of one process, which holds the file's lock while it lives."""

    def __init__(self, path: Path, descriptor: int, memory: mmap.mmap) -> None:
        self.path = path
        self.worker = path.name.removesuffix(".counters")
        self.cells = memoryview(memory).cast("Q")[_FIRST:]
        self._descriptor = descriptor
        self._memory = memory
        self._head = memoryview(memory).cast("Q")[:_FIRST]
        self._slots = {name: slot for slot, name in enumerate(self._names())}

    @classmethod
    def open(cls, path: Path, *, create: bool = True, wait_s: float = PATIENCE_S) -> Counters:
        """Open a worker's counters for writing, creating them if asked; one writer at a time.

        `wait_s` outlasts a reader that is settling the books of the worker's dead predecessor.

        Raises:
            StoreError: another process writes them, the disk is full or read-only, or the file is not ours.
        """
        with plain_errors(f"open the counters {path}"):
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
        try:
            _lock(descriptor, path, wait_s)
            with plain_errors(f"open the counters {path}"):
                return cls(path, descriptor, _map(descriptor, path))
        except BaseException:
            os.close(descriptor)
            raise

    def slot(self, name: str) -> int:
        """Return the slot of a counter, taking a new one for a new name. Look it up once, add often.

        Raises:
            StoreError: all slots or the room for names are used up.
        """
        known = self._slots.get(name)
        return self._take(name) if known is None else known

    def add(self, slot: int, n: int = 1) -> None:
        """Add to a counter, in about a tenth of a microsecond."""
        self.cells[slot] += n

    def value(self, name: str) -> int:
        """Return a counter's value; 0 for one that nobody counted."""
        slot = self._slots.get(name)
        return 0 if slot is None else self.cells[slot]

    def values(self) -> dict[str, int]:
        """Return every counter by name."""
        return {name: self.cells[slot] for name, slot in self._slots.items()}

    def sync(self) -> None:
        """Write the counters to the disk; called off the hot path."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Let go of file and lock; what was counted stays."""
        self.cells.release()
        self._head.release()
        self._memory.close()
        os.close(self._descriptor)

    def _names(self) -> list[str]:
        text = bytes(self._memory[_NAMES_AT : _NAMES_AT + self._head[_LENGTH_CELL]])
        return text.decode().splitlines()

    def _take(self, name: str) -> int:
        line = f"{name}\n".encode()
        used = self._head[_LENGTH_CELL]
        slot = len(self._slots)
        if slot >= _SLOTS or _NAMES_AT + used + len(line) > _SLOTS_AT:
            raise StoreError(f"the counters {self.path} have no room for another counter ({slot} are in use)")
        self._memory[_NAMES_AT + used : _NAMES_AT + used + len(line)] = line
        self._head[_LENGTH_CELL] = used + len(line)
        self._slots[name] = slot
        return slot


def _lock(descriptor: int, path: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StoreError(
                    f"the counters {path} are being written by another process",
                    hint="give each worker a name of its own, or wait for the other process to end",
                ) from None
            time.sleep(0.02)
        else:
            return


def _map(descriptor: int, path: Path) -> mmap.mmap:
    is_new = os.fstat(descriptor).st_size < _SIZE
    if is_new:
        os.posix_fallocate(descriptor, 0, _SIZE)
    memory = mmap.mmap(descriptor, _SIZE)
    magic = int.from_bytes(memory[:8], "little")
    if magic == 0:
        names = "".join(f"{name}\n" for name in FIXED).encode()
        memory[_NAMES_AT : _NAMES_AT + len(names)] = names
        memory[8:16] = len(names).to_bytes(8, "little")
        memory[:8] = _MAGIC.to_bytes(8, "little")
    elif magic != _MAGIC:
        memory.close()
        raise StoreError(f"{path} is not a counters file of this version")
    return memory


def read_counters(path: Path) -> dict[str, int]:
    """Return a worker's counters by name without a lock, also while it writes; empty for a file just being made."""
    with plain_errors(f"read the counters {path}"):
        content = path.read_bytes()
    if len(content) < _SIZE or int.from_bytes(content[:8], "little") != _MAGIC:
        return {}
    length = int.from_bytes(content[8:16], "little")
    names = content[_NAMES_AT : _NAMES_AT + length].decode().splitlines()
    numbers = memoryview(content).cast("Q")[_FIRST:]
    return {name: numbers[slot] for slot, name in enumerate(names)}


def counters_files(folder: Path) -> list[Path]:
    """Return the counters of every worker, living and dead."""
    return sorted(folder.glob("*.counters")) if folder.is_dir() else []


def total(all_counters: Iterable[dict[str, int]]) -> dict[str, int]:
    """Sum counters by name over workers."""
    summed: dict[str, int] = {}
    for counters in all_counters:
        for name, number in counters.items():
            summed[name] = summed.get(name, 0) + number
    return summed
