"""How control leases a purse to workers: a pure rule over what is written down and what the wallets say.

All sums are picounits and only grow: what was granted, what came back, what was spent. So a number that is read late is
never too small, and no message can be lost or counted twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from roadworthy.domain.budget import Account, Purse


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What one wallet holds of one purse. `closed`: what it spent is part of the purse's `settled`."""

    wallet: str
    purse: str
    granted: int = 0
    returned: int = 0
    closed: bool = False

    @property
    def held(self) -> int:
        """Return what its holder may have spent, or may yet spend."""
        return 0 if self.closed else self.granted - self.returned


@dataclass(frozen=True, slots=True, kw_only=True)
class PurseState:
    """A purse as it is written down. `settled` was spent for good by leases that are closed.

    `limit` is the last one known. `turned_away`: a call was refused for want of money. `closed`: its period is over,
    every lease is closed, and the ledger has its total.
    """

    purse: Purse
    limit: int
    currency: str = "USD"
    settled: int = 0
    turned_away: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a living worker's wallet says of a purse.

    `wanted` is how much it would like to have been granted in all. `least` is the call that waits (0: none does).
    `is_done`: its period is over and nothing is reserved any more, so `spent` is final.
    """

    wanted: int = 0
    least: int = 0
    reserved: int = 0
    spent: int = 0
    returned: int = 0
    is_done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What control tells a wallet about a purse.

    `refused` is the smallest call that is turned away until further notice (0: none). `recalls` asks for all that is
    not needed now. `is_closed`: the slot may be used for another purse.
    """

    granted: int = 0
    refused: int = 0
    recalls: bool = False
    is_closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What a look at one purse leads to: its new state, its leases by wallet, and what each wallet is told."""

    state: PurseState
    leases: Mapping[str, Lease]
    told: Mapping[str, Told] = field(default_factory=dict[str, Told])


def share_out(state: PurseState, leases: Mapping[str, Lease], said: Mapping[str, Said], *, is_current: bool) -> Shared:
    """Take note of what came back and what is done, then grant wishes as far as the limit allows.

    `leased + settled <= limit` holds afterwards if it held before and the limit was not lowered; a lowered limit lets
    nothing more be granted and calls back what is idle.

    Args:
        state: the purse, with the limit now in force.
        leases: its leases, by wallet; those of dead workers count in full.
        said: what living workers' wallets say, by wallet.
        is_current: whether the purse's period is the present one; only then is anything granted.
    """
    noted, state = _note(state, leases, said)
    waiting = [
        name for name, one in said.items() if is_current and not one.is_done and one.wanted > noted[name].granted
    ]
    # Whoever has least left is served first.
    waiting.sort(key=lambda name: (noted[name].held - _used(said[name]), name))
    short = False
    refused = dict.fromkeys(said, 0)
    for name in waiting:
        lease, wish = noted[name], said[name]
        short_by = max(0, wish.least - (lease.held - _used(wish))) if wish.least else 0
        account = account_of(state, noted, said)
        given = account.grant(wish.wanted - lease.granted, len(said), short_by)
        noted[name] = replace(lease, granted=lease.granted + given)
        if given < short_by:
            if state.limit - state.settled - _spent(noted, said) < wish.least:
                refused[name] = wish.least
            else:
                short = True
    account = account_of(state, noted, said)
    recalls = short or account.leased + account.settled > account.limit
    state = replace(state, turned_away=state.turned_away or any(refused.values()))
    told = {
        name: Told(granted=noted[name].granted, refused=refused[name], recalls=recalls, is_closed=noted[name].closed)
        for name in said
    }
    return Shared(state=state, leases=noted, told=told)


def account_of(state: PurseState, leases: Mapping[str, Lease], said: Mapping[str, Said]) -> Account:
    """Return what is leased and settled; a wallet that spent more than it holds counts with what it spent."""
    leased = sum(
        max(lease.held, said[name].spent if name in said and not lease.closed else 0) for name, lease in leases.items()
    )
    return Account(limit=state.limit, leased=leased, settled=state.settled)


def close_lease(state: PurseState, lease: Lease, spent: int) -> tuple[PurseState, Lease]:
    """Settle what a lease spent, once: a closed one stays as it is."""
    if lease.closed:
        return state, lease
    return replace(state, settled=state.settled + spent), replace(lease, closed=True)


def _note(
    state: PurseState, leases: Mapping[str, Lease], said: Mapping[str, Said]
) -> tuple[dict[str, Lease], PurseState]:
    noted = dict(leases)
    for name, one in said.items():
        lease = noted.get(name) or Lease(wallet=name, purse=state.purse.id)
        lease = replace(lease, returned=min(lease.granted, max(lease.returned, one.returned)))
        if one.is_done:
            state, lease = close_lease(state, lease, one.spent)
        noted[name] = lease
    return noted, state


def _used(one: Said) -> int:
    return one.spent + one.reserved


def _spent(leases: Mapping[str, Lease], said: Mapping[str, Said]) -> int:
    open_ones = {name: lease for name, lease in leases.items() if not lease.closed}
    return sum(said[name].spent if name in said else lease.held for name, lease in open_ones.items())
