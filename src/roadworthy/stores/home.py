"""Homes: create, open and upgrade one. `ports.home.Home` says where each thing lies.

The database is imported where it is used: workers read homes without it, and start in a third of the time.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
import uuid
from pathlib import Path
from typing import Any, Final, cast

from roadworthy.errors import InputError, NotFoundError, StoreError
from roadworthy.ports.home import Home
from roadworthy.stores.atomic import plain_errors, sync_folder, write_bytes
from roadworthy.stores.codec import from_json, to_json

FORMAT: Final = 1
CLOCKS: Final = ("system", "replay")
SECRET_BYTES: Final = 32
_HOME_FILE: Final = "home.json"
_FOLDERS: Final = (
    *("artifacts/sha256", "snapshot", "workers", "records/segments", "records/parquet", "counters", "budgets", "logs"),
)


def create(path: Path, clock: str = "system", *, now: int | None = None) -> Home:
    """Create a home, whole or not at all: it is built beside its place and renamed.

    A `replay` home has its own clock, which starts at `now` (µs) and is driven from outside.

    Raises:
        StoreError: something else is there already, or the disk is full or read-only.
        InputError: no such clock.
    """
    if clock not in CLOCKS:
        raise InputError(f"no clock called '{clock}' (known: {', '.join(CLOCKS)})")
    root = path.absolute()
    if is_home(root):
        raise StoreError(f"there is a home at {path} already", hint="choose another place with --home")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise StoreError(f"{path} exists and is no home", hint="choose another place with --home")
    building = root.with_name(f".{root.name}.{secrets.token_hex(6)}.new")
    wall = time.time_ns() // 1_000
    home = Home(root=building, id=str(uuid.uuid4()), created_at=wall, clock=clock, format=FORMAT)
    with plain_errors(f"create a home at {path}"):
        root.parent.mkdir(parents=True, exist_ok=True)
        try:
            _fill(home, wall if now is None else now)
            building.rename(root)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        sync_folder(root.parent)
    return open_home(root)


def is_home(path: Path) -> bool:
    """Tell whether there is a home, without opening it."""
    return (path / _HOME_FILE).is_file()


def open_home(path: Path) -> Home:
    """Open a home.

    Raises:
        NotFoundError: there is none.
        StoreError: it was made by a newer version, needs `upgrade`, is damaged, or may not be written.
    """
    home = read_home(path)
    _refuse_other_schema(home)
    return home


def read_home(path: Path) -> Home:
    """Return what a home says of itself without opening its database, as workers do.

    Raises:
        NotFoundError: there is none.
        StoreError: it was made by a newer version, is damaged, or may not be written.
    """
    home = _described(path)
    _refuse_newer(home)
    _refuse_read_only(home.root)
    return home


def upgrade(path: Path) -> tuple[str, str]:
    """Bring an older home to this version; return the schema revision before and after. Twice is harmless.

    Raises:
        NotFoundError: there is no home.
        StoreError: it was made by a newer version, or the disk is full or read-only; then nothing changed.
    """
    from roadworthy.stores.metadata import HEAD, REVISIONS, Metadata

    home = _described(path)
    _refuse_read_only(home.root)
    metadata = Metadata(home.database)
    try:
        before = metadata.revision()
        if before and before not in REVISIONS:
            raise _newer(home, before)
        if before != HEAD:
            metadata.upgrade()
        return before, HEAD
    finally:
        metadata.close()


def secret_of(home: Home) -> bytes:
    """Return the 32 bytes that key subject digests. Never log them.

    Raises:
        StoreError: the file is missing or damaged.
    """
    with plain_errors(f"read the secret of the home at {home.root}"):
        secret = home.secret_file.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise StoreError(f"the secret of the home at {home.root} is damaged", hint="restore it from where it is kept")
    return secret


def describe(home: Home) -> bytes:
    """Return the content of a home's `home.json`."""
    return to_json({"format": home.format, "id": home.id, "created_at": home.created_at, "clock": home.clock})


def _fill(home: Home, now: int) -> None:
    from roadworthy.stores.metadata import Metadata

    home.root.mkdir()
    for folder in _FOLDERS:
        (home.root / folder).mkdir(parents=True)
    write_bytes(home.root / ".gitignore", b"*\n", "home")
    write_bytes(home.secret_file, secrets.token_bytes(SECRET_BYTES), "home", mode=0o600)
    write_bytes(home.clock_file, now.to_bytes(8, "little", signed=True), "home")
    write_bytes(home.snapshot / "version", bytes(8), "home")
    metadata = Metadata(home.database)
    metadata.create()
    metadata.close()
    write_bytes(home.root / _HOME_FILE, describe(home), "home")


def _described(path: Path) -> Home:
    root = path.absolute()
    if not is_home(root):
        raise NotFoundError(f"there is no home at {path}", hint="make one with: roadworthy init, or name one: --home")
    with plain_errors(f"read {root / _HOME_FILE}"):
        text = (root / _HOME_FILE).read_bytes()
    try:
        document: Any = from_json(text)
        fields = cast("dict[str, Any]", document)
        return Home(
            root=root,
            id=str(fields["id"]),
            created_at=int(fields["created_at"]),
            clock=str(fields.get("clock", "system")),
            format=int(fields["format"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise StoreError(
            f"{root / _HOME_FILE} is damaged: {problem}", hint="restore a backup: roadworthy restore"
        ) from problem


def _refuse_newer(home: Home) -> None:
    if home.format > FORMAT:
        raise StoreError(
            f"the home at {home.root} has format {home.format}; this version of Roadworthy reads up to {FORMAT}",
            hint="install the newer version that wrote it",
        )


def _refuse_read_only(root: Path) -> None:
    if not os.access(root, os.W_OK | os.X_OK):
        raise StoreError(
            f"the home at {root} may not be written by this user", hint="check its owner and mode, or choose --home"
        )


def _refuse_other_schema(home: Home) -> None:
    from roadworthy.stores.metadata import HEAD, REVISIONS, Metadata

    metadata = Metadata(home.database)
    try:
        if not home.database.is_file():
            raise StoreError(f"{home.database} is missing", hint="restore a backup: roadworthy restore")
        found = metadata.revision()
    finally:
        metadata.close()
    if found == HEAD:
        return
    if found and found not in REVISIONS:
        raise _newer(home, found)
    raise StoreError(
        f"the home at {home.root} has schema {found or 'none'}; this version needs {HEAD}", hint="roadworthy upgrade"
    )


def _newer(home: Home, found: str) -> StoreError:
    from roadworthy.stores.metadata import HEAD

    return StoreError(
        f"the home at {home.root} has schema {found}, which this version does not know (it knows up to {HEAD})",
        hint="install the newer version that wrote it",
    )
