"""Deliveries: what must reach the outside (pages, webhooks) at least once, each with its idempotency key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from roadworthy.domain.moment import Micros


class DeliveryState(StrEnum):
    """A delivery is intended, being attempted (or its attempt failed), done, or given up."""

    INTENDED = "intended"
    ATTEMPTED = "attempted"
    DONE = "done"
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One thing to deliver. `document` is what to send; `key` travels with every attempt."""

    key: str
    kind: str
    system: str
    document: Mapping[str, Any] = field(default_factory=dict[str, Any])
    state: DeliveryState = DeliveryState.INTENDED
    attempts: int = 0
    intended_at: Micros = 0
    due_at: Micros = 0
    finished_at: Micros | None = None
    error: str = ""


class Deliveries(Protocol):
    """Intent → attempt → done, each step in its own transaction: a kill between two steps means a second attempt.

    Times are wall time in µs: retries must not wait for a replayed clock.
    """

    def intend(self, delivery: Delivery) -> bool:
        """Keep an intent; False when its key is known already, whatever became of it."""
        ...

    def due(self, now: Micros, limit: int = 100) -> Sequence[Delivery]:
        """Return what is not finished and due, longest overdue first."""
        ...

    def attempt(self, key: str, retry_at: Micros) -> int:
        """Note an attempt before it is made; it is due again at `retry_at` if nothing else is heard.

        Returns the number of the attempt, from 1, or 0 if the delivery is finished or unknown.
        """
        ...

    def done(self, key: str, at: Micros) -> None:
        """Note that the receiver has it."""
        ...

    def failed(self, key: str, at: Micros, error: str, retry_at: Micros | None) -> None:
        """Note why an attempt failed and when to try again; None gives up."""
        ...

    def get(self, key: str) -> Delivery | None:
        """Return one delivery, or None."""
        ...

    def of(self, system: str, limit: int = 100) -> Sequence[Delivery]:
        """Return a system's deliveries, newest first."""
        ...
