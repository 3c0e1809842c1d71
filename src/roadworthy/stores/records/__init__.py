"""The record log: workers append frames, control tails them, compacts them to Parquet and asks DuckDB about them.

The read side is imported on demand: a worker that only appends loads neither DuckDB nor NumPy for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from roadworthy.stores.records.counters import Counters
from roadworthy.stores.records.ids import hour_of, new_record_id
from roadworthy.stores.records.log import SegmentLog, open_log

if TYPE_CHECKING:
    from roadworthy.stores.records.query import RecordStore

__all__ = ["Counters", "SegmentLog", "hour_of", "new_record_id", "open_log", "open_records", "records_later"]


def open_records(folder: Path, counters: Path, *, keep_until_read: bool = True) -> RecordStore:
    """Open the read side of a home's record log; see `query.open_records`.

    Raises:
        StoreError: the folder is read-only or the catalogue cannot be used.
    """
    from roadworthy.stores.records import query

    return query.open_records(folder, counters, keep_until_read=keep_until_read)


class _Later:
    """A read side that is opened when it is first asked; closing one that never was does nothing."""

    def __init__(self, opened: Callable[[], RecordStore]) -> None:
        self._opener = opened
        self._lock = threading.Lock()
        self._store: RecordStore | None = None

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._store is None:
                self._store = self._opener()
        return getattr(self._store, name)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()


def records_later(folder: Path, counters: Path) -> RecordStore:
    """Return the read side of a home's record log, opened at its first use.

    Most commands ask nothing of the records, and loading DuckDB takes a tenth of a second of CPU. What `open_records`
    raises comes at that first use.
    """
    return cast("RecordStore", _Later(lambda: open_records(folder, counters)))
