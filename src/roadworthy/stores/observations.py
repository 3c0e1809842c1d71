"""What observation keeps, in SQLite. Buckets and the cursor move in one transaction; nothing here is a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from roadworthy.domain.moment import SECOND, Micros
from roadworthy.domain.objective import Signal, Watch
from roadworthy.errors import Conflict
from roadworthy.ports.observations import BucketKey, WatchKey
from roadworthy.stores.codec import pack, unpack
from roadworthy.stores.metadata import BUCKET, CURSOR, SIGNAL, SIGNAL_HISTORY, WATCH, Metadata

HISTORY_POINTS: Final = 720
HISTORY_SPACING: Final[Micros] = 30 * SECOND
"""A signal's history has at most this many points, at most one in each such interval: six hours."""

_CURSOR_NAME: Final = "records"
_Document = dict[str, Any]


def _replace(table: sa.Table) -> sa.Insert:
    return table.insert().prefix_with("or replace")


_REPLACE_BUCKET: Final = _replace(BUCKET)
_REPLACE_SIGNAL: Final = _replace(SIGNAL)
_REPLACE_HISTORY: Final = _replace(SIGNAL_HISTORY)
_REPLACE_WATCH: Final = _replace(WATCH)
_REPLACE_CURSOR: Final = _replace(CURSOR)


class SqlObservations:
    """Bucket documents, newest signals with a short history, watches, and the cursor into the record log."""

    def __init__(self, metadata: Metadata, *, spacing: Micros = HISTORY_SPACING) -> None:
        self._metadata = metadata
        self._spacing = spacing

    def cursor(self) -> str:
        """Return where the record log was folded up to; empty before the first save."""
        with self._metadata.reading() as connection:
            return _position(connection)

    def save(
        self,
        *,
        before: str,
        cursor: str,
        buckets: Mapping[BucketKey, Mapping[str, Any]] | None = None,
        signals: Sequence[Signal] = (),
        watches: Mapping[WatchKey, Watch] | None = None,
    ) -> None:
        """Move the cursor from `before` and replace these documents, all or nothing; see `ports.observations`."""
        bucket_rows = [{**key._asdict(), "document": pack(document)} for key, document in (buckets or {}).items()]
        signal_rows = [_signal_row(signal) for signal in signals]
        watch_rows = [{**key._asdict(), "document": pack(watch)} for key, watch in (watches or {}).items()]
        with self._metadata.writing("observations") as connection:
            found = _position(connection)
            if found != before:
                raise Conflict("another process folded these records", hint="load the cursor and the buckets again")
            if cursor != before:
                connection.execute(_REPLACE_CURSOR, {"name": _CURSOR_NAME, "position": cursor})
            if bucket_rows:
                connection.execute(_REPLACE_BUCKET, bucket_rows)
            if signal_rows:
                connection.execute(_REPLACE_SIGNAL, signal_rows)
                connection.execute(_REPLACE_HISTORY, [self._history_row(row) for row in signal_rows])
            if watch_rows:
                connection.execute(_REPLACE_WATCH, watch_rows)

    def buckets(
        self, system: str, environment: str, release: str, start: Micros, end: Micros, *, kind: str = "window"
    ) -> Mapping[Micros, Mapping[str, Any]]:
        """Return the documents of the buckets that begin in [start, end), by their start, oldest first."""
        query = (
            sa.select(BUCKET.c.start, BUCKET.c.document)
            .where(
                BUCKET.c.system == system,
                BUCKET.c.environment == environment,
                BUCKET.c.release == release,
                BUCKET.c.kind == kind,
                BUCKET.c.start >= start,
                BUCKET.c.start < end,
            )
            .order_by(BUCKET.c.start)
        )
        with self._metadata.reading() as connection:
            rows = connection.execute(query).all()
        return {int(row.start): unpack(_Document, row.document) for row in rows}

    def bucket(self, key: BucketKey) -> Mapping[str, Any] | None:
        """Return one document, or None."""
        found = self.buckets(key.system, key.environment, key.release, key.start, key.start + 1, kind=key.kind)
        return found.get(key.start)

    def signals(self, system: str, environment: str = "live") -> Sequence[Signal]:
        """Return the newest signal of each (release, name), by release and name."""
        query = (
            sa.select(SIGNAL.c.document)
            .where(SIGNAL.c.system == system, SIGNAL.c.environment == environment)
            .order_by(SIGNAL.c.release, SIGNAL.c.name)
        )
        with self._metadata.reading() as connection:
            return [unpack(Signal, document) for document in connection.execute(query).scalars()]

    def history(self, system: str, environment: str, release: str, name: str, since: Micros = 0) -> Sequence[Signal]:
        """Return a signal's past for a small chart, oldest first; at most `HISTORY_POINTS`, one an interval."""
        table = SIGNAL_HISTORY.c
        mine = (
            (table.system == system)
            & (table.environment == environment)
            & (table.release == release)
            & (table.name == name)
        )
        with self._metadata.reading() as connection:
            newest = connection.execute(sa.select(sa.func.max(table.at)).where(mine)).scalar()
            # A slot that was skipped still holds a point of the round before; it is older than the ring is long.
            start = max(since, int(newest or 0) - HISTORY_POINTS * self._spacing + 1)
            query = sa.select(table.document).where(mine, table.at >= start).order_by(table.at)
            return [unpack(Signal, document) for document in connection.execute(query).scalars()]

    def watches(self, system: str, environment: str = "live") -> Mapping[WatchKey, Watch]:
        """Return the memory of every objective."""
        query = sa.select(WATCH).where(WATCH.c.system == system, WATCH.c.environment == environment)
        with self._metadata.reading() as connection:
            rows = connection.execute(query).all()
        return {
            WatchKey(row.system, row.environment, row.objective, row.release): unpack(Watch, row.document)
            for row in rows
        }

    def forget(self, system: str, before: Micros) -> int:
        """Drop buckets that began before a moment; return how many."""
        with self._metadata.writing("observations") as connection:
            old = (BUCKET.c.system == system) & (BUCKET.c.start < before)
            return connection.execute(BUCKET.delete().where(old)).rowcount

    def _history_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {**row, "slot": row["at"] // self._spacing % HISTORY_POINTS}


def _position(connection: sa.Connection) -> str:
    query = sa.select(CURSOR.c.position).where(CURSOR.c.name == _CURSOR_NAME)
    return str(connection.execute(query).scalar() or "")


def _signal_row(signal: Signal) -> dict[str, Any]:
    return {
        "system": signal.system,
        "environment": signal.environment,
        "release": signal.release,
        "name": signal.name,
        "at": signal.at,
        "document": pack(signal),
    }
