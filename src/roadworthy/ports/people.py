"""People: names and addresses, kept apart from the ledger so that they can be erased."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What is known of a principal beyond its id. Erasing it leaves the ledger whole."""

    principal: str
    name: str = ""
    contact: str = ""


class People(Protocol):
    """Keeps names and contacts by principal id."""

    def put(self, person: Person) -> None:
        """Keep or replace what is known of a principal."""
        ...

    def get(self, principal: str) -> Person | None:
        """Return what is known of a principal, or None."""
        ...

    def everyone(self) -> Sequence[Person]:
        """Return all, by principal id."""
        ...

    def erase(self, principal: str) -> bool:
        """Forget a name and contact; tell whether there was one."""
        ...
