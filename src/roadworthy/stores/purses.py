"""Purses and leases in SQLite; every change is one transaction under control's fence."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from roadworthy.domain.budget import Purse
from roadworthy.domain.lease import Lease, PurseState
from roadworthy.ports.purses import Books, Rule
from roadworthy.stores.ledger import check_fence
from roadworthy.stores.metadata import PURSE, PURSE_LEASE, Metadata

_AT_ONCE: Final = 500
"""Names in one statement; SQLite takes some thousands."""


class SqlPurses:
    """The books of one home. Safe for threads and processes."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def books(self) -> Books:
        """Return every open purse and every lease."""
        with self._metadata.reading() as connection:
            purses = connection.execute(sa.select(PURSE).where(PURSE.c.closed == 0)).mappings()
            leases = connection.execute(sa.select(PURSE_LEASE)).mappings()
            return _books(purses, leases)

    def change(self, purses: Collection[str], rule: Rule, *, fence: int | None = None) -> Books:
        """Read these purses and their leases, apply the rule, write what it returns: one transaction.

        Raises:
            Conflict: the fence is stale; another process leads. Nothing changed.
            StoreError: the disk is full or read-only.
        """
        with self._metadata.writing("purses") as connection:
            if fence is not None:
                check_fence(connection, fence)
            known = _read(connection, sorted(purses))
            new = rule(known)
            changed = [state for name, state in new.purses.items() if known.purses.get(name) != state]
            _upsert(connection, PURSE, [_purse_row(state) for state in changed])
            held = [lease for place, lease in new.leases.items() if known.leases.get(place) != lease]
            _upsert(connection, PURSE_LEASE, [_lease_row(lease) for lease in held])
            for wallet, purse in known.leases.keys() - new.leases.keys():
                mine = (PURSE_LEASE.c.wallet == wallet) & (PURSE_LEASE.c.purse == purse)
                connection.execute(PURSE_LEASE.delete().where(mine))
        return new

    def past(self, system: str, limit: int = 200) -> Sequence[PurseState]:
        """Return closed purses of a system, newest period first."""
        query = sa.select(PURSE).where(PURSE.c.closed == 1, PURSE.c.system == system)
        query = query.order_by(PURSE.c.period_start.desc(), PURSE.c.id).limit(limit)
        with self._metadata.reading() as connection:
            return [_state(row) for row in connection.execute(query).mappings()]


def _read(connection: sa.Connection, names: Sequence[str]) -> Books:
    purses: list[sa.RowMapping] = []
    leases: list[sa.RowMapping] = []
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        purses += connection.execute(sa.select(PURSE).where(PURSE.c.id.in_(some))).mappings()
        leases += connection.execute(sa.select(PURSE_LEASE).where(PURSE_LEASE.c.purse.in_(some))).mappings()
    return _books(purses, leases)


def _upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        # Replacing is right here: every column of a row is written.
        connection.execute(table.insert().prefix_with("or replace"), rows)


def _books(purses: Iterable[sa.RowMapping], leases: Iterable[sa.RowMapping]) -> Books:
    states = [_state(row) for row in purses]
    held = [
        Lease(
            wallet=row["wallet"],
            purse=row["purse"],
            granted=row["granted"],
            returned=row["returned"],
            closed=bool(row["closed"]),
        )
        for row in leases
    ]
    return Books(
        purses={state.purse.id: state for state in states}, leases={(one.wallet, one.purse): one for one in held}
    )


def _state(row: sa.RowMapping) -> PurseState:
    purse = Purse(
        system=row["system"],
        environment=row["environment"],
        budget=row["budget"],
        who=row["who"],
        period_start=row["period_start"],
    )
    return PurseState(
        purse=purse,
        limit=row["cap"],
        currency=row["currency"],
        settled=row["settled"],
        turned_away=bool(row["turned_away"]),
        closed=bool(row["closed"]),
    )


def _purse_row(state: PurseState) -> dict[str, Any]:
    purse = state.purse
    return {
        "id": purse.id,
        "system": purse.system,
        "environment": purse.environment,
        "budget": purse.budget,
        "who": purse.who,
        "period_start": purse.period_start,
        "currency": state.currency,
        "cap": state.limit,
        "settled": state.settled,
        "turned_away": int(state.turned_away),
        "closed": int(state.closed),
    }


def _lease_row(lease: Lease) -> dict[str, Any]:
    return {
        "purse": lease.purse,
        "wallet": lease.wallet,
        "granted": lease.granted,
        "returned": lease.returned,
        "closed": int(lease.closed),
    }
