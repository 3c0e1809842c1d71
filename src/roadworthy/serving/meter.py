"""What a worker counts: requests, errors, durations, by system. Kept in mapped memory that outlives the worker."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, Protocol

from roadworthy.errors import StoreError

LATENCY_BOUNDS_US: Final = (
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
)  # fmt: skip
SEPARATOR: Final = "|"


class Counters(Protocol):
    """Named uint64 counters of one worker (`stores.records.counters`)."""

    @property
    def cells(self) -> memoryview[int]:
        """Return the numbers, by slot."""
        ...

    def slot(self, name: str) -> int:
        """Return the slot of a name, taking a new one for a new name."""
        ...


class Meter:
    """Counts for one system in one environment. Every name is looked up once, then adding is one store."""

    def __init__(self, counters: Counters, system: str, environment: str) -> None:
        self._counters = counters
        self._cells = counters.cells
        self._labels = (system, environment)
        self._slots: dict[tuple[str, ...], int] = {}
        self._requests: dict[tuple[str, int], int] = {}
        self._latency = [self._slot("latency", str(bound)) for bound in (*LATENCY_BOUNDS_US, "inf")]
        self._latency_sum = self._slot("latency_sum_us")

    def answered(self, release: str, status: int, latency_us: int, rows: int) -> None:
        """Count one request that was answered, and how long it took."""
        slot = self._requests.get((release, status))
        if slot is None:
            slot = self._requests[release, status] = self._slot("requests", release, str(status))
        cells = self._cells
        cells[slot] += 1
        cells[self._latency[bisect_left(LATENCY_BOUNDS_US, latency_us)]] += 1
        cells[self._latency_sum] += latency_us
        if rows != 1:
            self.count("rows_extra", n=max(rows - 1, 0))

    def count(self, what: str, *labels: str, n: int = 1) -> None:
        """Count something that happens seldom: a fallback, a shed request, a violation, a dropped shadow."""
        slot = self._slots.get((what, *labels))
        if slot is None:
            slot = self._slots[(what, *labels)] = self._slot(what, *labels)
        self._cells[slot] += n

    def _slot(self, what: str, *labels: str) -> int:
        parts = (what, *self._labels, *labels)
        try:
            return self._counters.slot(
                SEPARATOR.join(part.replace(SEPARATOR, "/").replace("\n", " ") for part in parts)
            )
        except StoreError:
            return self._counters.slot("uncounted")
