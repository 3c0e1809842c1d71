"""How a worker pays for calls: from leases that control cut from budgets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from roadworthy.domain.budget import Budget
from roadworthy.domain.open_call import OpenCall


class Spender(NamedTuple):
    """On whose behalf a call is made, and the budgets that cap it."""

    system: str
    environment: str
    key: str
    team: str
    budgets: Sequence[Budget]


class Reservation(Protocol):
    """Money set aside for one call, in picounits.

    Used in this order, so that a kill at any instant loses no cost and books none twice: `open`, ask the provider,
    `ended`, write the record, `settle`.
    """

    picos: int

    def open(self, call: OpenCall) -> None:
        """Write down which call is about to be made; whoever finds it after our death settles it."""
        ...

    def ended(self, picos: int) -> None:
        """Write down what the call cost, before the record that says so is written."""
        ...

    def settle(self, picos: int | None = None) -> None:
        """Book what the call cost (None: what `ended` said); the rest is free again. Settling twice changes nothing.

        Called once the record is written, or counted as lost. A cost above what was set aside (the provider counted
        more than can be) is still booked in full.
        """
        ...


class Wallet(Protocol):
    """A worker's leases. Not thread-safe: one event loop owns it."""

    def reserve(self, spender: Spender, picos: int) -> Reservation | None:
        """Set aside the most that a call can cost, from every budget that caps it; None when one cannot pay.

        A wish for a larger lease is left with control, so that the next call may be paid.
        """
        ...

    async def paid(self, spender: Spender, picos: int, within_s: float) -> Reservation | None:
        """Set money aside as `reserve` does, waiting a moment for control to grant a lease."""
        ...

    def expect(self, system: str, environment: str, budgets: Sequence[Budget]) -> None:
        """Ask for a first small lease of a system's own purses, now and in each new period."""
        ...

    def tend(self) -> None:
        """Give back what lies idle and let go of periods that are over; called about ten times a second."""
        ...
