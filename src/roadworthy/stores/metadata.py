"""The metadata database: one SQLite file, write-ahead log, every commit on disk before it is answered.

One writer at a time (`BEGIN IMMEDIATE`), any number of readers. Tables that hold decisions are written by
`stores.ledger` only. Workers never open this file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, event
from sqlalchemy.exc import DBAPIError

from roadworthy.errors import StoreError
from roadworthy.stores.crash_points import crash_point

REVISIONS: Final = ("0001", "0002", "0003")
"""The schema's history, oldest first; each is a file in `migrations/versions`."""
HEAD: Final = REVISIONS[-1]
BUSY_SECONDS: Final = 15.0
"""How long a transaction waits for another process's before it gives up."""

SCHEMA = MetaData()


def _column(name: str, kind: Any, *, key: bool = False, null: bool = False) -> Column[Any]:
    return Column(name, kind, primary_key=key, nullable=null)


LEDGER = Table(
    "ledger",
    SCHEMA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    _column("at", BigInteger),
    _column("kind", Text),
    _column("system", Text),
    _column("environment", Text),
    _column("noun", Text),
    _column("subject", Text),
    _column("actor", Text),
    _column("assurance", Text),
    _column("reason", Text),
    _column("before", Text, null=True),
    _column("after", Text, null=True),
    _column("key", Text),
    _column("previous", Text),
    _column("hash", Text),
    _column("version", Integer),
    Index("ledger_key", "key", unique=True, sqlite_where=sa.text("key != ''")),
    Index("ledger_system", "system", "seq"),
    Index("ledger_at", "at"),
)

PROJECTION = Table(
    "projection",
    SCHEMA,
    _column("noun", Text, key=True),
    _column("subject", Text, key=True),
    _column("system", Text),
    _column("seq", Integer),
    _column("state", Text, null=True),
    Index("projection_order", "noun", "seq"),
    sqlite_with_rowid=False,
)
"""The fold, kept in step with the ledger by the same transaction. An ended subject stays with a null state."""

LEASE = Table(
    "lease",
    SCHEMA,
    _column("name", Text, key=True),
    _column("holder", Text),
    _column("epoch", Integer),
    _column("expires_at", BigInteger),
    sqlite_with_rowid=False,
)

PERSON = Table(
    "person",
    SCHEMA,
    _column("principal", Text, key=True),
    _column("name", Text),
    _column("contact", Text),
    sqlite_with_rowid=False,
)

DELIVERY = Table(
    "delivery",
    SCHEMA,
    _column("key", Text, key=True),
    _column("kind", Text),
    _column("system", Text),
    _column("document", Text),
    _column("state", Text),
    _column("attempts", Integer),
    _column("intended_at", BigInteger),
    _column("due_at", BigInteger),
    _column("finished_at", BigInteger, null=True),
    _column("error", Text),
    Index("delivery_due", "finished_at", "due_at"),
    Index("delivery_system", "system", "intended_at"),
    sqlite_with_rowid=False,
)

CURSOR = Table(
    "cursor",
    SCHEMA,
    _column("name", Text, key=True),
    _column("position", Text),
    sqlite_with_rowid=False,
)

BUCKET = Table(
    "bucket",
    SCHEMA,
    _column("system", Text, key=True),
    _column("environment", Text, key=True),
    _column("release", Text, key=True),
    _column("kind", Text, key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    _column("document", LargeBinary),
)

SIGNAL = Table(
    "signal",
    SCHEMA,
    _column("system", Text, key=True),
    _column("environment", Text, key=True),
    _column("release", Text, key=True),
    _column("name", Text, key=True),
    _column("at", BigInteger),
    _column("document", LargeBinary),
    sqlite_with_rowid=False,
)

SIGNAL_HISTORY = Table(
    "signal_history",
    SCHEMA,
    _column("system", Text, key=True),
    _column("environment", Text, key=True),
    _column("release", Text, key=True),
    _column("name", Text, key=True),
    Column("slot", Integer, primary_key=True, autoincrement=False),
    _column("at", BigInteger),
    _column("document", LargeBinary),
    sqlite_with_rowid=False,
)

WATCH = Table(
    "watch",
    SCHEMA,
    _column("system", Text, key=True),
    _column("environment", Text, key=True),
    _column("objective", Text, key=True),
    _column("release", Text, key=True),
    _column("document", LargeBinary),
    sqlite_with_rowid=False,
)

PURSE = Table(
    "purse",
    SCHEMA,
    _column("id", Text, key=True),
    _column("system", Text),
    _column("environment", Text),
    _column("budget", Text),
    _column("who", Text),
    _column("period_start", BigInteger),
    _column("currency", Text),
    _column("cap", BigInteger),
    _column("settled", BigInteger),
    _column("turned_away", BigInteger),
    _column("closed", BigInteger),
    Index("purse_open", "closed", "system", "period_start"),
    sqlite_with_rowid=False,
)

PURSE_LEASE = Table(
    "purse_lease",
    SCHEMA,
    _column("purse", Text, key=True),
    _column("wallet", Text, key=True),
    _column("granted", BigInteger),
    _column("returned", BigInteger),
    _column("closed", BigInteger),
    sqlite_with_rowid=False,
)

_PROBLEMS: Final = {
    "SQLITE_FULL": ("the disk is full", "free some space, then run it again; nothing was changed"),
    "SQLITE_READONLY": ("it is read-only for this user", "check the owner and mode of the home"),
    "SQLITE_CANTOPEN": ("it cannot be opened or created", "check the owner and mode of the home"),
    "SQLITE_BUSY": ("another process holds it", "wait for it to finish, then run it again; nothing was changed"),
    "SQLITE_LOCKED": ("another process holds it", "wait for it to finish, then run it again; nothing was changed"),
    "SQLITE_CORRUPT": ("its bytes are corrupt", "restore a backup: roadworthy restore"),
    "SQLITE_NOTADB": ("it is no database", "restore a backup: roadworthy restore"),
    "SQLITE_IOERR": ("the disk reports an error", "check the disk and its free space; nothing was changed"),
}


class Metadata:
    """Transactions on the metadata database of one home."""

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        url = sa.URL.create("sqlite", database=str(path))
        self._engine = sa.create_engine(url, connect_args={"timeout": busy_seconds}, pool_size=4, max_overflow=16)
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)

    @contextmanager
    def reading(self) -> Generator[sa.Connection]:
        """Give a connection that sees one consistent moment.

        Raises:
            StoreError: the file is corrupt or cannot be opened.
        """
        with self._plain_errors("read"), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, label: str) -> Generator[sa.Connection]:
        """Give the one writing connection; commit at the end, roll back on any error.

        `label` names the crash points and must be in `crash_points.COMMITTED`.

        Raises:
            StoreError: the disk is full, the file is read-only, or another process held it too long.
        """
        with self._plain_errors("write"), self._engine.connect() as plain:
            connection = plain.execution_options(roadworthy_write=True)
            with connection.begin():
                yield connection
                crash_point(f"{label}.before_commit")
            crash_point(f"{label}.after_commit")

    def revision(self) -> str:
        """Return the schema revision in the file; empty when it has none."""
        with self.reading() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return ""
            return str(connection.execute(sa.text("select version_num from alembic_version")).scalar() or "")

    def create(self) -> None:
        """Create every table at the newest revision; `upgrade` of an old file ends in the same schema (tested)."""
        with self._plain_errors("create"), self._engine.connect() as plain:
            connection = plain.execution_options(roadworthy_write=True)
            with connection.begin():
                SCHEMA.create_all(connection)
                connection.execute(
                    sa.text(
                        "create table alembic_version (version_num VARCHAR(32) not null, "
                        "constraint alembic_version_pkc primary key (version_num))"
                    )
                )
                connection.execute(sa.text("insert into alembic_version values (:head)"), {"head": HEAD})

    def upgrade(self, to: str = HEAD) -> None:
        """Run the migrations up to a revision, each in its transaction."""
        # Alembic takes longer to import than most commands take to run; only an upgrade needs it.
        from roadworthy.stores.migrations.run import migrate

        with self._plain_errors("upgrade"), self._engine.connect() as plain:
            migrate(plain.execution_options(roadworthy_write=True), to)

    def close(self) -> None:
        """Close every connection, so that the write-ahead log is folded into the file."""
        self._engine.dispose()

    @contextmanager
    def _plain_errors(self, doing: str) -> Generator[None]:
        try:
            yield
        except DBAPIError as problem:
            raise _store_error(problem.orig, doing, self.path) from problem
        except sqlite3.Error as problem:
            raise _store_error(problem, doing, self.path) from problem


def copy_database(source: Path, target: Path) -> None:
    """Copy a database while others write to it: the copy holds one committed moment.

    Raises:
        StoreError: the disk is full, or the source is damaged.
    """
    try:
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
            live.backup(copy)
    except sqlite3.Error as problem:
        raise _store_error(problem, "copy", source) from problem


def check_database(path: Path) -> None:
    """Read every page and index.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        with closing(sqlite3.connect(path)) as database:
            found = database.execute("pragma integrity_check(1)").fetchone()
    except sqlite3.Error as problem:
        raise _store_error(problem, "read", path) from problem
    if found is None or found[0] != "ok":
        raise StoreError(f"{path} is damaged: {found[0] if found else 'unreadable'}", hint="use another backup")


def _store_error(problem: BaseException | None, doing: str, path: Path) -> StoreError:
    name = str(getattr(problem, "sqlite_errorname", ""))
    for prefix, (why, hint) in _PROBLEMS.items():
        if name.startswith(prefix):
            return StoreError(f"cannot {doing} {path}: {why}", hint=hint)
    return StoreError(f"cannot {doing} {path}: {problem}", hint="run: roadworthy upgrade")


def _prepare(raw: Any, _record: object) -> None:
    # The driver would otherwise begin transactions on its own, and deferred ones deadlock on upgrade to writing.
    raw.isolation_level = None
    raw.execute("pragma journal_mode = wal")
    raw.execute("pragma synchronous = full")


def _begin(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("roadworthy_write", False)
    connection.exec_driver_sql("begin immediate" if write else "begin")
