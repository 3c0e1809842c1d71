"""The one place that picks adapters and joins serving to lifecycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from roadworthy import plugins
from roadworthy.domain.candidate import Candidate
from roadworthy.domain.interface import Task
from roadworthy.domain.pin import Pin, Price
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
from roadworthy.stores.purses import SqlPurses
from roadworthy.stores.records import records_later
from roadworthy.stores.snapshots import FileSnapshots

if TYPE_CHECKING:
    from roadworthy.manifest.catalogue import Catalogue
    from roadworthy.wiring.processes import AppFactory


def open_plane(settings: Settings) -> Plane:
    """Open the home that the settings name, with its adapters; what every verb is given.

    Raises:
        NotFoundError: there is no home.
        StoreError: it is read-only, damaged, or of another version.
    """
    arm(settings.crash_at)
    home = open_home(settings.home)
    metadata = Metadata(home.database)
    clock = clock_of(home)
    records = records_later(home.records, home.counters)

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
        purses=SqlPurses(metadata),
        close=close,
    )


def catalogue() -> Catalogue:
    """Return what a manifest may name on this machine. Built-in gates are known by name; others are asked."""
    # Most commands act on the home alone; only those that read a manifest load what reads it.
    from roadworthy.manifest.catalogue import GATE_PARAMETERS, Catalogue
    from roadworthy.manifest.defaults_llm_v1 import GUARD_PARAMETERS

    def parameters(name: str) -> Mapping[str, Any]:
        return {} if name in GATE_PARAMETERS else dict(plugins.load("gates", name).defaults)

    def guard_parameters(name: str) -> Mapping[str, Any]:
        return GUARD_PARAMETERS.get(name) or dict(plugins.load("guards", name).defaults)

    return Catalogue.of(
        gates={name: parameters(name) for name in plugins.names("gates")},
        monitors=plugins.names("monitors"),
        actions=plugins.names("actions"),
        runtimes=plugins.names("runtimes"),
        guards={name: guard_parameters(name) for name in plugins.names("guards")},
        price_of=_listed_price,
    )


def _listed_price(pin: Pin) -> Price | None:
    """Look a pin's price up in the bundled list; imported only for a manifest that has one without a price."""
    from roadworthy.runtimes.llm.prices import price_of

    return price_of(pin, datetime.now(UTC).date())


def prove_loads(plane: Plane, *, probes: bool = True) -> Callable[[Candidate], None]:
    """Return what loads a candidate as a worker would, and raises if it does not load.

    A remote model is loadable when it answers, so its pin is probed; not where a provider's bad hour must stop nobody.
    """

    def prove(candidate: Candidate) -> None:
        loaded = plugins.load("runtimes", candidate.runtime).load(candidate, plane.artifacts)
        if probes and candidate.interface.task is Task.TEXT and loaded.assistant.pin is not None:
            from roadworthy.wiring.probe_pins import prove_answers

            prove_answers(plane, candidate.system, loaded.assistant.pin)

    return prove


def run_serve(settings: Settings) -> None:
    """Run the data plane in this process until it is told to end.

    Raises:
        NotFoundError: there is no home.
        UnavailableError: the port is in use.
    """
    from roadworthy.serving.serve import run

    run(settings)


def run_control(settings: Settings, app_factory: AppFactory | None = None) -> None:
    """Run the control process in this process until it is told to end; the factory builds its pages.

    Raises:
        NotFoundError: there is no home.
        UnavailableError: the port is in use.
    """
    from roadworthy.wiring.processes import control

    control(settings, app_factory)


def run_up(settings: Settings, say: Callable[[str], None] = print) -> None:
    """Run everything on this machine until it is told to end; `say` gets a line for what people should know.

    Raises:
        NotFoundError: there is no home.
        RefusedError: a release that is in force, or the one behind it, does not load.
        UnavailableError: a port is in use.
    """
    from roadworthy.wiring.processes import up

    up(settings, say)
