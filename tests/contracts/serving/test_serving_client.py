"""The Python client against a real data plane."""

from __future__ import annotations

import os
import signal

import pytest

from roadworthy.domain.principal import Scope
from roadworthy.errors import InputError, NotFoundError, NotPermitted, UnavailableError
from roadworthy.serving.client import Client
from roadworthy.stores.records import open_records
from serving_kit import ROW, make_key, release, served, solo, sql_candidate


@pytest.fixture
def up(plane):
    """A running plane with one release."""
    candidate = sql_candidate(plane.artifacts, "0.5")
    plane.publish(served(solo(candidate.id), release(candidate, "flights@v1")))
    plane.start()
    plane.wait_applied()
    return plane


def test_the_client_predicts_and_posts_outcomes(up):
    """Five lines of Python close the loop from answer to truth."""
    with Client(up.url, key=up.key) as client:
        answer = client.predict("flights", ROW)
        assert answer.outputs == {"probability": 0.5, "label": "late"}
        assert (answer.release, answer.fallback, answer.recorded) == ("flights@v1", None, True)
        client.outcome("flights", answer.record, "late", scorer="label")
        many = client.predict_many("flights", [ROW, ROW])
        assert len({one.record for one in many}) == 2
        assert client.outcomes("flights", [{"record": one.record, "value": "late"} for one in many]) == 2
    outcomes = open_records(up.home.records, up.home.counters).tail().outcomes
    assert [one.record for one in outcomes] == [answer.record, *(one.record for one in many)]


def test_the_client_raises_the_errors_of_the_tree(up):
    """A refusal is the same error in the caller's process as it was in the server."""
    client = Client(up.url, key=up.key)
    with pytest.raises(InputError) as refused:
        client.predict("flights", {**ROW, "hour": 99})
    assert [(one.field, one.rule) for one in refused.value.violations] == [("hour", "maximum")]
    with pytest.raises(InputError, match="JSON"):
        client.predict("flights", {**ROW, "distance": float("nan")})
    with pytest.raises(NotFoundError, match="did you mean 'flights'"):
        client.predict("flight", ROW)
    with Client(up.url, key=make_key(Scope.PREDICT)[1]) as stranger, pytest.raises(NotPermitted):
        stranger.predict("flights", ROW)
    with pytest.raises(InputError, match="no address"):
        Client("flights:80", key="x")
    client.close()


def test_the_client_survives_a_worker_that_was_started_again(up):
    """A kept connection that died is opened once more."""
    client = Client(up.url, key=up.key)
    client.predict("flights", ROW)
    (word,) = up.wait_applied()
    os.kill(word.pid, signal.SIGKILL)
    up.wait_applied()
    for _ in range(2000):
        try:
            client.predict("flights", ROW)
        except UnavailableError:
            continue
        break
    assert client.predict("flights", ROW).release == "flights@v1"
    client.close()


def test_a_data_plane_that_is_away_is_one_clear_error(up):
    """The client says who does not answer."""
    up.stop()
    client = Client(up.url, key=up.key)
    with pytest.raises(UnavailableError, match="does not answer"):
        client.predict("flights", ROW)
    client.close()
