"""Record ids: 32 hex digits, UUIDv7, ordered by time within a process, so that `explain` opens one hour.

Layout after RFC 9562 §5.7: 48 bits of milliseconds, version, 26 bits of counter (12 before and 14 after the variant),
16 bits of worker, 32 bits drawn once per process. The counter never starts over within a process, so ids stay unique
when threads share it and when the clock stands still or is set back; order is kept as long as the clock is not set
back by more than a minute (a longer hold would stamp every record with a time that never was).
"""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Iterator
from typing import Final

from roadworthy.domain.moment import HOUR, MILLISECOND, Micros

_COUNTER_BITS: Final = 26
_COUNTER_MASK: Final = (1 << _COUNTER_BITS) - 1
_LOW_BITS: Final = 14
_LOW_MASK: Final = (1 << _LOW_BITS) - 1
_VERSION: Final = 0x7 << 76
_VARIANT: Final = 0x2 << 62
_LONGEST_HOLD_MS: Final = 60_000
_ID_LENGTH: Final = 32


class _Process:
    """What ids of this process have in common."""

    counter: Iterator[int] = itertools.count()
    last_ms: int = 0
    salt: int = secrets.randbits(32)


def _after_fork() -> None:
    _Process.counter = itertools.count()
    _Process.salt = secrets.randbits(32)


os.register_at_fork(after_in_child=_after_fork)


def new_record_id(worker: int, now_us: Micros) -> str:
    """Return a new id for a record answered now by a worker (0 to 65535); unique over workers and restarts."""
    count = next(_Process.counter) & _COUNTER_MASK
    moment = now_us // MILLISECOND
    last = _Process.last_ms
    if moment < last and last - moment <= _LONGEST_HOLD_MS:
        moment = last
    if not count:
        moment += 1
    _Process.last_ms = moment
    high = (moment << 80) | _VERSION | ((count >> _LOW_BITS) << 64)
    return f"{high | _VARIANT | ((count & _LOW_MASK) << 48) | ((worker & 0xFFFF) << 32) | _Process.salt:032x}"


def time_of(record_id: str) -> Micros:
    """Return the time an id carries, to the millisecond; 0 for a text that is no id of ours."""
    if len(record_id) != _ID_LENGTH:
        return 0
    try:
        return int(record_id[:12], 16) * MILLISECOND
    except ValueError:
        return 0


def hour_of(record_id: str) -> Micros:
    """Return the start of the hour in which a record is kept; 0 for a text that is no id of ours."""
    moment = time_of(record_id)
    return moment - moment % HOUR
