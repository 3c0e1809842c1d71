"""How a worker pays for calls: from leases that control cut from budgets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from roadworthy.domain.budget import Budget


class Spender(NamedTuple):
    """On whose behalf a call is made, and the budgets that cap it."""

    system: str
    environment: str
    key: str
    team: str
    budgets: Sequence[Budget]


class Reservation(Protocol):
    """Money set aside for one call, in picounits."""

    picos: int

    def settle(self, picos: int) -> None:
        """Say what the call cost; the rest is free again. Settling twice changes nothing.

        A cost above what was set aside (the provider counted more than can be) is still booked in full.
        """
        ...


class Wallet(Protocol):
    """A worker's leases. Not thread-safe: one event loop owns it. Never waits."""

    def reserve(self, spender: Spender, picos: int) -> Reservation | None:
        """Set aside the most that a call can cost, from every budget that caps it; None when one cannot pay.

        A wish for a larger lease is left with control, so that the next call may be paid.
        """
        ...
