"""Secrets by reference: `env:NAME` or `file:path`, read when they are used and kept out of errors and logs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from roadworthy.ports.chat import ProviderTrouble, Trouble

MAX_SECRET_BYTES: Final = 16 << 10


class Secrets:
    """Reads what references name. A file is read again when it changed, so that a key is rotated without a restart.

    Relative paths are taken from `root`. The environment is read here and not in settings, since the manifest names
    the variable.
    """

    __slots__ = ("_files", "_root")

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, tuple[tuple[int, int, int], str]] = {}

    def __repr__(self) -> str:
        return "Secrets()"

    def __call__(self, reference: str) -> str:
        """Return a secret.

        Raises:
            ProviderTrouble: `no_secret`, naming the reference, never what it holds.
        """
        kind, _, place = reference.partition(":")
        if kind == "env" and place:
            secret = os.environ.get(place, "").strip()
        elif kind == "file" and place:
            secret = self._file(reference, place)
        else:
            raise _missing(f"{reference!r} is no reference to a secret: write env:NAME or file:path")
        if not secret:
            raise _missing(f"the secret {reference} is not there")
        if not (secret.isascii() and secret.isprintable()):
            raise _missing(f"the secret {reference} holds characters that no key has")
        return secret

    def _file(self, reference: str, place: str) -> str:
        path = self._root / place
        try:
            found = path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            known = self._files.get(reference)
            if known is not None and known[0] == seen:
                return known[1]
            if found.st_size > MAX_SECRET_BYTES:
                raise _missing(f"the secret {reference} is longer than {MAX_SECRET_BYTES} bytes")
            secret = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as wrong:
            raise _missing(f"the secret {reference} cannot be read ({type(wrong).__name__})") from None
        self._files[reference] = (seen, secret)
        return secret


def _missing(message: str) -> ProviderTrouble:
    return ProviderTrouble(Trouble.NO_SECRET, message)
