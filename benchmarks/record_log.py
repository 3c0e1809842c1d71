"""Measure the record log in one run: our append against other ways to keep the same records, and our questions.

    python benchmarks/record_log.py [--records 200000] [--history 1000000] [--json FILE]

Every way keeps the same records. CPU includes background threads. Rounds of all ways alternate, medians are shown, so
that a busy machine slows all of them alike: read the ratios.
"""

from __future__ import annotations

import argparse
import json
import logging
import mmap
import os
import platform
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from roadworthy.domain.moment import HOUR, SECOND
from roadworthy.domain.record import FRAME_RECORD, Outcome, Record, StepTaken
from roadworthy.stores.records import new_record_id, open_log, open_records
from roadworthy.stores.records.frames import encoder

NOW = time.time_ns() // 1_000
ENCODE = encoder().encode


def record(n: int, moment: int = NOW) -> Record:
    """Return a record as serving flights writes it: 8 inputs, 2 outputs, 1 step."""
    return Record(
        id=new_record_id(0, moment),
        system="flights",
        environment="live",
        release=f"sha256:{'a' * 64}",
        intended=f"sha256:{'a' * 64}",
        arm="champion",
        route_version=7,
        answered_at=moment,
        event_time=moment,
        latency_us=400 + n % 997,
        status=200,
        flags=0,
        interface=f"sha256:{'b' * 64}",
        inputs=("UA", "EWR", "IAH", n % 24, 1400.0 + n % 100, None, 10.35702 + n % 30, 1013.5),
        outputs=(0.25 + (n % 50) / 100, "late"),
        ages_ms=(3_600_000,),
        steps=(StepTaken("attempt", "flights@v1", "ok", 380),),
        entity=f"UA{n}",
        trace="4bf92f3577b34da6a3ce929d0e0e4736",
    )


@contextmanager
def ours(folder: Path) -> Iterator[Callable[[Record], object]]:
    """Our log: frames in mapped segments, flushed once a second off the thread."""
    with open_log(folder / "records", 0) as log:
        yield log.record


@contextmanager
def bare_mmap(folder: Path) -> Iterator[Callable[[Record], object]]:
    """The limit: copy the same bytes into a preallocated mapping, without checksum, books or flush."""
    size = 1 << 28
    with (folder / "bare").open("wb+") as file:
        os.posix_fallocate(file.fileno(), 0, size)
        with mmap.mmap(file.fileno(), size) as memory:
            at = 0

            def append(noun: Record) -> None:
                nonlocal at
                payload = ENCODE((FRAME_RECORD, *noun))
                end = at + len(payload)
                memory[at:end] = payload
                at = end

            yield append


@contextmanager
def sqlite_batches(folder: Path) -> Iterator[Callable[[Record], object]]:
    """SQLite (WAL, synchronous NORMAL), committed every 500 records."""
    connection = sqlite3.connect(folder / "r.sqlite", isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=normal")
    connection.execute("create table r (id text primary key, at integer, payload blob) without rowid")
    waiting: list[tuple[str, int, bytes]] = []

    def append(noun: Record) -> None:
        waiting.append((noun.id, noun.answered_at, ENCODE((FRAME_RECORD, *noun))))
        if len(waiting) == 500:
            connection.execute("begin")
            connection.executemany("insert into r values (?, ?, ?)", waiting)
            connection.execute("commit")
            waiting.clear()

    yield append
    connection.close()


@contextmanager
def json_lines(folder: Path) -> Iterator[Callable[[Record], object]]:
    """One JSON line a record, flushed to the kernel each time."""
    with (folder / "r.jsonl").open("w", encoding="utf-8") as file:

        def append(noun: Record) -> None:
            file.write(json.dumps(noun) + "\n")
            file.flush()

        yield append


@contextmanager
def python_logging(folder: Path) -> Iterator[Callable[[Record], object]]:
    """The logging module with a file handler and a JSON message."""
    logger = logging.getLogger("records")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler = logging.FileHandler(folder / "r.log")
    logger.addHandler(handler)
    yield lambda noun: logger.info("%s", json.dumps(noun))
    logger.removeHandler(handler)
    handler.close()


WAYS = {
    "ours": ours,
    "bare mmap write": bare_mmap,
    "SQLite, 500 a commit": sqlite_batches,
    "JSON lines, flushed": json_lines,
    "python logging": python_logging,
}


def round_of(way: str, records: list[Record], place: Path) -> dict[str, float]:
    """Append all records one way; return µs a record."""
    folder = Path(tempfile.mkdtemp(dir=place))
    spent: list[int] = []
    clock = time.perf_counter_ns
    cpu = time.process_time_ns()
    with WAYS[way](folder) as append:
        for noun in records:
            begun = clock()
            append(noun)
            spent.append(clock() - begun)
        cpu = time.process_time_ns() - cpu
    shutil.rmtree(folder)
    spent.sort()
    return {
        "median_us": spent[len(spent) // 2] / 1e3,
        "p99.9_us": spent[int(len(spent) * 0.999)] / 1e3,
        "max_ms": spent[-1] / 1e6,
        "cpu_us": cpu / len(records) / 1e3,
    }


def append_figures(count: int, rounds: int, place: Path) -> dict[str, dict[str, float]]:
    """Alternate the ways; return the median of each figure over the rounds."""
    records = [record(n) for n in range(count)]
    taken: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            taken[way].append(round_of(way, records, place))
    return {
        way: {name: statistics.median(one[name] for one in figures) for name in figures[0]}
        for way, figures in taken.items()
    }


def timed(question: Callable[[], Any], times: int = 5) -> dict[str, float]:
    """Ask several times; return the median wall time and CPU time in ms, and the first call's wall time."""
    walls: list[float] = []
    cpus: list[float] = []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        question()
        walls.append((time.perf_counter() - wall) * 1e3)
        cpus.append((time.process_time() - cpu) * 1e3)
    return {"first_ms": walls[0], "median_ms": statistics.median(walls), "cpu_ms": statistics.median(cpus)}


def question_figures(count: int, place: Path) -> dict[str, dict[str, float]]:
    """Keep a day of records with outcomes for a tenth, compact all but the last, and ask."""
    folder = Path(tempfile.mkdtemp(dir=place))
    start = NOW - NOW % HOUR - 23 * HOUR
    step = 24 * HOUR // count
    ids: list[str] = []
    with open_log(folder / "records", 0) as log:
        for n in range(count):
            noun = record(n, start + n * step)
            ids.append(noun.id)
            log.record(noun)
            if n % 10 == 0:
                at = noun.answered_at + SECOND
                log.outcome(Outcome(noun.id, "flights", "live", "label", n % 2, at, at, noun.id))
    store = open_records(folder / "records", folder / "counters", keep_until_read=False)
    wall, cpu = time.perf_counter(), time.process_time()
    frames = store.compact()
    moved = {"median_ms": (time.perf_counter() - wall) * 1e3, "cpu_ms": (time.process_time() - cpu) * 1e3}
    size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    end = start + 24 * HOUR
    by_minute = (
        "select release, answered_at // 60000000 as minute, quantile_cont(latency_us, 0.95) as p95 from records"
        " where answered_at >= ? and answered_at < ? group by all"
    )
    joined = (
        "select count(*) as n, avg(o.number) as rate from records r join outcomes o on o.record = r.id"
        " where r.system = 'flights'"
    )
    figures = {
        f"compact {frames} frames ({size / count:.0f} bytes a record)": moved,
        "p95 a minute, last hour": timed(
            lambda: store.query_span(by_minute, (end - HOUR, end), system="flights", start=end - HOUR, end=end)
        ),
        "p95 a minute, last hour, all files open": timed(lambda: store.query(by_minute, (end - HOUR, end))),
        "p95 a minute, 24 hours": timed(lambda: store.query(by_minute, (start, end))),
        "join a tenth with outcomes": timed(lambda: store.query(joined)),
        "find one record": timed(lambda: store.find(ids[count // 3]), 20),
        "outcomes of one record": timed(lambda: store.outcomes_of(ids[count // 30 * 10]), 20),
    }
    with open_log(folder / "records", 1) as log:

        def see_the_newest() -> None:
            log.record(record(0, end - SECOND))
            store.query_span("select count(*) from records", start=end - HOUR, end=end)

        figures["append one, then count the last hour"] = timed(see_the_newest, 20)
    store.close()
    shutil.rmtree(folder)
    return figures


def table(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print figures as a table."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    print(f"\n{title:44}" + "".join(f"{name:>12}" for name in columns))
    for name, row in rows.items():
        print(f"{name:44}" + "".join(f"{row[column]:12.2f}" if column in row else " " * 12 for column in columns))


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--history", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path, help="where to write; a disk, not a memory file system")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        appends = append_figures(given.records, given.rounds, Path(place))
        base = appends["ours"]["cpu_us"]
        for figures in appends.values():
            figures["cpu / ours"] = figures["cpu_us"] / base
        table(f"append {given.records} records", appends)
        questions = question_figures(given.history, Path(place)) if given.history else {}
        table(f"questions over {given.history} records", questions)
    if given.json:
        told = {"append": appends, "questions": questions, "python": platform.python_version(), "cores": os.cpu_count()}
        given.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
