"""The read side: files and unsealed tail as one."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from roadworthy.domain.moment import DAY, HOUR, parse_iso
from roadworthy.domain.record import Outcome, Record
from roadworthy.errors import InputError, StoreError
from roadworthy.stores.records import SegmentLog, open_log, open_records
from roadworthy.stores.records import compactor as compacting
from roadworthy.stores.records.query import RecordStore

MakeRecord = Callable[..., Record]
MakeOutcome = Callable[..., Outcome]
NOON = parse_iso("2013-02-01T12:00:00")


def write(folder: Path, records: list[Record], outcomes: list[Outcome] | None = None) -> None:
    """Write through a worker of its own that ends."""
    with open_log(folder, 0) as log:
        assert all(log.record(record) for record in records)
        assert all(log.outcome(outcome) for outcome in outcomes or [])


def count(store: RecordStore, what: str = "records") -> int:
    """Return how many rows a view has."""
    return store.query(f"select count(*) as n from {what}")[0]["n"]


def test_a_question_sees_the_tail_within_one_call(log: SegmentLog, store: RecordStore, make_record: MakeRecord) -> None:
    """A record is in the answer to the first question asked after it was acknowledged."""
    for n in range(1, 4):
        log.record(make_record(n))
        assert count(store) == n


def test_a_record_is_the_same_in_file_and_tail(
    folder: Path, store: RecordStore, make_record: MakeRecord, make_outcome: MakeOutcome
) -> None:
    """Compaction changes where a record is kept and nothing about it, its outcomes included."""
    records = [make_record(n) for n in range(50)]
    outcomes = [
        make_outcome(record.id, value) for record, value in zip(records, [1, 0.5, "a", None, True] * 10, strict=True)
    ]
    write(folder, records, outcomes)
    ids = [record.id for record in records]
    before = store.find_many(ids), [store.outcomes_of(record_id) for record_id in ids]
    assert store.compact() == 100
    after = store.find_many(ids), [store.outcomes_of(record_id) for record_id in ids]
    assert before == after
    assert before[0] == dict(zip(ids, records, strict=True))
    assert before[1] == [[outcome] for outcome in outcomes]


def test_an_unknown_record_is_not_found(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """An id that was never given, or is no id, finds nothing."""
    write(folder, [make_record(1)])
    store.compact()
    assert store.find(make_record(2).id) is None
    assert store.find("'; drop table records; --") is None
    assert store.find_many([]) == {}


def test_posting_an_outcome_twice_is_harmless(
    folder: Path, store: RecordStore, make_record: MakeRecord, make_outcome: MakeOutcome
) -> None:
    """Of two outcomes with one key the first received counts, in the tail, in files and across both."""
    record = make_record(1)
    first = make_outcome(record.id, 1)
    again = first._replace(value=0, received_at=first.received_at + 9)
    write(folder, [record], [first])
    store.compact()
    write(folder, [], [again])
    assert store.outcomes_of(record.id) == [first]
    assert count(store, "outcomes") == 1
    assert count(store, "outcome_rows") == 2


def test_a_scan_returns_a_span_oldest_first(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """Records of one system and environment answered in a span come oldest first, from files and tail."""
    early, late = [make_record(n) for n in range(5)], [make_record(n) for n in range(5, 10)]
    other = make_record(3, environment="staging"), make_record(3, system="loans")
    write(folder, [*early, *other])
    store.compact()
    write(folder, late[::-1])
    found = store.scan("flights", "live", early[2].answered_at, late[3].answered_at)
    assert list(found) == [*early[2:], *late[:3]]


def test_fields_of_a_payload_can_be_asked_for(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """A field is asked for by its position in the interface, in files and tail alike."""
    write(folder, [make_record(n) for n in range(10)])
    sql = "select sum(cast(inputs->>0 as bigint)) as total, any_value(inputs->>2) as airport from records"
    before = store.query(sql)
    store.compact()
    assert store.query(sql) == before == [{"total": 45, "airport": "JFK"}]


def test_a_question_about_a_span_opens_few_files(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """A question about a span is answered from the files of that span."""
    write(folder, [make_record(n * 86_400) for n in range(5)])
    store.compact()
    sql = "select count(*) as n from records where answered_at >= ? and answered_at < ?"
    span = (NOON + DAY, NOON + 3 * DAY)
    assert store.query_span(sql, span, system="flights", start=span[0], end=span[1]) == [{"n": 2}]


@pytest.mark.parametrize(
    "sql",
    [
        "drop table no_records",
        "select 1; select 2",
        "attach '/tmp/x.duckdb'",
        "copy (select 1) to '/tmp/roadworthy-should-not-exist'",
        "install httpfs",
    ],
)
def test_a_question_is_one_select(store: RecordStore, sql: str) -> None:
    """Nothing but one SELECT reaches DuckDB through the store."""
    with pytest.raises(InputError, match="one SELECT"):
        store.query(sql)


def test_no_file_outside_the_folder_can_be_read(store: RecordStore) -> None:
    """DuckDB reads nothing outside the record folder, whatever the question."""
    import duckdb

    with pytest.raises(duckdb.PermissionException):
        store.query("select * from read_text('/etc/hostname')")


def test_many_small_files_are_merged(
    folder: Path, store: RecordStore, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of one day are merged once there are several, and busy hours get files of their own."""
    monkeypatch.setattr(compacting, "OWN_HOUR_ROWS", 12)
    for n in range(compacting.MERGE_FILES):
        write(folder, [make_record(n * 2), make_record(n * 2 + 1), make_record(7_200 + n)])
        store.compact()
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet"))
    assert count(store) == 3 * compacting.MERGE_FILES
    assert len(files) == 2
    assert "/system=flights/day=2013-02-01/hour=12/" in files[1]


def test_old_hours_are_dropped(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """Retention removes the files of hours before a time and leaves the rest."""
    write(folder, [make_record(n * 3_600) for n in range(48)])
    store.compact()
    assert store.drop_before(NOON + DAY) == 12
    assert count(store) == 36
    assert store.drop_before(NOON) == 0


def test_a_compacted_segment_stays_until_it_was_read(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """The observer gets each frame once, also when compaction was faster; then the segment goes."""
    write(folder, [make_record(n) for n in range(5)])
    half = store.tail(limit=3)
    store.mark_read(half.cursor)
    assert store.compact() == 5
    assert list((folder / "segments").iterdir())
    rest = store.tail(half.cursor)
    assert [record.inputs[0] for record in [*half.records, *rest.records]] == [0, 1, 2, 3, 4]
    store.mark_read(rest.cursor)
    assert store.compact() == 0
    assert not list((folder / "segments").iterdir())
    assert count(store) == 5


def test_without_an_observer_segments_go_at_once(folder: Path, make_record: MakeRecord) -> None:
    """A home whose log nobody observes keeps no segment that is in files."""
    write(folder, [make_record(1)])
    store = open_records(folder, folder.parent / "counters", keep_until_read=False)
    store.compact()
    assert not list((folder / "segments").iterdir())
    assert count(store) == 1
    store.close()


def test_another_process_that_compacts_is_noticed(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """A reader that looked before another process compacted and merged finds every row once afterwards."""
    other = open_records(folder, folder.parent / "counters")
    for total in range(1, compacting.MERGE_FILES + 1):
        write(folder, [make_record(total)])
        assert count(store) == total
        assert other.compact() == 1
        assert count(store) == total
    other.close()


def test_a_live_workers_segment_is_left_alone(log: SegmentLog, store: RecordStore, make_record: MakeRecord) -> None:
    """Compaction takes no segment that a living worker writes."""
    log.record(make_record(1))
    assert store.compact() == 0
    assert count(store) == 1


def test_hours_of_days_long_past_take_one_file_a_day(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """Replaying months in minutes makes one file a day, not one an hour."""
    write(folder, [make_record(n * 3_600) for n in range(72)])
    store.compact()
    assert len(list(folder.rglob("*.parquet"))) == 4
    assert store.find(make_record(0).id) is None
    assert [row["hours"] for row in store.query("select count(distinct hour) as hours from records")] == [72]
    assert NOON % HOUR == 0


def test_a_broken_catalogue_is_one_clear_error(folder: Path) -> None:
    """A catalogue that is no database ends in one sentence that names the file."""
    folder.mkdir(parents=True)
    (folder / "catalogue.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"catalogue\.sqlite"):
        open_records(folder, folder.parent / "counters")


def test_one_compactor_works_at_a_time(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """While another process compacts or takes a backup, compaction and retention step back at once."""
    write(folder, [make_record(1)])
    with (folder / "compactor.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert store.compact() == 0
        assert store.drop_before(NOON + 400 * DAY) == 0
    assert store.compact() == 1
    assert store.drop_before(NOON + 400 * DAY) == 1


def test_a_scan_goes_on_while_its_segments_are_compacted(
    folder: Path, store: RecordStore, make_record: MakeRecord
) -> None:
    """Whoever reads a long span gets each record once, though compaction moves them meanwhile."""
    records = [make_record(n) for n in range(5_000)]
    write(folder, records)
    found = store.scan("flights", "live", NOON, NOON + DAY)
    first = next(found)
    store.mark_read(store.tail().cursor)
    assert store.compact() == 5_000
    assert count(store) == 5_000
    assert [first, *found] == records


def test_a_file_that_vanished_is_one_clear_error(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """A Parquet file that somebody removed by hand is named in one sentence."""
    write(folder, [make_record(1)])
    store.compact()
    gone = next(folder.rglob("*.parquet"))
    gone.unlink()
    with pytest.raises(StoreError, match=gone.name):
        store.find(make_record(1).id)


def test_frames_of_a_newer_version_are_passed_over(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """A frame of a kind, or with a field, that this version does not know harms no other frame."""
    with open_log(folder, 0) as log:
        assert log._append(9, Outcome("k", "s", "e", "label", 1, 1, 1))
        assert log._append(1, Outcome("k", "s", "e", "label", 1, 1, 1))
        assert log._append(2, make_record(1))
        assert log.record(make_record(1))
    assert len(store.tail().records) == count(store) == 1
    assert store.compact() == 4
    assert count(store) == 1
    assert count(store, "outcome_rows") == 0


def test_counters_that_were_lost_are_made_again(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """When the counters' file is gone, the next worker's books begin with the rows that exist."""
    write(folder, [make_record(n) for n in range(3)])
    (folder.parent / "counters" / "0.counters").unlink()
    assert store.compact() == 3
    write(folder, [make_record(4)])
    books = store.losses()
    assert (books.answers, books.records, books.unrecorded) == (4, 4, 0)
    assert store.counters()["answers"] == 4


def test_a_store_of_hours_finds_many_at_once(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """Records of thousands of hours are found in one question."""
    records = [make_record(n * 3_600) for n in range(1_500)]
    write(folder, records)
    store.compact()
    found = store.find_many([record.id for record in records[::2]])
    assert found == {record.id: record for record in records[::2]}


def test_only_who_observed_lets_segments_go(folder: Path, store: RecordStore, make_record: MakeRecord) -> None:
    """Another process, or this one restarted, deletes nothing until the observer says again how far it is."""
    write(folder, [make_record(1)])
    cursor = store.tail().cursor
    store.mark_read(cursor)
    other = open_records(folder, folder.parent / "counters")
    assert other.compact() == 1
    assert list((folder / "segments").iterdir())
    other.mark_read(cursor)
    assert other.compact() == 0
    assert not list((folder / "segments").iterdir())
    other.close()
