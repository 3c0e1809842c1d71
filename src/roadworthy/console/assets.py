"""Static files under their digest: a page names exact bytes, so browsers may keep them for a year."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.responses import Response

_FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FOREVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One static file, read once."""

    name: str
    digest: str
    content: bytes

    @property
    def url(self) -> str:
        """Return where pages find exactly these bytes."""
        return f"/static/{self.digest}/{self.name}"


class Assets:
    """The console's static files, in memory; no path from a caller ever reaches the disk."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._assets = {path.name: _read(path) for path in sorted(folder.iterdir()) if path.suffix in _TYPES}

    def url(self, name: str) -> str:
        """Return the address of a file for a template; an unknown one is a programming error."""
        return self._assets[name].url

    def size(self) -> int:
        """Return how many bytes all files have together."""
        return sum(len(asset.content) for asset in self._assets.values())

    def answer(self, digest: str, name: str) -> Response | None:
        """Return a file's bytes, or None unless the digest is that of these bytes."""
        asset = self._assets.get(name)
        if asset is None or asset.digest != digest:
            return None
        kind = _TYPES[Path(name).suffix]
        return Response(asset.content, headers={"content-type": kind, "cache-control": _FOREVER})


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(path.name, hashlib.sha256(content).hexdigest()[:12], content)
