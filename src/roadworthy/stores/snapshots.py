"""Snapshots as files: the one in force, its version as eight mapped bytes, and the workers' acknowledgements."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from roadworthy.domain.snapshot import Acknowledgement, Snapshot
from roadworthy.errors import StoreError
from roadworthy.stores.atomic import plain_errors, write_bytes
from roadworthy.stores.codec import pack, unpack
from roadworthy.stores.crash_points import crash_point
from roadworthy.stores.presence import checked_name, look, sweep
from roadworthy.stores.shared_number import SharedNumber

MAGIC: Final = b"RWSNAP1\n"
_DIGEST_BYTES: Final = 32
_HEADER_BYTES: Final = len(MAGIC) + _DIGEST_BYTES


class FileSnapshots:
    """Snapshots of one home. Many processes read; publishers take turns by a file lock."""

    def __init__(self, snapshot_folder: Path, workers_folder: Path) -> None:
        self._folder = snapshot_folder
        self._workers = workers_folder
        self._file = snapshot_folder / "current.msgpack"
        self._version: SharedNumber | None = None

    def publish(self, snapshot: Snapshot) -> bool:
        """Write, fsync, rename, then show the version. False when the one in place is as new or newer.

        Killed before the version is shown, the next publisher writes the same snapshot again: no worker ever sees
        a version whose snapshot is not in place.
        """
        with self._one_publisher():
            if snapshot.version <= self.version():
                return False
            write_bytes(self._file, encode(snapshot), "snapshot")
            shown = SharedNumber(self._folder / "version", writable=True)
            shown.set(snapshot.version)
            shown.close()
            crash_point("snapshot.after_version")
        return True

    def version(self) -> int:
        """Return the version in place, 0 if none; a look at mapped memory."""
        if self._version is None:
            self._version = SharedNumber(self._folder / "version", writable=False)
        return self._version.get()

    def read(self) -> Snapshot | None:
        """Return the snapshot in place, None if none was ever published."""
        try:
            content = self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise StoreError(f"cannot read {self._file}: {problem.strerror}") from problem
        return decode(content, str(self._file))

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Say that this worker serves this version; its `WorkerPresence` marks it alive."""
        name = checked_name(acknowledgement.worker)
        write_bytes(self._workers / f"{name}.ack", pack(acknowledgement), "acknowledgement")

    def acknowledgements(self) -> Sequence[Acknowledgement]:
        """Return the newest word of each live worker; one that has said nothing yet stands with version 0."""
        words: list[Acknowledgement] = []
        for worker, pid, lives in look(self._workers):
            if not lives:
                sweep(self._workers, worker)
                continue
            words.append(self._word_of(worker) or Acknowledgement(worker=worker, pid=pid, version=0, at=0))
        return words

    def _word_of(self, worker: str) -> Acknowledgement | None:
        try:
            content = (self._workers / f"{worker}.ack").read_bytes()
        except FileNotFoundError:
            return None
        return unpack(Acknowledgement, content)

    @contextmanager
    def _one_publisher(self) -> Generator[None]:
        with plain_errors(f"lock {self._folder}"):
            descriptor = os.open(self._folder / "publish.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def encode(snapshot: Snapshot) -> bytes:
    """Write a snapshot as bytes that carry their own digest."""
    body = pack(snapshot)
    return MAGIC + hashlib.sha256(body).digest() + body


def decode(content: bytes, source: str) -> Snapshot:
    """Read a snapshot back.

    Raises:
        StoreError: the bytes are corrupt or of another format.
    """
    digest, body = content[len(MAGIC) : _HEADER_BYTES], content[_HEADER_BYTES:]
    if not content.startswith(MAGIC) or hashlib.sha256(body).digest() != digest:
        raise StoreError(
            f"the snapshot in {source} is corrupt", hint="control publishes a new one at the next change of a route"
        )
    return unpack(Snapshot, body)
