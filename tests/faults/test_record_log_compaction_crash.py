"""A kill at every crash point of compaction: each record stays once, for questions and for the observer."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from roadworthy.stores.records import open_records

PROCESS = Path(__file__).with_name("record_log_process.py")
POINTS = [
    "records.before_segment@3",
    "records.after_segment@3",
    "records.before_parquet",
    "records.after_parquet",
    "records.before_commit",
    "records.after_commit",
    "records.before_delete",
    "records.after_delete",
    "record_segments.before_commit",
    "record_segments.after_commit",
    "records.before_merge",
    "record_merge.before_commit",
    "record_merge.after_commit",
]


def work(folder: Path, mode: str, armed: str) -> tuple[int, list[str]]:
    """Run the process to its end; return its exit code and what it acknowledged."""
    command = [sys.executable, PROCESS, mode, folder, armed]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_while_compacting_neither_loses_nor_doubles(tmp_path: Path, point: str) -> None:
    """Acknowledged records are there exactly once after the kill, and again after the work went on."""
    folder = tmp_path / "records"
    code, acknowledged = work(folder, "work", point)
    assert code == -signal.SIGKILL
    assert_each_once(folder, acknowledged)
    code, more = work(folder, "work", "")
    assert code == 0
    assert_each_once(folder, acknowledged + more)
    observed = (tmp_path / "observed").read_text().split()
    assert len(set(observed)) == len(acknowledged + more)
    assert len(observed) == len(set(observed))
    assert_nothing_unnamed(folder)


@pytest.mark.parametrize("point", ["record_drop.before_commit", "record_drop.after_commit"])
def test_a_kill_while_dropping_old_hours_leaves_whole_days(tmp_path: Path, point: str) -> None:
    """Retention killed before or after its commit has dropped nothing or everything it meant to."""
    folder = tmp_path / "records"
    code, _ = work(folder, "drop", point)
    assert code == -signal.SIGKILL
    store = open_records(folder, tmp_path / "counters")
    expected = 48 if point.endswith("before_commit") else 36
    assert store.query("select count(*) as n from records") == [{"n": expected}]
    store.compact()
    assert store.query("select count(*) as n from records") == [{"n": expected}]
    store.close()
    assert_nothing_unnamed(folder)


def assert_each_once(folder: Path, acknowledged: list[str]) -> None:
    """Check with a fresh reader that the records are those acknowledged, each frame once, and the books balance."""
    store = open_records(folder, folder.parent / "counters")
    found = [row["id"] for row in store.query("select id from records")]
    frames = store.query("select segment, place from records group by all having count(*) > 1")
    books = store.losses()
    store.close()
    assert sorted(found) == sorted(acknowledged)
    assert not frames
    assert books.answers == len(found) + books.unrecorded


def assert_nothing_unnamed(folder: Path) -> None:
    """Check that no Parquet file on disk is unknown to the catalogue, and none is missing, without our code."""
    import sqlite3

    store = open_records(folder, folder.parent / "counters")
    store.compact()
    store.close()
    connection = sqlite3.connect(folder / "catalogue.sqlite")
    named = {row[0] for row in connection.execute("select path from files")}
    connection.close()
    assert named == {str(path.relative_to(folder)) for path in folder.rglob("*.parquet*")}
