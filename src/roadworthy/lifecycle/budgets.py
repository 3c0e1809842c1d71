"""Pay out budgets: twenty times a second, lease to workers what they ask for as far as the limits allow.

A decision is one transaction in the metadata database; only then are the workers told. A kill in between costs a wait:
the next look, of this process or another, tells them what stands in the database.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from threading import RLock
from typing import Any, Final, NamedTuple, TypeAlias

from roadworthy.domain.budget import Budget, Purse
from roadworthy.domain.lease import Lease, PurseState, Said, Told, account_of, share_out
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import SECOND, Micros
from roadworthy.domain.pin import micros
from roadworthy.domain.principal import AUTOMATION
from roadworthy.errors import NotFoundError, RoadworthyError, StoreError
from roadworthy.lifecycle import present
from roadworthy.ports.plane import Plane
from roadworthy.ports.purses import Books
from roadworthy.stores.wallets.folder import SlotRead, Wallet, Wallets

_log: Final = logging.getLogger("roadworthy.control")
GRACE: Final[Micros] = 2 * SECOND
"""How long after its period a purse waits for workers that have not looked at the clock yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One purse as people see it, in picounits. `spent` includes what is settled; `reserved` is under way now."""

    purse: Purse
    currency: str
    limit: int
    leased: int
    reserved: int
    spent: int
    settled: int
    turned_away: bool = False
    closed: bool = False

    @property
    def share(self) -> float:
        """Return the share of the limit that is spent."""
        return self.spent / self.limit if self.limit else 1.0


class _Sight(NamedTuple):
    """What a look goes by: what workers say, which budgets are in force, who lives, who died unsettled, the time."""

    said: Mapping[Purse, Mapping[str, SlotRead]]
    limits: Mapping[Purse, Budget | None]
    living: frozenset[str]
    dead: frozenset[str]
    now: Micros


_Told: TypeAlias = dict[Purse, dict[str, Told]]


class Paymaster:
    """Leases money to the workers of one home, for the control process that leads. `pay` belongs to one thread.

    `dead` holds wallets whose worker died; `lifecycle.settle` takes them from there.
    """

    def __init__(self, plane: Plane) -> None:
        self.lock = RLock()
        self.dead: dict[str, Wallet] = {}
        self._plane = plane
        self._wallets = Wallets(plane.home.budgets)
        self._living: dict[str, Wallet] = {}
        self._books: Books | None = None
        self._seen: tuple[object, ...] = ()

    def pay(self, fence: int | None) -> int:
        """Look once; return how many purses changed.

        Raises:
            Conflict: another process leads now.
            StoreError: the disk is full or a file is damaged; nothing is granted that is not written down.
        """
        with self.lock:
            self._meet()
            now = self._plane.clock.now()
            seen = self._sight(now)
            if self._books is not None and seen == self._seen:
                return 0
            try:
                changed = self._look(now, fence)
            except RoadworthyError:
                self._books, self._seen = None, ()
                raise
            self._seen = seen
            return changed

    def forget(self) -> None:
        """Read the books again at the next look: somebody else changed them."""
        with self.lock:
            self._books, self._seen = None, ()

    def close(self) -> None:
        """Let go of every wallet."""
        with self.lock:
            for wallet in (*self._living.values(), *self.dead.values()):
                wallet.close()
            self._living, self.dead = {}, {}
            self.forget()

    def _meet(self) -> None:
        """Open new wallets, put those of the dead aside."""
        for name in self._wallets.names():
            if name not in self._living and name not in self.dead:
                self._open(name)
        for name, wallet in list(self._living.items()):
            if wallet.is_dead():
                self.dead[name] = self._living.pop(name)

    def _open(self, name: str) -> None:
        try:
            wallet = self._wallets.open(name)
        except StoreError as damaged:
            # One damaged wallet must not keep the others from being paid; what it held counts as spent.
            _log.error("%s", damaged.message)
            return
        if wallet is not None:
            self._living[name] = wallet

    def _sight(self, now: Micros) -> tuple[object, ...]:
        books = self._books or Books()
        due = sum(1 for state in books.purses.values() if now >= state.purse.ends_at + GRACE)
        over = sum(1 for state in books.purses.values() if now >= state.purse.ends_at)
        changes = tuple((name, wallet.changes) for name, wallet in self._living.items())
        return (changes, tuple(self.dead), self._plane.snapshots.version(), over, due)

    def _look(self, now: Micros, fence: int | None) -> int:
        if self._books is None:
            self._wallets.sweep()
        said = _by_purse(self._living)
        before = self._books if self._books is not None else self._plane.purses.books()
        every = {*said, *(state.purse for state in before.purses.values())}
        view = _Sight(said, self._limits(every), frozenset(self._living), frozenset(self.dead), now)
        books, told = _decide(before, view)
        if books != before:
            decided: list[_Told] = []

            def rule(written: Books) -> Books:
                result, words = _decide(written, view)
                decided.append(words)
                return result

            # Decided again on what is written down, in one transaction; only what that says is told.
            names = {purse.id for purse in every} | {name for _, name in before.leases}
            books, told = self._plane.purses.change(names, rule, fence=fence), decided[-1]
        self._tell(told)
        self._note_turned_away(before, books, fence)
        self._books = self._close_over(books, said, now, fence)
        return sum(1 for name, state in books.purses.items() if before.purses.get(name) != state)

    def _limits(self, purses: Iterable[Purse]) -> dict[Purse, Budget | None]:
        """Return the budget in force for each purse; None where the policy names it no more."""
        caps: dict[str, tuple[Budget, ...]] = {}
        found: dict[Purse, Budget | None] = {}
        for purse in purses:
            if purse.system not in caps:
                caps[purse.system] = self._caps(purse.system)
            named = [budget for budget in caps[purse.system] if budget.name == purse.budget]
            found[purse] = min(named, key=lambda budget: budget.limit, default=None)
        return found

    def _caps(self, system: str) -> tuple[Budget, ...]:
        try:
            return present.policy(self._plane, system).serve.budgets
        except NotFoundError:
            return ()

    def _tell(self, told: _Told) -> None:
        for name, wallet in self._living.items():
            for slot in wallet.slots():
                words = told.get(slot.purse, {}).get(name)
                if words is not None:
                    wallet.tell(slot, words)

    def _note_turned_away(self, before: Books, books: Books, fence: int | None) -> None:
        """Write into the ledger, once a purse, that a call was turned away for want of money."""
        fresh = [
            state
            for name, state in books.purses.items()
            if state.turned_away and not (name in before.purses and before.purses[name].turned_away)
        ]
        # A killed predecessor may have kept the mark and not the entry; the key makes saying it again harmless.
        if self._books is None:
            fresh = [state for state in books.purses.values() if state.turned_away]
        if fresh:
            self._plane.ledger.commit([_decision("exhausted", state) for state in fresh], fence=fence)

    def _close_over(
        self, books: Books, said: Mapping[Purse, Mapping[str, SlotRead]], now: Micros, fence: int | None
    ) -> Books:
        """Settle purses whose period is over and whose every lease is closed: the ledger gets their total."""
        busy = {lease.purse for lease in books.leases.values() if not lease.closed}
        busy |= {purse.id for purse, slots in said.items() if any(not slot.said.is_done for slot in slots.values())}
        over = [
            state
            for name, state in books.purses.items()
            if name not in busy and not state.closed and now >= state.purse.ends_at + GRACE
        ]
        telling = [_decision("settled", state) for state in over if state.settled or state.turned_away]
        if telling:
            self._plane.ledger.commit(telling, fence=fence)
        gone = {state.purse.id for state in over}

        def rule(old: Books) -> Books:
            closed = {
                name: replace(state, closed=True) if name in gone else state for name, state in old.purses.items()
            }
            return Books(purses=closed, leases=old.leases)

        if gone:
            self._plane.purses.change(gone, rule, fence=fence)
        still = {name: state for name, state in books.purses.items() if name not in gone and not state.closed}
        return Books(purses=still, leases=books.leases)


def _by_purse(wallets: Mapping[str, Wallet]) -> dict[Purse, dict[str, SlotRead]]:
    found: dict[Purse, dict[str, SlotRead]] = defaultdict(dict)
    for name, wallet in wallets.items():
        for slot in wallet.slots():
            found[slot.purse][name] = slot
    return found


def _decide(books: Books, sight: _Sight) -> tuple[Books, _Told]:
    """Apply `share_out` to every purse that is open or wished for; pure."""
    purses, leases = dict(books.purses), dict[tuple[str, str], Lease]()
    held: dict[str, dict[str, Lease]] = defaultdict(dict)
    for (wallet, name), lease in books.leases.items():
        held[name][wallet] = lease
    told: _Told = {}
    for purse, budget in sight.limits.items():
        words = {name: slot.said for name, slot in sight.said.get(purse, {}).items()}
        state = purses.get(purse.id)
        if state is not None and state.closed:
            # A worker that was away for long names a period whose total is in the ledger already.
            told[purse] = {name: Told(is_closed=True) for name in words}
            held.pop(purse.id, None)
            continue
        limit = 0 if budget is None else budget.limit
        if state is None:
            state = PurseState(purse=purse, limit=limit, currency="USD" if budget is None else budget.currency)
        state, known = _write_off(replace(state, limit=limit), held.pop(purse.id, {}), words, sight)
        is_current = purse.period_start <= sight.now < purse.ends_at
        shared = share_out(state, known, words, is_current=is_current)
        purses[purse.id] = shared.state
        told[purse] = dict(shared.told)
        leases |= {(wallet, purse.id): lease for wallet, lease in shared.leases.items()}
    # Leases of purses that are closed or unknown: kept only as long as a wallet may still be settled against them.
    leases |= {
        (wallet, name): lease for name, some in held.items() for wallet, lease in some.items() if wallet in sight.dead
    }
    return Books(purses=purses, leases=leases), told


def _write_off(
    state: PurseState, held: Mapping[str, Lease], words: Mapping[str, Said], sight: _Sight
) -> tuple[PurseState, dict[str, Lease]]:
    """Forget closed leases that no wallet names any more; charge open ones whose wallet is gone in full."""
    kept: dict[str, Lease] = {}
    for name, lease in held.items():
        if name in sight.dead or name in words or (name in sight.living and not lease.closed):
            kept[name] = lease
        elif not lease.closed:
            # Nobody can say any more what was spent, as after a restore: the cap holds if all of it counts.
            state = replace(state, settled=state.settled + lease.held)
    return state, kept


def _decision(what: str, state: PurseState) -> Decide:
    purse = state.purse
    document: dict[str, Any] = {
        "system": purse.system,
        "environment": purse.environment,
        "budget": purse.budget,
        "who": purse.who,
        "period_start": purse.period_start,
        "state": what,
        "currency": state.currency,
        "limit_picos": state.limit,
        "turned_away": state.turned_away,
    }
    if what == "settled":
        document |= {"spent_picos": state.settled, "spent_micros": micros(state.settled)}
    reasons = {
        "exhausted": f"a call was turned away: {purse.budget} has too little left for it",
        "settled": "its period is over and every call of it is settled",
    }
    return Decide(
        kind=f"budget.{what}",
        system=purse.system,
        environment=purse.environment,
        noun=Noun.BUDGET,
        subject=purse.id,
        after=document,
        actor=AUTOMATION,
        reason=reasons[what],
        key=f"budget.{what}/{purse.id}",
    )


def purses(plane: Plane, system: str, *, past: bool = False) -> tuple[Shown, ...]:
    """Return the purses of a system, open ones first; what people and monitors see. Needs no running control."""
    books = plane.purses.books()
    said = _spoken(plane)
    found = [_shown(state, books, said) for state in books.purses.values() if state.purse.system == system]
    found.sort(key=lambda one: (-one.purse.period_start, one.purse.id))
    if past:
        found += [_shown(state, books, said) for state in plane.purses.past(system)]
    return tuple(found)


def shares(plane: Plane, system: str, environment: str, now: Micros) -> dict[str, tuple[float, int]]:
    """Return, by budget, the largest share spent of a purse of the present period, and how many purses there are.

    What a monitor needs for `budget > 90%`.
    """
    found: dict[str, tuple[float, int]] = {}
    for one in purses(plane, system):
        purse = one.purse
        if purse.environment == environment and purse.period_start <= now < purse.ends_at:
            largest, count = found.get(purse.budget, (0.0, 0))
            found[purse.budget] = (max(largest, one.share), count + 1)
    return found


def _spoken(plane: Plane) -> dict[tuple[str, str], Said]:
    wallets = Wallets(plane.home.budgets)
    said: dict[tuple[str, str], Said] = {}
    for name in wallets.names():
        wallet = wallets.open(name)
        if wallet is not None:
            said |= {(name, slot.purse.id): slot.said for slot in wallet.slots()}
            wallet.close()
    return said


def _shown(state: PurseState, books: Books, said: Mapping[tuple[str, str], Said]) -> Shown:
    leases = {wallet: lease for (wallet, name), lease in books.leases.items() if name == state.purse.id}
    words = {wallet: said[wallet, state.purse.id] for wallet in leases if (wallet, state.purse.id) in said}
    open_ones: Iterable[Said] = [one for wallet, one in words.items() if not leases[wallet].closed]
    return Shown(
        purse=state.purse,
        currency=state.currency,
        limit=state.limit,
        leased=account_of(state, leases, words).leased,
        reserved=sum(one.reserved for one in open_ones),
        spent=state.settled + sum(one.spent for one in open_ones),
        settled=state.settled,
        turned_away=state.turned_away,
        closed=state.closed,
    )
