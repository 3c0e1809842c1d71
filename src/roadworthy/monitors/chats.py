"""What monitors of kind llm share: sums over buckets, and signals of the window of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from roadworthy.domain.interface import Task
from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.signals import no_data, share, signal
from roadworthy.ports.chats import ChatBucket
from roadworthy.ports.monitor import View

NO_ANSWERS = "no answers in the window"


def is_chat(view: View) -> bool:
    """Claim that the system is of kind llm; the monitors of that kind say nothing about others."""
    return view.interface.task is Task.TEXT


def total(buckets: Sequence[ChatBucket], name: str) -> int:
    """Add up one number of the buckets."""
    return sum(getattr(bucket, name) for bucket in buckets)


def rate(view: View, name: str, value: float, n: int, *, light: Light, unit: str) -> Signal:
    """Return a mean per answer over the window of answers."""
    return _recent(view, signal(view, name, value, n=n, light=light, unit=unit))


def part(view: View, name: str, hits: int, n: int, *, light: Light, why: str = NO_ANSWERS) -> Signal:
    """Return a share over the window of answers, or no data with the reason."""
    if n == 0:
        return nothing(view, name, why, light=light)
    return _recent(view, share(view, name, min(hits, n), n, light=light))


def nothing(view: View, name: str, why: str, *, light: Light, n: int = 0) -> Signal:
    """Return a signal without data over the window of answers."""
    return _recent(view, no_data(view, name, why, light=light, n=n))


def _recent(view: View, found: Signal) -> Signal:
    return replace(found, window_start=view.now - view.policy.watch.window, window_end=view.now)
