"""Control's side of the wallets: read what workers say, tell them what they are granted, find the dead."""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from roadworthy.domain.budget import Purse
from roadworthy.domain.lease import Said, Told
from roadworthy.domain.open_call import OpenCall
from roadworthy.errors import StoreError
from roadworthy.stores.atomic import plain_errors, sync_folder
from roadworthy.stores.crash_points import crash_point
from roadworthy.stores.wallets import layout
from roadworthy.stores.wallets.layout import entry_word, grant_word, slot_word

_SUFFIX: Final = ".wallet"


class SlotRead(NamedTuple):
    """One slot as it was read: where it is, of which purse, and what it says."""

    place: int
    generation: int
    purse: Purse
    said: Said


class Entry(NamedTuple):
    """One call that a dead worker left. `cost` is None where the provider may have been asked and nobody knows.

    `spent_after` holds, by slot, what a settlement was about to write when the worker died.
    """

    call: OpenCall
    aside: int
    slots: tuple[int, ...]
    cost: int | None
    spent_after: Mapping[int, int]


class Wallet:
    """One worker's wallet, living or dead, opened by control."""

    def __init__(self, path: Path) -> None:
        self.name = path.name.removesuffix(_SUFFIX)
        self.path = path
        with plain_errors(f"read the wallet {path}"):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._memory = _map(self._descriptor, layout.WALLET_BYTES, path, writable=False)
                grants = path.with_suffix(".grants")
                grants_at = os.open(grants, os.O_RDWR | os.O_CLOEXEC)
                try:
                    self._grants_memory = _map(grants_at, layout.GRANTS_BYTES, grants, writable=True)
                finally:
                    os.close(grants_at)
            except BaseException:
                os.close(self._descriptor)
                raise
        self._words = memoryview(self._memory).cast("Q")
        self._grants = memoryview(self._grants_memory).cast("Q")

    @property
    def changes(self) -> int:
        """Return a number that moves when the worker wants to be looked at."""
        return self._words[layout.CHANGES_AT]

    def is_dead(self) -> bool:
        """Tell whether nobody writes it any more; then it stays ours until `close`."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def slots(self) -> list[SlotRead]:
        """Return every slot in use, as it says now."""
        used = min(self._words[layout.SLOTS_USED_AT], layout.SLOTS)
        return [found for index in range(used) if (found := self._slot(index))]

    def tell(self, slot: SlotRead, told: Told) -> None:
        """Show a grant to the worker."""
        flags = (layout.RECALLS if told.recalls else 0) | (layout.CLOSED if told.is_closed else 0)
        at, grants = grant_word(slot.place), self._grants
        sealed = layout.seal(slot.generation, told.granted, told.refused, flags)
        if grants[at + layout.SEAL] == sealed:
            return
        grants[at] = told.granted
        grants[at + layout.REFUSED] = told.refused
        grants[at + layout.FLAGS] = flags
        grants[at + layout.SEAL] = sealed

    def entries(self) -> list[Entry]:
        """Return the calls that a dead worker left."""
        used = min(self._words[layout.ENTRIES_USED_AT], layout.ENTRIES)
        return [found for index in range(used) if (found := self._entry(index))]

    def close(self) -> None:
        """Let go of the files."""
        self._words.release()
        self._grants.release()
        self._memory.close()
        self._grants_memory.close()
        os.close(self._descriptor)

    def delete(self) -> None:
        """Remove a settled wallet and let go of it."""
        with plain_errors(f"remove the wallet {self.path}"):
            crash_point("wallet.before_delete")
            self.path.unlink(missing_ok=True)
            crash_point("wallet.after_delete")
            self.path.with_suffix(".grants").unlink(missing_ok=True)
            sync_folder(self.path.parent)
        self.close()

    def _slot(self, index: int) -> SlotRead | None:
        words, at = self._words, slot_word(index)
        generation = words[at]
        if not generation:
            return None
        start = at * layout.WORD + layout.NAME_AT
        text = self._memory[start : start + layout.SLOT_BYTES - layout.NAME_AT]
        purse = layout.read_purse(text, words[at + layout.NAME])
        done, spent = words[at + layout.DONE], words[at + layout.SPENT]
        said = Said(
            wanted=words[at + layout.WANTED],
            least=words[at + layout.LEAST],
            reserved=words[at + layout.RESERVED],
            spent=spent,
            returned=words[at + layout.RETURNED],
            is_done=done == layout.seal(generation, spent),
        )
        # The slot may have been given to another purse meanwhile.
        return None if purse is None or words[at] != generation else SlotRead(index, generation, purse, said)

    def _entry(self, index: int) -> Entry | None:
        words, at = self._words, entry_word(index)
        state = words[at + layout.STATE]
        if state == layout.FREE:
            return None
        start = at * layout.WORD + layout.CALL_AT
        text = self._memory[start : start + layout.ENTRY_BYTES - layout.CALL_AT]
        call = layout.read_call(text, words[at + layout.CALL])
        if call is None:
            raise StoreError(f"the wallet {self.path} is damaged: call {index} cannot be read")
        count = words[at + layout.COUNT]
        slots = tuple(words[at + layout.SLOT_OF + n] for n in range(count))
        after = {slot: words[at + layout.AFTER + n] for n, slot in enumerate(slots)}
        return Entry(
            call=call,
            aside=words[at + layout.ASIDE],
            slots=slots,
            cost=None if state == layout.OPEN else words[at + layout.COST],
            spent_after=after if state == layout.SETTLING else {},
        )


class Wallets:
    """The wallets of one home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Return the wallets there are, settled ones left out."""
        try:
            found = [path.name for path in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX) and name[0] != ".")

    def open(self, name: str) -> Wallet | None:
        """Open a wallet; None when it has gone in the meantime."""
        try:
            return Wallet(self.folder / f"{name}{_SUFFIX}")
        except StoreError:
            if (self.folder / f"{name}{_SUFFIX}").exists():
                raise
            return None

    def sweep(self) -> None:
        """Remove what killed processes left half made: grants without a wallet, names that begin with a dot."""
        with suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                is_half = path.name.startswith(".") and path.name.endswith(".new")
                is_orphan = path.suffix == ".grants" and not path.with_suffix(_SUFFIX).exists()
                if (is_half or is_orphan) and _is_old(path):
                    path.unlink(missing_ok=True)


def _is_old(path: Path) -> bool:
    """Claim that no process is still making this file: making takes milliseconds."""
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > 60  # noqa: PLR2004 (a minute)
    return False


def _map(descriptor: int, size: int, path: Path, *, writable: bool) -> mmap.mmap:
    if os.fstat(descriptor).st_size != size:
        raise StoreError(f"{path} is damaged: it must have {size} bytes")
    return mmap.mmap(descriptor, size, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
