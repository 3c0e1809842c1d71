"""From segments to Parquet: sealed and orphaned segments become files by system, day and hour; small files are merged.

The order makes a kill at any point harmless: write files that nothing names yet → one transaction in the catalogue →
delete segments. Before the commit the segments count, after it the files do; what a killed run left unnamed is swept
by the next one. A segment's file stays until the observer has read past it (`mark_read`) and the books no longer
need it. Hours with many rows get files of their own, sparse hours share one file a day. One compactor runs at a time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import duckdb

from roadworthy.domain.moment import DAY, HOUR, Micros, iso
from roadworthy.errors import StoreError
from roadworthy.stores.atomic import plain_errors, sync_folder
from roadworthy.stores.crash_points import crash_point
from roadworthy.stores.records.books import is_settled
from roadworthy.stores.records.catalogue import Catalogue, MovedSegment, ParquetFile
from roadworthy.stores.records.columnar import connect, literal, load, parquet
from roadworthy.stores.records.columns import COLUMNS, ORDER, OUTCOMES, RECORDS, TIME_COLUMN, create_table, day_of
from roadworthy.stores.records.segment import (
    HEADER_BYTES,
    SegmentName,
    opened,
    parse_name,
    segments_in,
    take_lock,
)
from roadworthy.stores.records.tail import Positions, frames_of, has_passed

SEGMENTS_AT_ONCE: Final = 4
OWN_HOUR_ROWS: Final = 5_000
MERGE_FILES: Final = 8
_BATCH: Final = {RECORDS: "batch_records", OUTCOMES: "batch_outcomes"}


class _Group(NamedTuple):
    """The rows that go into one file."""

    kind: str
    system: str
    first_hour: Micros
    end: Micros
    hourly: bool


class Compactor:
    """Moves one record log's segments to Parquet. Safe to kill and to run in several processes."""

    def __init__(self, folder: Path, counters: Path, catalogue: Catalogue, *, keep_until_read: bool = True) -> None:
        self._folder = folder
        self._segments = folder / "segments"
        self._counters = counters
        self._catalogue = catalogue
        self._keep_until_read = keep_until_read
        self._connection: duckdb.DuckDBPyConnection | None = None

    def compact(self, read: Positions) -> int:
        """Move what nobody writes any more, merge small files, delete what is no longer needed; return frames moved.

        `read` is how far the observer has stored what it read. Returns 0 at once when another process is compacting.

        Raises:
            StoreError: the disk is full or read-only; what was not moved is still in its segments.
        """
        with self._alone() as is_alone:
            if not is_alone:
                return 0
            try:
                with plain_errors("compact the record log"):
                    return self._compact(read)
            except duckdb.Error as problem:
                why = str(problem).partition("\n")[0]
                raise StoreError(
                    f"cannot compact the record log: {why}", hint="free some space; nothing was lost, it is tried again"
                ) from problem

    def _compact(self, read: Positions) -> int:
        self._sweep()
        frames = self._move_all()
        self._merge_all()
        self._delete_read(read)
        return frames

    def drop_before(self, moment: Micros) -> int:
        """Delete files whose every row is of an hour before a time; return how many rows went."""
        with self._alone() as is_alone, plain_errors("drop old records"):
            hour = moment - moment % HOUR
            old = [file for kind in COLUMNS for file in self._catalogue.files(kind) if file.last_hour < hour]
            if not is_alone or not old:
                return 0
            self._catalogue.drop(old)
            self._unlink([file.path for file in old])
            return sum(file.rows for file in old)

    def close(self) -> None:
        """Let go of DuckDB."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _alone(self) -> Generator[bool]:
        with plain_errors(f"compact {self._folder}"):
            descriptor = os.open(self._folder / "compactor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def _duckdb(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            self._connection = connect(self._folder)
        return self._connection

    def _sweep(self) -> None:
        counting = self._catalogue.paths()
        root = self._folder / "parquet"
        for path in root.rglob("*.parquet*"):
            if str(path.relative_to(self._folder)) not in counting:
                path.unlink(missing_ok=True)

    def _move_all(self) -> int:
        moved = self._catalogue.moved()
        ready = [name for name in segments_in(self._segments) if name.file not in moved and self._is_free(name)]
        return sum(
            self._move(ready[start : start + SEGMENTS_AT_ONCE]) for start in range(0, len(ready), SEGMENTS_AT_ONCE)
        )

    def _is_free(self, name: SegmentName) -> bool:
        with opened(self._segments / name.file) as descriptor:
            return descriptor is not None and take_lock(descriptor)

    def _move(self, batch: Sequence[SegmentName]) -> int:
        connection = self._duckdb()
        for kind, table in _BATCH.items():
            connection.execute(f"drop table if exists {table}")
            connection.execute(create_table(kind, table))
        moved: list[MovedSegment] = []
        for name in batch:
            frames = frames_of(self._segments / name.file, HEADER_BYTES)
            count, damaged, end = load(connection, frames, name.file, _BATCH)
            moved.append(MovedSegment(name.file, count, damaged, end))
        crash_point("records.before_parquet")
        seed = ",".join(name.file for name in batch)
        files = [file for kind, table in _BATCH.items() for file in self._write_groups(kind, table, seed)]
        crash_point("records.after_parquet")
        self._catalogue.add(files, moved)
        for table in _BATCH.values():
            connection.execute(f"drop table {table}")
        return sum(segment.frames for segment in moved)

    def _write_groups(self, kind: str, source: str, seed: str) -> list[ParquetFile]:
        hours = self._duckdb().execute(f"select system, hour, count(*) from {source} group by all").fetchall()
        return [self._write(group, source, seed) for group in _groups(kind, hours)]

    def _write(self, group: _Group, source: str, seed: str) -> ParquetFile:
        path = _path(group, seed)
        target = self._folder / path
        self._make_folders(target.parent)
        temporary = target.with_name(f"{target.name}.tmp")
        where = f"system = {literal(group.system)} and hour >= {group.first_hour} and hour < {group.end}"
        if group.hourly is False:
            where += f" and hour not in ({_own_hours(source, group)})"
        connection = self._duckdb()
        connection.execute(
            f"copy (select * from {source} where {where} order by {ORDER[group.kind]})"
            f" to {literal(str(temporary))} (format parquet, compression zstd)"
        )
        _sync(temporary)
        temporary.rename(target)
        sync_folder(target.parent)
        time = TIME_COLUMN[group.kind]
        found = connection.execute(
            f"select count(*), min(hour), max(hour), min({time}), max({time}) from {parquet(self._folder, [path])}"
        ).fetchone()
        rows, first, last, earliest, latest = found or (0, 0, 0, 0, 0)
        return ParquetFile(path, group.kind, group.system, first, last, rows, earliest, latest, group.hourly)

    def _make_folders(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make_folders(folder.parent)
            folder.mkdir(exist_ok=True)
            sync_folder(folder.parent)

    def _merge_all(self) -> None:
        for kind in COLUMNS:
            together: dict[tuple[str, bool, Micros], list[ParquetFile]] = {}
            for file in self._catalogue.files(kind):
                span = HOUR if file.hourly else DAY
                together.setdefault((file.system, file.hourly, file.first_hour // span), []).append(file)
            for files in together.values():
                if len(files) >= MERGE_FILES:
                    self._merge(kind, files)

    def _merge(self, kind: str, files: Sequence[ParquetFile]) -> None:
        paths = [file.path for file in files]
        source = parquet(self._folder, paths)
        merged = self._write_groups(kind, source, ",".join(paths))
        crash_point("records.before_merge")
        self._catalogue.replace(files, merged)
        self._unlink(paths)

    def _delete_read(self, read: Positions) -> None:
        gone: list[str] = []
        for file, segment in self._catalogue.moved().items():
            name = parse_name(file)
            path = self._segments / file
            if name is None or not path.exists():
                gone.append(file)
            elif self._may_delete(name, segment, read):
                crash_point("records.before_delete")
                path.unlink(missing_ok=True)
                crash_point("records.after_delete")
                gone.append(file)
        if gone:
            sync_folder(self._segments)
            self._catalogue.forget(gone)

    def _may_delete(self, name: SegmentName, segment: MovedSegment, read: Positions) -> bool:
        if self._keep_until_read and not has_passed(read, name, segment.ends_at):
            return False
        return is_settled(self._counters, self._segments, name)

    def _unlink(self, paths: Sequence[str]) -> None:
        for path in paths:
            (self._folder / path).unlink(missing_ok=True)


def _groups(kind: str, hours: Sequence[tuple[str, Micros, int]]) -> list[_Group]:
    groups: dict[tuple[str, bool, Micros], _Group] = {}
    for system, hour, rows in sorted(hours):
        hourly = rows >= OWN_HOUR_ROWS
        first, span = (hour, HOUR) if hourly else (hour - hour % DAY, DAY)
        groups[system, hourly, first] = _Group(kind, system, first, first + span, hourly)
    return list(groups.values())


def _own_hours(source: str, group: _Group) -> str:
    return (
        f"select hour from {source} where system = {literal(group.system)} and hour >= {group.first_hour}"
        f" and hour < {group.end} group by hour having count(*) >= {OWN_HOUR_ROWS}"
    )


def _path(group: _Group, seed: str) -> str:
    name = hashlib.sha256(f"{seed}|{group.hourly}".encode()).hexdigest()[:16]
    hour = f"/hour={iso(group.first_hour)[11:13]}" if group.hourly else ""
    system = quote(group.system, safe="") or "none"
    return f"parquet/{group.kind}/system={system}/day={day_of(group.first_hour)}{hour}/{name}.parquet"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
