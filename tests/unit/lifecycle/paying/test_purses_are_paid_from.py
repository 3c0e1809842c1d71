"""How purses are leased, shared, taken back and closed."""

import asyncio
import os

import pytest

from paying_kit import PRICE, Treasury, Worker
from roadworthy.domain.budget import Budget, Period, Whose
from roadworthy.domain.lease import Told
from roadworthy.domain.moment import DAY, HOUR, SECOND
from roadworthy.domain.pin import PICO, Usage
from roadworthy.domain.rollout import Progress
from roadworthy.errors import Conflict
from roadworthy.lifecycle.budgets import GRACE, Paymaster, purses, shares
from roadworthy.lifecycle.control import Control
from roadworthy.ports.leases import LEADER
from roadworthy.ports.wallet import Spender
from roadworthy.stores.wallets.folder import Wallets

ONE = Usage(output=1_000)
COST = PRICE.cost(ONE)


@pytest.fixture
def treasury(tmp_path):
    """A home with one budget of a thousand micro-units a day."""
    made = Treasury(tmp_path)
    yield made
    made.close()


@pytest.fixture
def worker(treasury):
    """A worker of it."""
    return Worker(treasury, "w0")


def spend(treasury, workers, times):
    """Let workers call in turn while control looks; return how many calls were paid."""
    paid = 0
    for _ in range(times):
        for one in workers:
            paid += one.pay_for(ONE)
        treasury.paymaster.pay(None)
        for one in workers:
            one.wallet.tend()
    return paid


def test_the_first_call_is_paid_from_a_lease_that_was_made_ahead(treasury, worker):
    """A system's own purse has a small lease before anybody asks."""
    worker.wallet.expect("chat", "live", treasury.budgets)
    treasury.paymaster.pay(None)
    assert worker.pay_for(Usage(output=100))
    assert worker.turned_away == 0


def test_a_purse_is_spent_to_its_end_by_several_workers_and_not_beyond(treasury):
    """What one does not use serves the others."""
    workers = [Worker(treasury, f"w{n}", idle_s=60.0) for n in range(4)]
    spend(treasury, workers, 120)
    (purse,) = purses(treasury.plane, "chat")
    assert purse.limit - COST < purse.spent <= purse.limit
    assert purse.spent == treasury.invoice.total
    assert purse.turned_away
    assert purse.share == pytest.approx(1.0, abs=0.01)


def test_a_call_that_is_turned_away_stands_in_the_ledger_once_a_purse(treasury, worker):
    """Also when control begins anew in between."""
    spend(treasury, [worker], 200)
    treasury.paymaster.close()
    treasury.start_control()
    spend(treasury, [worker], 20)
    kinds = [event.kind for event in treasury.plane.ledger.events() if event.noun == "budget"]
    assert kinds == ["budget.exhausted"]


def test_a_lowered_limit_lets_nothing_more_be_granted_and_calls_back_what_is_idle(treasury, worker):
    """What was spent stays spent."""
    spend(treasury, [worker], 10)
    treasury.limit(Budget(limit_micros=treasury.invoice.total // PICO))
    worker.wallet.tend()
    treasury.paymaster.pay(None)
    worker.wallet.tend()
    treasury.paymaster.pay(None)
    before = treasury.invoice.total
    assert spend(treasury, [worker], 10) <= 1
    assert treasury.invoice.total - before <= COST


def test_a_raised_limit_pays_those_who_were_turned_away(treasury, worker):
    """The next look sees the new policy."""
    spend(treasury, [worker], 200)
    treasury.limit(Budget(limit_micros=2_000))
    assert spend(treasury, [worker], 10) >= 8


def test_a_budget_that_is_gone_pays_nothing(treasury, worker):
    """A policy without the budget has no limit to lease from; the gateway no longer asks either."""
    spend(treasury, [worker], 3)
    old = treasury.budgets
    treasury.limit()
    treasury.budgets = old
    spend(treasury, [worker], 3)
    (purse,) = purses(treasury.plane, "chat")
    assert purse.limit == 0
    assert purse.share == 1.0


def test_a_new_period_is_a_new_purse_and_the_old_one_is_settled(treasury, worker):
    """The ledger's total is what was spent, in picounits and micro-units."""
    spend(treasury, [worker], 5)
    spent = treasury.invoice.total
    treasury.clock.pass_by(DAY + GRACE)
    worker.wallet.tend()
    treasury.paymaster.pay(None)
    treasury.paymaster.pay(None)
    (event,) = [event for event in treasury.plane.ledger.events() if event.kind == "budget.settled"]
    assert (event.after["spent_picos"], event.after["spent_micros"]) == (spent, -(-spent // PICO))
    worker.wallet.tend()
    assert spend(treasury, [worker], 5) >= 4
    shown = purses(treasury.plane, "chat", past=True)
    assert [one.closed for one in shown] == [False, True]
    assert shown[1].spent == spent


def test_a_call_over_midnight_is_paid_from_the_purse_it_began_in(treasury, worker):
    """The old purse waits for it."""
    spend(treasury, [worker], 2)
    call = worker.reserve(ONE)
    treasury.clock.pass_by(DAY + GRACE)
    worker.wallet.tend()
    treasury.paymaster.pay(None)
    assert treasury.settled() == 0
    worker.finish(call, ONE)
    worker.wallet.tend()
    treasury.paymaster.pay(None)
    assert treasury.settled() == treasury.invoice.total


def test_a_slot_whose_purse_is_closed_serves_another_purse(treasury, worker):
    """Hours pass without a wallet filling up."""
    treasury.limit(Budget(limit_micros=1_000, period=Period.HOUR))
    for _ in range(5):
        spend(treasury, [worker], 3)
        treasury.clock.pass_by(HOUR + GRACE)
        for _ in range(3):
            worker.wallet.tend()
            treasury.paymaster.pay(None)
    wallet = Wallets(treasury.plane.home.budgets).open(worker.wallet.path.stem)
    assert len({slot.place for slot in wallet.slots()}) <= 1
    wallet.close()


def test_money_that_lies_idle_comes_back(treasury, worker):
    """All but one call's worth."""
    spend(treasury, [worker], 3)
    for _ in range(3):
        worker.wallet.tend()
        treasury.paymaster.pay(None)
    (purse,) = purses(treasury.plane, "chat")
    assert purse.leased - purse.spent <= COST


def test_a_key_and_a_team_have_purses_of_their_own(treasury, worker):
    """One key's spending leaves another's budget alone."""
    treasury.limit(Budget(limit_micros=100, whose=Whose.KEY), Budget(limit_micros=1_000, whose=Whose.TEAM))
    for _ in range(40):
        worker.pay_for(ONE, key="k1", team="red")
        treasury.paymaster.pay(None)
    paid = 0
    for _ in range(4):
        paid += worker.pay_for(ONE, key="k2", team="red")
        treasury.paymaster.pay(None)
    assert paid >= 3
    spent = {one.purse.who: one.spent for one in purses(treasury.plane, "chat")}
    assert spent["k1"] <= 100 * PICO
    assert spent["red"] == spent["k1"] + spent["k2"] == treasury.invoice.total


def test_a_leader_of_the_past_grants_nothing(treasury, worker):
    """The fence is checked in the transaction that grants."""
    plane = treasury.plane
    epoch = plane.leases.acquire(LEADER, "me", 60)
    worker.reserve(ONE)
    with pytest.raises(Conflict):
        treasury.paymaster.pay(epoch + 1)
    assert not worker.pay_for(ONE)
    treasury.paymaster.pay(epoch)
    assert worker.pay_for(ONE)


def test_a_wallet_that_is_gone_counts_as_spent_in_full(treasury, worker):
    """After a restore nobody can say what its leases were spent on; the cap holds all the same."""
    spend(treasury, [worker], 3)
    (before,) = purses(treasury.plane, "chat")
    treasury.paymaster.close()
    worker.die()
    for path in treasury.plane.home.budgets.iterdir():
        path.unlink()
    treasury.start_control()
    treasury.paymaster.pay(None)
    (after,) = purses(treasury.plane, "chat")
    assert after.settled == before.leased


def test_a_damaged_wallet_keeps_nobody_else_from_being_paid(treasury, worker, caplog):
    """It is named in control's log."""
    (treasury.plane.home.budgets / "w9.1.wallet").write_bytes(b"short")
    (treasury.plane.home.budgets / "w9.1.grants").write_bytes(b"short")
    worker.reserve(ONE)
    treasury.paymaster.pay(None)
    assert worker.pay_for(ONE)
    assert "is damaged" in caplog.text


def test_a_wallet_that_goes_while_it_is_looked_for_stops_nobody(treasury, worker, monkeypatch):
    """Its name was read a moment before its files were swept."""
    names = Wallets.names
    monkeypatch.setattr(Wallets, "names", lambda self: (*names(self), "w7.1"))
    worker.reserve(ONE)
    treasury.paymaster.pay(None)
    assert worker.pay_for(ONE)
    assert [one.purse.system for one in purses(treasury.plane, "chat")] == ["chat"]


def test_a_system_that_nobody_knows_is_lent_nothing(treasury, worker):
    """Its policy is gone, or was never there; the others are paid as ever."""
    assert worker.wallet.reserve(Spender("ghost", "live", "k1", "", treasury.budgets), COST) is None
    worker.reserve(ONE)
    treasury.paymaster.pay(None)
    assert worker.wallet.reserve(Spender("ghost", "live", "k1", "", treasury.budgets), COST) is None
    assert worker.pay_for(ONE)
    assert all(one.leased == 0 for one in purses(treasury.plane, "ghost"))


def test_a_purse_that_is_first_asked_for_during_a_look_is_heard_at_the_next(treasury, worker, monkeypatch):
    """What a look was not decided on, it says nothing about."""
    treasury.limit(Budget(limit_micros=1_000), Budget(limit_micros=1_000, whose=Whose.KEY))
    change = treasury.plane.purses.change
    asked = []

    def change_late(*given, **more):
        done = change(*given, **more)
        if not asked:
            asked.append(worker.reserve(ONE, key="k2"))
        return done

    monkeypatch.setattr(treasury.plane.purses, "change", change_late)
    worker.reserve(ONE, key="k1")
    treasury.paymaster.pay(None)
    assert asked == [None]
    treasury.paymaster.pay(None)
    assert worker.pay_for(ONE, key="k2")


def test_a_look_with_nothing_new_writes_nothing(treasury, worker):
    """Twenty looks a second cost no transaction."""
    spend(treasury, [worker], 3)
    treasury.paymaster.pay(None)
    assert treasury.paymaster.pay(None) == 0
    assert Paymaster(treasury.plane).pay(None) == 0


def test_a_first_call_waits_a_moment_for_its_lease(treasury, worker):
    """A key that nobody expected is not turned away."""
    spender = Spender("chat", "live", "new", "", treasury.budgets)

    async def call():
        waiting = asyncio.create_task(worker.wallet.paid(spender, COST, 20.0))
        await asyncio.sleep(0)
        await asyncio.to_thread(treasury.paymaster.pay, None)
        return await waiting

    found = asyncio.run(call())
    assert found is not None
    found.settle(0)


def test_a_call_that_control_turned_away_does_not_wait(treasury, worker):
    """Waiting would not help."""
    spend(treasury, [worker], 150)
    worker.reserve(ONE)
    treasury.paymaster.pay(None)
    spender = Spender("chat", "live", "k1", "", treasury.budgets)
    assert asyncio.run(worker.wallet.paid(spender, COST, 20.0)) is None
    assert asyncio.run(worker.wallet.paid(spender, COST, 0.0)) is None


def test_more_budgets_than_a_call_can_name_pay_nothing(worker):
    """Nine is all there can be: three spenders, three periods."""
    spender = Spender("chat", "live", "k", "", (Budget(limit_micros=1),) * 10)
    assert worker.wallet.reserve(spender, 1) is None
    assert worker.wallet.refuses(spender, 1)


def test_a_name_too_long_for_a_slot_pays_nothing(treasury, worker):
    """Rather than under a name that was cut."""
    treasury.limit(Budget(limit_micros=1, whose=Whose.TEAM))
    spender = Spender("chat", "live", "k", "t" * 600, treasury.budgets)
    assert worker.wallet.reserve(spender, 1) is None


def test_a_grant_for_another_generation_is_not_taken(treasury, worker):
    """A slot that is used again never takes an old purse's money for its own."""
    worker.reserve(ONE)
    wallet = Wallets(treasury.plane.home.budgets).open(worker.wallet.path.stem)
    (slot,) = wallet.slots()
    wallet.tell(slot._replace(generation=slot.generation + 1), Told(granted=1 << 50))
    assert worker.reserve(ONE) is None
    wallet.tell(slot, Told(granted=1 << 50))
    assert worker.reserve(ONE) is not None
    wallet.close()


def test_what_killed_processes_left_half_made_is_swept(treasury):
    """Grants without a wallet, and files that never got their name, once they are a minute old."""
    folder = treasury.plane.home.budgets
    for name in ("w1.1.grants", ".w1.2.wallet.new"):
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (1, 1))
    (folder / "w1.3.grants").write_bytes(b"")
    Wallets(folder).sweep()
    assert [path.name for path in folder.iterdir()] == ["w1.3.grants"]


def test_a_budget_that_is_expected_no_more_is_let_go(treasury, worker):
    """A policy without system budgets needs no lease ahead."""
    worker.wallet.expect("chat", "live", treasury.budgets)
    worker.wallet.expect("chat", "live", ())
    treasury.clock.pass_by(DAY + SECOND)
    worker.wallet.tend()
    worker.wallet.tend()
    assert purses(treasury.plane, "other") == ()


def test_the_largest_share_spent_of_each_budget_is_there_for_an_objective(treasury, worker):
    """Of the present period only."""
    treasury.limit(Budget(limit_micros=100, whose=Whose.KEY))
    for key, calls in (("k1", 30), ("k2", 3)):
        for _ in range(calls):
            worker.pay_for(ONE, key=key)
            treasury.paymaster.pay(None)
    now = treasury.clock.now()
    ((name, (share, count)),) = shares(treasury.plane, "chat", "live", now).items()
    assert (name, count) == ("key/day", 2)
    assert share > 0.9
    assert shares(treasury.plane, "chat", "live", now + DAY) == {}
    assert shares(treasury.plane, "chat", "staging", now) == {}


def test_only_the_control_that_leads_pays_and_settles(treasury, worker):
    """Another one waits; the one that leads pays, settles the dead, and lets go of wallets when it resigns."""
    control = Control(treasury.plane, lambda _now, _wall: 0, lambda _: Progress(), ask=treasury.invoice.ask)
    worker.reserve(ONE)
    control.pay()
    control.settle()
    assert not worker.pay_for(ONE)
    control.look()
    control.pay()
    assert worker.pay_for(ONE)
    worker.die()
    control.pay()
    control.settle()
    assert list(treasury.plane.home.budgets.iterdir()) == []
    control.resign()
