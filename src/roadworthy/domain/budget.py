"""Budgets: how much a system, a key or a team may spend in a period, and the leases that workers spend from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from roadworthy.domain.moment import DAY, HOUR, Micros
from roadworthy.domain.pin import PICO

MONTH: Micros = 30 * DAY
LARGEST: int = 1 << 62
"""The most picounits that a purse counts, so that every number in it fits eight bytes."""


class Whose(StrEnum):
    """Whose spending a budget adds up."""

    SYSTEM = "system"
    KEY = "key"
    TEAM = "team"


class Period(StrEnum):
    """How long a budget lasts before it begins anew; a month is thirty days from the epoch's start."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    @property
    def length(self) -> Micros:
        """Return its length in microseconds."""
        return {Period.HOUR: HOUR, Period.DAY: DAY, Period.MONTH: MONTH}[self]

    def start(self, now: Micros) -> Micros:
        """Return when the period that holds this moment began."""
        return now - now % self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A cap on spending: never passed, whatever the number of workers. `limit_micros` is in whole micro-units."""

    limit_micros: int
    currency: str = "USD"
    period: Period = Period.DAY
    whose: Whose = Whose.SYSTEM

    @property
    def limit(self) -> int:
        """Return the cap in picounits, at most 2^62 (4.6 million units of currency a period)."""
        return min(self.limit_micros * PICO, LARGEST)

    @property
    def name(self) -> str:
        """Name the budget within its system."""
        return f"{self.whose}/{self.period}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """One budget of one spender in one period: what a lease is cut from. `who` is a key, a team, or empty."""

    system: str
    environment: str
    budget: str
    who: str
    period_start: Micros

    @property
    def id(self) -> str:
        """Name the purse."""
        return f"{self.system}/{self.environment}/{self.budget}/{self.who}/{self.period_start}"

    @property
    def ends_at(self) -> Micros:
        """Return when its period is over."""
        return self.period_start + Period(self.budget.rpartition("/")[2]).length


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What is known of a purse, in picounits: the cap, what workers hold as leases, and what is settled for good.

    `leased` counts whole leases of living and dead workers, spent or not, so spending never exceeds `limit` while
    `leased + settled <= limit` holds.
    """

    limit: int
    leased: int = 0
    settled: int = 0

    @property
    def free(self) -> int:
        """Return what may still be leased."""
        return max(0, self.limit - self.leased - self.settled)

    def grant(self, wanted: int, parts: int, least: int = 0) -> int:
        """Return how much of a wish is leased: all of it where there is plenty, a fair part towards the end.

        Args:
            wanted: picounits asked for.
            parts: how many workers share the purse; one lease takes no more than a 2·parts-th of what is free, so that
                the last money is not all with one of them.
            least: what serves the wish at all, such as the call that waits. It is given above the fair part; where
                less is free nothing is, since it would lie idle.
        """
        if self.free <= 0 or wanted <= 0 or self.free < min(least, wanted):
            return 0
        fair = self.free // (2 * max(1, parts))
        return min(wanted, self.free, max(fair, least))
