"""A record log on a real disk and the nouns to write into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roadworthy.domain.moment import parse_iso
from roadworthy.domain.record import Outcome, Record, StepTaken
from roadworthy.stores.records import SegmentLog, new_record_id, open_log, open_records
from roadworthy.stores.records.query import RecordStore

NOON = parse_iso("2013-02-01T12:00:00")


@pytest.fixture
def make_record() -> Callable[..., Record]:
    """Return a maker of records; `n` tells them apart and sets their time, one second each."""

    def make(n: int, **changes: object) -> Record:
        moment = NOON + n * 1_000_000
        record = Record(
            id=new_record_id(0, moment),
            system="flights",
            environment="live",
            release="a" * 64,
            intended="a" * 64,
            arm="champion",
            route_version=7,
            answered_at=moment,
            event_time=moment - 5_000_000,
            latency_us=100 + n % 50,
            status=200,
            flags=0,
            interface="b" * 64,
            inputs=(n, 2.5, "JFK", None, True),
            outputs=(0.25, "no"),
            violations=(("hour", "maximum"),),
            ages_ms=(None, 3),
            steps=(StepTaken("attempt", "flights@v1", "ok", 90),),
            entity=f"UA{n}",
            subject=f"subject-{n % 9}",
        )
        return record._replace(**changes)

    return make


@pytest.fixture
def make_outcome() -> Callable[..., Outcome]:
    """Return a maker of outcomes for a record id."""

    def make(record: str, value: object = 1, **changes: object) -> Outcome:
        plain = Outcome(f"key-{record}", "flights", "live", "label", value, NOON, NOON + 1, record)  # type: ignore[arg-type]
        return plain._replace(**changes)

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the record folder of an empty home."""
    return tmp_path / "records"


@pytest.fixture
def log(folder: Path) -> Iterator[SegmentLog]:
    """Return a worker's open log."""
    with open_log(folder, 0, segment_bytes=1 << 16) as opened:
        yield opened


@pytest.fixture
def store(folder: Path) -> Iterator[RecordStore]:
    """Return the read side of the same home."""
    opened = open_records(folder, folder.parent / "counters")
    yield opened
    opened.close()
