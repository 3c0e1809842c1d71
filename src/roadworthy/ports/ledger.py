"""The ledger of decisions and the present state that folds out of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from roadworthy.domain.ledger import Decide, Event, Fold, Head, Noun


class Ledger(Protocol):
    """Appends decisions and projects the present, in one transaction."""

    def commit(self, decisions: Sequence[Decide], *, fence: int | None = None) -> tuple[Event, ...]:
        """Append all decisions or none. A decision whose key exists already is left out of the result.

        Args:
            decisions: what to append, in order.
            fence: the leader's epoch; a stale one is refused.

        Raises:
            Conflict: a subject moved since it was read, or the fence is stale.
            StoreError: the disk is full or read-only.
        """
        ...

    def state(self, noun: Noun, subject: str) -> Mapping[str, Any] | None:
        """Return the present state of one subject, or None."""
        ...

    def states(self, noun: Noun, system: str = "") -> Mapping[str, Mapping[str, Any]]:
        """Return the present states of all subjects of a noun, by subject, oldest change first."""
        ...

    def seq_of(self, noun: Noun, subject: str) -> int:
        """Return the sequence of the subject's newest event, 0 if there is none; what `Decide.expected` wants."""
        ...

    def events(self, *, after: int = 0, system: str = "", until: int | None = None) -> Iterator[Event]:
        """Return events in order. `until` is a time: events at or before it."""
        ...

    def head(self) -> Head:
        """Return where the ledger ends."""
        ...

    def at(self, moment: int) -> Fold:
        """Return the state as it was at a past moment."""
        ...
