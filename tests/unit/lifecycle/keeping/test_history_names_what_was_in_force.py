"""Which release was in force at a moment."""

import pytest

from roadworthy.domain.moment import HOUR
from roadworthy.errors import NotFoundError
from roadworthy.lifecycle.history import changes, in_force_at


def test_the_release_in_force_at_a_moment_is_named_with_who_decided_and_why(flights):
    """A question about last month's answer is answered from the ledger alone."""
    clock = flights.plane.clock
    flights.put(flights.route_to(flights.first, shadow=flights.second), "first go")
    first_at = clock.now()
    clock.pass_by(HOUR)
    second = flights.put(flights.route_to(flights.first, challenger=flights.second), "canary")
    clock.pass_by(HOUR)
    flights.put(flights.route_to(flights.second), "full")

    early = in_force_at(flights.plane, "flights", first_at + HOUR - 1)
    assert early.champion == "flights@v1"
    assert [(part.name, part.role, part.share) for part in early.parts] == [
        ("flights@v1", "champion", 1.0),
        ("flights@v2", "shadow", 0.5),
    ]
    middle = in_force_at(flights.plane, "flights", first_at + HOUR)
    assert (middle.seq, middle.since, middle.reason, middle.actor) == (second.seq, second.at, "canary", "ada")
    assert in_force_at(flights.plane, "flights", clock.now()).champion == "flights@v2"


def test_environments_have_their_own_history(flights):
    """What ran in a preview was never live."""
    flights.put(flights.route_to(flights.second, environment="preview"))
    with pytest.raises(NotFoundError, match="nothing was in force for flights in live"):
        in_force_at(flights.plane, "flights", flights.plane.clock.now())
    assert in_force_at(flights.plane, "flights", flights.plane.clock.now(), "preview").champion == "flights@v2"


def test_changes_come_newest_first_up_to_a_moment(flights):
    """The reader who asks what changed begins with the latest."""
    flights.put(flights.route_to(flights.first), "one")
    before = flights.plane.clock.now()
    flights.plane.clock.pass_by(HOUR)
    flights.put(flights.route_to(flights.second), "two")
    assert [event.reason for event in changes(flights.plane, "flights", limit=2)] == ["two", "one"]
    assert changes(flights.plane, "flights", until=before, limit=1)[0].reason == "one"
