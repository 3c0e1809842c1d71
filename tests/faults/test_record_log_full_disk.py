"""A full disk: answers go on, losses are counted, outcomes are refused, and recording resumes by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from roadworthy.domain.record import Outcome, Record
from roadworthy.errors import StoreError
from roadworthy.stores.records import Counters, open_records
from roadworthy.stores.records.log import SegmentLog, open_log

PROCESS = Path(__file__).with_name("record_log_process.py")
OUTCOME = Outcome("k" * 9_000, "flights", "live", "label", 1, 1, 1)


def record(n: int) -> Record:
    """Return a record of about 300 bytes."""
    return Record(f"{n:032x}", "flights", "live", "r", "r", "champion", 1, n, n, 5, 200, 0, "i", ("x" * 200,))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", place]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root; the limited process shows the same")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> Path:
    """Use up all space of a file system."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4_096)
        except OSError:
            return ballast


def test_answers_go_on_while_the_disk_is_full(small_disk: Path) -> None:
    """Every answer is recorded or counted, outcomes are refused, reads work, and space brings recording back."""
    folder = small_disk / "records"
    (folder / "segments").mkdir(parents=True)
    counters = Counters.open(small_disk / "counters" / "0.counters")
    log = SegmentLog(folder / "segments", counters, segment_bytes=1 << 16, sync_interval_s=0.02)
    store = open_records(folder, small_disk / "counters")
    ballast = fill(small_disk)
    kept = sum(log.record(record(n)) for n in range(1_000))
    assert 0 < kept < 1_000
    assert not log.outcome(OUTCOME)
    books = store.losses()
    assert (books.answers, books.records, books.unrecorded) == (1_000, kept, 1_000 - kept)
    assert store.query("select count(*) as n from records") == [{"n": kept}]
    ballast.unlink()
    deadline = time.monotonic() + 30
    extra = 0
    while not log.record(record(1_000 + extra)):
        extra += 1
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert log.outcome(OUTCOME)
    books = store.losses()
    assert (books.answers, books.records) == (1_001 + extra, kept + 1)
    log.close()
    store.close()


def test_compaction_on_a_full_disk_loses_nothing(small_disk: Path) -> None:
    """Compaction that finds no space ends in one clear error; all rows stay where they were and move later."""
    folder = small_disk / "records"
    with open_log(folder, 0, segment_bytes=1 << 18) as log:
        assert all(log.record(record(n)) for n in range(500))
    store = open_records(folder, small_disk / "counters")
    ballast = fill(small_disk)
    with pytest.raises(StoreError, match="cannot compact the record log"):
        store.compact()
    assert store.query("select count(*) as n from records") == [{"n": 500}]
    ballast.unlink()
    assert store.compact() == 500
    assert store.query("select count(*) as n from records") == [{"n": 500}]
    store.close()


def test_a_process_that_may_write_no_more_goes_on(tmp_path: Path) -> None:
    """A limit on file sizes is met like a full disk: losses are counted, and recording resumes when it is lifted."""
    folder = tmp_path / "records"
    command = [sys.executable, PROCESS, "limited", folder, ""]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert said.split() == ["False", "True", "False", "True"]
    store = open_records(folder, tmp_path / "counters")
    books = store.losses()
    rows = store.query("select count(*) as n from records")[0]["n"]
    assert books.unrecorded > 0
    assert books.answers == rows + books.unrecorded
    store.close()
