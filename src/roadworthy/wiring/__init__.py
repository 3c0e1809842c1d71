"""The one place that picks adapters and joins serving to lifecycle."""

from __future__ import annotations

from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.clock import clock_of
from roadworthy.stores.crash_points import arm
from roadworthy.stores.deliveries import SqlDeliveries
from roadworthy.stores.home import open_home
from roadworthy.stores.leases import SqlLeases
from roadworthy.stores.ledger import SqlLedger
from roadworthy.stores.metadata import Metadata
from roadworthy.stores.observations import SqlObservations
from roadworthy.stores.people import SqlPeople
from roadworthy.stores.snapshots import FileSnapshots


def open_plane(settings: Settings) -> Plane:
    """Open the home that the settings name, with its adapters; what every verb is given.

    Raises:
        NotFoundError: there is no home.
        StoreError: it is read-only, damaged, or of another version.
    """
    # Reading records loads DuckDB, which a command line that prints a version must not pay for.
    from roadworthy.stores.records import open_records

    arm(settings.crash_at)
    home = open_home(settings.home)
    metadata = Metadata(home.database)
    clock = clock_of(home)
    records = open_records(home.records, home.counters)

    def close() -> None:
        records.close()
        metadata.close()

    return Plane(
        home=home,
        ledger=SqlLedger(metadata, clock, home.id),
        artifacts=FileArtifacts(home.artifacts),
        clock=clock,
        snapshots=FileSnapshots(home.snapshot, home.workers),
        records=records,
        observations=SqlObservations(metadata),
        deliveries=SqlDeliveries(metadata),
        people=SqlPeople(metadata),
        leases=SqlLeases(metadata),
        close=close,
    )
