"""The control plane as one value: what every verb of lifecycle is given. Wiring builds it (`wiring.open_plane`)."""

from collections.abc import Callable
from dataclasses import dataclass

from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.clock import Clock
from roadworthy.ports.deliveries import Deliveries
from roadworthy.ports.home import Home
from roadworthy.ports.leases import Leases
from roadworthy.ports.ledger import Ledger
from roadworthy.ports.observations import Observations
from roadworthy.ports.people import People
from roadworthy.ports.purses import Purses
from roadworthy.ports.records import Records
from roadworthy.ports.snapshots import Snapshots


def _nothing() -> None:
    """Close nothing; planes of fakes have nothing open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """The adapters of one home. Verbs take it as `plane` and depend on the protocols only.

    `close` lets go of open files.
    """

    home: Home
    ledger: Ledger
    artifacts: Artifacts
    clock: Clock
    snapshots: Snapshots
    records: Records
    observations: Observations
    deliveries: Deliveries
    people: People
    leases: Leases
    purses: Purses
    close: Callable[[], None] = _nothing
