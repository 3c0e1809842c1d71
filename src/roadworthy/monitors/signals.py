"""How monitors spell their signals: one place for the fields that all of them share."""

from __future__ import annotations

from dataclasses import replace

from roadworthy.domain.objective import Light, Signal
from roadworthy.ports.monitor import View
from roadworthy.stats.intervals import wilson


def signal(view: View, name: str, value: float | None, *, n: int, light: Light, unit: str = "") -> Signal:
    """Return a signal of this view; add an interval, a threshold or a reason with `dataclasses.replace`."""
    span = view.policy.watch
    end = view.now if light is Light.OPERATIONS else view.watermark
    width = span.window if light is Light.OPERATIONS else span.drift_window
    return Signal(
        system=view.system,
        name=name,
        at=view.now,
        value=value,
        n=n,
        environment=view.environment,
        release=view.release.id if view.release else "",
        window_start=end - width,
        window_end=end,
        unit=unit,
        light=light,
    )


def no_data(view: View, name: str, why: str, *, light: Light, n: int = 0) -> Signal:
    """Return a signal that says why it has no data."""
    return replace(signal(view, name, None, n=n, light=light), reason=why)


def share(view: View, name: str, hits: int, n: int, *, light: Light) -> Signal:
    """Return a share with its Wilson interval, or no data when there is nothing to divide by."""
    if n == 0:
        return no_data(view, name, "no answers in the window", light=light)
    interval = wilson(hits, n)
    return replace(
        signal(view, name, interval.estimate, n=n, light=light, unit="share"), low=interval.low, high=interval.high
    )
