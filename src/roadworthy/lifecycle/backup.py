"""Back up a home while it works, and restore it elsewhere: the ledger verifies and the route serves."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from roadworthy.domain.digest import PREFIX
from roadworthy.domain.ledger import Head
from roadworthy.errors import InputError, StoreError
from roadworthy.lifecycle.verify_ledger import verify_ledger
from roadworthy.ports.home import Home
from roadworthy.ports.plane import Plane
from roadworthy.stores.archive import ArchiveWriter, Manifest, extract
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.atomic import plain_errors, sync_folder, write_bytes
from roadworthy.stores.clock import SystemClock
from roadworthy.stores.codec import from_doc, to_doc
from roadworthy.stores.home import SECRET_BYTES, open_home, upgrade
from roadworthy.stores.ledger import SqlLedger
from roadworthy.stores.metadata import Metadata, check_database, copy_database
from roadworthy.stores.snapshots import FileSnapshots

COMPACTION_LOCK: Final = "compactor.lock"
"""In the folder of records; whoever holds it alone may turn segments into Parquet and delete them."""
_FOLDERS: Final = ("artifacts/sha256", "snapshot", "workers", "records/segments", "records/parquet", "counters", "logs")
_DATABASE: Final = "control.sqlite"
_NOT_KEPT: Final = (".tmp", ".lock", ".sqlite-wal", ".sqlite-shm", ".sqlite-journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that was written: where, of which moment of the ledger, how much."""

    path: Path
    head: Head
    files: int
    size: int
    with_secret: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A home that was restored and verified. Without its secret, erased subjects stay erased and new digests differ."""

    home: Home
    head: Head
    files: int
    with_secret: bool


def backup(plane: Plane, target: Path, *, with_secret: bool = False) -> Backup:
    """Write a home into one archive while others write to it; it holds one moment of the ledger.

    `target` is a folder, or a file ending in `.tar`, `.tar.gz` or `.tgz`. An existing file is never overwritten.

    Raises:
        InputError: the target exists, or lies inside the home.
        StoreError: the disk is full or read-only; then there is no archive.
    """
    home = plane.home
    path = _archive_path(plane, target.absolute())
    if path.exists():
        raise InputError(f"{path} exists", hint="choose another name; a backup is never overwritten")
    if path.is_relative_to(home.root):
        raise InputError("a backup must not lie inside its home", hint="choose a place elsewhere, best another disk")
    with plain_errors(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        return _written(plane, path, with_secret=with_secret)


def _archive_path(plane: Plane, target: Path) -> Path:
    if target.name.endswith((".tar", ".tar.gz", ".tgz")):
        return target
    return target / f"roadworthy-{plane.home.id[:8]}-{plane.ledger.head().seq}.tar.gz"


def _written(plane: Plane, path: Path, *, with_secret: bool) -> Backup:
    home = plane.home
    with ArchiveWriter(path) as archive, _no_compaction(home):
        archive.add_file("home.json", home.root / "home.json")
        archive.add_file("clock", home.clock_file)
        # Books before rows and the snapshot before the ledger: each may be behind what follows, never ahead of it.
        _add_tree(archive, home, home.counters)
        if (home.snapshot / "current.msgpack").exists():
            archive.add_file("snapshot/current.msgpack", home.snapshot / "current.msgpack")
        head = _add_database(archive, home)
        # What the copied ledger names was kept before it was named.
        _add_tree(archive, home, home.artifacts)
        _add_tree(archive, home, home.records)
        if with_secret:
            archive.add_file("secret", home.secret_file)
        manifest = archive.finish({"head": to_doc(head), "with_secret": with_secret, "at": plane.clock.now()})
    return Backup(path=path, head=head, files=len(manifest.files), size=manifest.size, with_secret=with_secret)


@contextmanager
def _no_compaction(home: Home) -> Generator[None]:
    descriptor = os.open(home.records / COMPACTION_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _add_database(archive: ArchiveWriter, home: Home) -> Head:
    with _copied(home.database, archive.path) as copy:
        archive.add_file(_DATABASE, copy)
        return _head_of(copy, home)


def _add_tree(archive: ArchiveWriter, home: Home, folder: Path) -> None:
    for file in _files_of(folder):
        name = file.relative_to(home.root).as_posix()
        if file.suffix == ".sqlite":
            with _copied(file, archive.path) as copy:
                archive.add_file(name, copy)
        else:
            # What vanishes meanwhile is a spare segment or a temporary file; nothing that counts, thanks to the lock.
            with suppress(FileNotFoundError):
                archive.add_file(name, file, trim_zeros=file.suffix == ".seg")


@contextmanager
def _copied(database: Path, beside: Path) -> Generator[Path]:
    copy = beside.with_name(f".{beside.name}.{secrets.token_hex(6)}.sqlite")
    try:
        copy_database(database, copy)
        yield copy
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def _files_of(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.endswith(_NOT_KEPT):
            yield path


def _head_of(database: Path, home: Home) -> Head:
    metadata = Metadata(database)
    try:
        return SqlLedger(metadata, SystemClock(), home.id).head()
    finally:
        metadata.close()


def restore(archive: Path, target: Path) -> Restored:
    """Make a home from a backup, whole or not at all, after everything in it was verified.

    Raises:
        InputError: the target exists, or the archive is none, altered or cut off.
        StoreError: its database, ledger, snapshot or an artifact does not hold; or the disk is full or read-only.
    """
    place = target.absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise InputError(f"{target} exists", hint="restore into a new place, then move it")
    if not archive.is_file():
        raise InputError(f"there is no backup at {archive}")
    building = place.with_name(f".{place.name}.{secrets.token_hex(6)}.new")
    with plain_errors(f"restore into {target}"):
        building.mkdir(parents=True)
        try:
            manifest = extract(archive, building)
            head = _completed(building, manifest)
            building.rename(place)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        sync_folder(place.parent)
    with_secret = "secret" in manifest.files
    return Restored(home=open_home(place), head=head, files=len(manifest.files), with_secret=with_secret)


def _completed(root: Path, manifest: Manifest) -> Head:
    missing = {"home.json", "clock", _DATABASE} - manifest.files.keys()
    if missing:
        raise InputError(f"the archive is no backup of a home: it lacks {', '.join(sorted(missing))}")
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    write_bytes(root / ".gitignore", b"*\n", "home")
    secret = (root / "secret").read_bytes() if "secret" in manifest.files else secrets.token_bytes(SECRET_BYTES)
    write_bytes(root / "secret", secret, "home", mode=0o600)
    snapshot = FileSnapshots(root / "snapshot", root / "workers").read()
    version = 0 if snapshot is None else snapshot.version
    write_bytes(root / "snapshot" / "version", version.to_bytes(8, "little", signed=True), "home")
    _verify_artifacts(root / "artifacts")
    # An older backup becomes a home of this version; a newer one is refused before its tables are read.
    upgrade(root)
    head = from_doc(Head, manifest.about.get("head") or {})
    _verify_database(root / _DATABASE, head)
    return head


def _verify_artifacts(root: Path) -> None:
    kept = FileArtifacts(root)
    for file in _files_of(root):
        kept.path(PREFIX + file.name)


def _verify_database(database: Path, head: Head) -> None:
    check_database(database)
    metadata = Metadata(database)
    try:
        found = verify_ledger(SqlLedger(metadata, SystemClock(), head.home), head)
    finally:
        metadata.close()
    if not found.holds:
        raise StoreError(f"the ledger in the backup does not hold: {found.problem}", hint="use another backup")
