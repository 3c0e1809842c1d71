"""What observation keeps: the cursor into the record log, bucket documents, signals and watches. No decisions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from roadworthy.domain.moment import Micros
from roadworthy.domain.objective import Signal, Watch


class BucketKey(NamedTuple):
    """Names one bucket document. `start` is the bucket's first moment; `kind` lets a fold keep several sorts."""

    system: str
    environment: str
    release: str
    start: Micros
    kind: str = "window"


class WatchKey(NamedTuple):
    """Names one objective's memory."""

    system: str
    environment: str
    objective: str
    release: str = ""


class Observations(Protocol):
    """Buckets and the cursor move in one transaction, so each frame is folded exactly once, whoever is killed."""

    def cursor(self) -> str:
        """Return where the record log was folded up to; empty before the first save."""
        ...

    def save(
        self,
        *,
        before: str,
        cursor: str,
        buckets: Mapping[BucketKey, Mapping[str, Any]] | None = None,
        signals: Sequence[Signal] = (),
        watches: Mapping[WatchKey, Watch] | None = None,
    ) -> None:
        """Move the cursor from `before` and replace these documents, all or nothing.

        `before` and `cursor` may be equal: then only documents are replaced.

        Raises:
            Conflict: the cursor is no longer at `before`; another process folded these frames: load again.
            StoreError: the disk is full or read-only.
        """
        ...

    def buckets(
        self, system: str, environment: str, release: str, start: Micros, end: Micros, *, kind: str = "window"
    ) -> Mapping[Micros, Mapping[str, Any]]:
        """Return the documents of the buckets that begin in [start, end), by their start, oldest first."""
        ...

    def bucket(self, key: BucketKey) -> Mapping[str, Any] | None:
        """Return one document, or None."""
        ...

    def signals(self, system: str, environment: str = "live") -> Sequence[Signal]:
        """Return the newest signal of each (release, name), by release and name."""
        ...

    def history(self, system: str, environment: str, release: str, name: str, since: Micros = 0) -> Sequence[Signal]:
        """Return a signal's past for a small chart, oldest first; bounded, thinned to one point an interval."""
        ...

    def watches(self, system: str, environment: str = "live") -> Mapping[WatchKey, Watch]:
        """Return the memory of every objective."""
        ...

    def forget(self, system: str, before: Micros) -> int:
        """Drop buckets that began before a moment; return how many."""
        ...
