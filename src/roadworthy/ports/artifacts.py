"""Immutable bytes by digest."""

from pathlib import Path
from typing import Protocol

from roadworthy.domain.digest import Digest


class Artifacts(Protocol):
    """Keeps bytes under their digest."""

    def put(self, content: bytes) -> Digest:
        """Keep bytes; keeping the same bytes twice is a no-op.

        Raises:
            StoreError: the disk is full or read-only.
        """
        ...

    def put_file(self, path: Path) -> Digest:
        """Keep a file's bytes."""
        ...

    def get(self, digest: Digest) -> bytes:
        """Return bytes whose digest was checked just now.

        Raises:
            ArtifactError: they are missing or altered.
        """
        ...

    def path(self, digest: Digest) -> Path:
        """Return the path of bytes whose digest was checked just now.

        Raises:
            ArtifactError: they are missing or altered.
        """
        ...

    def has(self, digest: Digest) -> bool:
        """Tell whether the bytes are kept, without checking them."""
        ...
