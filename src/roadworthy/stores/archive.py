"""Archives of files with a manifest of digests at their end, written and read in one pass, safe to read from anyone."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, Final, Self

from roadworthy.errors import InputError, StoreError
from roadworthy.stores.atomic import plain_errors, sync_folder
from roadworthy.stores.codec import from_doc, from_json, to_json
from roadworthy.stores.crash_points import crash_point

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
MAX_FILES: Final = 2_000_000
MAX_BYTES: Final = 1 << 40
_MAX_MANIFEST_BYTES: Final = 1 << 29
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file: its digest and size in the archive; `full_size` is larger where trailing zeros were left out."""

    sha256: str
    size: int
    full_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the archive holds; `about` is what its writer says of it."""

    format: int
    about: Mapping[str, Any]
    files: Mapping[str, Entry] = field(default_factory=dict[str, Entry])

    @property
    def size(self) -> int:
        """Return the bytes of all files together."""
        return sum(entry.size for entry in self.files.values())


class _Hashing(io.RawIOBase):
    """Reads exactly `size` bytes of a file, whatever is appended meanwhile, and digests them on the way."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__()
        self._file = file
        self._left = size
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read on; tarfile asks for this and no more."""
        wanted = self._left if size < 0 else min(size, self._left)
        chunk = self._file.read(wanted)
        self._left -= len(chunk)
        self.digest.update(chunk)
        return chunk


class ArchiveWriter:
    """Writes an archive beside its place and puts it there, whole, when the block ends without an error.

    `with ArchiveWriter(path) as archive: archive.add_file("a/b", source); archive.finish(about)`
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        self._entries: dict[str, Entry] = {}
        self._compressed = path.suffix in (".gz", ".tgz")

    def __enter__(self) -> Self:
        self._file = self._temporary.open("xb")
        mode = "w|gz" if self._compressed else "w|"
        self._tar = tarfile.open(fileobj=self._file, mode=mode, format=tarfile.PAX_FORMAT)
        return self

    def add_file(self, name: str, source: Path, *, trim_zeros: bool = False) -> None:
        """Add a file with the length it has now; `trim_zeros` leaves out the empty end of a preallocated one.

        Raises:
            FileNotFoundError: it is gone.
        """
        with source.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if trim_zeros:
                content = file.read(size).rstrip(b"\0")
                self._add(name, io.BytesIO(content), len(content), max(size, len(content)))
            else:
                self._add(name, file, size, size)

    def add_bytes(self, name: str, content: bytes) -> None:
        """Add content from memory."""
        self._add(name, io.BytesIO(content), len(content), len(content))

    def finish(self, about: Mapping[str, Any]) -> Manifest:
        """Write the manifest, close, fsync and put the archive in its place."""
        manifest = Manifest(format=FORMAT, about=about, files=dict(self._entries))
        text = to_json(manifest)
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(text)
        self._tar.addfile(info, io.BytesIO(text))
        self._tar.close()
        self._file.flush()
        crash_point("backup.before_fsync")
        os.fsync(self._file.fileno())
        self._file.close()
        crash_point("backup.before_rename")
        self._temporary.rename(self.path)
        crash_point("backup.after_rename")
        sync_folder(self.path.parent)
        crash_point("backup.after_folder_fsync")
        return manifest

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def _add(self, name: str, file: IO[bytes], size: int, full_size: int) -> None:
        info = tarfile.TarInfo(name)
        info.size = size
        info.mode = 0o600
        reading = _Hashing(file, size)
        self._tar.addfile(info, reading)  # pyright: ignore[reportArgumentType]
        self._entries[name] = Entry(sha256=reading.digest.hexdigest(), size=size, full_size=full_size)


def extract(archive: Path, target: Path, *, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES) -> Manifest:
    """Unpack an archive into an empty folder and return its manifest; every byte is compared with its digest.

    Nothing outside `target` is ever written: only plain files with plain relative names are unpacked.

    Raises:
        InputError: it is no such archive, was altered or cut off, or holds what it must not.
        StoreError: the disk is full or read-only.
    """
    seen: dict[str, tuple[str, int]] = {}
    manifest: bytes | None = None
    left = max_bytes
    with plain_errors(f"unpack {archive}"):
        try:
            with tarfile.open(archive, mode="r|*") as tar:
                for member in tar:
                    name = _plain_name(archive, member, seen)
                    left -= member.size
                    if left < 0 or len(seen) >= max_files:
                        raise InputError(
                            f"{archive} unpacks to more than it may ({max_bytes} bytes, {max_files} files)"
                        )
                    content = tar.extractfile(member)
                    assert content is not None  # a plain file
                    if name == MANIFEST:
                        manifest = _manifest_text(archive, member, content)
                    else:
                        seen[name] = (_copy(content, target / name), member.size)
        except (tarfile.TarError, EOFError, ValueError) as problem:
            raise InputError(f"{archive} is no whole backup: {problem}", hint="use another copy of it") from problem
    return _checked(archive, target, manifest, seen)


def _plain_name(archive: Path, member: tarfile.TarInfo, seen: Mapping[str, object]) -> str:
    name = member.name
    path = PurePosixPath(name)
    plain = member.isreg() and not path.is_absolute() and ".." not in path.parts and "\0" not in name
    if not plain or str(path) != name or not path.parts:
        raise InputError(f"{archive} holds {name[:200]!r}, which a backup never holds; nothing was restored")
    if name in seen:
        raise InputError(f"{archive} holds {name[:200]!r} twice; nothing was restored")
    return name


def _manifest_text(archive: Path, member: tarfile.TarInfo, content: IO[bytes]) -> bytes:
    if member.size > _MAX_MANIFEST_BYTES:
        raise InputError(f"the manifest of {archive} is too large")
    return content.read()


def _copy(content: IO[bytes], target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as file:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _checked(archive: Path, target: Path, text: bytes | None, seen: Mapping[str, tuple[str, int]]) -> Manifest:
    if text is None:
        raise InputError(f"{archive} is cut off: it has no manifest", hint="use another copy of it")
    try:
        manifest = from_doc(Manifest, from_json(text))
    except (ValueError, StoreError) as problem:
        raise InputError(f"{archive} is no backup: its manifest cannot be read", hint="use another copy") from problem
    if manifest.format > FORMAT:
        raise InputError(f"{archive} was written by a newer version", hint="install the version that wrote it")
    expected = {name: (entry.sha256, entry.size) for name, entry in manifest.files.items()}
    if expected != dict(seen):
        wrong = min(name for name in expected.keys() | seen.keys() if expected.get(name) != seen.get(name))
        raise InputError(f"{archive} was altered: {wrong} is not what its manifest says", hint="use another copy of it")
    with plain_errors(f"unpack {archive}"):
        for name, entry in manifest.files.items():
            if entry.full_size > entry.size:
                os.truncate(target / name, entry.full_size)
    return manifest
