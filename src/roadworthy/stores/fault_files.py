"""Faults for drills as files in the home's `faults` folder, which running workers and control honour.

A fault names one system and environment and ends by itself after at most a minute, so a drill that was killed leaves
nothing behind for long.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from roadworthy.errors import InputError, NotFoundError
from roadworthy.stores.atomic import plain_errors, write_bytes
from roadworthy.stores.codec import to_json

PAGER_UNREACHABLE: Final = "pager_unreachable"
NAMES: Final = ("model_raises", "model_slow", "worker_killed", "disk_full", PAGER_UNREACHABLE)
LONGEST_S: Final = 60.0


class FileFaults:
    """Injects faults into the processes of one home."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "faults"

    def names(self) -> tuple[str, ...]:
        """Return the faults that can be injected."""
        return NAMES

    def inject(self, name: str, system: str, parameters: Mapping[str, Any]) -> str:
        """Start a fault; return the handle to clear it with.

        `parameters` may hold `environment`, `release`, `delay_ms` and `seconds` (at most 60).

        Raises:
            NotFoundError: no such fault.
            StoreError: the folder cannot be written.
        """
        if name not in NAMES:
            raise NotFoundError.among("fault", name, NAMES)
        seconds = min(float(parameters.get("seconds", LONGEST_S)), LONGEST_S)
        document = {
            "fault": name,
            "system": system,
            "environment": str(parameters.get("environment", "")),
            "release": str(parameters.get("release", "")),
            "delay_ms": float(parameters.get("delay_ms", 0.0)),
            "until": time.time_ns() // 1_000 + int(seconds * 1e6),
        }
        with plain_errors(f"write {self._folder}"):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = f"{name}-{secrets.token_hex(6)}"
        write_bytes(self._folder / f"{handle}.json", to_json(document), "process_file", mode=0o600)
        return handle

    def clear(self, handle: str) -> None:
        """Take a fault back; clearing twice is harmless.

        Raises:
            InputError: the handle is none that `inject` gave.
        """
        if not handle.replace("-", "").replace("_", "").isalnum():
            raise InputError(f"{handle[:80]!r} is no handle of a fault")
        for suffix in (".json", ".taken"):
            (self._folder / f"{handle}{suffix}").unlink(missing_ok=True)

    def is_in_force(self, name: str, system: str, wall: int) -> bool:
        """Tell whether a fault is in force for a system at a wall time in µs."""
        for path in self._folder.glob(f"{name}-*.json"):
            with suppress(OSError, ValueError, KeyError, TypeError):
                document = json.loads(path.read_text())
                if document["system"] == system and wall < int(document["until"]):
                    return True
        return False
