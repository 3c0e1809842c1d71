"""One 64-bit number in a file that many processes map: the snapshot's version, a replay home's time."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

from roadworthy.errors import StoreError
from roadworthy.stores.atomic import plain_errors

WIDTH: Final = 8


class SharedNumber:
    """A signed 64-bit number, little-endian, seen by every process the moment it is set; a look costs well under 1 µs.

    The file keeps its size and inode for ever: it is written in place, so a map never goes stale.

    Raises:
        StoreError: the file is missing or has another size.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        with plain_errors(f"open {path}"):
            descriptor = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
            try:
                if os.fstat(descriptor).st_size != WIDTH:
                    raise StoreError(f"{path} is damaged: it must have {WIDTH} bytes")
                access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
                self._map = mmap.mmap(descriptor, WIDTH, access=access)
            finally:
                os.close(descriptor)
        # A cast view copies all eight bytes at once, so no reader sees half a number.
        self._view = memoryview(self._map).cast("q")

    def get(self) -> int:
        """Return the number as it is now."""
        return self._view[0]

    def set(self, number: int) -> None:
        """Show a new number to every process, and write it to disk."""
        self._view[0] = number
        self._map.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._view.release()
        self._map.close()
