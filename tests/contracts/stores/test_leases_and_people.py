"""Leases fence out old leaders; people can be forgotten."""

import pytest

from roadworthy.ports.people import Person
from roadworthy.stores.leases import SqlLeases
from roadworthy.stores.people import SqlPeople


class Wall:
    """A wall clock that is set by hand."""

    now = 1_000_000_000

    def __call__(self):
        """Tell it."""
        return self.now


@pytest.fixture
def wall():
    """The time by which leases end."""
    return Wall()


@pytest.fixture
def leases(metadata, wall):
    """The leases of a fresh home."""
    return SqlLeases(metadata, wall)


def test_one_holder_at_a_time(leases):
    """A second control process does not decide while the first lives."""
    assert leases.acquire("control", "a", 10) == 1
    assert leases.acquire("control", "b", 10) is None
    assert leases.acquire("another", "b", 10) == 1


def test_renewing_in_time_keeps_the_epoch(leases, wall):
    """A leader that renews goes on as the same leader."""
    assert leases.acquire("control", "a", 10) == 1
    wall.now += 9_000_000
    assert leases.acquire("control", "a", 10) == 1


def test_taking_over_raises_the_epoch(leases, wall):
    """Whoever takes over can be told from the one before."""
    assert leases.acquire("control", "a", 10) == 1
    wall.now += 10_000_001
    assert leases.acquire("control", "b", 10) == 2
    assert leases.acquire("control", "a", 10) is None


def test_a_lapsed_lease_comes_back_with_a_new_epoch(leases, wall):
    """A leader that slept past its lease is fenced, even if nobody took its place."""
    assert leases.acquire("control", "a", 10) == 1
    wall.now += 10_000_001
    assert leases.acquire("control", "a", 10) == 2


def test_a_lease_given_back_is_free_at_once_and_only_its_holder_can_give_it(leases):
    """A clean stop lets the next process lead without waiting; a stranger's release changes nothing."""
    assert leases.acquire("control", "a", 10) == 1
    leases.release("control", "b")
    assert leases.acquire("control", "b", 10) is None
    leases.release("control", "a")
    assert leases.acquire("control", "b", 10) == 2


def test_people_are_kept_replaced_and_listed(metadata):
    """Contacts can be mended."""
    people = SqlPeople(metadata)
    people.put(Person(principal="bo", name="Bo", contact="bo@example.org"))
    people.put(Person(principal="al", name="Al"))
    people.put(Person(principal="bo", name="Bo", contact="file:/tmp/bo"))
    assert [person.principal for person in people.everyone()] == ["al", "bo"]
    assert people.get("bo") == Person(principal="bo", name="Bo", contact="file:/tmp/bo")
    assert people.get("cy") is None


def test_an_erased_person_leaves_no_bytes_behind(home, metadata):
    """Forgetting a name removes it from the file, not only from the answers."""
    people = SqlPeople(metadata)
    people.put(Person(principal="bo", name="Bartholomew-Unmistakable", contact="b@example.org"))
    assert people.erase("bo")
    assert not people.erase("bo")
    assert people.get("bo") is None
    metadata.close()
    for path in home.root.glob("control.sqlite*"):
        assert b"Bartholomew-Unmistakable" not in path.read_bytes()
