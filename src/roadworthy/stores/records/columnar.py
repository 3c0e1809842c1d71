"""DuckDB as we use it: in memory, two threads, no extension ever fetched, no file outside the record folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from roadworthy.domain.record import FRAME_OUTCOME, FRAME_RECORD
from roadworthy.stores.records.columns import OUTCOMES, RECORDS, Row, arrays, outcome_hour, record_hour
from roadworthy.stores.records.frames import Frame, decode_outcome, decode_record, kind_of

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": "2",
    "memory_limit": "1GB",
}
_CHUNK_ROWS: Final = 4_096


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """Return a connection that can read and write below a folder and nowhere else."""
    connection = duckdb.connect(":memory:", config=_CONFIG)
    connection.execute(f"set temp_directory = {literal(str(folder / 'duckdb'))}")
    connection.execute(f"set allowed_directories = [{literal(str(folder) + '/')}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def literal(text: str) -> str:
    """Quote a text of our own (a path) for SQL."""
    return "'" + text.replace("'", "''") + "'"


def parquet(folder: Path, paths: Iterable[str]) -> str:
    """Return files as a table. What their paths say is in their columns already, so the paths are not parsed."""
    files = ", ".join(literal(str(folder / path)) for path in paths)
    return f"read_parquet([{files}], hive_partitioning = false)"


def insert(connection: duckdb.DuckDBPyConnection, kind: str, table: str, rows: Sequence[Row]) -> None:
    """Append rows to a table of their kind."""
    if not rows:
        return
    connection.register("incoming", arrays(kind, rows))
    try:
        connection.execute(f'insert into "{table}" select * from incoming')
    finally:
        connection.unregister("incoming")


def load(
    connection: duckdb.DuckDBPyConnection, frames: Iterable[Frame], segment: str, tables: dict[str, str]
) -> tuple[int, int, int]:
    """Load frames into the tables of their kinds; return how many, how many were damaged, and where the last ends."""
    pending: dict[str, list[Row]] = {RECORDS: [], OUTCOMES: []}
    count = damaged = end = 0
    for frame in frames:
        count, end = count + 1, frame.end
        damaged += not _take(pending, frame, segment)
        for kind, rows in pending.items():
            if len(rows) >= _CHUNK_ROWS:
                insert(connection, kind, tables[kind], rows)
                rows.clear()
    for kind, rows in pending.items():
        insert(connection, kind, tables[kind], rows)
    return count, damaged, end


def _take(pending: dict[str, list[Row]], frame: Frame, segment: str) -> bool:
    kind = kind_of(frame.payload)
    try:
        if kind == FRAME_RECORD:
            record = decode_record(frame.payload)
            pending[RECORDS].append(Row(record, record_hour(record), segment, frame.start))
        elif kind == FRAME_OUTCOME:
            outcome = decode_outcome(frame.payload)
            pending[OUTCOMES].append(Row(outcome, outcome_hour(outcome), segment, frame.start))
    except msgspec.ValidationError:
        return False
    return True
