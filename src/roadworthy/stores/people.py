"""People in SQLite: names and contacts, erasable, never in the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from roadworthy.ports.people import Person
from roadworthy.stores.metadata import PERSON, Metadata

_PUT = sa.text(
    "insert into person (principal, name, contact) values (:principal, :name, :contact) "
    "on conflict (principal) do update set name = excluded.name, contact = excluded.contact"
)


class SqlPeople:
    """What is known of principals beyond their ids."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def put(self, person: Person) -> None:
        """Keep or replace what is known of a principal."""
        fields = {"principal": person.principal, "name": person.name, "contact": person.contact}
        with self._metadata.writing("people") as connection:
            connection.execute(_PUT, fields)

    def get(self, principal: str) -> Person | None:
        """Return what is known of a principal, or None."""
        with self._metadata.reading() as connection:
            row = connection.execute(sa.select(PERSON).where(PERSON.c.principal == principal)).one_or_none()
        return None if row is None else Person(principal=row.principal, name=row.name, contact=row.contact)

    def everyone(self) -> Sequence[Person]:
        """Return all, by principal id."""
        with self._metadata.reading() as connection:
            rows = connection.execute(sa.select(PERSON).order_by(PERSON.c.principal)).all()
        return [Person(principal=row.principal, name=row.name, contact=row.contact) for row in rows]

    def erase(self, principal: str) -> bool:
        """Forget a name and contact; tell whether there was one. SQLite overwrites the freed bytes with zeros."""
        with self._metadata.writing("people") as connection:
            connection.exec_driver_sql("pragma secure_delete = on")
            erased = connection.execute(PERSON.delete().where(PERSON.c.principal == principal))
            return erased.rowcount > 0
