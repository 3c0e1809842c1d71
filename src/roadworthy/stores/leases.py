"""Leases in SQLite: one leader at a time, told apart by an epoch that only grows."""

from __future__ import annotations

import time
from collections.abc import Callable

import sqlalchemy as sa

from roadworthy.stores.metadata import LEASE, Metadata

_TAKE = sa.text(
    "insert into lease (name, holder, epoch, expires_at) values (:name, :holder, 1, :expires_at) "
    "on conflict (name) do update set holder = excluded.holder, expires_at = excluded.expires_at, "
    "epoch = lease.epoch + (lease.holder != excluded.holder or lease.expires_at <= :now)"
)


def _wall_micros() -> int:
    return time.time_ns() // 1_000


class SqlLeases:
    """Leases by wall time, so that a replayed clock neither keeps nor ends one.

    The epoch grows whenever the lease is taken over *or lapsed in between*: a leader that slept past its lease is
    fenced out of the ledger even if nobody else took it.
    """

    def __init__(self, metadata: Metadata, wall: Callable[[], int] = _wall_micros) -> None:
        self._metadata = metadata
        self._wall = wall

    def acquire(self, name: str, holder: str, seconds: float) -> int | None:
        """Take or renew the lease; return its epoch, or None while another holds it."""
        now = self._wall()
        with self._metadata.writing("leases") as connection:
            held = connection.execute(sa.select(LEASE).where(LEASE.c.name == name)).one_or_none()
            if held is not None and held.holder not in ("", holder) and held.expires_at > now:
                return None
            expires_at = now + int(seconds * 1_000_000)
            connection.execute(_TAKE, {"name": name, "holder": holder, "expires_at": expires_at, "now": now})
            return int(connection.execute(sa.select(LEASE.c.epoch).where(LEASE.c.name == name)).scalar_one())

    def release(self, name: str, holder: str) -> None:
        """Give the lease back; the epoch stays, so that the next holder's is higher."""
        with self._metadata.writing("leases") as connection:
            mine = (LEASE.c.name == name) & (LEASE.c.holder == holder)
            connection.execute(LEASE.update().where(mine).values(holder="", expires_at=0))
