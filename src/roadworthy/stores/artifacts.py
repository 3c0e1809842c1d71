"""Artifacts as files: immutable bytes named by their SHA-256, hashed again at every reading."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from roadworthy.domain.digest import PREFIX, Digest, digest_bytes, is_digest, short
from roadworthy.errors import ArtifactError
from roadworthy.stores.atomic import plain_errors, write_stream

_CHUNK: Final = 1 << 20
_READ_ONLY: Final = 0o444


class FileArtifacts:
    """Keeps artifacts under `<root>/sha256/ab/<hex>`; nothing a caller says reaches a path but a checked digest."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, content: bytes) -> Digest:
        """Keep bytes; keeping the same bytes twice is a no-op, and mends a damaged copy."""
        name = digest_bytes(content)
        self._keep(name, iter((content,)))
        return name

    def put_file(self, path: Path) -> Digest:
        """Keep a file's bytes without holding them in memory.

        Raises:
            ArtifactError: the file changed while it was copied.
            StoreError: it cannot be read, or the disk is full or read-only.
        """
        with plain_errors(f"read {path}"):
            name = _digest_of(path)
            self._keep(name, _chunks(path))
        try:
            self.path(name)
        except ArtifactError:
            self._place(name).unlink(missing_ok=True)
            raise ArtifactError(f"{path} changed while it was read", hint="run it again once it is written") from None
        return name

    def get(self, digest: Digest) -> bytes:
        """Return bytes whose digest was checked just now."""
        place = self._existing(digest)
        with plain_errors(f"read {place}"):
            content = place.read_bytes()
        if digest_bytes(content) != digest:
            raise _altered(digest, place)
        return content

    def path(self, digest: Digest) -> Path:
        """Return the path of bytes whose digest was checked just now."""
        place = self._existing(digest)
        with plain_errors(f"read {place}"):
            found = _digest_of(place)
        if found != digest:
            raise _altered(digest, place)
        return place

    def has(self, digest: Digest) -> bool:
        """Tell whether the bytes are kept, without checking them."""
        return is_digest(digest) and self._place(digest).is_file()

    def _keep(self, name: Digest, chunks: Iterator[bytes]) -> None:
        place = self._place(name)
        if place.is_file() and _digest_of(place) == name:
            return
        with plain_errors(f"write {place}"):
            place.parent.mkdir(parents=True, exist_ok=True)
        write_stream(place, chunks, "artifact", mode=_READ_ONLY)

    def _existing(self, digest: Digest) -> Path:
        place = self._place(digest)
        if not place.is_file():
            raise ArtifactError(
                f"artifact {short(digest)} is missing ({place})", hint="restore it from a backup: roadworthy restore"
            )
        return place

    def _place(self, digest: Digest) -> Path:
        if not is_digest(digest):
            raise ArtifactError(f"{digest[:80]!r} is no artifact digest", hint="a digest is sha256: and 64 hex digits")
        name = digest.removeprefix(PREFIX)
        return self._root / "sha256" / name[:2] / name


def _altered(digest: Digest, place: Path) -> ArtifactError:
    return ArtifactError(
        f"artifact {short(digest)} was altered: its bytes differ from its digest ({place})",
        hint="restore it from a backup: roadworthy restore; until then the last snapshot's loaded release serves",
    )


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _digest_of(path: Path) -> Digest:
    with path.open("rb") as file:
        return PREFIX + hashlib.file_digest(file, "sha256").hexdigest()
