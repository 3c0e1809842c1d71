"""Leadership."""

from typing import Final, Protocol

LEADER: Final = "control"
"""The lease whose epoch `Ledger.commit(fence=…)` checks."""


class Leases(Protocol):
    """One leader at a time, by a row with an epoch that only grows."""

    def acquire(self, name: str, holder: str, seconds: float) -> int | None:
        """Take or renew the lease; return its epoch, or None while another holds it. Wall time, not the clock."""
        ...

    def release(self, name: str, holder: str) -> None:
        """Give the lease back."""
        ...
