"""Verification names what is wrong: another home's head, an entry that cannot be read, a present that was edited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from roadworthy.domain.ledger import Decide, Event, Noun
from roadworthy.domain.principal import Actor
from roadworthy.errors import InputError, StoreError
from roadworthy.lifecycle.keys import principals, put_principal
from roadworthy.lifecycle.verify_ledger import verify_ledger
from roadworthy.testing import MemoryLedger, memory_plane

ADA = Actor(principal="ada")


class Tampered:
    """A ledger of which something else than its entries was changed."""

    def __init__(self, ledger: Any, unreadable_after: int = 0, edited: Noun | None = None, late: Any = None) -> None:
        self._ledger, self._unreadable_after, self._edited, self._late = ledger, unreadable_after, edited, late

    def events(self, **place: Any) -> Iterator[Event]:
        """Return the entries as far as they can be read."""
        for event in self._ledger.events(**place):
            if self._unreadable_after and event.seq > self._unreadable_after:
                raise StoreError("a page of the database is damaged")
            yield event

    def states(self, noun: Noun, system: str = "") -> Mapping[str, Any]:
        """Return the present, edited where a test says so; `late` happens in between, once."""
        if self._late is not None:
            late, self._late = self._late, None
            late()
        found = dict(self._ledger.states(noun, system))
        return {name: {**state, "active": False} for name, state in found.items()} if noun is self._edited else found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


@pytest.fixture
def ledger() -> Any:
    """A ledger of three people."""
    plane = memory_plane()
    for name in ("ada", "ben", "eva"):
        put_principal(plane, name, ADA)
    assert [one.id for one in principals(plane)] == ["ada", "ben", "eva"]
    return plane.ledger


def test_the_head_of_another_home_proves_nothing(ledger: MemoryLedger) -> None:
    """It is refused, and both homes are named."""
    with pytest.raises(InputError, match="the exported head is of home elsewhere"):
        verify_ledger(ledger, replace(ledger.head(), home="elsewhere"))


def test_an_entry_that_cannot_be_read_is_the_first_broken_one(ledger: MemoryLedger) -> None:
    """What was read before still counts."""
    found = verify_ledger(Tampered(ledger, unreadable_after=2))  # type: ignore[arg-type]
    assert (found.holds, found.entries, found.broken_at) == (False, 2, 3)
    assert "damaged" in found.problem


def test_a_present_that_no_entry_leads_to_is_named(ledger: MemoryLedger) -> None:
    """The table was edited, or the newest entries were cut off; which subject is said."""
    found = verify_ledger(Tampered(ledger, edited=Noun.PRINCIPAL))  # type: ignore[arg-type]
    assert not found.holds
    assert found.problem.startswith("the present of principal ada is not what the 3 entries lead to")


def test_entries_that_come_while_it_reads_are_no_damage(ledger: MemoryLedger) -> None:
    """A home that works is verified too."""
    run = Decide(kind="run.finished", system="s", noun=Noun.RUN, subject="r", after={"n": 1}, actor=ADA)
    found = verify_ledger(Tampered(ledger, late=lambda: ledger.commit([run])))  # type: ignore[arg-type]
    assert found.holds


def test_a_ledger_that_never_rests_holds_as_far_as_it_was_read(ledger: MemoryLedger) -> None:
    """Whoever decides all the time cannot keep a verification from ending."""

    class Restless(Tampered):
        turn = 0

        def states(self, noun: Noun, system: str = "") -> Mapping[str, Any]:
            if noun is Noun.RUN:
                self.turn += 1
                after = {"n": self.turn}
                self._ledger.commit(
                    [Decide(kind="run.finished", system="s", noun=noun, subject="r", after=after, actor=ADA)]
                )
            return super().states(noun, system)

    restless = Restless(ledger)
    assert verify_ledger(restless).holds  # type: ignore[arg-type]
    assert restless.turn == 20
