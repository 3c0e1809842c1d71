"""Torn frames: a cut or damaged segment gives up what is whole and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.domain.record import Record
from roadworthy.stores.records import open_log, open_records
from roadworthy.stores.records.segment import HEADER_BYTES
from roadworthy.stores.records.tail import frames_of, tail


def record(n: int) -> Record:
    """Return a record that is known by its id."""
    return Record(f"{n:032x}", "flights", "live", "r", "r", "champion", 1, n, n, 5, 200, 0, "i", (n,))


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    """Return a sealed segment with three records."""
    with open_log(tmp_path / "records", 0) as log:
        for n in range(3):
            log.record(record(n))
    return next((tmp_path / "records" / "segments").iterdir())


def read(segment: Path) -> list[int]:
    """Return the numbers of the records that the tail finds."""
    frames = tail(segment.parent, "", 100)
    return [int(found.id, 16) for found in frames.records]


def test_a_segment_cut_anywhere_keeps_its_earlier_frames(segment: Path) -> None:
    """A file cut at any byte gives exactly the frames that end before the cut."""
    content = segment.read_bytes()
    ends = [frame.start + 8 + len(frame.payload) for frame in frames_of(segment, 0)]
    for cut in range(len(content), -1, -1):
        segment.write_bytes(content[:cut])
        assert read(segment) == [n for n, end in enumerate(ends) if end <= cut], cut


def test_a_segment_zeroed_from_anywhere_keeps_its_earlier_frames(segment: Path) -> None:
    """Pages that never reached the disk read as zeros; every frame before them is there and none is invented."""
    content = segment.read_bytes()
    ends = [frame.start + 8 + len(frame.payload) for frame in frames_of(segment, 0)]
    for cut in range(HEADER_BYTES, len(content)):
        segment.write_bytes(content[:cut].ljust(len(content), b"\0"))
        found = read(segment)
        assert found[: sum(end <= cut for end in ends)] == [n for n, end in enumerate(ends) if end <= cut]
        assert found == list(range(len(found)))


def test_a_flipped_bit_costs_one_frame_at_most_its_successors(segment: Path) -> None:
    """Damage inside a frame is noticed; the frame is passed over and the ones before it are untouched."""
    content = segment.read_bytes()
    frames = list(frames_of(segment, 0))
    middle = frames[1]
    for place in range(middle.start, middle.end):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        segment.write_bytes(damaged)
        found = read(segment)
        assert found[0] == 0
        in_padding = place >= middle.start + 8 + len(middle.payload)
        assert (1 in found) == in_padding, place
        if place >= middle.start + 4:
            assert 2 in found


def test_a_live_segments_unfinished_frame_is_not_passed_over(tmp_path: Path) -> None:
    """While its writer lives, a frame whose bytes are not all visible yet stops the reader; it is read later."""
    folder = tmp_path / "records"
    log = open_log(folder, 0)
    log.record(record(0))
    start = log._at
    log.record(record(1))
    log.record(record(2))
    segment = log._segment
    assert segment is not None
    last = start + 20
    byte = segment.memory[last]
    segment.memory[last] = byte ^ 0xFF
    first = tail(folder / "segments", "", 100)
    assert [int(found.id, 16) for found in first.records] == [0]
    segment.memory[last] = byte
    second = tail(folder / "segments", first.cursor, 100)
    assert [int(found.id, 16) for found in second.records] == [1, 2]
    log.close()


def test_damaged_frames_are_counted_as_lost(segment: Path) -> None:
    """A row that damage took is a counted loss, so that the books still balance."""
    frames = list(frames_of(segment, 0))
    content = bytearray(segment.read_bytes())
    content[frames[1].start + 30] ^= 0xFF
    segment.write_bytes(content)
    folder = segment.parent.parent
    store = open_records(folder, folder.parent / "counters")
    books = store.losses()
    assert (books.answers, books.records, books.unrecorded) == (3, 2, 1)
    assert store.compact() == 2
    assert store.query("select count(*) as n from records") == [{"n": 2}]
    store.close()


def test_a_file_that_is_no_segment_is_harmless(segment: Path) -> None:
    """An empty or foreign file among the segments is passed over, by readers, the compactor and the next writer."""
    (segment.parent / "0-1.seg").write_bytes(b"")
    (segment.parent / "1-5.seg").write_bytes(b"\xff" * 500)
    (segment.parent / "notes.txt").write_text("hello")
    folder = segment.parent.parent
    assert read(segment) == [0, 1, 2]
    store = open_records(folder, folder.parent / "counters", keep_until_read=False)
    assert store.compact() == 3
    assert store.losses().records == 3
    store.close()
    with open_log(folder, 0) as log:
        assert log.record(record(3))
