"""Deliveries: at least once, with one key."""

import pytest

from roadworthy.ports.deliveries import Delivery, DeliveryState
from roadworthy.stores.deliveries import SqlDeliveries


@pytest.fixture
def deliveries(metadata):
    """The deliveries of a fresh home."""
    return SqlDeliveries(metadata)


def page(key="incident-1/page/0", due_at=10, intended_at=10):
    """A page to deliver."""
    return Delivery(
        key=key, kind="page", system="s", document={"to": "file:x", "n": 1}, intended_at=intended_at, due_at=due_at
    )


def test_an_intent_is_kept_once(deliveries):
    """Asking again for the same page, even after it was delivered, sends nothing new."""
    assert deliveries.intend(page())
    assert not deliveries.intend(page())
    assert deliveries.get("incident-1/page/0") == page()
    deliveries.done("incident-1/page/0", 11)
    assert not deliveries.intend(page())
    assert deliveries.due(10**18) == []


def test_an_attempt_that_was_never_heard_of_is_made_again(deliveries):
    """Killed between attempt and done, the page goes out a second time rather than never."""
    deliveries.intend(page())
    assert deliveries.attempt("incident-1/page/0", retry_at=40) == 1
    assert deliveries.due(39) == []
    (found,) = deliveries.due(40)
    assert (found.state, found.attempts) == (DeliveryState.ATTEMPTED, 1)
    assert deliveries.attempt("incident-1/page/0", retry_at=80) == 2


def test_a_failed_attempt_says_why_and_when_next(deliveries):
    """An unreachable pager is retried, and the reason can be read meanwhile."""
    deliveries.intend(page())
    deliveries.attempt("incident-1/page/0", retry_at=40)
    deliveries.failed("incident-1/page/0", 12, "connection refused", retry_at=30)
    (found,) = deliveries.due(30)
    assert (found.error, found.due_at, found.finished_at) == ("connection refused", 30, None)


def test_giving_up_ends_the_attempts(deliveries):
    """A delivery that was given up is never due again and says so."""
    deliveries.intend(page())
    deliveries.failed("incident-1/page/0", 12, "gone", retry_at=None)
    found = deliveries.get("incident-1/page/0")
    assert (found.state, found.finished_at, found.error) == (DeliveryState.GIVEN_UP, 12, "gone")
    assert deliveries.due(10**18) == []


def test_a_finished_delivery_stays_finished(deliveries):
    """A late word of failure does not reopen what the receiver has."""
    deliveries.intend(page())
    deliveries.done("incident-1/page/0", 11)
    deliveries.failed("incident-1/page/0", 12, "timeout", retry_at=13)
    assert deliveries.attempt("incident-1/page/0", retry_at=13) == 0
    assert deliveries.get("incident-1/page/0").state is DeliveryState.DONE
    assert deliveries.attempt("unknown", retry_at=13) == 0
    assert deliveries.get("unknown") is None


def test_the_longest_overdue_comes_first_and_lists_are_bounded(deliveries):
    """A flood of pages is worked off in order."""
    for n in range(5):
        deliveries.intend(page(f"k{n}", due_at=50 - n, intended_at=n))
    assert [found.key for found in deliveries.due(100, limit=3)] == ["k4", "k3", "k2"]
    assert [found.key for found in deliveries.of("s", limit=2)] == ["k4", "k3"]
