"""The record of builds: list runs, and compare their parameters and metrics side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roadworthy.domain.candidate import Run
from roadworthy.domain.interface import Scalar
from roadworthy.domain.ledger import Noun
from roadworthy.errors import NotFoundError
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Runs side by side: per parameter and metric one value a run, None where a run has none.

    `differing` are the parameters that are not the same in all runs, which is what one looks at first.
    """

    runs: tuple[Run, ...]
    parameters: Mapping[str, tuple[Scalar, ...]]
    metrics: Mapping[str, tuple[float | None, ...]]
    differing: tuple[str, ...]


def runs(plane: Plane, system: str) -> tuple[Run, ...]:
    """Return a system's runs, oldest first, those of its baseline included."""
    found = [from_doc(Run, document) for document in plane.ledger.states(Noun.RUN, system).values()]
    return tuple(sorted(found, key=lambda run: (run.started_at, run.id)))


def find_run(plane: Plane, system: str, name: str) -> Run:
    """Return the run of this id, or the one whose id begins so.

    Raises:
        NotFoundError: none does, or several do.
    """
    every = runs(plane, system)
    matching = [run for run in every if run.id == name] or [run for run in every if run.id.startswith(name)]
    if len(matching) != 1:
        raise NotFoundError.among("run", name, [run.id for run in every], hint="roadworthy runs")
    return matching[0]


def compare(chosen: Sequence[Run]) -> Comparison:
    """Put runs side by side, names in order of first appearance."""
    parameters = dict.fromkeys(name for run in chosen for name in run.parameters)
    metrics = dict.fromkeys(name for run in chosen for name in run.metrics)
    side_by_side = {name: tuple(run.parameters.get(name) for run in chosen) for name in parameters}
    return Comparison(
        runs=tuple(chosen),
        parameters=side_by_side,
        metrics={name: tuple(run.metrics.get(name) for run in chosen) for name in metrics},
        differing=tuple(name for name, values in side_by_side.items() if len(set(map(repr, values))) > 1),
    )
