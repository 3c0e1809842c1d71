"""A worker's wallet: sets money aside and books it in about a microsecond, from leases that control cut from budgets.

One event loop owns it. All numbers are kept here and written through to the file, which outlives the worker.
"""

from __future__ import annotations

import asyncio
import fcntl
import mmap
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from roadworthy.domain.budget import Budget, Purse, Whose
from roadworthy.domain.moment import Micros
from roadworthy.domain.open_call import OpenCall
from roadworthy.ports.wallet import Spender
from roadworthy.stores.atomic import plain_errors, sync_folder
from roadworthy.stores.crash_points import crash_point
from roadworthy.stores.wallets import layout
from roadworthy.stores.wallets.layout import (
    AFTER,
    CHANGES_AT,
    COST,
    ENDED,
    ENTRIES,
    FREE,
    LEAST,
    OPEN,
    RESERVED,
    RETURNED,
    SETTLING,
    SLOT_OF,
    SLOTS,
    SPENT,
    STATE,
    WANTED,
    entry_word,
    grant_word,
    slot_word,
)

AHEAD: Final = 32
"""How many calls of the present size a wish is for."""
LOW: Final = 4
"""A new wish is left when less than this many calls of the present size can be paid."""
IDLE_S: Final = 2.0
RETRY_S: Final = 0.01
FIRST_PART: Final = 200
"""A first lease, before any call, is this part of the limit."""


class Slot:
    """One purse as this worker knows it. `used` is spent, reserved and returned together."""

    __slots__ = (
        "at", "ends_at", "generation", "granted", "index", "is_done", "largest", "least", "purse", "quiet_since",
        "recalls", "refused", "reserved", "returned", "spent", "touched", "used", "wanted",
    )  # fmt: skip

    def __init__(self, index: int, generation: int, purse: Purse) -> None:
        self.index = index
        self.at = slot_word(index)
        self.generation = generation
        self.purse = purse
        self.ends_at = purse.ends_at
        self.granted = self.refused = self.used = self.spent = self.reserved = self.returned = 0
        self.wanted = self.least = self.largest = 0
        self.recalls = self.is_done = self.touched = False
        self.quiet_since = 0.0


class _Plan:
    """The slots that a spender's calls are paid from, until the first of their periods ends."""

    __slots__ = ("budgets", "slots", "until")

    def __init__(self, budgets: Sequence[Budget], slots: tuple[Slot, ...], until: Micros) -> None:
        self.budgets = budgets
        self.slots = slots
        self.until = until


class FileReservation:
    """Money set aside from one or more slots; see `ports.wallet.Reservation`."""

    __slots__ = ("_cost", "_entry", "_index", "_slots", "_wallet", "picos")

    def __init__(self, wallet: FileWallet, slots: tuple[Slot, ...], picos: int, index: int) -> None:
        self.picos = picos
        self._slots = slots
        self._index = index
        self._entry = -1
        self._cost = 0
        self._wallet: FileWallet | None = wallet

    def open(self, call: OpenCall) -> None:
        """Write down which call is about to be made."""
        wallet = self._wallet
        if wallet is None or self._entry >= 0:
            return
        self._entry = wallet.write_entry(self._index, self._slots, self.picos, call)

    def ended(self, picos: int) -> None:
        """Write down what the call cost."""
        self._cost = picos
        wallet = self._wallet
        if wallet is not None and self._entry >= 0:
            words, at = wallet.words, self._entry
            words[at + COST] = picos
            words[at + STATE] = ENDED

    def settle(self, picos: int | None = None) -> None:
        """Book what the call cost; the rest is free again. Settling twice changes nothing."""
        wallet, self._wallet = self._wallet, None
        if wallet is None:
            return
        cost = self._cost if picos is None else picos
        words, entry, aside = wallet.words, self._entry, self.picos
        if entry >= 0:
            after = entry + AFTER
            words[entry + COST] = cost
            for slot in self._slots:
                words[after] = slot.spent + cost
                after += 1
            words[entry + STATE] = SETTLING
        for slot in self._slots:
            slot.spent += cost
            slot.reserved -= aside
            slot.used += cost - aside
            words[slot.at + SPENT] = slot.spent
            words[slot.at + RESERVED] = slot.reserved
        if entry >= 0:
            words[entry + STATE] = FREE
        wallet.free_entries.append(self._index)


class FileWallet:
    """The leases of one worker; see `open_wallet`."""

    def __init__(
        self,
        path: Path,
        descriptor: int,
        wallet: mmap.mmap,
        grants: mmap.mmap,
        now: Callable[[], Micros],
        idle_s: float,
    ) -> None:
        self.path = path
        self.words = memoryview(wallet).cast("Q")
        self._memory = wallet
        self._grants_memory = grants
        self._grants = memoryview(grants).cast("Q")
        self._descriptor = descriptor
        self._now = now
        self._idle_s = idle_s
        self._slots: dict[Purse, Slot] = {}
        self._plans: dict[tuple[str, str, str, str], _Plan] = {}
        self._expected: dict[tuple[str, str], tuple[Sequence[Budget], Micros]] = {}
        self._free_slots = list(range(SLOTS - 1, -1, -1))
        self.free_entries = list(range(ENTRIES - 1, -1, -1))
        self._generations = 0

    def reserve(self, spender: Spender, picos: int) -> FileReservation | None:
        """Set aside the most that a call can cost, from every budget that caps it; None when one cannot pay.

        None also when more than 1,024 calls are under way here, or 4,096 purses are in use.
        """
        plan = self._plans.get(spender[:4])
        if plan is None or plan.budgets is not spender.budgets or self._now() >= plan.until:
            plan = self._planned(spender)
            if plan is None:
                return None
        words, slots = self.words, plan.slots
        is_paid = True
        for slot in slots:
            # More often than each call would be: a wish is left before the last lease is used up.
            if slot.used + picos * LOW > slot.granted and not self._ask(slot, picos):
                is_paid = False
        if not is_paid or not self.free_entries:
            return None
        for slot in slots:
            slot.reserved += picos
            slot.used += picos
            slot.touched = True
            words[slot.at + RESERVED] = slot.reserved
        return FileReservation(self, slots, picos, self.free_entries.pop())

    def refuses(self, spender: Spender, picos: int) -> bool:
        """Claim that control turned a call of this size away: waiting would not help."""
        plan = self._plans.get(spender[:4])
        return plan is None or any(0 < slot.refused <= picos for slot in plan.slots)

    async def paid(self, spender: Spender, picos: int, within_s: float) -> FileReservation | None:
        """Set money aside as `reserve` does, waiting a moment for control to grant a lease.

        A call that control has turned away does not wait.
        """
        found = self.reserve(spender, picos)
        if found is not None or within_s <= 0:
            return found
        loop = asyncio.get_running_loop()
        ends = loop.time() + within_s
        while found is None and loop.time() < ends and not self.refuses(spender, picos):
            await asyncio.sleep(RETRY_S)
            found = self.reserve(spender, picos)
        return found

    def expect(self, system: str, environment: str, budgets: Sequence[Budget]) -> None:
        """Ask for a first small lease of a system's own purses, now and in each new period."""
        own = tuple(budget for budget in budgets if budget.whose is Whose.SYSTEM)
        place = (system, environment)
        if own and self._expected.get(place, ((), 0))[0] != own:
            self._expected[place] = (own, 0)
        elif not own:
            self._expected.pop(place, None)
        self._expect_more()

    def tend(self) -> None:
        """Give back what lies idle and let go of periods that are over; called about ten times a second."""
        now, instant = self._now(), time.monotonic()
        for slot in list(self._slots.values()):
            self._read_grant(slot)
            if now >= slot.ends_at:
                self._end(slot)
            else:
                self._tend(slot, instant)
        self._plans = {who: plan for who, plan in self._plans.items() if now < plan.until}
        self._expect_more()

    def close(self) -> None:
        """Let go of the file; control settles it as it does after a death."""
        self.words.release()
        self._grants.release()
        self._memory.close()
        self._grants_memory.close()
        os.close(self._descriptor)

    def write_entry(self, index: int, slots: tuple[Slot, ...], picos: int, call: OpenCall) -> int:
        """Write a call down; return where its words begin."""
        at = entry_word(index)
        words = self.words
        payload = layout.spell_call(call)
        start = at * layout.WORD + layout.CALL_AT
        self._memory[start : start + len(payload)] = payload
        words[at + layout.ASIDE] = picos
        words[at + COST] = 0
        words[at + layout.COUNT] = len(slots)
        words[at + layout.CALL] = layout.sign(payload)
        place = at + SLOT_OF
        for slot in slots:
            words[place] = slot.index
            place += 1
        if index >= words[layout.ENTRIES_USED_AT]:
            words[layout.ENTRIES_USED_AT] = index + 1
        words[at + STATE] = OPEN
        return at

    def _planned(self, spender: Spender) -> _Plan | None:
        now = self._now()
        caps = spender.budgets
        if len(caps) > layout.PURSES_A_CALL:
            return None
        slots = [self._slot_of(_purse(spender, cap, now)) for cap in caps]
        known = tuple(slot for slot in slots if slot is not None)
        if len(known) < len(caps):
            return None
        # No cap at all needs no looking up again.
        plan = _Plan(caps, known, min((slot.ends_at for slot in known), default=1 << 62))
        self._plans[spender[:4]] = plan
        return plan

    def _slot_of(self, purse: Purse) -> Slot | None:
        slot = self._slots.get(purse)
        if slot is not None:
            return None if slot.is_done else slot
        payload = layout.spell_purse(purse)
        if not self._free_slots or len(payload) > layout.SLOT_BYTES - layout.NAME_AT:
            return None
        index = self._free_slots.pop()
        self._generations += 1
        slot = self._slots[purse] = Slot(index, self._generations, purse)
        words, at = self.words, slot.at
        for word in range(at, at + layout.NAME + 1):
            words[word] = 0
        start = at * layout.WORD + layout.NAME_AT
        self._memory[start : start + len(payload)] = payload
        words[at + layout.NAME] = layout.sign(payload)
        words[at + layout.GENERATION] = slot.generation
        if index >= words[layout.SLOTS_USED_AT]:
            words[layout.SLOTS_USED_AT] = index + 1
        return slot

    def _ask(self, slot: Slot, picos: int) -> bool:
        """Look for a new grant and leave a wish; tell whether the call can be paid."""
        self._read_grant(slot)
        can_pay = slot.used + picos <= slot.granted
        if can_pay and slot.used + picos * LOW <= slot.granted:
            return True
        if not can_pay:
            slot.touched = True
            if 0 < slot.refused <= picos:
                return False
        slot.largest = max(slot.largest, picos)
        # A wish that stands and is large enough is not left again, unless a call waits for it.
        if not can_pay or slot.wanted <= slot.granted:
            self._wish(slot, slot.used + picos * AHEAD, 0 if can_pay else picos)
        return can_pay

    def _wish(self, slot: Slot, wanted: int, least: int) -> None:
        slot.wanted, slot.least = wanted, least
        words = self.words
        words[slot.at + WANTED] = wanted
        words[slot.at + LEAST] = least
        words[CHANGES_AT] += 1

    def _read_grant(self, slot: Slot) -> bool:
        """Take note of what control granted; tell whether the slot may be used for another purse."""
        grants, at = self._grants, grant_word(slot.index)
        granted, refused, flags = grants[at], grants[at + layout.REFUSED], grants[at + layout.FLAGS]
        if layout.seal(slot.generation, granted, refused, flags) != grants[at + layout.SEAL]:
            return False
        slot.granted = max(slot.granted, granted)
        slot.refused = refused
        slot.recalls = bool(flags & layout.RECALLS)
        return bool(flags & layout.CLOSED)

    def _tend(self, slot: Slot, instant: float) -> None:
        if slot.touched:
            slot.touched, slot.quiet_since = False, instant
        free = slot.granted - slot.used
        is_idle = instant - slot.quiet_since >= self._idle_s
        if is_idle and slot.least:
            # Whoever waited has gone.
            self._wish(slot, min(slot.wanted, slot.granted), 0)
        elif is_idle and slot.wanted > slot.granted and slot.quiet_since:
            self._wish(slot, slot.granted, 0)
        if free <= 0:
            return
        if slot.recalls and (is_idle or free < slot.least):
            self._give_back(slot, free)
        elif is_idle and slot.quiet_since:
            # One call stays paid for, so that the next caller need not wait.
            self._give_back(slot, free - slot.largest)

    def _give_back(self, slot: Slot, picos: int) -> None:
        if picos <= 0:
            return
        slot.used += picos
        slot.returned += picos
        words = self.words
        words[slot.at + RETURNED] = slot.returned
        if slot.least:
            self._wish(slot, slot.used + slot.least * AHEAD, slot.least)
        else:
            words[CHANGES_AT] += 1

    def _end(self, slot: Slot) -> None:
        words = self.words
        if slot.is_done:
            if self._read_grant(slot):
                del self._slots[slot.purse]
                words[slot.at + layout.GENERATION] = 0
                self._free_slots.append(slot.index)
            return
        slot.least = 0
        words[slot.at + LEAST] = 0
        self._give_back(slot, slot.granted - slot.used)
        if slot.reserved == 0:
            slot.is_done = True
            words[slot.at + layout.DONE] = layout.seal(slot.generation, slot.spent)
            words[CHANGES_AT] += 1

    def _expect_more(self) -> None:
        now = self._now()
        for (system, environment), (budgets, until) in self._expected.items():
            if now < until:
                continue
            plan = self._planned(Spender(system, environment, "", "", budgets))
            if plan is None:
                continue
            self._expected[system, environment] = (budgets, plan.until)
            for slot, budget in zip(plan.slots, budgets, strict=True):
                if slot.granted == 0 and slot.wanted == 0:
                    self._wish(slot, max(1, budget.limit // FIRST_PART), 0)


def _purse(spender: Spender, cap: Budget, now: Micros) -> Purse:
    who = {Whose.SYSTEM: "", Whose.KEY: spender.key, Whose.TEAM: spender.team}[cap.whose]
    return Purse(
        system=spender.system,
        environment=spender.environment,
        budget=cap.name,
        who=who,
        period_start=cap.period.start(now),
    )


def open_wallet(folder: Path, worker: str, now: Callable[[], Micros], *, idle_s: float = IDLE_S) -> FileWallet:
    """Make the wallet of a worker that starts; what a predecessor of its name left is control's to settle.

    `now` tells the home's time; money that lies idle for `idle_s` seconds goes back.

    Raises:
        StoreError: the disk is full or read-only.
    """
    birth = f"{worker}.{time.time_ns():x}"
    path = folder / f"{birth}.wallet"
    with plain_errors(f"make the wallet {path}"):
        folder.mkdir(parents=True, exist_ok=True)
        # The grants first: whoever finds the wallet finds them too.
        os.close(_allocate(folder, f"{birth}.grants", layout.GRANTS_BYTES, layout.GRANTS_MAGIC))
        crash_point("wallet.before_wallet")
        descriptor = _allocate(folder, path.name, layout.WALLET_BYTES, layout.WALLET_MAGIC, lock=True)
        sync_folder(folder)
    grants_at = os.open(path.with_suffix(".grants"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        grants = mmap.mmap(grants_at, layout.GRANTS_BYTES, access=mmap.ACCESS_READ)
    finally:
        os.close(grants_at)
    return FileWallet(path, descriptor, mmap.mmap(descriptor, layout.WALLET_BYTES), grants, now, idle_s)


def _allocate(folder: Path, name: str, size: int, magic: int, *, lock: bool = False) -> int:
    """Reserve a file's blocks under a name that readers pass over, then give it its name."""
    temporary = folder / f".{name}.new"
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if lock:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.posix_fallocate(descriptor, 0, size)
        os.pwrite(descriptor, magic.to_bytes(8, "little"), 0)
        os.fsync(descriptor)
        crash_point("wallet.before_grants")
        temporary.rename(folder / name)
    except BaseException:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)
        raise
    return descriptor
