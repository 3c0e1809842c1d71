"""Reading what was appended since the last look: each frame once, over all workers, also across compaction.

A cursor names, per worker, the segment and the offset up to which frames were handed out. Segments stay on disk, also
when they are already in Parquet, until the observer has said by `mark_read` that it has stored what it made of them.
What it said is kept in memory only: after a restart, or in a home restored from a backup, it says so again from its own
cursor, and until then nothing is deleted. A file beside the segments could be newer than the observer's database.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from roadworthy.domain.record import FRAME_OUTCOME, FRAME_RECORD, Outcome, Record
from roadworthy.errors import InputError
from roadworthy.ports.records import Frames
from roadworthy.stores.records.frames import Frame, decode_outcome, decode_record, kind_of, read_frames
from roadworthy.stores.records.segment import HEADER_BYTES, SegmentName, opened, segments_in, take_lock

Positions: TypeAlias = dict[str, tuple[int, int]]
"""Per worker: the segment's number and the offset of the next frame in it."""


class Place(NamedTuple):
    """Where a frame is: unique for ever, as segment numbers only grow."""

    segment: SegmentName
    offset: int


def parse_cursor(cursor: str) -> Positions:
    """Return the positions a cursor stands for; an empty one is the beginning.

    Raises:
        InputError: the text was not made by `spell_cursor`.
    """
    if not cursor:
        return {}
    try:
        return msgspec.json.decode(cursor, type=dict[str, tuple[int, int]])
    except msgspec.DecodeError as problem:
        raise InputError(f"'{cursor[:80]}' is no cursor of the record log", hint="start with an empty one") from problem


def spell_cursor(positions: Positions) -> str:
    """Write positions as a text that any later version of this process can go on from."""
    return msgspec.json.encode(positions, order="sorted").decode()


def has_passed(positions: Positions, segment: SegmentName, end: int) -> bool:
    """Claim that an observer at these positions needs nothing more of a segment whose last frame ends at `end`."""
    number, offset = positions.get(segment.worker, (0, 0))
    return number > segment.number or (number == segment.number and offset >= end)


def frames_of(path: Path, offset: int) -> Iterator[Frame]:
    """Return the whole frames of a segment from an offset on.

    A frame whose checksum fails may still be on its way to this processor while the writer lives: stop before it.
    When nobody writes any more it is damage: pass over it.
    """
    with opened(path) as descriptor:
        if descriptor is None:
            return
        for frame in read_frames(descriptor, max(offset, HEADER_BYTES)):
            if frame.is_whole:
                yield frame
            elif not take_lock(descriptor):
                return


def tail(segments: Path, cursor: str, limit: int) -> Frames:
    """Return at most `limit` frames after a cursor, and the cursor to ask with next."""
    positions = parse_cursor(cursor)
    records: list[Record] = []
    outcomes: list[Outcome] = []
    left = limit
    for name in segments_in(segments):
        number, offset = positions.get(name.worker, (0, 0))
        if name.number < number or left <= 0:
            continue
        at = max(offset if name.number == number else 0, HEADER_BYTES)
        for frame in frames_of(segments / name.file, at):
            _decode_into(frame, records, outcomes)
            at = frame.end
            left -= 1
            if left <= 0:
                break
        positions[name.worker] = (name.number, at)
    return Frames(records=records, outcomes=outcomes, cursor=spell_cursor(positions))


def _decode_into(frame: Frame, records: list[Record], outcomes: list[Outcome]) -> None:
    kind = kind_of(frame.payload)
    try:
        if kind == FRAME_RECORD:
            records.append(decode_record(frame.payload))
        elif kind == FRAME_OUTCOME:
            outcomes.append(decode_outcome(frame.payload))
    except msgspec.ValidationError:
        return
