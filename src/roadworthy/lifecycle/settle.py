"""Settle the wallets of workers that died: each call they left costs what evidence says, once, whoever is killed when.

The order makes that hold: ask the providers' books → write the records that are missing → one transaction that settles
the wallet's leases → delete the wallet. A record that is there already is not written again, a lease that is closed is
not settled again, and until the wallet is gone all of it is done once more by whoever comes next.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from roadworthy.domain.lease import Lease, close_lease
from roadworthy.domain.open_call import OpenCall, Settled, cost_of, lost_record
from roadworthy.domain.pin import Usage
from roadworthy.domain.record import Record
from roadworthy.errors import StoreError, UnavailableError
from roadworthy.lifecycle.budgets import Paymaster
from roadworthy.ports.plane import Plane
from roadworthy.ports.purses import Books
from roadworthy.stores.crash_points import crash_point
from roadworthy.stores.records.log import open_log
from roadworthy.stores.wallets.folder import Entry, Wallet

UNKNOWN_S: Final = 30.0
"""How long a provider's books may not know a call before it counts as never made."""
SILENT_S: Final = 600.0
"""How long a provider may not answer before a call is charged in full."""
SETTLER: Final = "settler"
"""The worker name under which missing records are written."""
_SEGMENT_BYTES: Final = 1 << 18

Ask: TypeAlias = Callable[[OpenCall], Usage | None]
"""Asks a provider's books for a call; None: they do not know it. Raises UnavailableError when there is no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long evidence is waited for, in seconds since a worker was found dead."""

    unknown_s: float = UNKNOWN_S
    silent_s: float = SILENT_S


class Settler:
    """Settles what `Paymaster.dead` holds. One thread calls `settle`; asking providers may take seconds."""

    def __init__(
        self,
        plane: Plane,
        paymaster: Paymaster,
        ask: Ask,
        *,
        patience: Patience | None = None,
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plane = plane
        self._paymaster = paymaster
        self._ask = ask
        self._patience = patience or Patience()
        self._wall = wall
        self._found_dead: dict[str, float] = {}
        self._answers: dict[str, Settled] = {}

    def settle(self, fence: int | None) -> int:
        """Settle every dead wallet whose calls are all accounted for; return how many.

        Raises:
            Conflict: another process leads now; it settles the rest.
            StoreError: the disk is full or read-only; nothing is settled in part.
        """
        done = 0
        for name, wallet in list(self._paymaster.dead.items()):
            since = self._found_dead.setdefault(name, self._wall())
            entries = wallet.entries()
            settled = [self._account(entry, self._wall() - since) for entry in entries]
            known = [one for one in settled if one is not None]
            if len(known) < len(settled):
                self._free_the_rest(name, wallet, entries, fence)
                continue
            self._write_missing(known)
            self._close(name, wallet, list(zip(entries, known, strict=True)), fence)
            for one in known:
                self._answers.pop(one.call.id, None)
            del self._found_dead[name]
            done += 1
        return done

    def _account(self, entry: Entry, waited_s: float) -> Settled | None:
        """Say what a call cost; None while that may still come to light."""
        call = entry.call
        if entry.cost is not None:
            return Settled(call, entry.cost)
        if call.id not in self._answers:
            found = self._evidence(entry, waited_s)
            if found is None:
                return None
            self._answers[call.id] = found
        return self._answers[call.id]

    def _evidence(self, entry: Entry, waited_s: float) -> Settled | None:
        call = entry.call
        full = Settled(call, entry.aside, is_estimate=True)
        if not call.lookup:
            return full
        try:
            usage = self._ask(call)
        except UnavailableError:
            return full if waited_s >= self._patience.silent_s else None
        if usage is None:
            return Settled(call, 0) if waited_s >= self._patience.unknown_s else None
        cost = call.price.cost(usage)
        return Settled(call, cost, input=usage.input, output=usage.output, cached=usage.cached_input)

    def _write_missing(self, known: Sequence[Settled]) -> None:
        """Write a record for each answer that has none: with it the records add up to the providers' invoices."""
        by_record: dict[str, list[Settled]] = defaultdict(list)
        for one in known:
            by_record[one.call.record].append(one)
        there = self._plane.records.find_many(list(by_record))
        missing = [
            lost_record(tuple(sorted(attempts, key=lambda one: one.call.attempt)))
            for record, attempts in by_record.items()
            if record not in there
        ]
        crash_point("settlement.before_records")
        # A call that never reached its provider left nothing to tell.
        self._append([record for record in missing if cost_of(record)])
        crash_point("settlement.after_records")

    def _append(self, records: Iterable[Record]) -> None:
        every = list(records)
        if not every:
            return
        log = open_log(self._plane.home.records, SETTLER, segment_bytes=_SEGMENT_BYTES)
        try:
            kept = [log.record(record) for record in every]
        finally:
            # Closing writes to the disk: no lease is settled before its records are safe.
            log.close()
        if not all(kept):
            raise StoreError("the records of lost calls cannot be kept", hint="free some space; it is tried again")

    def _close(self, name: str, wallet: Wallet, calls: Sequence[tuple[Entry, Settled]], fence: int | None) -> None:
        spent = _spent(wallet, calls)

        def rule(books: Books) -> Books:
            purses, leases = dict(books.purses), dict(books.leases)
            for (holder, purse), lease in books.leases.items():
                if holder == name and purse in purses:
                    purses[purse], leases[holder, purse] = close_lease(purses[purse], lease, spent.get(purse, 0))
            return Books(purses=purses, leases=leases)

        with self._paymaster.lock:
            self._plane.purses.change(list(spent), rule, fence=fence)
            wallet.delete()
            del self._paymaster.dead[name]
            self._paymaster.forget()

    def _free_the_rest(self, name: str, wallet: Wallet, entries: Sequence[Entry], fence: int | None) -> None:
        """Let others have what the dead worker can have spent at most, while its last calls are being asked after."""
        most = _spent(wallet, [(entry, Settled(entry.call, _most(entry))) for entry in entries])

        def rule(books: Books) -> Books:
            leases = {
                place: _shrunk(lease, most) if place[0] == name else lease for place, lease in books.leases.items()
            }
            return Books(purses=books.purses, leases=leases)

        with self._paymaster.lock:
            books = self._plane.purses.books()
            mine = Books(leases={place: lease for place, lease in books.leases.items() if place[0] == name})
            if rule(mine) != mine:
                self._plane.purses.change(list(most), rule, fence=fence)
                self._paymaster.forget()


def _most(entry: Entry) -> int:
    return entry.aside if entry.cost is None else entry.cost


def _shrunk(lease: Lease, most: Mapping[str, int]) -> Lease:
    returned = max(lease.returned, lease.granted - most.get(lease.purse, 0))
    return lease if lease.closed else replace(lease, returned=returned)


def _spent(wallet: Wallet, calls: Sequence[tuple[Entry, Settled]]) -> dict[str, int]:
    """Return what a dead wallet spent, by purse: what it had booked, and its last calls."""
    slots = wallet.slots()
    spent = {slot.place: slot.said.spent for slot in slots}
    for entry, _ in calls:
        spent |= entry.spent_after
    for entry, settled in calls:
        for index in () if entry.spent_after else entry.slots:
            spent[index] += settled.picos
    return {slot.purse.id: spent[slot.place] for slot in slots}
