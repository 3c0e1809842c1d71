"""What every ledger keeps to: the one in SQLite and the one in memory."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.domain.ledger import GENESIS, Decide, Noun, replay, verify
from roadworthy.domain.principal import AUTOMATION
from roadworthy.errors import Conflict
from roadworthy.ports.leases import LEADER
from roadworthy.stores.home import create
from roadworthy.stores.leases import SqlLeases
from roadworthy.stores.ledger import SqlLedger
from roadworthy.stores.metadata import Metadata
from roadworthy.testing import FixedClock, MemoryLedger


class Subject:
    """A ledger under test, its clock, and how it gets a leader."""

    def __init__(self, ledger, clock, lead):
        self.ledger, self.clock, self.lead = ledger, clock, lead


def in_memory(_folder):
    """Build the fake."""
    clock = FixedClock()
    ledger = MemoryLedger(clock)

    def lead():
        ledger.epoch += 1
        return ledger.epoch

    return Subject(ledger, clock, lead)


def in_sqlite(folder):
    """Build the real one."""
    home = create(folder / "home")
    metadata, clock = Metadata(home.database), FixedClock()
    wall = iter(range(0, 10**12, 10**9))
    leases = SqlLeases(metadata, lambda: next(wall))
    return Subject(SqlLedger(metadata, clock, home.id), clock, lambda: leases.acquire(LEADER, "me", 1))


@pytest.fixture(params=[in_memory, in_sqlite])
def subject(request, tmp_path):
    """Each adapter in turn."""
    return request.param(tmp_path)


def route(n=1, *, subject="flights/live", after="same", **fields):
    """Decide about a route."""
    document = {"n": n} if after == "same" else after
    system = subject.partition("/")[0]
    return Decide(
        kind="route.changed",
        system=system,
        noun=Noun.ROUTE,
        subject=subject,
        after=document,
        actor=AUTOMATION,
        **fields,
    )


def test_an_empty_ledger_ends_at_its_genesis(subject):
    """A new home's ledger verifies and has nothing in it."""
    head = subject.ledger.head()
    assert (head.seq, head.hash) == (0, GENESIS)
    assert verify(subject.ledger.events(), head).holds
    assert subject.ledger.state(Noun.ROUTE, "flights/live") is None
    assert subject.ledger.seq_of(Noun.ROUTE, "flights/live") == 0


def test_the_state_of_a_subject_is_what_its_newest_event_left(subject):
    """The present is the fold of the decisions."""
    subject.ledger.commit([route(1), route(2), route(9, subject="loans/live")])
    assert subject.ledger.state(Noun.ROUTE, "flights/live") == {"n": 2}
    assert subject.ledger.seq_of(Noun.ROUTE, "flights/live") == 2
    assert dict(subject.ledger.states(Noun.ROUTE)) == {"flights/live": {"n": 2}, "loans/live": {"n": 9}}
    assert dict(subject.ledger.states(Noun.ROUTE, "loans")) == {"loans/live": {"n": 9}}


def test_states_come_oldest_change_first(subject):
    """Lists shown to people follow the order in which things last changed."""
    subject.ledger.commit([route(1, subject="b/live"), route(1, subject="a/live"), route(2, subject="b/live")])
    assert list(subject.ledger.states(Noun.ROUTE)) == ["a/live", "b/live"]


def test_an_event_says_what_was_before(subject):
    """A reader of one entry sees the change without looking up others."""
    subject.ledger.commit([route(1)])
    (event,) = subject.ledger.commit([route(2)])
    assert (event.before, event.after) == ({"n": 1}, {"n": 2})


def test_a_decision_on_a_state_that_moved_is_refused_and_nothing_is_written(subject):
    """Who decides on stale reading must read again; none of his decisions count."""
    subject.ledger.commit([route(1)])
    with pytest.raises(Conflict):
        subject.ledger.commit([route(5, subject="loans/live"), route(2, expected=0)])
    assert subject.ledger.head().seq == 1
    assert subject.ledger.state(Noun.ROUTE, "loans/live") is None


def test_expected_counts_what_the_same_commit_did_before(subject):
    """Two steps on one subject can be decided together."""
    events = subject.ledger.commit([route(1, expected=0), route(2, expected=1)])
    assert [event.seq for event in events] == [1, 2]


def test_a_second_decision_with_the_same_key_is_left_out(subject):
    """A retried or doubled step changes the state exactly once."""
    assert len(subject.ledger.commit([route(1, key="k"), route(2, key="k")])) == 1
    assert subject.ledger.commit([route(3, key="k", expected=0)]) == ()
    assert subject.ledger.state(Noun.ROUTE, "flights/live") == {"n": 1}


def test_an_ended_subject_has_no_state_but_keeps_its_sequence(subject):
    """Something that ended cannot be begun again by someone who did not see its end."""
    subject.ledger.commit([route(1)])
    subject.ledger.commit([route(after=None)])
    assert subject.ledger.state(Noun.ROUTE, "flights/live") is None
    assert dict(subject.ledger.states(Noun.ROUTE)) == {}
    assert subject.ledger.seq_of(Noun.ROUTE, "flights/live") == 2
    with pytest.raises(Conflict):
        subject.ledger.commit([route(1, expected=0)])


def test_a_leader_that_was_replaced_decides_nothing(subject):
    """An old leader that wakes up late is fenced out."""
    old = subject.lead()
    subject.ledger.commit([route(1)], fence=old)
    new = subject.lead()
    assert new > old
    with pytest.raises(Conflict):
        subject.ledger.commit([route(2)], fence=old)
    assert len(subject.ledger.commit([route(3)], fence=new)) == 1


def test_the_past_can_be_asked_for(subject):
    """`history --at` reads the state as it was at a moment."""
    subject.ledger.commit([route(1)])
    first = subject.clock.now()
    later = subject.clock.pass_by(1_000)
    subject.ledger.commit([route(2), route(7, subject="loans/live")])
    assert subject.ledger.at(first).states == {("route", "flights/live"): {"n": 1}}
    assert len(subject.ledger.at(later).states) == 2
    assert [event.seq for event in subject.ledger.events(until=first)] == [1]
    assert [event.seq for event in subject.ledger.events(after=1, system="loans")] == [3]


def test_a_head_moves_with_the_ledger(subject):
    """An exported head names the last entry."""
    (event,) = subject.ledger.commit([route(1)])
    head = subject.ledger.head()
    assert (head.seq, head.hash, head.at) == (1, event.hash, subject.clock.now())


DOCUMENTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a/live", "b/live", "b/preview"]), st.none() | DOCUMENTS, st.sampled_from(["", "k", "l"])
    ),
    max_size=12,
)


@pytest.mark.parametrize("build", [in_memory, in_sqlite])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_is_decided_the_chain_holds_and_the_present_is_the_fold(build, steps, tmp_path_factory):
    """For any documents, ends and doubled keys: replaying the events gives the state, and every hash holds."""
    ledger = build(tmp_path_factory.mktemp("ledger")).ledger
    for name, after, key in steps:
        ledger.commit([route(subject=name, after=after, key=key)])
    events = list(ledger.events())
    assert verify(events, ledger.head()).holds
    fold = replay(events)
    assert {("route", name): dict(state) for name, state in ledger.states(Noun.ROUTE).items()} == fold.states
    assert all(ledger.state(Noun.ROUTE, name) == fold.states.get(("route", name)) for name, _, _ in steps)
