"""A circuit breaker: a release that keeps failing is not asked for a while. Pure state; the time is an argument."""

from __future__ import annotations

from collections import deque


class Breaker:
    """Opens when at least `errors` of the last `window` calls failed; after `cool_down_s` one call may try again.

    Half a window of calls must have been seen before it may open, so that one failure at start is no outage.
    Times are seconds of a monotonic clock.
    """

    __slots__ = ("_calls", "_cool_down_s", "_errors", "_failed", "_opened_at", "_probing_since", "_window")

    def __init__(self, *, errors: float, window: int, cool_down_s: float) -> None:
        self.tune(errors=errors, window=window, cool_down_s=cool_down_s)
        self._calls: deque[bool] = deque()
        self._failed = 0
        self._opened_at: float | None = None
        self._probing_since: float | None = None

    def tune(self, *, errors: float, window: int, cool_down_s: float) -> None:
        """Judge by other limits from now on."""
        self._errors = errors
        self._window = max(window, 1)
        self._cool_down_s = cool_down_s

    @property
    def is_open(self) -> bool:
        """Claim that calls are kept away, but for the one that tries again."""
        return self._opened_at is not None

    def allows(self, now: float) -> bool:
        """Tell whether to call. While open, one call per cool-down is let through to try."""
        if self._opened_at is None:
            return True
        last = self._opened_at if self._probing_since is None else self._probing_since
        if now - last < self._cool_down_s:
            return False
        self._probing_since = now
        return True

    def note(self, *, ok: bool, now: float) -> None:
        """Count a call's end. A success while open closes the circuit and forgets the past."""
        if self._opened_at is not None:
            self._ended_while_open(ok=ok, now=now)
            return
        if ok and not self._failed:
            return
        self._calls.append(ok)
        self._failed += not ok
        if len(self._calls) > self._window:
            self._failed -= not self._calls.popleft()
        if self._failed >= max(self._errors * self._window, 1) or self._hopeless():
            self._opened_at, self._probing_since = now, None

    def _hopeless(self) -> bool:
        seen = len(self._calls)
        return seen * 2 >= self._window and self._failed >= self._errors * seen

    def _ended_while_open(self, *, ok: bool, now: float) -> None:
        if ok:
            self._opened_at = self._probing_since = None
            self._calls.clear()
            self._failed = 0
        else:
            self._opened_at, self._probing_since = now, None
