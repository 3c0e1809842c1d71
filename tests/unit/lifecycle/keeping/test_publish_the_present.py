"""The snapshot is a pure function of the ledger's state."""

from dataclasses import replace

import pytest

from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import Actor, Scope
from roadworthy.errors import StoreError
from roadworthy.lifecycle.keys import create_key, put_principal, revoke_key
from roadworthy.lifecycle.publish import is_published, publish, snapshot_now, snapshot_of

ADA = Actor(principal="ada")


def test_a_snapshot_holds_what_workers_need_of_each_route(flights):
    """Route, releases, limits and non-goals reach the workers; the rest of the policy does not."""
    flights.put(flights.route_to(flights.second, fallback=(flights.first, flights.baseline)))
    flights.put(flights.route_to(flights.first, environment="preview"))
    live, preview = publish(flights.plane).systems
    assert (live.environment, preview.environment) == ("live", "preview")
    assert [served.name for served in live.releases] == ["flights@v2", "flights@v1", "flights@baseline"]
    assert live.release(flights.first.id).candidate == flights.first.candidate
    assert [goal.purpose for goal in live.non_goals] == ["pay"]
    assert not live.keep_payload
    assert live.kind == "model"
    with pytest.raises(KeyError):
        preview.release(flights.second.id)


def test_the_version_is_the_ledgers_head_and_publishing_twice_is_a_no_op(flights):
    """Whoever publishes last with nothing new changes nothing."""
    flights.put(flights.route_to(flights.first))
    assert publish(flights.plane).version == flights.plane.ledger.head().seq
    assert publish(flights.plane) is None


def test_equal_states_give_equal_snapshots(flights):
    """A snapshot depends on the present only, not on how it came about."""
    flights.put(flights.route_to(flights.first))
    flights.put(flights.route_to(flights.second))
    before = snapshot_now(flights.plane)
    flights.put(flights.route_to(flights.first))
    flights.put(flights.route_to(flights.second))
    after = snapshot_now(flights.plane)
    assert replace(after, version=before.version, written_at=before.written_at) == before
    assert after.version == before.version + 2


def test_a_decision_that_concerns_workers_shows_as_unpublished_until_it_is_handed_over(flights):
    """A publisher that was killed between commit and publish is found by control's loop."""
    assert not is_published(flights.plane)
    flights.put(flights.route_to(flights.first))
    publish(flights.plane)
    assert is_published(flights.plane)
    run = Decide(kind="run.finished", system="flights", noun=Noun.RUN, subject="r", after={}, actor=ADA)
    flights.plane.ledger.commit([run])
    assert is_published(flights.plane)
    flights.put(flights.route_to(flights.second))
    assert not is_published(flights.plane)


def test_revoked_keys_and_keys_of_people_who_left_are_not_handed_out(flights):
    """Workers know only keys that may open something."""
    kept, revoked, left = (create_key(flights.plane, name, [Scope.PREDICT], ADA).key for name in ("a", "b", "c"))
    revoke_key(flights.plane, revoked.id, ADA)
    put_principal(flights.plane, "c", ADA, active=False)
    assert [key.id for key in flights.plane.snapshots.read().keys] == [kept.id]
    assert left.id not in {key.id for key in snapshot_now(flights.plane).keys}


def test_a_route_without_a_policy_is_not_served(flights):
    """Nothing is served whose limits are unknown."""
    stray = Decide(
        kind="route.changed",
        system="ghost",
        noun=Noun.ROUTE,
        subject="ghost/live",
        after={"system": "ghost", "arms": [{"role": "champion", "release": "r", "share": 1.0}]},
        actor=ADA,
    )
    flights.plane.ledger.commit([stray])
    assert snapshot_of(flights.plane.ledger, version=1, written_at=1, home="h").systems == ()


class Restless:
    """A ledger that moves whenever someone looks."""

    def __init__(self, ledger):
        self._ledger = ledger

    def head(self):
        """Commit, then answer."""
        self._ledger.commit([Decide(kind="k", system="s", noun=Noun.RUN, subject="r", after={}, actor=ADA)])
        return self._ledger.head()

    def __getattr__(self, name):
        return getattr(self._ledger, name)


def test_a_snapshot_mixed_from_two_states_is_never_published(flights):
    """If every reading is overtaken by a commit, nothing is published and the caller is told."""
    plane = replace(flights.plane, ledger=Restless(flights.plane.ledger))
    with pytest.raises(StoreError, match="moved"):
        publish(plane)
    assert plane.snapshots.read() is None
