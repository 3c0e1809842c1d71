"""The catalogue: which Parquet files count, which segments are in them. Whatever it does not name does not exist.

A small SQLite file of its own, with a rollback journal and synchronous FULL, so that between transactions the file
alone is whole and a backup may copy it. One transaction makes new files count and their source segments
stop counting, so no reader sees a frame twice or not at all. Its version grows with every change: a reader who reads
the version, the files, the segments and the version again has seen one state.
"""

from __future__ import annotations

import sqlite3
import threading
from bisect import bisect_left
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from roadworthy.domain.moment import Micros
from roadworthy.errors import StoreError
from roadworthy.stores.crash_points import crash_point

FILE: Final = "catalogue.sqlite"
_SCHEMA: Final = """
create table if not exists state (version integer not null);
insert into state select 0 where not exists (select 1 from state);
create table if not exists segments (name text primary key, frames integer not null, damaged integer not null,
    ends_at integer not null) without rowid;
create table if not exists files (path text primary key, kind text not null, system text not null,
    first_hour integer not null, last_hour integer not null, rows integer not null,
    earliest integer not null, latest integer not null, hourly integer not null) without rowid;
create index if not exists files_by_hour on files (kind, first_hour, last_hour);
create table if not exists sources (path text not null, source text not null, primary key (path, source)) without rowid;
"""


class ParquetFile(NamedTuple):
    """One file that counts: what it holds, of which hours (their starts, µs), and the span of its rows' times."""

    path: str
    kind: str
    system: str
    first_hour: Micros
    last_hour: Micros
    rows: int
    earliest: Micros
    latest: Micros
    hourly: bool


class MovedSegment(NamedTuple):
    """A segment whose frames are in Parquet; the file may still be there for the observer."""

    name: str
    frames: int
    damaged: int
    ends_at: int


class Catalogue:
    """The catalogue of one record log; may be opened by several processes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            self._connection.execute("pragma journal_mode=delete")
            self._connection.execute("pragma synchronous=full")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as problem:
            raise _store_error(self.path, problem) from problem

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def version(self) -> int:
        """Return a number that grows with every change."""
        with self._lock:
            return int(self._connection.execute("select version from state").fetchone()[0])

    def moved(self) -> dict[str, MovedSegment]:
        """Return the segments whose frames are in Parquet and whose files may still be there."""
        with self._lock:
            rows = self._connection.execute("select name, frames, damaged, ends_at from segments").fetchall()
        return {row[0]: MovedSegment(*row) for row in rows}

    def files(
        self, kind: str, *, system: str = "", hours: Sequence[Micros] = (), start: Micros = 0, end: Micros = 1 << 62
    ) -> list[ParquetFile]:
        """Return the files of a kind that may hold rows of a system, of one of the hours, or of a span of time."""
        where, parameters = "kind = ? and latest >= ? and earliest < ?", [kind, start, end]
        if system:
            where += " and system = ?"
            parameters.append(system)
        if hours:
            where += " and last_hour >= ? and first_hour <= ?"
            parameters += [min(hours), max(hours)]
        with self._lock:
            rows = self._connection.execute(f"select * from files where {where} order by first_hour, path", parameters)
            found = [ParquetFile._make((*row[:8], bool(row[8]))) for row in rows]
        wanted = sorted(hours)
        return [file for file in found if not wanted or _holds(file, wanted)]

    def paths(self) -> set[str]:
        """Return the path of every file that counts, relative to the record folder."""
        with self._lock:
            return {row[0] for row in self._connection.execute("select path from files")}

    def add(self, files: Iterable[ParquetFile], segments: Iterable[MovedSegment]) -> None:
        """Let new files count in place of their source segments, in one transaction."""
        moved = list(segments)
        with self._change("records") as connection:
            for file in files:
                _insert(connection, file, (segment.name for segment in moved))
            connection.executemany("insert into segments values (?, ?, ?, ?)", moved)

    def replace(self, old: Sequence[ParquetFile], new: Iterable[ParquetFile]) -> None:
        """Let merged files count in place of the old ones, in one transaction."""
        with self._change("record_merge") as connection:
            connection.executemany("delete from files where path = ?", [(file.path,) for file in old])
            sources = _sources(connection, old)
            connection.executemany("delete from sources where path = ?", [(file.path,) for file in old])
            for file in new:
                _insert(connection, file, sources)

    def drop(self, files: Sequence[ParquetFile]) -> None:
        """Let files no longer count."""
        with self._change("record_drop") as connection:
            connection.executemany("delete from files where path = ?", [(file.path,) for file in files])
            connection.executemany("delete from sources where path = ?", [(file.path,) for file in files])

    def forget(self, segments: Iterable[str]) -> None:
        """Drop the rows of segments whose files are gone; their numbers never come again."""
        with self._change("record_segments") as connection:
            connection.executemany("delete from segments where name = ?", [(name,) for name in segments])

    @contextmanager
    def _change(self, label: str) -> Generator[sqlite3.Connection]:
        connection = self._connection
        with self._lock:
            try:
                connection.execute("begin immediate")
                try:
                    yield connection
                    connection.execute("update state set version = version + 1")
                    crash_point(f"{label}.before_commit")
                    connection.execute("commit")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("rollback")
                    raise
            except sqlite3.Error as problem:
                raise _store_error(self.path, problem) from problem
            crash_point(f"{label}.after_commit")


def _holds(file: ParquetFile, hours: Sequence[Micros]) -> bool:
    at = bisect_left(hours, file.first_hour)
    return at < len(hours) and hours[at] <= file.last_hour


def _insert(connection: sqlite3.Connection, file: ParquetFile, sources: Iterable[str]) -> None:
    connection.execute("insert into files values (?, ?, ?, ?, ?, ?, ?, ?, ?)", file)
    connection.executemany("insert into sources values (?, ?)", [(file.path, source) for source in sources])


def _sources(connection: sqlite3.Connection, files: Sequence[ParquetFile]) -> list[str]:
    found: set[str] = set()
    for file in files:
        found.update(row[0] for row in connection.execute("select source from sources where path = ?", (file.path,)))
    return sorted(found)


def _store_error(path: Path, problem: sqlite3.Error) -> StoreError:
    return StoreError(
        f"cannot use the record catalogue {path}: {problem}", hint="check the folder's owner, mode and free space"
    )
