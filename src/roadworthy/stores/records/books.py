"""The books: rows + counted losses == answers, exactly, also after a kill at any instant.

`SegmentLog.record` does three stores, in this order, before the answer leaves the worker:

    A  answers += 1        B  publish the frame  (or: unrecorded += 1)        C  records += 1

Each is one aligned 8-byte store into the page cache, so a kill falls between them, never within one:

* before A: nothing happened; the caller gets no answer.
* between A and B: one answer is counted that has no row and no loss. The caller never got it. Settling counts it as
  unrecorded.
* between B and C, recorded: a row exists that `records` does not know. The caller may not have got the answer; the
  row is true none the less. Settling counts the rows of the newest segments again and sets `records`.
* between B and C, unrecorded: nothing is left to do; the books balance.
* while the payload is copied (before B's store of the head): the head is still 0, so no reader sees the frame, and
  the next writer uses another segment. As between A and B.
* while a segment is rolled over: A has happened, B has not. As between A and B. The new segment's `records before`
  was written when `records` was exact, as only this thread counts.

At most one answer per killed worker is in doubt. It is settled by whoever opens the worker's counters next: the
worker's successor before its first answer, or a reader that can take the lock of a dead worker's counters. Settling
is idempotent: `records` is set to a number that only depends on the segments; then `unrecorded` to what is missing;
then the segment's number is noted. A kill between these repeats it with the same result. The compactor deletes a
segment only when it has been settled (or a later one exists, whose writer settled first).

After a power loss the pages of the last second may be missing: then rows are gone that were counted. Settling counts
these as unrecorded too. Should the counters be older than the rows, `answers` is raised to the rows that exist.
"""

from __future__ import annotations

from pathlib import Path

from roadworthy.errors import StoreError
from roadworthy.ports.records import Losses
from roadworthy.stores.records.counters import (
    ANSWERS,
    RECORDS,
    SETTLED,
    UNRECORDED,
    Counters,
    counters_file,
    counters_files,
    read_counters,
    total,
)
from roadworthy.stores.records.segment import SegmentName, count_records, opened, read_header, segments_in

_PICTURES = 5


def settle(counters: Counters, segments: Path) -> None:
    """Make a worker's books balance after its process ended; the caller holds the counters' lock."""
    cells = counters.cells
    unsettled = [
        name for name in segments_in(segments) if name.worker == counters.worker and name.number > cells[SETTLED]
    ]
    rows = _rows(segments, unsettled[-2:])
    if rows is not None:
        cells[RECORDS] = rows
    balance = cells[ANSWERS] - cells[RECORDS] - cells[UNRECORDED]
    if balance > 0:
        cells[UNRECORDED] += balance
    elif balance < 0:
        cells[ANSWERS] -= balance
    if unsettled:
        cells[SETTLED] = unsettled[-1].number


def _rows(segments: Path, newest: list[SegmentName]) -> int | None:
    before: int | None = None
    rows = 0
    for name in newest:
        with opened(segments / name.file) as descriptor:
            header = None if descriptor is None else read_header(descriptor)
            if descriptor is None or header is None:
                continue
            before = header.records_before if before is None else before
            rows += count_records(descriptor)
    return None if before is None else before + rows


def settle_if_dead(counters_folder: Path, segments: Path, worker: str) -> bool:
    """Settle the books of a worker that no longer lives; False while it lives or when it has no counters here."""
    path = counters_file(counters_folder, worker)
    if not path.exists():
        return False
    try:
        counters = Counters.open(path, create=False, wait_s=0)
    except StoreError:
        return False
    try:
        settle(counters, segments)
    finally:
        counters.close()
    return True


def is_settled(counters_folder: Path, segments: Path, name: SegmentName) -> bool:
    """Claim that the books no longer need a segment's frames."""
    if any(other.worker == name.worker and other.number > name.number for other in segments_in(segments)):
        return True
    path = counters_file(counters_folder, name.worker)
    if not path.exists() or read_counters(path).get("settled", 0) >= name.number:
        return True
    return settle_if_dead(counters_folder, segments, name.worker)


def losses(counters_folder: Path, segments: Path) -> Losses:
    """Return the books over all workers. While answers are being given, a picture that balances is preferred."""
    for path in counters_files(counters_folder):
        settle_if_dead(counters_folder, segments, path.name.removesuffix(".counters"))
    return _sum([_picture(path) for path in counters_files(counters_folder)])


def _picture(path: Path) -> Losses:
    taken = _sum([])
    for _ in range(_PICTURES):
        taken = _sum_named(read_counters(path))
        if taken.answers == taken.records + taken.unrecorded:
            break
    return taken


def _sum_named(counters: dict[str, int]) -> Losses:
    return Losses(
        answers=counters.get("answers", 0),
        records=counters.get("records", 0),
        unrecorded=counters.get("unrecorded", 0),
    )


def _sum(pictures: list[Losses]) -> Losses:
    return Losses(
        answers=sum(picture.answers for picture in pictures),
        records=sum(picture.records for picture in pictures),
        unrecorded=sum(picture.unrecorded for picture in pictures),
    )


def totals(counters_folder: Path) -> dict[str, int]:
    """Return every counter by name, summed over workers living and dead: what `/metrics` shows."""
    return total(read_counters(path) for path in counters_files(counters_folder))
