"""The write side: one worker appends records and outcomes to mapped segments, in microseconds, without waiting.

The serving thread encodes, copies and publishes. Everything that may wait (allocating the next segment, flushing once
a second, cutting sealed segments to length) happens in a small thread that holds no lock meanwhile. Why the books
balance after a kill at any instant is written down in `books.py`.

When no blocks can be allocated, `record` counts the loss in preallocated memory and returns False, `outcome` returns
False, and allocation is tried again once a second. A kill of the process loses nothing that was acknowledged; a power
loss may lose the last second.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self
from zlib import crc32

from roadworthy.domain.moment import Micros
from roadworthy.domain.record import FRAME_OUTCOME, FRAME_RECORD, Outcome, Record
from roadworthy.errors import StoreError
from roadworthy.stores.atomic import plain_errors, sync_folder
from roadworthy.stores.crash_points import crash_point
from roadworthy.stores.records.books import settle
from roadworthy.stores.records.counters import (
    ANSWERS,
    PATIENCE_S,
    RECORDS,
    SEGMENT,
    UNRECORDED,
    Counters,
    counters_file,
    is_worker_name,
)
from roadworthy.stores.records.frames import HEAD_BYTES, encoder
from roadworthy.stores.records.segment import (
    HEADER_BYTES,
    SEGMENT_BYTES,
    Segment,
    SegmentName,
    segments_in,
    usable_size,
)

SYNC_INTERVAL_S: Final = 1.0
_RETRY_S: Final = 1.0


def _wall_clock() -> Micros:
    return time.time_ns() // 1_000


class SegmentLog:
    """The record log of one worker; see `open_log`. One lock serialises appends, so any thread may call it."""

    def __init__(
        self,
        segments: Path,
        counters: Counters,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        sync_interval_s: float = SYNC_INTERVAL_S,
        wall_clock: Callable[[], Micros] = _wall_clock,
    ) -> None:
        self.counters = counters
        self._folder = segments
        self._size = usable_size(segment_bytes)
        self._interval_s = sync_interval_s
        self._wall_clock = wall_clock
        self._cells = counters.cells
        self._encode: Callable[[object], bytes] = encoder().encode
        self._lock = threading.Lock()
        self._spare_names = itertools.count()
        self._segment: Segment | None = None
        self._spare: Segment | None = None
        self._retired: list[Segment] = []
        self._retry_at = 0.0
        self._at = self._soft_end = 0
        self._wake = threading.Event()
        self._is_closing = False
        self._make_room(0)
        self._keeper = threading.Thread(target=self._keep, name=f"record-log-{counters.worker}", daemon=True)
        self._keeper.start()

    def record(self, record: Record) -> bool:
        """Append a record. False: it was counted as unrecorded; the answer goes on all the same."""
        cells = self._cells
        with self._lock:
            cells[ANSWERS] += 1
            if self._append(FRAME_RECORD, record):
                cells[RECORDS] += 1
                return True
            cells[UNRECORDED] += 1
            return False

    def outcome(self, outcome: Outcome) -> bool:
        """Append an outcome. False: it was not kept and the caller must be told to send it again."""
        with self._lock:
            return self._append(FRAME_OUTCOME, outcome)

    def close(self) -> None:
        """Seal the segment, give unused blocks back, release the locks. Closing twice is harmless."""
        with self._lock:
            if self._is_closing:
                return
            self._is_closing = True
        self._wake.set()
        self._keeper.join()
        with self._lock:
            self._let_go()
            if self._spare is not None:
                self._spare.retire()
            self._retire_sealed()
            self._cells = memoryview(bytearray(HEAD_BYTES * (UNRECORDED + 1))).cast("Q")
            self.counters.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, kind: int, noun: Record | Outcome) -> bool:
        try:
            payload = self._encode((kind, *noun))
        except (TypeError, ValueError, NotImplementedError, OverflowError):
            return False
        length = len(payload)
        start = self._at
        end = start + HEAD_BYTES + length
        if end > self._soft_end:
            if not self._make_room(HEAD_BYTES + length):
                return False
            start = self._at
            end = start + HEAD_BYTES + length
        segment = self._segment
        if segment is None:
            return False
        segment.memory[start + HEAD_BYTES : end] = payload
        segment.heads[start >> 3] = length | crc32(payload) << 32
        self._at = (end + 7) & ~7
        return True

    def _make_room(self, needed: int) -> bool:
        segment = self._segment
        if segment is not None and self._at + needed <= segment.size:
            self._soft_end = segment.size
            self._wake.set()
            return True
        if self._is_closing or needed > self._size - HEADER_BYTES:
            return False
        fresh = self._take_fresh()
        if fresh is None or not self._begin(fresh):
            return False
        self._soft_end = max(self._size // 2, HEADER_BYTES + needed)
        return True

    def _take_fresh(self) -> Segment | None:
        fresh, self._spare = self._spare, None
        if fresh is None and time.monotonic() >= self._retry_at:
            fresh = self._allocate()
        return fresh

    def _allocate(self) -> Segment | None:
        name = f".{self.counters.worker}-{next(self._spare_names)}.spare"
        try:
            return Segment.allocate(self._folder / name, self._size)
        except OSError:
            self._retry_at = time.monotonic() + _RETRY_S
            return None

    def _begin(self, fresh: Segment) -> bool:
        worker = self.counters.worker
        on_disk = max((name.number for name in segments_in(self._folder) if name.worker == worker), default=0)
        number = max(self._cells[SEGMENT] + 1, on_disk + 1, int(time.time()))
        self._cells[SEGMENT] = number
        crash_point("records.before_segment")
        self._let_go()
        path = self._folder / SegmentName(worker, number).file
        try:
            fresh.begin(path, number, self._wall_clock(), self._cells[RECORDS])
        except OSError:
            fresh.retire()
            self._retry_at = time.monotonic() + _RETRY_S
            return False
        crash_point("records.after_segment")
        self._segment, self._at = fresh, HEADER_BYTES
        return True

    def _let_go(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.seal(self._at)
            self._retired.append(segment)
            self._wake.set()
        self._at = self._soft_end = 0

    def _keep(self) -> None:
        flushed = (-1, 0)
        while not self._is_closing:
            self._wake.wait(self._interval_s)
            self._wake.clear()
            with suppress(OSError):
                self._retire_sealed()
                flushed = self._flush(flushed)
            self._refill()

    def _retire_sealed(self) -> None:
        while self._retired:
            self._retired.pop(0).retire()

    def _flush(self, flushed: tuple[int, int]) -> tuple[int, int]:
        segment, state = self._segment, (self._cells[SEGMENT], self._at)
        if segment is None or state == flushed:
            return flushed
        segment.sync()
        self.counters.sync()
        if state[0] != flushed[0]:
            sync_folder(self._folder)
        return state

    def _refill(self) -> None:
        segment = self._segment
        is_needed = segment is None or self._soft_end == segment.size
        if is_needed and self._spare is None and not self._is_closing:
            self._spare = self._allocate()


def open_log(
    records: Path,
    worker: int | str,
    counters: Counters | None = None,
    *,
    segment_bytes: int = SEGMENT_BYTES,
    wait_s: float = PATIENCE_S,
) -> SegmentLog:
    """Open the record log of one worker for appending, after settling what its predecessor left.

    `records` is the home's `records` folder; the worker's counters are in the `counters` folder beside it unless
    they are given. `wait_s` waits for another process of the same name to end.

    Raises:
        StoreError: another process writes under this name, or the folder is read-only or the disk was full from the
            start, so that not even the counters could be reserved.
    """
    name = str(worker)
    if not is_worker_name(name):
        raise StoreError(f"'{name}' cannot name a worker: use lower-case letters, digits and underscores")
    segments = records / "segments"
    with plain_errors(f"open the record log {records}"):
        segments.mkdir(parents=True, exist_ok=True)
    own = counters or Counters.open(counters_file(records.parent / "counters", name), wait_s=wait_s)
    try:
        with plain_errors(f"open the record log {records}"):
            for spare in segments.glob(f".{name}-*.spare"):
                spare.unlink(missing_ok=True)
            settle(own, segments)
        return SegmentLog(segments, own, segment_bytes=segment_bytes)
    except BaseException:
        if counters is None:
            own.close()
        raise
