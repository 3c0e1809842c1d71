"""Faults for drills, honoured by running workers.

This is the one deliberate hole in the serving path: whoever may write into the home's `faults` folder can make a system
answer worse. The folder belongs to the home's user (mode 0700), a fault names one system, and it ends by itself at
`until`, so a forgotten one does no lasting harm.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from roadworthy.domain.moment import Micros
from roadworthy.domain.record import Outcome, Record
from roadworthy.ports.records import RecordLog

MODEL_RAISES: Final = "model_raises"
MODEL_SLOW: Final = "model_slow"
WORKER_KILLED: Final = "worker_killed"
DISK_FULL: Final = "disk_full"
NAMES: Final = (MODEL_RAISES, MODEL_SLOW, WORKER_KILLED, DISK_FULL)
FOLDER: Final = "faults"
LONGEST_S: Final = 3600


class InjectedFault(Exception):
    """What a model raises while a drill makes it raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault in force. `release` empty: the release that the route chose, whichever it is. `until` is wall time.

    `environment` empty: in all of them; a drill names its own, so that no other caller is touched.
    """

    fault: str
    system: str
    until: Micros
    release: str = ""
    delay_ms: float = 0.0
    environment: str = ""


class FaultFolder:
    """Reads the faults of a home; cheap enough to poll every 100 ms."""

    def __init__(self, root: Path, now: Callable[[], Micros]) -> None:
        self._folder = root / FOLDER
        self._now = now
        self._files: dict[str, tuple[int, Fault | None]] = {}

    def in_force(self) -> Mapping[str, tuple[Fault, ...]]:
        """Return the faults in force by system. A worker that finds `worker_killed` takes the file and dies of it."""
        try:
            names = [entry.name for entry in os.scandir(self._folder) if entry.name.endswith(".json")]
        except FileNotFoundError:
            return {}
        self._files = {name: known for name, known in self._files.items() if name in names}
        found: dict[str, tuple[Fault, ...]] = {}
        now = self._now()
        for name in names:
            fault = self._read(name)
            if fault is None or not now < fault.until <= now + LONGEST_S * 1_000_000:
                continue
            if fault.fault == WORKER_KILLED:
                self._die_once(name)
                continue
            found[fault.system] = (*found.get(fault.system, ()), fault)
        return found

    def _read(self, name: str) -> Fault | None:
        path = self._folder / name
        try:
            stamp = path.stat().st_mtime_ns
            known = self._files.get(name)
            if known is None or known[0] != stamp:
                known = self._files[name] = (stamp, _parse(path.read_text()))
        except OSError:
            return None
        return known[1]

    def _die_once(self, name: str) -> None:
        """Take the file by renaming it: of all workers only the one that succeeds dies."""
        with suppress(OSError):
            path = self._folder / name
            path.rename(path.with_suffix(".taken"))
            os.kill(os.getpid(), signal.SIGKILL)


def _parse(text: str) -> Fault | None:
    try:
        read = json.loads(text)
        document = cast("dict[str, Any]", read)
        fault = Fault(
            fault=str(document["fault"]),
            system=str(document["system"]),
            until=int(document["until"]),
            release=str(document.get("release", "")),
            delay_ms=float(document.get("delay_ms", 0.0)),
            environment=str(document.get("environment", "")),
        )
    except (ValueError, KeyError, TypeError):
        return None
    return fault if fault.fault in NAMES else None


class DrilledLog:
    """A record log that a drill can make behave as on a full disk, for the systems it names."""

    def __init__(self, log: RecordLog, count_loss: Callable[[], None]) -> None:
        self._log = log
        self._count_loss = count_loss
        self.full_for: frozenset[tuple[str, str]] = frozenset()
        """Systems with the environment it is full for; an empty environment stands for all."""
        self._record = log.record

    def record(self, record: Record) -> bool:
        """Append a record unless the disk plays full; the loss is counted in the books either way."""
        if self.full_for and self._is_full_for(record.system, record.environment):
            self._count_loss()
            return False
        return self._record(record)

    def outcome(self, outcome: Outcome) -> bool:
        """Append an outcome unless the disk plays full."""
        return not self._is_full_for(outcome.system, outcome.environment) and self._log.outcome(outcome)

    def _is_full_for(self, system: str, environment: str) -> bool:
        return (system, "") in self.full_for or (system, environment) in self.full_for

    def close(self) -> None:
        """Seal the segment."""
        self._log.close()
