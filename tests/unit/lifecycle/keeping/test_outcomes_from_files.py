"""Outcomes from files: every format, all findings at once, all or nothing, and sending twice is harmless."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import parse_iso
from roadworthy.domain.principal import Actor
from roadworthy.domain.record import Outcome, Record
from roadworthy.domain.system import Decision, Owner, Policy
from roadworthy.errors import InputError, NotFoundError, StoreError
from roadworthy.lifecycle.outcomes import accept_file, append, read_outcomes
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import to_doc
from roadworthy.stores.records import open_records
from roadworthy.stores.records.query import RecordStore
from roadworthy.testing import FixedClock, memory_plane

NOW = parse_iso("2013-03-01T00:00:00")
ID = "0123456789abcdef" * 2
ADA = Actor(principal="ada")


def read(path: Path) -> list[Outcome]:
    """Read a file as `roadworthy outcome` does."""
    return read_outcomes(path, "flights", "live", "label", now=NOW, source="ada")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the record folder of an empty home."""
    return tmp_path / "records"


@pytest.fixture
def store(folder: Path) -> Iterator[RecordStore]:
    """Return the read side of that folder."""
    opened = open_records(folder, folder.parent / "counters")
    yield opened
    opened.close()


@pytest.fixture
def plane(folder: Path, store: RecordStore) -> Plane:
    """Return a home in which the system `flights` exists."""
    fake = memory_plane(FixedClock(NOW), records=store)
    policy = Policy(owner=Owner(principal="ada", contact="file:x"), decision=Decision(what="rebook"))
    fake.ledger.commit(
        [
            Decide(
                kind="policy.applied",
                system="flights",
                noun=Noun.POLICY,
                subject="flights",
                after=to_doc(policy),
                actor=ADA,
            )
        ]
    )
    return replace(fake, home=replace(fake.home, root=folder.parent))


def test_csv_and_json_lines_and_parquet_say_the_same(tmp_path: Path) -> None:
    """The same outcomes come out of each format, with the same keys."""
    rows = [
        {"record": ID, "entity": None, "event_time": None, "value": 1.5, "known_at": "2013-02-02T00:00:00Z"},
        {"record": None, "entity": "UA1", "event_time": "2013-02-01T12:00:00", "value": 0.25, "known_at": None},
    ]
    lines = tmp_path / "o.jsonl"
    lines.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    header = ",".join(rows[0])
    cells = [",".join("" if cell is None else str(cell) for cell in row.values()) for row in rows]
    (tmp_path / "o.csv").write_text("\ufeff" + "\r\n".join([header, *cells]) + "\r\n", encoding="utf-8")
    (tmp_path / "o.tsv").write_text("\n".join([header, *cells]).replace(",", "\t"))
    duckdb.sql(
        "select record, entity, cast(event_time as timestamp) as event_time, value, known_at from"
        f" read_json('{lines}', columns = {{record: 'varchar', entity: 'varchar', event_time: 'varchar',"
        " value: 'double', known_at: 'varchar'})"
    ).write_parquet(str(tmp_path / "o.parquet"))
    expected = read(lines)
    assert [outcome.record or outcome.entity for outcome in expected] == [ID, "UA1"]
    assert [outcome.known_at for outcome in expected] == [parse_iso("2013-02-02T00:00:00Z"), NOW]
    assert expected[1].event_time == parse_iso("2013-02-01T12:00:00")
    for name in ("o.csv", "o.tsv", "o.parquet"):
        assert read(tmp_path / name) == expected, name


@pytest.mark.parametrize(
    ("cell", "value"),
    [("1", 1), ("-0.5", -0.5), ("1e3", 1000.0), ("true", True), ("False", False), ("late", "late"), ("007", "007")],
)
def test_a_csv_cell_is_a_number_where_json_would_say_so(tmp_path: Path, cell: str, value: object) -> None:
    """Numbers and truth values are read as such; codes with leading zeros stay text."""
    path = tmp_path / "o.csv"
    path.write_text(f"record,value\n{ID},{cell}\n")
    found = read(path)[0].value
    assert found == value
    assert type(found) is type(value)


def test_every_wrong_row_is_named_and_nothing_is_accepted(tmp_path: Path, plane: Plane, store: RecordStore) -> None:
    """Whoever sends a file sees all that is wrong with it at once, by row, and nothing of it counts."""
    path = tmp_path / "o.jsonl"
    rows = [
        {"record": ID, "value": 1},
        {"record": "abc", "value": 1},
        {"entity": "UA1", "value": 1},
        {"record": ID},
        {"record": ID, "value": [1]},
        {"record": ID, "value": 10**30},
        {"record": ID, "value": 1, "known_at": "soon"},
        {"record": ID, "value": "x" * 1_001},
        {"record": ID, "value": 1, "scorer": ["label"]},
    ]
    text = "\n".join(json.dumps(row) for row in rows) + f'\n{{"record": "{ID}", "value": NaN}}'
    path.write_text(text)
    with pytest.raises(InputError, match="9 wrong rows; nothing was accepted") as refusal:
        accept_file(plane, path, "flights", actor=ADA)
    found = [(one.row, one.field, one.rule) for one in refusal.value.violations]
    assert found == [
        (2, "record", "format"),
        (3, "record", "missing"),
        (4, "value", "missing"),
        (5, "value", "type"),
        (6, "value", "range"),
        (7, "known_at", "type"),
        (8, "value", "type"),
        (9, "scorer", "type"),
        (10, "value", "finite"),
    ]
    assert store.query("select count(*) as n from outcome_rows") == [{"n": 0}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("o.csv", b"", "holds no outcomes"),
        ("o.csv", b"record,value\n", "holds no outcomes"),
        ("o.csv", b"record,valeu\n1,2\n", "columns that mean nothing here: valeu"),
        ("o.csv", b"record,value\n" + ID.encode() + b",1,2\n", "mean nothing here"),
        ("o.csv", b'record,value\n"unclosed', "is not CSV"),
        ("o.csv", b"record,value\n\xff\xfe,1\n", "is not UTF-8"),
        ("o.jsonl", b"{", "line 1: this is not JSON"),
        ("o.jsonl", b"[" * 100_000, "line 1: this is not JSON"),
        ("o.jsonl", b"[1]", "line 1: an outcome is an object"),
        ("o.jsonl", b'{"valeu": 1}', "mean nothing here: valeu"),
        ("o.parquet", b"PAR1 not really", "is not a Parquet file"),
        ("o.xlsx", b"PK", "ends with none of"),
    ],
)
def test_an_odd_file_is_one_clear_message(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """Whatever is wrong with a file is said in one sentence that names it."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(path)


@pytest.mark.parametrize("name", ["none.csv", "none.jsonl", "none.parquet"])
def test_a_missing_file_is_said_to_be_missing(tmp_path: Path, name: str) -> None:
    """A path that leads nowhere is named."""
    with pytest.raises(InputError, match=f"{name} cannot be read"):
        read(tmp_path / name)


@given(content=st.binary(max_size=300))
def test_no_bytes_cause_a_traceback(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Any bytes in any format are outcomes or a refusal."""
    folder = tmp_path_factory.getbasetemp()
    for name in ("any.csv", "any.jsonl"):
        (folder / name).write_bytes(b"record,value\n" * (name == "any.csv") + content)
        with suppress(InputError):
            assert read(folder / name)


def test_a_file_may_be_sent_twice(tmp_path: Path, plane: Plane, store: RecordStore) -> None:
    """The second time changes nothing: each outcome counts once and keeps who sent it first."""
    path = tmp_path / "o.csv"
    path.write_text(f"record,value\n{ID},1\n")
    for _ in range(2):
        assert accept_file(plane, path, "flights", actor=ADA).accepted == 1
    assert [outcome.source for outcome in store.outcomes_of(ID)] == ["ada"]
    assert store.query("select count(*) as n from outcomes") == [{"n": 1}]
    assert store.query("select count(*) as n from outcome_rows") == [{"n": 2}]


def test_outcomes_of_an_unknown_system_are_refused(tmp_path: Path, plane: Plane) -> None:
    """A misspelt system is named before the file is looked at."""
    with pytest.raises(NotFoundError, match="flights"):
        accept_file(plane, tmp_path / "o.csv", "flight", actor=ADA)


def test_a_full_disk_says_how_many_were_accepted() -> None:
    """When the log takes no more, the sender learns how many were kept."""

    class Full:
        def __init__(self) -> None:
            self.left = 2

        def outcome(self, outcome: Outcome) -> bool:
            self.left -= 1
            return self.left >= 0

        def record(self, record: Record) -> bool:
            return False

        def close(self) -> None:
            """Nothing is open."""

    outcome = Outcome("k", "flights", "live", "label", 1, NOW, NOW, ID)
    with pytest.raises(StoreError, match="2 outcomes were accepted"):
        append(Full(), [outcome] * 5)


def test_a_date_is_its_midnight(tmp_path: Path) -> None:
    """A Parquet column of dates says when a thing happened; whole numbers name entities too."""
    path = tmp_path / "o.parquet"
    duckdb.sql("select 7 as entity, date '2013-02-01' as event_time, true as value").write_parquet(str(path))
    assert [(one.entity, one.event_time, one.value) for one in read(path)] == [
        ("7", parse_iso("2013-02-01T00:00:00"), True)
    ]
