"""The clock."""

from typing import Protocol

from roadworthy.domain.moment import Micros


class Clock(Protocol):
    """Tells the time: the system's, or a replayed one. Durations never come from here."""

    def now(self) -> Micros:
        """Return the time in int64 µs UTC."""
        ...
