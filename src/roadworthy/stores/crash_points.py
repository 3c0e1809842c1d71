"""Named places where a test may kill the process: before and after each fsync, rename, commit, acknowledgement.

Armed once at start from the settings (`ROADWORTHY_CRASH_AT`), only by tests. A new crash point is added to `NAMES`;
a test reads the sources and fails for a name that is not here.
"""

from __future__ import annotations

import os
import signal
from typing import Final

from roadworthy.errors import InputError

WRITE_STEPS: Final = ("before_fsync", "before_rename", "after_rename", "after_folder_fsync")
"""The crash points of one atomic write (`atomic.write_bytes(label=…)`); a process dies before the named step ends."""

WRITTEN: Final = ("artifact", "snapshot", "acknowledgement", "home", "backup", "process_file")
"""The labels under which files are written atomically."""

COMMITTED: Final = (
    *("ledger", "observations", "deliveries", "leases", "people", "purses"),
    *("records", "record_merge", "record_drop", "record_segments"),
)
"""The labels of transactions in the metadata database."""

NAMES: Final[frozenset[str]] = frozenset(
    {f"{label}.{step}" for label in WRITTEN for step in WRITE_STEPS}
    | {f"{label}.{side}_commit" for label in COMMITTED for side in ("before", "after")}
    | {
        "snapshot.after_version",
        "wallet.before_grants",
        "wallet.before_wallet",
        "wallet.before_delete",
        "wallet.after_delete",
        "settlement.before_records",
        "settlement.after_records",
        "acknowledgement.after_lock",
        "records.before_segment",
        "records.after_segment",
        "records.before_parquet",
        "records.after_parquet",
        "records.before_merge",
        "records.before_delete",
        "records.after_delete",
    }
)


class _Armed:
    """The one armed name of this process and how many passages are left before it fires."""

    name: str = ""
    passages_left: int = 0


def arm(spec: str) -> None:
    """Make this process kill itself at a crash point: `ledger.before_commit`, or `ledger.before_commit@3`.

    `@3` lets two passages through and dies at the third. An empty text disarms.

    Raises:
        InputError: there is no such crash point, or the passage is not a whole number from 1.
    """
    name, _, passage = spec.partition("@")
    if name and name not in NAMES:
        raise InputError(f"there is no crash point called '{name}'", hint="see roadworthy/stores/crash_points.py")
    if passage and not (passage.isdecimal() and int(passage) > 0):
        raise InputError(f"the passage in '{spec}' must be a whole number from 1")
    _Armed.name = name
    _Armed.passages_left = int(passage or 1)


def crash_point(name: str) -> None:
    """Die here by SIGKILL if armed for this name; otherwise do nothing, in well under a microsecond."""
    if _Armed.name != name:
        return
    _Armed.passages_left -= 1
    if _Armed.passages_left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
