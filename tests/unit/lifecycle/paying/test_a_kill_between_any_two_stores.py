"""A worker may die between any two of the stores that a call makes: nothing is lost, nothing counts twice."""

from types import SimpleNamespace

import pytest

from paying_kit import PRICE, Treasury, Worker, record_of
from roadworthy.domain.budget import Budget, Whose
from roadworthy.domain.open_call import LOST_STATUS, OpenCall, cost_of
from roadworthy.domain.pin import PICO, Price, Usage
from roadworthy.domain.record import Flag
from roadworthy.errors import StoreError
from roadworthy.lifecycle import settle

BIG = Budget(limit_micros=100_000)
PER_KEY = Budget(limit_micros=100_000, whose=Whose.KEY)
STORES = 64


class Killed(Exception):
    """The worker died here."""


class Dying:
    """Words that take so many stores and then no more."""

    def __init__(self, words, stores):
        self.words = words
        self.left = stores

    def __getitem__(self, place):
        return self.words[place]

    def __setitem__(self, place, word):
        if self.left == 0:
            raise Killed
        self.left -= 1
        self.words[place] = word

    def release(self):
        """Let go."""
        self.words.release()


@pytest.fixture
def treasury(tmp_path):
    """A home whose budgets are never short."""
    made = Treasury(tmp_path, (BIG, PER_KEY))
    yield made
    made.close()


def warm(treasury, name="w0"):
    """A worker whose leases are in hand."""
    worker = Worker(treasury, name)
    worker.pay_for(Usage(output=100))
    treasury.paymaster.pay(None)
    assert worker.pay_for(Usage(output=100))
    return worker


def test_a_kill_after_each_store_loses_no_cost_and_books_none_twice(treasury):
    """Invoice, records and ledger agree wherever a call was cut off, and some kills hit each step."""
    stages = set()
    for stores in range(STORES):
        worker = warm(treasury)
        call = None
        worker.wallet.words = Dying(worker.wallet.words, stores)
        try:
            call = worker.reserve(Usage(output=1_000))
            worker.finish(call, Usage(output=700))
            stages.add("done")
        except Killed:
            stages.add(call.stage if call else "reserve")
        worker.die()
        treasury.control()
        treasury.now_s += 10
        treasury.control()
    assert stages >= {"reserve", "reserved", "billed", "recorded", "done"}
    treasury.finish([])
    assert treasury.recorded() == treasury.invoice.total
    assert treasury.settled("system") == treasury.settled("key") == treasury.invoice.total


@pytest.mark.parametrize("steps", range(7))
def test_a_kill_after_each_step_of_a_call_loses_no_cost(treasury, steps):
    """Also when control dies after each of its steps and begins anew."""
    worker = warm(treasury)
    call = worker.reserve(Usage(output=1_000))
    for _ in range(min(steps, 5)):
        worker.advance(call, Usage(output=300))
    worker.die()
    treasury.paymaster.close()
    treasury.start_control()
    treasury.finish([])
    assert treasury.recorded() == treasury.invoice.total == treasury.settled("system")


def test_a_lost_call_gets_a_record_that_says_so(treasury):
    """Whoever reads the records sees the answer that nobody got, and what it cost."""
    worker = warm(treasury)
    call = worker.reserve(Usage(output=1_000))
    worker.advance(call, Usage())
    worker.advance(call, Usage(output=300))
    worker.die()
    treasury.control(2)
    found = treasury.plane.records.find(call.open_call.record)
    assert found.status == LOST_STATUS
    assert Flag(found.flags) & Flag.LOST
    assert cost_of(found) == PRICE.cost(Usage(output=300))
    assert "settled from the provider's books" in found.error


def test_a_provider_without_books_is_paid_in_full(treasury):
    """The cap holds for what cannot be known: the most that the call could cost, marked as a guess."""
    worker = warm(treasury)
    call = worker.reserve(Usage(output=1_000), lookup=False)
    worker.advance(call, Usage())
    worker.die()
    treasury.control(2)
    found = treasury.plane.records.find(call.open_call.record)
    assert cost_of(found) == PRICE.cost(Usage(output=1_000))
    assert "charged in full" in found.error


def test_books_that_are_away_are_asked_again_and_then_the_call_is_charged_in_full(treasury):
    """Meanwhile others may have what the dead worker cannot have spent."""
    worker = warm(treasury)
    call = worker.reserve(Usage(output=1_000))
    worker.advance(call, Usage())
    worker.die()
    treasury.invoice.answers = False
    treasury.control(2)
    assert treasury.plane.records.find(call.open_call.record) is None
    (lease,) = [one for one in treasury.plane.purses.books().leases.values() if "system" in one.purse]
    assert lease.held == PRICE.cost(Usage(output=1_000)) + PRICE.cost(Usage(output=100))
    treasury.now_s += 100
    treasury.control()
    assert cost_of(treasury.plane.records.find(call.open_call.record)) == PRICE.cost(Usage(output=1_000))


def test_what_the_books_said_of_one_call_is_kept_while_another_is_waited_for(treasury, monkeypatch):
    """A provider is not asked again for what it has told."""
    worker = warm(treasury)
    told, silent = worker.reserve(Usage(output=200)), worker.reserve(Usage(output=200))
    worker.advance(told, Usage())
    worker.advance(told, Usage(output=150))
    worker.advance(silent, Usage())
    worker.die()
    asked = []
    ask = treasury.invoice.ask
    monkeypatch.setattr(treasury.settler, "_ask", lambda call: asked.append(call.id) or ask(call))
    treasury.control(3)
    assert asked.count(told.open_call.id) == 1
    assert asked.count(silent.open_call.id) > 1
    treasury.now_s += 10
    treasury.control()
    assert cost_of(treasury.plane.records.find(told.open_call.record)) == PRICE.cost(Usage(output=150))


def test_no_lease_is_settled_while_the_record_of_a_lost_call_cannot_be_kept(treasury, monkeypatch):
    """A full disk costs nobody money twice: all of it is tried again when there is room."""
    worker = warm(treasury)
    call = worker.reserve(Usage(output=1_000))
    worker.advance(call, Usage())
    worker.advance(call, Usage(output=300))
    worker.die()
    full = SimpleNamespace(record=lambda _: False, close=lambda: None)
    with monkeypatch.context() as disk:
        disk.setattr(settle, "open_log", lambda *_, **__: full)
        treasury.paymaster.pay(None)
        before = treasury.plane.purses.books()
        with pytest.raises(StoreError, match="cannot be kept"):
            treasury.settler.settle(None)
        assert treasury.plane.purses.books() == before
        assert treasury.paymaster.dead
    treasury.control()
    assert cost_of(treasury.plane.records.find(call.open_call.record)) == PRICE.cost(Usage(output=300))


def test_a_call_that_the_books_never_heard_of_costs_nothing(treasury):
    """It never left the worker, so it is on no invoice."""
    worker = warm(treasury)
    call = worker.reserve(Usage(output=1_000))
    worker.advance(call, Usage())
    worker.die()
    treasury.control()
    assert treasury.paymaster.dead
    treasury.now_s += 10
    treasury.control()
    assert not treasury.paymaster.dead
    assert treasury.plane.records.find(call.open_call.record) is None


def test_the_attempts_of_one_answer_make_one_record(treasury):
    """An earlier try that cost something is part of what the lost answer cost."""
    worker = warm(treasury)
    first = worker.reserve(Usage(output=1_000))
    for _ in range(3):
        worker.advance(first, Usage(output=200))
    second = worker.reserve(Usage(output=1_000))
    second.open_call = first.open_call._replace(attempt=2)
    for _ in range(2):
        worker.advance(second, Usage(output=50))
    worker.die()
    treasury.finish([])
    assert cost_of(treasury.plane.records.find(first.open_call.record)) == PRICE.cost(Usage(output=250))
    assert treasury.recorded() == treasury.invoice.total == treasury.settled("system")


def test_a_cost_above_what_was_set_aside_is_booked_in_full(treasury):
    """A provider that counts more than can be is still owed; the next wish is that much smaller."""
    worker = warm(treasury)
    call = worker.reserve(Usage(output=10))
    worker.finish(call, Usage(output=40_000))
    treasury.finish([worker])
    assert treasury.recorded() == treasury.invoice.total == treasury.settled("system")


def test_a_call_too_long_to_be_written_down_whole_is_charged_in_full(treasury):
    """What does not fit is what the books are asked with, so nobody asks."""
    worker = warm(treasury)
    call = worker.reserve(Usage(output=10))
    call.open_call = call.open_call._replace(url="http://127.0.0.1/" + "x" * 3_000)
    worker.advance(call, Usage())
    worker.die()
    treasury.control(2)
    assert cost_of(treasury.plane.records.find(call.open_call.record)) == PRICE.cost(Usage(output=10))


def test_what_an_answer_cost_is_read_from_its_outputs_or_its_whole_micros():
    """Records of other tasks have no exact cost."""
    call = OpenCall("a" * 32, 1, "chat", "live", "r", "p", "openai", "m", Price(input=1, output=1), 1)
    kept = type("Kept", (), {"open_call": call, "cost": 7})
    assert cost_of(record_of(kept)) == 7
    assert cost_of(record_of(kept)._replace(outputs=())) == PICO


def test_settling_twice_or_opening_twice_changes_nothing(treasury):
    """A gateway's `finally` may settle what was settled."""
    worker = warm(treasury)
    call = worker.reserve(Usage(output=10))
    call.reservation.open(call.open_call)
    call.reservation.open(call.open_call)
    worker.finish(call, Usage(output=10))
    call.reservation.settle(10**9)
    call.reservation.open(call.open_call)
    call.reservation.ended(10**9)
    treasury.finish([worker])
    assert treasury.settled("system") == treasury.recorded() == treasury.invoice.total
