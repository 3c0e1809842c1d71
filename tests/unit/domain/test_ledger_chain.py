"""The ledger: a chain in which no entry is edited, dropped, moved or cut off unseen, and which folds to the present."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from roadworthy.domain.ledger import GENESIS, Decide, Event, Fold, Head, Noun, replay, seal, verify
from roadworthy.domain.principal import Actor
from roadworthy.errors import Conflict
from roadworthy.testing import FixedClock, MemoryLedger

ANA = Actor(principal="ana")


def _event(seq: int, previous: str, **changes) -> Event:
    event = Event(
        seq=seq,
        at=seq * 10,
        kind="route.changed",
        system="flights",
        environment="live",
        noun="route",
        subject=f"flights/{seq % 2}",
        actor="ana",
        assurance="asserted",
        reason=f"reason {seq}",
        before=None,
        after={"n": seq},
        key=f"k{seq}",
        previous=previous,
    )
    event = replace(event, **changes)
    return replace(event, hash=seal(event))


def _chain(length: int) -> list[Event]:
    events: list[Event] = []
    for seq in range(1, length + 1):
        events.append(_event(seq, events[-1].hash if events else GENESIS))
    return events


CHAIN = _chain(5)
HEAD = Head(home="h", seq=3, hash=CHAIN[2].hash, at=0)


def test_an_untouched_ledger_holds():
    """Verification counts the entries and says where the ledger ends."""
    found = verify(CHAIN)
    assert (found.holds, found.entries, found.broken_at, found.head, found.problem) == (True, 5, 0, CHAIN[-1].hash, "")
    assert verify([]).holds
    assert (verify([]).entries, verify([]).head) == (0, GENESIS)


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("name", [field.name for field in fields(Event) if field.name != "hash"])
def test_an_edit_of_any_field_of_any_entry_is_named(place, name):
    """The first edited entry is named, whatever was edited in it."""
    old = getattr(CHAIN[place], name)
    new = {"x": 1} if name in ("before", "after") else old + 1 if isinstance(old, int) else old + "x"
    events = [*CHAIN[:place], replace(CHAIN[place], **{name: new}), *CHAIN[place + 1 :]]
    found = verify(events)
    assert not found.holds
    assert (found.broken_at, found.entries) == (place + 1, place)
    assert found.head == (CHAIN[place - 1].hash if place else GENESIS)


def test_the_problem_says_what_was_done():
    """Edited, missing, out of order and not following are different stories."""
    edited = [CHAIN[0], replace(CHAIN[1], reason="x"), *CHAIN[2:]]
    assert verify(edited).problem == "entry 2 (route.changed) was edited"
    assert verify(CHAIN[1:]).problem == "entry 1 is missing or out of order (found 2)"
    assert verify([CHAIN[0], CHAIN[2]]).problem == "entry 2 is missing or out of order (found 3)"
    forged = _event(2, "sha256:" + "1" * 64)
    assert verify([CHAIN[0], forged]).problem == "entry 2 does not follow the entry before it"
    assert verify([CHAIN[0], forged]).broken_at == 2


@given(st.permutations(CHAIN))
def test_any_other_order_is_found(events):
    """Only one order of the entries verifies."""
    assert verify(events).holds is (list(events) == CHAIN)


def test_a_truncation_is_found_with_an_exported_head():
    """A chain cut at its end is a chain; only the head that someone kept tells."""
    for length in range(6):
        found = verify(CHAIN[:length], HEAD)
        assert found.holds is (length >= 3)
        if length < 3:
            assert found.broken_at == length + 1
            assert found.entries == length
            assert found.problem == (f"the ledger ends at {length}, before the exported head at 3: it was truncated")
            assert found.head == (CHAIN[length - 1].hash if length else GENESIS)


def test_a_rewritten_ledger_differs_from_the_exported_head():
    """A chain forged from some entry on verifies in itself, and not against the head."""
    forged = list(CHAIN[:1])
    for seq in (2, 3, 4):
        forged.append(_event(seq, forged[-1].hash, reason="forged"))
    assert verify(forged).holds
    found = verify(forged, HEAD)
    assert (found.broken_at, found.problem) == (3, "entry 3 differs from the exported head")
    assert found.entries == 3
    assert found.head == forged[2].hash


def test_the_head_of_an_empty_ledger_is_always_met():
    """Exporting before the first entry promises nothing."""
    assert verify([], Head(home="h", seq=0, hash=GENESIS, at=0)).holds
    assert verify(CHAIN, Head(home="h", seq=0, hash=GENESIS, at=0)).holds


def test_a_fold_holds_the_newest_state_of_each_subject():
    """The present is the `after` of the newest event; None ends a subject."""
    fold = replay(CHAIN)
    assert fold.states == {("route", "flights/1"): {"n": 5}, ("route", "flights/0"): {"n": 4}}
    assert fold.seq == 5
    ended = _event(6, CHAIN[-1].hash, after=None)
    assert replay([ended], fold).states == {("route", "flights/1"): {"n": 5}}
    assert replay([_event(6, "", after=None, subject="never")], fold).states == fold.states
    assert (replay([]).states, replay([]).seq) == ({}, 0)
    assert replay([], fold) == fold


@given(st.integers(0, 5))
def test_folding_in_two_parts_is_folding_at_once(cut):
    """A fold can be kept and continued."""
    assert replay(CHAIN[cut:], replay(CHAIN[:cut])) == replay(CHAIN)


class LedgerMachine(RuleBasedStateMachine):
    """Commits of any kind against a plain dictionary: replay(events) == state, and the chain always verifies."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FixedClock()
        self.ledger = MemoryLedger(self.clock)
        self.model: dict[tuple[str, str], object] = {}
        self.keys: set[str] = set()
        self.past: list[tuple[int, dict[tuple[str, str], object]]] = []

    @rule(
        batch=st.lists(
            st.tuples(
                st.sampled_from([Noun.ROUTE, Noun.KEY]),
                st.sampled_from("abc"),
                st.one_of(st.none(), st.integers()),
                st.sampled_from(["", "k1", "k2", "k3"]),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def commit(self, batch) -> None:
        """Commit a batch; decisions whose key is known are left out."""
        decisions = [
            Decide(
                kind=f"{noun}.changed",
                system="s",
                noun=noun,
                subject=subject,
                after=None if value is None else {"v": value},
                actor=ANA,
                key=key,
            )
            for noun, subject, value, key in batch
        ]
        added = self.ledger.commit(decisions)
        wanted = 0
        for noun, subject, value, key in batch:
            if key and key in self.keys:
                continue
            wanted += 1
            self.keys.add(key)
            if value is None:
                self.model.pop((noun, subject), None)
            else:
                self.model[noun, subject] = {"v": value}
        assert len(added) == wanted

    @rule(subject=st.sampled_from("abc"), off=st.integers(1, 3))
    def a_stale_decision_changes_nothing(self, subject, off) -> None:
        """A batch with one stale decision is refused whole."""
        before = self.ledger.head()
        fresh = Decide(kind="key.created", system="s", noun=Noun.KEY, subject="z", after={"v": 1}, actor=ANA)
        stale = Decide(
            kind="route.changed",
            system="s",
            noun=Noun.ROUTE,
            subject=subject,
            after={"v": 0},
            actor=ANA,
            expected=self.ledger.seq_of(Noun.ROUTE, subject) + off,
        )
        with pytest.raises(Conflict):
            self.ledger.commit([fresh, stale])
        assert self.ledger.head() == before

    @rule(subject=st.sampled_from("abc"))
    def a_fresh_decision_is_taken(self, subject) -> None:
        """Who read the newest state may change it."""
        seq = self.ledger.seq_of(Noun.ROUTE, subject)
        decide = Decide(
            kind="route.changed",
            system="s",
            noun=Noun.ROUTE,
            subject=subject,
            after={"v": seq},
            actor=ANA,
            expected=seq,
        )
        self.ledger.commit([decide])
        self.model[Noun.ROUTE, subject] = {"v": seq}

    @precondition(lambda self: self.ledger.epoch < 5)
    @rule()
    def a_new_leader_fences_the_old_one(self) -> None:
        """A leader that lost its lease writes nothing."""
        self.ledger.epoch += 1
        with pytest.raises(Conflict):
            self.ledger.commit([], fence=self.ledger.epoch - 1)
        assert self.ledger.commit([], fence=self.ledger.epoch) == ()

    @rule(duration=st.integers(1, 100))
    def time_passes(self, duration) -> None:
        """Remember the state before time moves on."""
        self.past.append((self.clock.now(), dict(self.model)))
        self.clock.pass_by(duration)

    @invariant()
    def the_present_is_a_fold(self) -> None:
        """replay(events) == state, by whatever way one asks."""
        fold = replay(self.ledger.events())
        assert fold.states == self.model
        assert fold.seq == self.ledger.head().seq
        for noun in (Noun.ROUTE, Noun.KEY):
            states = self.ledger.states(noun, "s")
            assert dict(states) == {subject: after for (kind, subject), after in self.model.items() if kind == noun}
            seqs = [self.ledger.seq_of(noun, subject) for subject in states]
            assert seqs == sorted(seqs)

    @invariant()
    def the_chain_verifies(self) -> None:
        """No commit breaks the chain, and its head is met."""
        assert verify(self.ledger.events(), self.ledger.head()).holds

    @invariant()
    def the_past_can_be_asked_for(self) -> None:
        """The state at a past moment is what it was."""
        for moment, model in self.past[-3:]:
            assert self.ledger.at(moment).states == model


LedgerMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestLedger = LedgerMachine.TestCase


def test_events_can_be_asked_for_by_system_and_time():
    """A reader takes what concerns one system, after an entry, until a moment."""
    clock = FixedClock(100)
    ledger = MemoryLedger(clock, home="home")
    for system in ("a", "b", "a"):
        ledger.commit([Decide(kind="k", system=system, noun=Noun.KEY, subject=system, after={}, actor=ANA)])
        clock.pass_by(10)
    assert [event.seq for event in ledger.events(system="a")] == [1, 3]
    assert [event.seq for event in ledger.events(after=1)] == [2, 3]
    assert [event.seq for event in ledger.events(until=110)] == [1, 2]
    assert set(ledger.states(Noun.KEY, "a")) == {"a"}
    assert (ledger.head().home, ledger.head().seq, ledger.head().at) == ("home", 3, 120)
    assert ledger.state(Noun.KEY, "zz") is None
    assert Fold() == Fold(states={}, seq=0)
