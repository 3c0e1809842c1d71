"""The record log's two sides on a real disk: what is appended is read, once, in order."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.domain.record import Outcome, Record
from roadworthy.errors import InputError, StoreError
from roadworthy.stores.records import Counters, SegmentLog, open_log, open_records
from roadworthy.stores.records.counters import counters_files, read_counters
from roadworthy.stores.records.query import RecordStore
from roadworthy.stores.records.segment import segments_in
from roadworthy.stores.records.tail import tail

MakeRecord = Callable[..., Record]
MakeOutcome = Callable[..., Outcome]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(max_size=3_000), min_size=1, max_size=30),
    limit=st.integers(min_value=1, max_value=7),
)
def test_what_is_appended_is_read_back(make_record: MakeRecord, texts: list[str], limit: int) -> None:
    """Records of any size come back equal and in order, over segment borders, however few are asked for at a time."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "records"
        written = [make_record(n, inputs=(text, n)) for n, text in enumerate(texts)]
        with open_log(folder, 0, segment_bytes=1 << 14) as log:
            assert all(log.record(record) for record in written)
        read, cursor = [], ""
        while frames := tail(folder / "segments", cursor, limit):
            if not frames.records:
                break
            assert len(frames.records) <= limit
            read.extend(frames.records)
            cursor = frames.cursor
        assert read == written


def test_the_tail_sees_a_record_at_once(log: SegmentLog, store: RecordStore, make_record: MakeRecord) -> None:
    """A record is visible to the observer as soon as it is acknowledged, without flush or seal."""
    record = make_record(1)
    assert log.record(record)
    first = store.tail()
    assert list(first.records) == [record]
    assert not store.tail(first.cursor).records


def test_the_tail_follows_all_workers(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """Frames of several workers arrive each once, in each worker's order, also when a worker comes later."""
    with open_log(folder, 0) as one:
        one.record(make_record(1))
        first = store.tail()
        with open_log(folder, 1) as two:
            two.record(make_record(2))
            one.record(make_record(3))
            second = store.tail(first.cursor)
    assert [record.inputs[0] for record in first.records] == [1]
    assert sorted(record.inputs[0] for record in second.records) == [2, 3]  # type: ignore[type-var]
    assert not store.tail(second.cursor).records


def test_outcomes_travel_with_records(
    log: SegmentLog, store: RecordStore, make_record: MakeRecord, make_outcome: MakeOutcome
) -> None:
    """Outcomes share the log and do not count as answers."""
    record = make_record(1)
    outcome = make_outcome(record.id, "late")
    log.record(record)
    assert log.outcome(outcome)
    assert list(store.tail().outcomes) == [outcome]
    assert store.losses().answers == 1


def test_a_cursor_that_is_none_is_refused(store: RecordStore) -> None:
    """A text that is no cursor is named as such instead of starting over silently."""
    with pytest.raises(InputError, match="no cursor"):
        store.tail("yesterday")


def test_a_record_too_large_for_a_segment_is_counted(
    log: SegmentLog, store: RecordStore, make_record: MakeRecord
) -> None:
    """A record that fits in no segment is counted as unrecorded; the next one is written."""
    assert not log.record(make_record(1, inputs=("x" * 100_000,)))
    assert log.record(make_record(2))
    books = store.losses()
    assert (books.answers, books.records, books.unrecorded) == (2, 1, 1)


def test_a_record_that_cannot_be_written_is_counted(
    log: SegmentLog, store: RecordStore, make_record: MakeRecord
) -> None:
    """Recording never raises: what has no plain form is counted as unrecorded, for an outcome the caller is told."""
    assert not log.record(make_record(1, inputs=(object(),)))
    assert not log.record(make_record(1, inputs=("\ud800",)))
    assert not log.outcome(Outcome("k", "s", "e", "label", object(), 1, 1))  # type: ignore[arg-type]
    assert store.losses().unrecorded == 2


def test_a_closed_log_takes_nothing(folder: Path, make_record: MakeRecord) -> None:
    """After closing, the segment has its real length, nothing is accepted, and closing again is harmless."""
    log = open_log(folder, 0)
    log.record(make_record(1))
    log.close()
    log.close()
    assert not log.record(make_record(2))
    sizes = [path.stat().st_size for path in (folder / "segments").iterdir()]
    assert len(sizes) == 1
    assert sizes[0] < 4_096


def test_a_log_without_frames_leaves_no_segment(folder: Path) -> None:
    """A worker that answered nothing leaves nothing behind."""
    open_log(folder, 0).close()
    assert not list((folder / "segments").iterdir())


def test_segments_are_allocated_not_sparse(log: SegmentLog, folder: Path) -> None:
    """Every block of an open segment is reserved, so that a disk that fills up cannot kill the worker."""
    status = next((folder / "segments").glob("*.seg")).stat()
    assert status.st_blocks * 512 >= status.st_size == 1 << 16


def test_a_worker_has_one_writer(log: SegmentLog, folder: Path) -> None:
    """A second process under the same worker's name is refused in one sentence."""
    with pytest.raises(StoreError, match="being written by another process"):
        open_log(folder, 0, wait_s=0)


def test_a_successor_waits_for_whoever_settles_the_books(folder: Path) -> None:
    """A worker that starts while a reader holds its dead predecessor's counters waits a moment instead of failing."""
    held = Counters.open(folder.parent / "counters" / "0.counters")
    release = threading.Timer(0.05, held.close)
    release.start()
    with open_log(folder, 0) as log:
        assert log.counters.worker == "0"
    release.join()


@pytest.mark.parametrize("name", ["../x", "A", "a-b", ""])
def test_a_worker_name_cannot_leave_the_folder(folder: Path, name: str) -> None:
    """A worker's name becomes a file name, so it holds only lower-case letters, digits and underscores."""
    with pytest.raises(StoreError, match="cannot name a worker"):
        open_log(folder, name)


def test_a_read_only_folder_is_one_clear_error(tmp_path: Path) -> None:
    """A read-only place ends in one sentence that says so, for the writer and for the reader."""
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        expected = "may not write"
    else:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "none", tmp_path], check=False)
        if mounted.returncode:
            pytest.skip("root without the right to mount sees no read-only folder")
        expected = "read-only"
    try:
        with pytest.raises(StoreError, match=expected):
            open_log(tmp_path / "records", 0)
        with pytest.raises(StoreError, match=expected):
            open_records(tmp_path / "records", tmp_path / "counters")
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", tmp_path], check=True)
        else:
            tmp_path.chmod(0o700)


def test_counters_outlive_their_worker(tmp_path: Path) -> None:
    """What a worker counted is added to by its successor, under the names in the file."""
    path = tmp_path / "counters" / "3.counters"
    for _ in range(2):
        counters = Counters.open(path)
        counters.add(counters.slot("requests/flights/2xx"), 5)
        counters.sync()
        counters.close()
    assert read_counters(path)["requests/flights/2xx"] == 10
    assert counters_files(tmp_path / "counters") == [path]


def test_counters_are_read_while_they_are_written(tmp_path: Path) -> None:
    """A reader sees a number as soon as it is added, without asking the worker."""
    path = tmp_path / "3.counters"
    counters = Counters.open(path)
    slot = counters.slot("shed")
    counters.add(slot)
    assert read_counters(path)["shed"] == counters.value("shed") == counters.values()["shed"] == 1
    assert counters.value("never counted") == 0
    counters.close()


def test_counters_say_when_they_are_full(tmp_path: Path) -> None:
    """When all room is used, asking for another counter is refused in one sentence; the others go on."""
    counters = Counters.open(tmp_path / "0.counters")
    names = (f"a rather long name of a counter, number {n}" for n in range(20_000))
    with pytest.raises(StoreError, match="no room for another counter"):
        sum(counters.slot(name) for name in names)
    counters.add(counters.slot("answers"))
    assert counters.value("answers") == 1
    counters.close()


def test_another_file_is_not_taken_for_counters(tmp_path: Path) -> None:
    """A file of another kind under the counters' name is refused, not overwritten."""
    path = tmp_path / "0.counters"
    path.write_bytes(b"x" * (1 << 18))
    with pytest.raises(StoreError, match="not a counters file"):
        Counters.open(path)
    assert read_counters(path) == {}


def test_segment_numbers_never_come_again(folder: Path, make_record: MakeRecord) -> None:
    """A worker's segment numbers grow also when its segments or its counters are gone, so no cursor skips a frame."""
    numbers = []
    for step in range(3):
        with open_log(folder, 0) as log:
            log.record(make_record(step))
            numbers += [name.number for name in segments_in(folder / "segments")]
        for path in [*(folder / "segments").iterdir()][:1]:
            path.unlink()
    assert numbers == sorted(set(numbers))


def test_a_file_in_the_place_of_the_folder_is_one_clear_error(tmp_path: Path) -> None:
    """A home whose record folder is a file ends in one sentence, and the counters' lock is let go."""
    (tmp_path / "records").write_text("not a folder")
    for _ in range(2):
        with pytest.raises(StoreError, match="a part of the path is a file"):
            open_log(tmp_path / "records", 0, wait_s=0)
