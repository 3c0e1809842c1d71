"""Snapshots from control to the workers, and their acknowledgements."""

from collections.abc import Sequence
from typing import Protocol

from roadworthy.domain.snapshot import Acknowledgement, Snapshot


class Snapshots(Protocol):
    """Publishes snapshots atomically; collects what live workers say of them."""

    def publish(self, snapshot: Snapshot) -> bool:
        """Write, fsync, rename. False when the one in place is as new or newer; versions only grow."""
        ...

    def version(self) -> int:
        """Return the version in place, 0 if none; cheap enough to poll every 100 ms."""
        ...

    def read(self) -> Snapshot | None:
        """Return the snapshot in place.

        Raises:
            StoreError: its bytes are corrupt.
        """
        ...

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Say that this worker serves this version; the worker's lock file marks it alive."""
        ...

    def acknowledgements(self) -> Sequence[Acknowledgement]:
        """Return the newest word of each live worker; dead workers' words are swept away."""
        ...
