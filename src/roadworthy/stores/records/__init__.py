"""The record log: workers append frames, control tails them, compacts them to Parquet and asks DuckDB about them."""

from roadworthy.stores.records.counters import Counters
from roadworthy.stores.records.ids import hour_of, new_record_id
from roadworthy.stores.records.log import SegmentLog, open_log

__all__ = ["Counters", "SegmentLog", "hour_of", "new_record_id", "open_log"]
