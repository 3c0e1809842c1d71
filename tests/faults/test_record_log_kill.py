"""kill -9 of a real writer: what was acknowledged is there, and the books balance."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from roadworthy.ports.records import Losses
from roadworthy.stores.records import open_log, open_records

PROCESS = Path(__file__).with_name("record_log_process.py")
KILLS = 30


def run(mode: str, folder: Path, argument: str = "") -> subprocess.Popen[bytes]:
    """Start the process that is to be killed."""
    return subprocess.Popen([sys.executable, PROCESS, mode, folder, argument], stdout=subprocess.PIPE)


def write_until_killed(folder: Path, acknowledgements: int) -> list[str]:
    """Kill the writer once it has acknowledged that much; return all it had acknowledged when it died."""
    with run("write", folder) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(acknowledgements)]
        process.kill()
        rest = process.stdout.read().splitlines(keepends=True)
    assert process.returncode == -signal.SIGKILL
    return [line.decode().strip() for line in [*first, *rest] if line.endswith(b"\n")]


def rows(folder: Path) -> tuple[list[str], list[str], Losses]:
    """Return the ids of all records, the records of all outcomes, and the books, from a fresh reader."""
    store = open_records(folder, folder.parent / "counters")
    try:
        records = [row["id"] for row in store.query("select id from records")]
        outcomes = [row["record"] for row in store.query("select record from outcome_rows")]
        return records, outcomes, store.losses()
    finally:
        store.close()


def assert_balanced(records: list[str], books: Losses) -> None:
    """Check that rows and counted losses are the answers."""
    assert len(records) == len(set(records)) == books.records
    assert books.answers == len(records) + books.unrecorded


@pytest.mark.long
def test_nothing_acknowledged_is_lost_in_thirty_kills(tmp_path: Path) -> None:
    """After each of 30 kills of the writer every acknowledged record and outcome is found and the books balance."""
    folder = tmp_path / "records"
    chance = random.Random(20130201)
    acknowledged: list[str] = []
    for kill in range(KILLS):
        acknowledged += write_until_killed(folder, chance.randrange(1, 600))
        if kill % 5 != 4:
            continue
        records, outcomes, books = rows(folder)
        assert_balanced(records, books)
        assert books.unrecorded <= kill + 1
        posted = {line.removeprefix("outcome ") for line in acknowledged if line.startswith("outcome ")}
        assert {line for line in acknowledged if not line.startswith("outcome ")} <= set(records)
        assert posted <= set(outcomes)
        store = open_records(folder, folder.parent / "counters")
        store.compact()
        store.close()


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("before-answers", (3, 3, 0)),
        ("after-answers", (4, 3, 1)),
        ("before-publish", (4, 3, 1)),
        ("after-publish", (4, 4, 0)),
        ("before-records", (4, 4, 0)),
        ("after-records", (4, 4, 0)),
        ("before-unrecorded", (4, 3, 1)),
        ("after-unrecorded", (4, 3, 1)),
    ],
)
@pytest.mark.parametrize("settled_by", ["reader", "successor"])
def test_the_books_balance_whichever_store_was_the_last(
    tmp_path: Path, place: str, expected: tuple[int, int, int], settled_by: str
) -> None:
    """Rows and counted losses equal answers when the writer dies before or after any of its stores."""
    folder = tmp_path / "records"
    with run("die", folder, place) as process:
        assert process.wait(60) == -signal.SIGKILL
    if settled_by == "successor":
        open_log(folder, 0).close()
    records, _, books = rows(folder)
    assert_balanced(records, books)
    assert (books.answers, books.records, books.unrecorded) == expected
    assert rows(folder)[2] == books


def test_segments_of_the_dead_are_compacted(tmp_path: Path) -> None:
    """A killed writer's segments go to Parquet and from the disk, and the books still balance."""
    folder = tmp_path / "records"
    with run("die", folder, "after-publish") as process:
        process.wait(60)
    store = open_records(folder, folder.parent / "counters", keep_until_read=False)
    assert store.compact() == 4
    store.close()
    assert not list((folder / "segments").glob("*.seg"))
    records, _, books = rows(folder)
    assert_balanced(records, books)
