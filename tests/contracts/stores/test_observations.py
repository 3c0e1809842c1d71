"""Observations: buckets and the cursor move together; signals keep a short past."""

import pytest

from roadworthy.domain.objective import Signal, Standing, Watch
from roadworthy.errors import Conflict
from roadworthy.ports.observations import BucketKey, WatchKey
from roadworthy.stores.metadata import Metadata
from roadworthy.stores.observations import HISTORY_POINTS, SqlObservations


@pytest.fixture
def observations(metadata):
    """The observations of a fresh home, with one history point a second."""
    return SqlObservations(metadata, spacing=1_000_000)


def key(start, release="r", kind="window"):
    """Name a bucket."""
    return BucketKey("s", "live", release, start, kind)


def signal(at, value=0.1, name="errors", release="r"):
    """A signal of the release."""
    return Signal(system="s", name=name, at=at, value=value, n=5, release=release)


def test_a_fresh_home_was_folded_up_to_nowhere(observations):
    """The first look begins at the oldest frame."""
    assert observations.cursor() == ""
    assert dict(observations.buckets("s", "live", "r", 0, 10**18)) == {}


def test_buckets_and_cursor_are_saved_together(home, observations):
    """Another process sees both or neither."""
    observations.save(before="", cursor="c1", buckets={key(60): {"n": 1, "bins": [0, 2.5]}, key(120): {"n": 2}})
    other = SqlObservations(Metadata(home.database))
    assert other.cursor() == "c1"
    assert dict(other.buckets("s", "live", "r", 0, 121)) == {60: {"n": 1, "bins": [0, 2.5]}, 120: {"n": 2}}
    assert list(other.buckets("s", "live", "r", 60, 120)) == [60]
    assert other.bucket(key(120)) == {"n": 2}
    assert other.bucket(key(121)) is None


def test_frames_that_another_process_folded_are_not_folded_again(observations):
    """Two observers, or one that was killed and came back, count each frame once."""
    observations.save(before="", cursor="c1", buckets={key(60): {"n": 1}})
    with pytest.raises(Conflict):
        observations.save(before="", cursor="c1b", buckets={key(60): {"n": 99}}, signals=[signal(1)])
    assert observations.bucket(key(60)) == {"n": 1}
    assert observations.signals("s") == []


def test_documents_can_be_replaced_without_moving_the_cursor(observations):
    """Signals are computed again while no record arrives."""
    observations.save(before="", cursor="", signals=[signal(1)])
    assert observations.cursor() == ""
    assert observations.signals("s") == [signal(1)]


def test_kinds_releases_and_environments_are_kept_apart(observations):
    """A challenger's buckets are never mixed with the champion's."""
    observations.save(
        before="", cursor="c", buckets={key(60): {"a": 1}, key(60, "q"): {"b": 1}, key(60, kind="pending"): {"c": 1}}
    )
    assert dict(observations.buckets("s", "live", "q", 0, 100)) == {60: {"b": 1}}
    assert dict(observations.buckets("s", "live", "r", 0, 100, kind="pending")) == {60: {"c": 1}}
    assert dict(observations.buckets("s", "preview", "r", 0, 100)) == {}


def test_only_the_newest_signal_of_a_name_is_in_force_and_its_past_is_kept(observations):
    """The status shows the present, the chart shows the past."""
    for second in range(5):
        observations.save(before="", cursor="", signals=[signal(second * 1_000_000, value=float(second))])
    assert [found.value for found in observations.signals("s")] == [4.0]
    assert [found.value for found in observations.history("s", "live", "r", "errors")] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [found.value for found in observations.history("s", "live", "r", "errors", since=3_000_000)] == [3.0, 4.0]
    assert observations.history("s", "live", "r", "latency") == []


def test_a_signal_without_data_stays_without_data(observations):
    """No data is kept as no data, never as zero."""
    observations.save(before="", cursor="", signals=[signal(1, value=None)])
    assert not observations.signals("s")[0].has_data


def test_a_history_is_thinned_and_bounded(observations):
    """However often signals are computed and however time jumps, a chart stays small and in order."""
    for step in range(0, 3 * HISTORY_POINTS, 7):
        at = step * 1_000_000
        observations.save(before="", cursor="", signals=[signal(at), signal(at + 400_000), signal(at + 800_000)])
    times = [found.at for found in observations.history("s", "live", "r", "errors")]
    assert times == sorted(times)
    assert len(times) <= HISTORY_POINTS
    assert len({at // 1_000_000 for at in times}) == len(times)
    assert times[-1] - times[0] <= HISTORY_POINTS * 1_000_000


def test_watches_survive_the_observer(home, observations):
    """Since when an objective is in breach is not forgotten when control is killed."""
    watch = Watch(objective="quality", release="r", standing=Standing.PENDING, holds_since=5, looked_at=9)
    name = WatchKey("s", "live", "quality", "r")
    observations.save(before="", cursor="", watches={name: watch})
    assert dict(SqlObservations(Metadata(home.database)).watches("s")) == {name: watch}
    assert dict(observations.watches("s", "preview")) == {}


def test_old_buckets_can_be_forgotten(observations):
    """Retention drops what is past it, of one system only."""
    observations.save(before="", cursor="c", buckets={key(60): {}, key(120): {}, BucketKey("t", "live", "r", 60): {}})
    assert observations.forget("s", 120) == 1
    assert list(observations.buckets("s", "live", "r", 0, 1_000)) == [120]
    assert list(observations.buckets("t", "live", "r", 0, 1_000)) == [60]
