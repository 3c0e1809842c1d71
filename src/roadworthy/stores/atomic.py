"""Writes that are whole or absent, whatever is killed in between: the one place that does fsync and rename."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from roadworthy.errors import StoreError
from roadworthy.stores.crash_points import crash_point

_SENTENCES: Final = {
    errno.ENOSPC: ("the disk is full", "free some space, then run it again; nothing was changed"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, then run it again; nothing was changed"),
    errno.EROFS: ("the file system is read-only", "mount it writable or choose another home with --home"),
    errno.EACCES: ("this user may not write there", "check the owner and mode of the folder"),
    errno.EPERM: ("this user may not write there", "check the owner and mode of the folder"),
    errno.ENOENT: ("the folder does not exist", "check the path"),
    errno.ENOTDIR: ("a part of the path is a file", "check the path"),
    errno.EIO: ("the disk reports an error", "check the disk; nothing was changed"),
    errno.EMFILE: ("this process has too many files open", "raise the limit of open files (ulimit -n)"),
    errno.EFBIG: ("the file would exceed the size limit", "raise the limit (ulimit -f)"),
}


def store_error(problem: OSError, doing: str) -> StoreError:
    """Turn an OSError into one plain sentence with a next step: `cannot write X: the disk is full`."""
    why, hint = _SENTENCES.get(problem.errno or 0, (problem.strerror or str(problem), ""))
    return StoreError(f"cannot {doing}: {why}", hint=hint)


@contextmanager
def plain_errors(doing: str) -> Generator[None]:
    """Let every OSError inside come out as a StoreError that says what could not be done and why."""
    try:
        yield
    except OSError as problem:
        raise store_error(problem, doing) from problem


def write_bytes(path: Path, content: bytes, label: str, *, mode: int = 0o644) -> None:
    """Replace a file by new content: after a crash it holds all of the old or all of the new, durably.

    `label` names the crash points (`<label>.before_fsync`, …) and must be in `crash_points.WRITTEN`.

    Raises:
        StoreError: the disk is full, read-only or not ours; the old content stays.
    """
    write_stream(path, (content,), label, mode=mode)


def write_stream(path: Path, chunks: Iterable[bytes], label: str, *, mode: int = 0o644) -> None:
    """Do what `write_bytes` does for content that comes in pieces."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with plain_errors(f"write {path}"):
            _write_temporary(temporary, chunks, label, mode)
            crash_point(f"{label}.before_rename")
            temporary.rename(path)
            crash_point(f"{label}.after_rename")
            sync_folder(path.parent)
            crash_point(f"{label}.after_folder_fsync")
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _write_temporary(temporary: Path, chunks: Iterable[bytes], label: str, mode: int) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        crash_point(f"{label}.before_fsync")
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames and unlinks in a folder survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_temporaries(folder: Path, older_than: float) -> int:
    """Remove what killed writers left behind, last touched before a wall time in seconds; return how many."""
    swept = 0
    for temporary in folder.rglob(".*.tmp"):
        with suppress(OSError):
            if temporary.is_file() and temporary.stat().st_mtime < older_than:
                temporary.unlink()
                swept += 1
    return swept
