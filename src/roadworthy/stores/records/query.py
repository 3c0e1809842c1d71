"""The read side: Parquet files and the unsealed tail as one, asked through DuckDB.

The tail is read incrementally: each look loads only the frames that are new since the last one. A look is consistent:
the catalogue's version is read before and after, so a compaction in between means looking again. Files that a merge or
retention deletes under a running query cost one repetition.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb

from roadworthy.domain.moment import Micros
from roadworthy.domain.record import Outcome, Record
from roadworthy.errors import InputError, StoreError
from roadworthy.ports.records import Frames, Losses
from roadworthy.stores.atomic import plain_errors
from roadworthy.stores.records import books
from roadworthy.stores.records import tail as tails
from roadworthy.stores.records.catalogue import Catalogue, ParquetFile
from roadworthy.stores.records.columnar import connect, load, parquet
from roadworthy.stores.records.columns import (
    COLUMNS,
    OUTCOME_FIELDS,
    OUTCOMES,
    RECORD_FIELDS,
    RECORDS,
    create_table,
    outcome_from,
    record_from,
)
from roadworthy.stores.records.compactor import Compactor
from roadworthy.stores.records.ids import hour_of
from roadworthy.stores.records.segment import SegmentName, segments_in

T = TypeVar("T")
_LOOKS: Final = 8
_SCAN_ROWS: Final = 2_000
_VIEWS: Final = {RECORDS: "records", OUTCOMES: "outcome_rows"}
_NO_ROWS: Final = {kind: f"no_{kind}" for kind in COLUMNS}
_LATEST_OUTCOMES: Final = """
create or replace view outcomes as
select * from outcome_rows
qualify row_number() over (partition by system, environment, key order by received_at, segment, place) = 1
"""


class _Tail:
    """The tail tables of one segment and how far they have been filled."""

    def __init__(self, serial: int) -> None:
        self.tables = {kind: f"tail_{kind}_{serial}" for kind in COLUMNS}
        self.offset = 0


class RecordStore:
    """Reads one record log; see `open_records`. One lock serialises looks, so any thread may ask."""

    def __init__(self, folder: Path, counters: Path, *, keep_until_read: bool = True) -> None:
        self._folder = folder
        self._segments = folder / "segments"
        self._counters = counters
        self._catalogue = Catalogue(folder)
        self._compactor = Compactor(folder, counters, self._catalogue, keep_until_read=keep_until_read)
        self._compacting = threading.Lock()
        self._lock = threading.RLock()
        self._connection = connect(folder)
        self._serials = itertools.count()
        self._tails: dict[SegmentName, _Tail] = {}
        self._viewed: dict[str, str] = {}
        self._read: tails.Positions = {}
        for kind, table in _NO_ROWS.items():
            self._connection.execute(create_table(kind, table))

    def tail(self, cursor: str = "", limit: int = 50_000) -> Frames:
        """Return what was appended after the cursor; empty: from the oldest frame whose segment is still there."""
        return tails.tail(self._segments, cursor, limit)

    def mark_read(self, cursor: str) -> None:
        """Say that everything before the cursor is stored elsewhere, so that its segments may be deleted.

        It is kept in memory until the next compaction by this store; see `tail.py`.

        Raises:
            InputError: the text is no cursor.
        """
        self._read = tails.parse_cursor(cursor)

    def find(self, record_id: str) -> Record | None:
        """Return one record by its id; opens the files of one hour."""
        return self.find_many([record_id]).get(record_id)

    def find_many(self, record_ids: Sequence[str]) -> dict[str, Record]:
        """Return the records that exist, by id; opens the hours that the ids name."""
        if not record_ids:
            return {}
        rows = self._rows_of_hours(RECORDS, RECORD_FIELDS, "id", record_ids)
        return {record.id: record for record in map(record_from, rows)}

    def outcomes_of(self, record_id: str) -> Sequence[Outcome]:
        """Return every outcome posted for a record, by known time; each key once."""
        rows = self._rows_of_hours(OUTCOMES, OUTCOME_FIELDS, "record", [record_id])
        posted = sorted(map(outcome_from, rows), key=lambda outcome: outcome.received_at)
        first = {(outcome.environment, outcome.key): outcome for outcome in reversed(posted)}
        return sorted(first.values(), key=lambda outcome: (outcome.known_at, outcome.received_at))

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run one of our own SELECTs over the views `records`, `outcomes` (each key once) and `outcome_rows`.

        The views hold every file; for a question about a span or a system, `query_span` opens fewer.

        Raises:
            InputError: the text is not one SELECT.
        """
        return self._ask(lambda: self._query(sql, parameters, {}))

    def query_span(
        self, sql: str, parameters: Sequence[Any] = (), *, system: str = "", start: Micros = 0, end: Micros = 1 << 62
    ) -> list[dict[str, Any]]:
        """Do what `query` does over the files that may hold answers of [start, end) or outcomes known in it.

        Raises:
            InputError: the text is not one SELECT.
        """
        return self._ask(lambda: self._query(sql, parameters, {"system": system, "start": start, "end": end}))

    def scan(self, system: str, environment: str, start: Micros, end: Micros) -> Iterator[Record]:
        """Return records answered in [start, end), oldest first, a few thousand in memory at a time."""
        cursor = self._ask(lambda: self._begin_scan(system, environment, start, end))
        with cursor:
            while rows := cursor.fetchmany(_SCAN_ROWS):
                yield from map(record_from, rows)

    def losses(self) -> Losses:
        """Return the books over all workers, living and dead."""
        return books.losses(self._counters, self._segments)

    def counters(self) -> dict[str, int]:
        """Return every counter by name, summed over workers living and dead."""
        return books.totals(self._counters)

    def compact(self) -> int:
        """Turn segments that nobody writes into Parquet and merge small files; return the number of frames moved."""
        with self._compacting:
            return self._compactor.compact(self._read)

    def drop_before(self, moment: Micros) -> int:
        """Delete the files of hours before a time; return the number of rows that went."""
        with self._compacting:
            return self._compactor.drop_before(moment)

    def close(self) -> None:
        """Let go of DuckDB and the catalogue."""
        with self._compacting, self._lock:
            self._compactor.close()
            self._connection.close()
            self._catalogue.close()

    def _ask(self, question: Callable[[], T]) -> T:
        """Look at the newest state and ask; once more if a file was merged away meanwhile."""
        with self._lock, plain_errors("read the record log"):
            self._look()
            try:
                return question()
            except duckdb.IOException:
                self._look()
            try:
                return question()
            except duckdb.IOException as problem:
                raise StoreError(f"cannot read the record files: {problem}", hint="roadworthy status") from problem

    def _look(self) -> None:
        for _ in range(_LOOKS):
            version = self._catalogue.version()
            moved = self._catalogue.moved()
            unsealed = [name for name in segments_in(self._segments) if name.file not in moved]
            for name in set(self._tails).difference(unsealed):
                self._forget(name)
            for name in unsealed:
                self._load(name)
            if self._catalogue.version() == version:
                return

    def _forget(self, name: SegmentName) -> None:
        for table in self._tails.pop(name).tables.values():
            self._connection.execute(f"drop table {table}")

    def _load(self, name: SegmentName) -> None:
        state = self._tails.get(name)
        if state is None:
            state = self._tails[name] = _Tail(next(self._serials))
            for kind, table in state.tables.items():
                self._connection.execute(create_table(kind, table))
        frames = tails.frames_of(self._segments / name.file, state.offset)
        _, _, end = load(self._connection, frames, name.file, state.tables)
        state.offset = max(state.offset, end)

    def _source(self, kind: str, files: Sequence[ParquetFile]) -> str:
        parts = [f"from {_NO_ROWS[kind]}", *(f"from {state.tables[kind]}" for state in self._tails.values())]
        if files:
            parts.append(f"from {parquet(self._folder, (file.path for file in files))}")
        return " union all ".join(f"select * {part}" for part in parts)

    def _rows_of_hours(self, kind: str, fields: str, key: str, ids: Sequence[str]) -> list[tuple[Any, ...]]:
        hours = sorted({hour_of(record_id) for record_id in ids})

        def question() -> list[tuple[Any, ...]]:
            source = self._source(kind, self._catalogue.files(kind, hours=hours))
            sql = f"select {fields} from ({source}) where {key} in (select unnest(?))"
            return self._connection.execute(sql, [list(ids)]).fetchall()

        return self._ask(question)

    def _query(self, sql: str, parameters: Sequence[Any], narrow: dict[str, Any]) -> list[dict[str, Any]]:
        statements = self._connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise InputError("a question to the record log is one SELECT")
        self._prepare_views(narrow)
        answer = self._connection.execute(sql, list(parameters))
        names = [column[0] for column in answer.description or ()]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    def _prepare_views(self, narrow: dict[str, Any]) -> None:
        sources = {kind: self._source(kind, self._catalogue.files(kind, **narrow)) for kind in _VIEWS}
        if sources == self._viewed:
            return
        for kind, view in _VIEWS.items():
            self._connection.execute(f"create or replace view {view} as {sources[kind]}")
        self._connection.execute(_LATEST_OUTCOMES)
        self._viewed = sources

    def _begin_scan(self, system: str, environment: str, start: Micros, end: Micros) -> duckdb.DuckDBPyConnection:
        source = self._source(RECORDS, self._catalogue.files(RECORDS, system=system, start=start, end=end))
        sql = (
            f"select {RECORD_FIELDS} from ({source}) where system = ? and environment = ?"
            " and answered_at >= ? and answered_at < ? order by answered_at, id"
        )
        return self._connection.cursor().execute(sql, [system, environment, start, end])


def open_records(folder: Path, counters: Path, *, keep_until_read: bool = True) -> RecordStore:
    """Open the read side of a home's record log: its `records` folder and its `counters` folder.

    With `keep_until_read`, compaction leaves a segment on disk until `mark_read` has passed it, for the observer that
    tails the log; without, whoever tails must be content with what is left.

    Raises:
        StoreError: the folder is read-only or the catalogue cannot be used.
    """
    with plain_errors(f"open the records {folder}"):
        (folder / "segments").mkdir(parents=True, exist_ok=True)
    return RecordStore(folder.resolve(), counters, keep_until_read=keep_until_read)
