"""Monitors: pure functions of windows, outcomes and the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from roadworthy.domain.moment import Micros
from roadworthy.domain.objective import Light, Signal
from roadworthy.domain.release import Release
from roadworthy.domain.system import System


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a monitor sees: one (system, environment, release) and its merged window counts.

    `windows` are the closed and open buckets of the span, oldest first; each is the document that
    `lifecycle/observe` folds records into (counts only, no rows). `past` are clean windows before it, `reference`
    the release's own reference counts, `champion` the champion's windows when this release is a challenger.
    """

    system: System
    environment: str
    release: Release
    now: Micros
    windows: Sequence[Mapping[str, Any]]
    past: Sequence[Mapping[str, Any]]
    reference: Mapping[str, Any]
    champion: Sequence[Mapping[str, Any]] = ()


class Monitor(Protocol):
    """Turns a view into signals: value, n, interval, or no data with the reason."""

    name: str
    light: Light

    def watch(self, view: View) -> Sequence[Signal]:
        """Return one signal, or one per argument (`drift(hour)`, `drift(origin)`)."""
        ...
