"""Objectives: ok, pending, breach or no data; the one place where `for 5m` is evaluated."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from roadworthy.domain.condition import Comparison, Condition
from roadworthy.domain.objective import Light, Objective, Signal, Standing, Watch, look

GRACE = 100
OBJECTIVE = Objective(
    name="errors", when=Condition(monitor="errors", comparison=Comparison.ABOVE, threshold=0.02, grace=GRACE)
)
ABSENT = Objective(name="blind", when=Condition(monitor="outcomes", no_data=True, grace=GRACE))
NEW = Watch(objective="errors", release="r")


def _signal(value: float | None) -> Signal:
    return Signal(system="flights", name="errors", at=0, value=value)


def test_a_signal_without_a_value_has_no_data():
    """No data is said, never guessed; a value of nothing is a value."""
    assert not _signal(None).has_data
    assert _signal(0.0).has_data
    assert _signal(0.5).light is Light.OPERATIONS


def test_a_bad_case_is_pending_until_its_grace_has_passed():
    """`for 5m` means five minutes without a break, and the last moment counts."""
    first = look(OBJECTIVE, _signal(0.5), NEW, now=10)
    assert (first.standing, first.holds_since, first.looked_at) == (Standing.PENDING, 10, 10)
    assert (first.objective, first.release) == ("errors", "r")
    later = look(OBJECTIVE, _signal(0.5), first, now=109)
    assert (later.standing, later.holds_since) == (Standing.PENDING, 10)
    assert look(OBJECTIVE, _signal(0.5), later, now=110).standing is Standing.BREACH


def test_without_grace_the_first_look_is_a_breach():
    """A condition without `for` counts at once."""
    at_once = Objective(name="harm", when=Condition(monitor="harm", comparison=Comparison.ABOVE))
    assert look(at_once, _signal(0.1), NEW, now=5).standing is Standing.BREACH
    assert look(at_once, _signal(0.0), NEW, now=5).standing is Standing.OK


def test_a_good_value_ends_what_was_pending_or_in_breach():
    """The run starts anew after a break."""
    for standing in (Standing.PENDING, Standing.BREACH):
        before = Watch(objective="errors", standing=standing, holds_since=0)
        found = look(OBJECTIVE, _signal(0.01), before, now=50)
        assert (found.standing, found.holds_since) == (Standing.OK, None)


@pytest.mark.parametrize("signal", [None, _signal(None)])
def test_no_data_is_never_ok(signal):
    """A pending run is broken by no data; a breach stays until data show its end."""
    assert look(OBJECTIVE, signal, NEW, now=1).standing is Standing.NO_DATA
    pending = Watch(objective="errors", standing=Standing.PENDING, holds_since=0)
    found = look(OBJECTIVE, signal, pending, now=500)
    assert (found.standing, found.holds_since) == (Standing.NO_DATA, None)
    breach = Watch(objective="errors", standing=Standing.BREACH, holds_since=7)
    found = look(OBJECTIVE, signal, breach, now=500)
    assert (found.standing, found.holds_since) == (Standing.BREACH, 7)


@pytest.mark.parametrize("signal", [None, _signal(None)])
def test_missing_data_can_itself_be_the_bad_case(signal):
    """`no_data(outcomes) for 3d` holds while nothing is known."""
    first = look(ABSENT, signal, NEW, now=10)
    assert first.standing is Standing.PENDING
    assert look(ABSENT, signal, first, now=110).standing is Standing.BREACH
    assert look(ABSENT, _signal(0.0), first, now=110).standing is Standing.OK
    bare = Objective(name="bare", when=Condition(monitor="outcomes"))
    assert look(bare, signal, NEW, now=0).standing is Standing.BREACH


class ObjectiveMachine(RuleBasedStateMachine):
    """Any sequence of looks against the definition: in breach once the bad case held for its grace without a break."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.watch = NEW
        self.run: int | None = None
        self.in_breach = False
        self.last: float | None = None

    @rule(value=st.one_of(st.none(), st.floats(0, 0.05)), passed=st.integers(0, 60))
    def a_look(self, value, passed) -> None:
        """Time passes, and someone looks."""
        self.now += passed
        self.watch = look(OBJECTIVE, _signal(value), self.watch, self.now)
        self.last = value
        if value is None:
            self.run = self.run if self.in_breach else None
        elif value > 0.02:
            self.run = self.now if self.run is None else self.run
            self.in_breach = self.now - self.run >= GRACE
        else:
            self.run, self.in_breach = None, False

    @invariant()
    def the_standing_is_the_definition(self) -> None:
        """Breach, pending, ok and no data are what the words say."""
        assert (self.watch.standing is Standing.BREACH) is self.in_breach
        assert self.watch.holds_since == self.run
        if not self.in_breach:
            wanted = Standing.NO_DATA if self.last is None else Standing.PENDING if self.last > 0.02 else Standing.OK
            assert self.watch.standing is wanted


ObjectiveMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestObjective = ObjectiveMachine.TestCase
