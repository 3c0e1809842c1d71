"""Rules of leases, by the numbers."""

import pytest

from roadworthy.domain.budget import LARGEST, Account, Budget, Period, Purse
from roadworthy.domain.lease import Lease, PurseState, Said, account_of, close_lease, share_out
from roadworthy.domain.moment import DAY, HOUR

PURSE = Purse(system="chat", environment="live", budget="key/hour", who="k1", period_start=5 * HOUR)
STATE = PurseState(purse=PURSE, limit=1_000)


def held(wallet, granted, returned=0, *, closed=False):
    """A lease of this purse."""
    return Lease(wallet=wallet, purse=PURSE.id, granted=granted, returned=returned, closed=closed)


def share(said, leases=None, state=STATE, *, is_current=True):
    """Look once."""
    return share_out(state, leases or {}, said, is_current=is_current)


@pytest.mark.parametrize(
    ("free", "wanted", "parts", "least", "given"),
    [
        (1_000, 10, 4, 0, 10),
        (1_000, 900, 4, 0, 125),
        (1_000, 900, 4, 300, 300),
        (100, 900, 4, 300, 0),
        (100, 50, 4, 0, 12),
        (0, 50, 4, 0, 0),
        (100, 0, 4, 0, 0),
        (100, 500, 0, 0, 50),
    ],
)
def test_a_wish_gets_all_of_plenty_a_part_of_little_and_nothing_that_would_lie_idle(free, wanted, parts, least, given):
    """The last money is not all with one worker."""
    assert Account(limit=1_000, leased=1_000 - free).grant(wanted, parts, least) == given


def test_a_purse_ends_with_its_period_and_a_limit_fits_eight_bytes():
    """However large a budget is."""
    assert PURSE.ends_at == 6 * HOUR
    assert Budget(limit_micros=1 << 60).limit == LARGEST
    assert Period.DAY.start(3 * DAY + 7) == 3 * DAY


def test_nothing_is_granted_outside_the_period():
    """A late wish of a past purse is left."""
    assert share({"w0": Said(wanted=10)}, is_current=False).leases["w0"].granted == 0


def test_whoever_has_least_left_is_served_first():
    """The one that could not call next."""
    leases = {"w0": held("w0", 400), "w1": held("w1", 400)}
    said = {"w0": Said(wanted=1_000, least=150, spent=100), "w1": Said(wanted=1_000, least=150, spent=390)}
    done = share(said, leases)
    assert done.leases["w1"].granted == 400 + 140
    assert done.leases["w0"].granted < done.leases["w1"].granted


def test_a_call_that_waits_for_money_that_lies_elsewhere_calls_it_back():
    """It is not turned away: the purse is not spent."""
    leases = {"w0": held("w0", 980), "w1": held("w1", 0)}
    done = share({"w0": Said(wanted=980), "w1": Said(wanted=100, least=100)}, leases)
    assert done.told["w0"].recalls
    assert done.told["w1"].refused == 0
    assert not done.state.turned_away


def test_a_call_larger_than_what_is_left_is_turned_away():
    """Its size is told, so that smaller ones are still tried."""
    done = share({"w0": Said(wanted=2_000, least=300, spent=800)}, {"w0": held("w0", 900)})
    assert done.told["w0"].refused == 300
    assert done.state.turned_away


def test_a_lease_is_closed_once():
    """Saying done twice settles nothing twice."""
    said = {"w0": Said(spent=70, is_done=True)}
    once = share(said, {"w0": held("w0", 100)})
    twice = share(said, once.leases, once.state)
    assert (once.state.settled, twice.state.settled) == (70, 70)
    assert twice.told["w0"].is_closed
    assert close_lease(once.state, once.leases["w0"], 70) == (once.state, once.leases["w0"])


def test_an_overspent_lease_counts_with_what_it_spent():
    """So that others get that much less."""
    leases = {"w0": held("w0", 100), "dead": held("dead", 50), "done": held("done", 10, closed=True)}
    said = {"w0": Said(spent=180), "done": Said(spent=10)}
    assert account_of(STATE, leases, said).leased == 180 + 50


def test_a_number_that_is_read_late_never_frees_money_twice():
    """What came back only grows, and never beyond what was granted."""
    leases = {"w0": held("w0", 100, 60)}
    assert share({"w0": Said(returned=40)}, leases).leases["w0"].returned == 60
    assert share({"w0": Said(returned=400)}, leases).leases["w0"].returned == 100
