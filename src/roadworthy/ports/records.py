"""The record log: written by workers, read by control."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from roadworthy.domain.moment import Micros
from roadworthy.domain.record import Outcome, Record


class RecordLog(Protocol):
    """The write side, one per worker. Never raises, never blocks on a full disk."""

    def record(self, record: Record) -> bool:
        """Append a record; False means it was counted as unrecorded."""
        ...

    def outcome(self, outcome: Outcome) -> bool:
        """Append an outcome; False means it could not be kept and the caller must be told."""
        ...

    def close(self) -> None:
        """Seal the segment."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """What arrived since the last look, in arrival order per worker, and the cursor to ask with next time."""

    records: Sequence[Record]
    outcomes: Sequence[Outcome]
    cursor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Answers, records and counted losses over all workers, for the books: answers == records + unrecorded."""

    answers: int
    records: int
    unrecorded: int


class Records(Protocol):
    """The read side: sealed files and the unsealed tail as one."""

    def tail(self, cursor: str = "", limit: int = 50_000) -> Frames:
        """Return what was appended after the cursor (empty: from the oldest unsealed frame). Each frame once."""
        ...

    def find(self, record_id: str) -> Record | None:
        """Return one record by its id; opens one hour."""
        ...

    def find_many(self, record_ids: Sequence[str]) -> dict[str, Record]:
        """Return the records that exist, by id; opens the hours that the ids name."""
        ...

    def outcomes_of(self, record_id: str) -> Sequence[Outcome]:
        """Return every outcome posted for a record, by known time."""
        ...

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run one of our own SELECTs over the views `records` and `outcomes`. Never text from a caller."""
        ...

    def scan(self, system: str, environment: str, start: Micros, end: Micros) -> Iterator[Record]:
        """Return records answered in [start, end), oldest first."""
        ...

    def mark_read(self, cursor: str) -> None:
        """Say that what lies before the cursor is folded and saved, so that its segments may be deleted."""
        ...

    def losses(self) -> Losses:
        """Return the books."""
        ...

    def compact(self) -> int:
        """Turn unlocked segments into Parquet, merge hours; return the number of frames moved."""
        ...
