"""The circuit breaker's rules, with the time as an argument."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roadworthy.runtimes.breaker import Breaker


def breaker(**changes: float) -> Breaker:
    """A breaker that opens at half of ten and cools down for five seconds."""
    return Breaker(errors=changes.get("errors", 0.5), window=int(changes.get("window", 10)), cool_down_s=5.0)


def test_one_failure_is_no_outage():
    """A release that failed once is asked again at once."""
    one = breaker()
    one.note(ok=False, now=0.0)
    assert one.allows(0.0)


def test_enough_failures_open_it():
    """Half of the window failed: callers go straight to the fallback."""
    one = breaker()
    for _ in range(5):
        one.note(ok=False, now=1.0)
    assert one.is_open
    assert not one.allows(2.0)


def test_after_the_cool_down_one_call_tries_again():
    """One caller, not all of them, finds out whether it is well."""
    one = breaker()
    for _ in range(5):
        one.note(ok=False, now=0.0)
    assert one.allows(5.0)
    assert not one.allows(5.1)
    assert one.allows(10.1)


def test_a_success_closes_it_and_a_failure_keeps_it_open():
    """The try decides."""
    one = breaker()
    for _ in range(5):
        one.note(ok=False, now=0.0)
    assert one.allows(5.0)
    one.note(ok=False, now=5.5)
    assert not one.allows(6.0)
    assert one.allows(10.6)
    one.note(ok=True, now=10.7)
    assert one.allows(10.7)
    assert not one.is_open
    one.note(ok=False, now=11.0)
    assert not one.is_open


def test_old_failures_leave_the_window():
    """Failures that are far enough back no longer count."""
    one = breaker()
    for _ in range(4):
        one.note(ok=False, now=0.0)
        for _ in range(10):
            one.note(ok=True, now=0.0)
    assert not one.is_open


@given(st.lists(st.booleans(), max_size=60))
def test_a_release_that_never_fails_is_never_kept_away(outcomes):
    """The breaker opens for failures only."""
    one = breaker()
    for ok in outcomes:
        one.note(ok=ok, now=0.0)
    assert one.is_open is False or not all(outcomes)
