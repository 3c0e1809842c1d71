"""The record log: workers append frames, control tails them, compacts them to Parquet and asks DuckDB about them.

The read side is imported on demand: a worker that only appends loads neither DuckDB nor NumPy for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roadworthy.stores.records.counters import Counters
from roadworthy.stores.records.ids import hour_of, new_record_id
from roadworthy.stores.records.log import SegmentLog, open_log

if TYPE_CHECKING:
    from roadworthy.stores.records.query import RecordStore

__all__ = ["Counters", "SegmentLog", "hour_of", "new_record_id", "open_log", "open_records"]


def open_records(folder: Path, counters: Path, *, keep_until_read: bool = True) -> RecordStore:
    """Open the read side of a home's record log; see `query.open_records`.

    Raises:
        StoreError: the folder is read-only or the catalogue cannot be used.
    """
    from roadworthy.stores.records import query

    return query.open_records(folder, counters, keep_until_read=keep_until_read)
