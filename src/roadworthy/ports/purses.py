"""Purses and their leases as control writes them down: plain rows, no decisions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from roadworthy.domain.lease import Lease, PurseState


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Open purses by id, and the leases that are cut from them by (wallet, purse)."""

    purses: Mapping[str, PurseState] = field(default_factory=dict[str, PurseState])
    leases: Mapping[tuple[str, str], Lease] = field(default_factory=dict[tuple[str, str], Lease])


Rule: TypeAlias = Callable[[Books], Books]
"""Turns the books into new ones, purely; a lease that it leaves out is deleted."""


class Purses(Protocol):
    """The books of one home."""

    def books(self) -> Books:
        """Return every open purse and every lease."""
        ...

    def change(self, purses: Collection[str], rule: Rule, *, fence: int | None = None) -> Books:
        """Read these purses and their leases, apply the rule, write what it returns: one transaction.

        Raises:
            Conflict: the fence is stale; another process leads. Nothing changed.
            StoreError: the disk is full or read-only.
        """
        ...

    def past(self, system: str, limit: int = 200) -> Sequence[PurseState]:
        """Return closed purses of a system, newest period first."""
        ...
