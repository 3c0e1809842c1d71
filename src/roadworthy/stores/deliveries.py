"""Deliveries in SQLite: intent → attempt → done, each in its own transaction, so a kill means one attempt more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from roadworthy.domain.moment import Micros
from roadworthy.ports.deliveries import Delivery, DeliveryState
from roadworthy.stores.codec import from_json, to_json
from roadworthy.stores.metadata import DELIVERY, Metadata

_INTEND = DELIVERY.insert().prefix_with("or ignore")


class SqlDeliveries:
    """What must reach the outside at least once, by idempotency key."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def intend(self, delivery: Delivery) -> bool:
        """Keep an intent; False when its key is known already, whatever became of it."""
        with self._metadata.writing("deliveries") as connection:
            return connection.execute(_INTEND, _row(delivery)).rowcount > 0

    def due(self, now: Micros, limit: int = 100) -> Sequence[Delivery]:
        """Return what is not finished and due, longest overdue first."""
        query = (
            sa.select(DELIVERY)
            .where(DELIVERY.c.finished_at.is_(None), DELIVERY.c.due_at <= now)
            .order_by(DELIVERY.c.due_at, DELIVERY.c.key)
            .limit(limit)
        )
        return self._all(query)

    def attempt(self, key: str, retry_at: Micros) -> int:
        """Note an attempt before it is made; return its number, from 1, or 0 if the delivery is finished."""
        with self._metadata.writing("deliveries") as connection:
            open_one = (DELIVERY.c.key == key) & DELIVERY.c.finished_at.is_(None)
            noted = {"state": DeliveryState.ATTEMPTED.value, "due_at": retry_at, "attempts": DELIVERY.c.attempts + 1}
            if connection.execute(DELIVERY.update().where(open_one).values(noted)).rowcount == 0:
                return 0
            return int(connection.execute(sa.select(DELIVERY.c.attempts).where(DELIVERY.c.key == key)).scalar_one())

    def done(self, key: str, at: Micros) -> None:
        """Note that the receiver has it."""
        self._note(key, {"state": DeliveryState.DONE.value, "finished_at": at, "error": ""})

    def failed(self, key: str, at: Micros, error: str, retry_at: Micros | None) -> None:
        """Note why an attempt failed and when to try again; None gives up."""
        if retry_at is None:
            self._note(key, {"state": DeliveryState.GIVEN_UP.value, "finished_at": at, "error": error})
        else:
            self._note(key, {"due_at": retry_at, "error": error})

    def get(self, key: str) -> Delivery | None:
        """Return one delivery, or None."""
        found = self._all(sa.select(DELIVERY).where(DELIVERY.c.key == key))
        return found[0] if found else None

    def of(self, system: str, limit: int = 100) -> Sequence[Delivery]:
        """Return a system's deliveries, newest first."""
        query = sa.select(DELIVERY).where(DELIVERY.c.system == system)
        return self._all(query.order_by(DELIVERY.c.intended_at.desc(), DELIVERY.c.key).limit(limit))

    def _note(self, key: str, values: dict[str, Any]) -> None:
        with self._metadata.writing("deliveries") as connection:
            open_one = (DELIVERY.c.key == key) & DELIVERY.c.finished_at.is_(None)
            connection.execute(DELIVERY.update().where(open_one).values(values))

    def _all(self, query: sa.Select[Any]) -> list[Delivery]:
        with self._metadata.reading() as connection:
            return [_delivery(row) for row in connection.execute(query).all()]


def _row(delivery: Delivery) -> dict[str, Any]:
    return {
        "key": delivery.key,
        "kind": delivery.kind,
        "system": delivery.system,
        "document": to_json(delivery.document).decode(),
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "intended_at": delivery.intended_at,
        "due_at": delivery.due_at,
        "finished_at": delivery.finished_at,
        "error": delivery.error,
    }


def _delivery(row: sa.Row[Any]) -> Delivery:
    return Delivery(
        key=row.key,
        kind=row.kind,
        system=row.system,
        document=from_json(row.document),
        state=DeliveryState(row.state),
        attempts=row.attempts,
        intended_at=row.intended_at,
        due_at=row.due_at,
        finished_at=row.finished_at,
        error=row.error,
    )
