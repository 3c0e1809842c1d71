"""A real process that writes or compacts a record log until it is killed; used by the fault tests beside it."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path

from roadworthy.domain.moment import parse_iso
from roadworthy.domain.record import Outcome, Record
from roadworthy.stores import crash_points
from roadworthy.stores.records import new_record_id, open_log, open_records
from roadworthy.stores.records.counters import ANSWERS, RECORDS, UNRECORDED

SEGMENT_BYTES = 1 << 15
NOON = parse_iso("2013-02-01T12:00:00")


def record(n: int, moment: int = 0) -> Record:
    """Return a record of varying size."""
    at = moment or time.time_ns() // 1_000
    identity = new_record_id(0, at)
    return Record(identity, "flights", "live", "r", "r", "champion", 1, at, at, 5, 200, 0, "i", (n, "x" * (n % 400)))


def say(*ids: str) -> None:
    """Tell the parent, unbuffered, so that what was said was true."""
    os.write(1, "".join(f"{text}\n" for text in ids).encode())


def write(folder: Path) -> None:
    """Acknowledge each record's id on stdout once `record` returned; every tenth is an outcome as well."""
    log = open_log(folder, 0, segment_bytes=SEGMENT_BYTES)
    for n in range(1_000_000):
        noun = record(n)
        if log.record(noun):
            say(noun.id)
        if n % 10 == 0 and log.outcome(Outcome(noun.id, "flights", "live", "label", 1, n, n, noun.id)):
            say(f"outcome {noun.id}")


class KillingWords:
    """Stands before a memory of words and kills this process before or after the store of one of them."""

    def __init__(self, words: memoryview, index: int, *, before: bool) -> None:
        self.words, self.index, self.before = words, index, before

    def __getitem__(self, index: int) -> int:
        return self.words[index]

    def __setitem__(self, index: int, value: int) -> None:
        is_here = index == self.index or self.index < 0
        if is_here and self.before:
            os.kill(os.getpid(), signal.SIGKILL)
        self.words[index] = value
        if is_here:
            os.kill(os.getpid(), signal.SIGKILL)


def die_at(folder: Path, place: str) -> None:
    """Record three times, then die before or after one store of the fourth."""
    log = open_log(folder, 0, segment_bytes=SEGMENT_BYTES)
    for n in range(3):
        log.record(record(n))
    side, _, what = place.partition("-")
    before = side == "before"
    if what == "publish":
        log._segment.heads = KillingWords(log._segment.heads, -1, before=before)
    else:
        slot = {"answers": ANSWERS, "records": RECORDS, "unrecorded": UNRECORDED}[what]
        log._cells = KillingWords(log._cells, slot, before=before)
    log.record(record(4)._replace(inputs=(object(),)) if what == "unrecorded" else record(4))
    raise AssertionError(place)


def work(folder: Path, armed: str) -> None:
    """Write, observe and compact in nine rounds, then drop the oldest day; die at the armed crash point."""
    crash_points.arm(armed)
    observed = os.open(folder.parent / "observed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for step in range(9):
        with open_log(folder, 0, segment_bytes=SEGMENT_BYTES) as log:
            for n in range(40):
                noun = record(n, NOON + (step * 40 + n) * 60_000_000)
                if log.record(noun):
                    say(noun.id)
        store = open_records(folder, folder.parent / "counters")
        path = folder.parent / "cursor"
        frames = store.tail(path.read_text() if path.exists() else "")
        os.write(observed, "".join(f"{noun.id}\n" for noun in frames.records).encode())
        path.write_text(frames.cursor)
        store.mark_read(frames.cursor)
        store.compact()
        store.close()


def drop(folder: Path, armed: str) -> None:
    """Write and compact two days, then drop the first; die at the armed crash point."""
    with open_log(folder, 0) as log:
        for n in range(48):
            log.record(record(n, NOON + n * 3_600_000_000))
    store = open_records(folder, folder.parent / "counters")
    store.compact()
    crash_points.arm(armed)
    store.drop_before(NOON + 86_400_000_000)


def limited(folder: Path, _: str) -> None:
    """Go on answering while no file may grow, then again when it may."""
    log = open_log(folder, 0, segment_bytes=SEGMENT_BYTES)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
    kept = [log.record(record(200)) for _ in range(2_000)]
    refused = log.outcome(Outcome("k" * 9_000, "flights", "live", "label", 1, 1, 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    deadline = time.monotonic() + 30
    while not log.record(record(200)) and time.monotonic() < deadline:
        time.sleep(0.02)
    accepted = log.outcome(Outcome("k" * 9_000, "flights", "live", "label", 1, 1, 1))
    log.close()
    say(f"{all(kept)} {any(kept)} {refused} {accepted}")


if __name__ == "__main__":
    modes = {"write": lambda folder, _: write(folder), "die": die_at, "work": work, "drop": drop, "limited": limited}
    modes[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
