"""One segment: a preallocated, mapped file that one worker fills with frames and holds a lock on while it does.

Blocks are allocated before use (`posix_fallocate`): a sparse file on a full disk would kill the process at a store.
The header says whose it is, how many records its writer had published before it, and, once sealed, where it ends.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from roadworthy.domain.moment import Micros
from roadworthy.domain.record import FRAME_RECORD
from roadworthy.stores.records.frames import aligned, kind_of, read_frames

MAGIC: Final = int.from_bytes(b"RWSEGMT1", "little")
HEADER_BYTES: Final = 64
SEGMENT_BYTES: Final = 16 << 20
_NUMBER, _CREATED, _BEFORE, _SEALED = 1, 2, 3, 4
_NAME: Final = re.compile(r"([a-z0-9_]+)-(\d+)\.seg")


class SegmentName(NamedTuple):
    """A segment's place in its worker's sequence; numbers only grow."""

    worker: str
    number: int

    @property
    def file(self) -> str:
        """Return the file name."""
        return f"{self.worker}-{self.number}.seg"


class SegmentHeader(NamedTuple):
    """What the header of a segment file says. `sealed_at` is the end of the last frame, or 0 while it is open."""

    number: int
    created_at: Micros
    records_before: int
    sealed_at: int


class Segment:
    """A segment being written: `memory` takes the payloads, `heads` the 64-bit words that publish them."""

    def __init__(self, path: Path, descriptor: int, size: int) -> None:
        self.path = path
        self.size = size
        self.descriptor = descriptor
        self.memory = mmap.mmap(descriptor, size)
        self.heads = memoryview(self.memory).cast("Q")

    @classmethod
    def allocate(cls, path: Path, size: int) -> Segment:
        """Reserve the blocks of a new segment under a name that readers pass over, and lock it.

        Raises:
            OSError: the disk is full or read-only; nothing is left behind.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(descriptor, 0, size)
            return cls(path, descriptor, size)
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise

    def begin(self, path: Path, number: int, created_at: Micros, records_before: int) -> None:
        """Write the header and give the segment its name: from here on readers see it.

        Raises:
            OSError: the folder is gone or read-only.
        """
        heads = self.heads
        heads[_NUMBER], heads[_CREATED], heads[_BEFORE] = number, created_at, records_before
        heads[0] = MAGIC
        self.path.rename(path)
        self.path = path

    def seal(self, end: int) -> None:
        """Say where the last frame ends; readers go on to the next segment."""
        self.heads[_SEALED] = end

    def sync(self) -> None:
        """Write what was stored to the disk. `fdatasync` lets other threads run, `mmap.flush` would not."""
        os.fdatasync(self.descriptor)

    def retire(self) -> None:
        """Flush a sealed segment, give its unused blocks back and let go of the lock; delete one without frames."""
        end = self.heads[_SEALED]
        self.heads.release()
        self.memory.close()
        with suppress(OSError):
            if end > HEADER_BYTES:
                os.fdatasync(self.descriptor)
                os.ftruncate(self.descriptor, end)
            else:
                self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


def parse_name(file_name: str) -> SegmentName | None:
    """Return whose segment a file is, or None for a file that is no segment."""
    match = _NAME.fullmatch(file_name)
    return SegmentName(match[1], int(match[2])) if match else None


def segments_in(folder: Path) -> list[SegmentName]:
    """Return the segments of a folder, by worker and number."""
    names = (parse_name(path.name) for path in (folder.iterdir() if folder.is_dir() else ()))
    return sorted(name for name in names if name is not None)


@contextmanager
def opened(path: Path) -> Generator[int | None]:
    """Open a segment for reading; None when it has been deleted in the meantime."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def take_lock(descriptor: int) -> bool:
    """Lock a segment whose writer has sealed it or is dead; False while its writer lives."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_header(descriptor: int) -> SegmentHeader | None:
    """Return what the header says, or None for a file whose header was never written (power loss)."""
    words = memoryview(os.pread(descriptor, HEADER_BYTES, 0).ljust(HEADER_BYTES, b"\0")).cast("Q")
    if words[0] != MAGIC:
        return None
    return SegmentHeader(words[_NUMBER], words[_CREATED], words[_BEFORE], words[_SEALED])


def count_records(descriptor: int) -> int:
    """Return how many whole record frames a segment holds."""
    frames = read_frames(descriptor, HEADER_BYTES)
    return sum(1 for frame in frames if frame.is_whole and kind_of(frame.payload) == FRAME_RECORD)


def usable_size(size: int) -> int:
    """Return a size that holds whole words."""
    return aligned(max(size, 4096))
