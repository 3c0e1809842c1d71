"""Times are int64 microseconds since 1970 in UTC, durations are microseconds unless a name says otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

Micros: TypeAlias = int

MILLISECOND: Final[Micros] = 1_000
SECOND: Final[Micros] = 1_000_000
MINUTE: Final[Micros] = 60 * SECOND
HOUR: Final[Micros] = 60 * MINUTE
DAY: Final[Micros] = 24 * HOUR
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment: datetime) -> Micros:
    """Turn an aware datetime into microseconds; a naive one is read as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def as_datetime(moment: Micros) -> datetime:
    """Turn microseconds into an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=moment)


def iso(moment: Micros) -> str:
    """Write a time as people and machines read it: `2013-02-01T06:00:00Z`, fractions only where there are any."""
    text = as_datetime(moment).isoformat()
    return text.replace("+00:00", "Z")


def parse_iso(text: str) -> Micros:
    """Read an ISO 8601 time; one without an offset is UTC.

    Raises:
        ValueError: the text is no ISO 8601 time.
    """
    return micros(datetime.fromisoformat(text))


_UNITS: Final = (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", MILLISECOND), ("us", 1))


def spell_duration(duration: Micros) -> str:
    """Write a duration with its largest whole unit, as manifests do: `26h`, `50ms`, `90s`."""
    for unit, size in _UNITS:
        if duration % size == 0 and duration >= size:
            return f"{duration // size}{unit}"
    return "0s"
