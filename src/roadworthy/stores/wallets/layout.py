"""The bytes of a wallet and of its grants.

`<worker>.<birth>.wallet` is written by the worker alone, which holds a lock on it while it lives;
`<worker>.<birth>.grants` by control alone, once the worker has made it. A worker that starts again has a new wallet;
the old one is settled.

* **Slots**, one a purse: wanted, least, reserved, spent, returned. Numbers only grow, but for `least` and `reserved`.
  The worker keeps `spent + reserved + returned <= granted`. It raises `returned` after it stopped counting on that
  money, so control may lease it to another the moment it reads it.
* **Grants**, at the same index: what control granted in all, and a seal over it and the slot's generation. Control
  raises `granted` in its database first. A number that is read late or half is not used: the seal does not fit.
* **Entries**, one a call under way: what is set aside, from which slots, and the call itself. The states:
  `OPEN` (the provider may have been asked), `ENDED` (cost known, perhaps no record yet), `SETTLING` (the record is
  written; each slot's new `spent` stands in the entry, so that carrying it over again changes nothing), `FREE`.

After a kill, `spent` of a slot is: what stands in it, or what the one `SETTLING` entry says it becomes, plus the costs
of `ENDED` entries, plus what evidence tells of `OPEN` ones. What was reserved without an entry was never spent.

Each store is one aligned word. A slot's name and an entry's call carry a checksum, as a reader may come in between.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

import msgspec

from roadworthy.domain.budget import Purse
from roadworthy.domain.open_call import OpenCall

WALLET_MAGIC: Final = int.from_bytes(b"RWPURSE1", "little")
GRANTS_MAGIC: Final = int.from_bytes(b"RWGRANT1", "little")
WORD: Final = 8
HEADER_BYTES: Final = 4_096
SLOT_BYTES: Final = 512
SLOTS: Final = 4_096
ENTRY_BYTES: Final = 2_048
ENTRIES: Final = 1_024
GRANT_BYTES: Final = 64

MAGIC_AT, CHANGES_AT, SLOTS_USED_AT, ENTRIES_USED_AT = 0, 1, 2, 3
"""Words of the header: a counter that moves when control should look, and how many slots and entries were ever used."""

GENERATION, DONE, WANTED, LEAST, RESERVED, SPENT, RETURNED, NAME = range(8)
"""Words of a slot. `DONE` holds a seal over the final `spent`; `NAME` length and checksum of what follows."""
NAME_AT: Final = 64

STATE, ASIDE, COST, COUNT, CALL = range(5)
PURSES_A_CALL: Final = 9
"""System, key and team, each by hour, day and month."""
SLOT_OF: Final = 5
AFTER: Final = SLOT_OF + PURSES_A_CALL
CALL_AT: Final = (AFTER + PURSES_A_CALL) * WORD
FREE, OPEN, ENDED, SETTLING = range(4)

GRANTED, REFUSED, FLAGS, SEAL = range(4)
RECALLS: Final = 1
CLOSED: Final = 2

SLOTS_AT: Final = HEADER_BYTES
ENTRIES_AT: Final = SLOTS_AT + SLOTS * SLOT_BYTES
WALLET_BYTES: Final = ENTRIES_AT + ENTRIES * ENTRY_BYTES
GRANTS_BYTES: Final = HEADER_BYTES + SLOTS * GRANT_BYTES

_MASK: Final = (1 << 64) - 1
_ODD: Final = 0x9E37_79B9_7F4A_7C15
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_CALL: Final = msgspec.msgpack.Decoder(OpenCall)
_NAMES: Final = msgspec.msgpack.Decoder(tuple[str, str, str, str, int])


def slot_word(index: int) -> int:
    """Return where a slot's words begin."""
    return (SLOTS_AT + index * SLOT_BYTES) // WORD


def entry_word(index: int) -> int:
    """Return where an entry's words begin."""
    return (ENTRIES_AT + index * ENTRY_BYTES) // WORD


def grant_word(index: int) -> int:
    """Return where a grant's words begin."""
    return (HEADER_BYTES + index * GRANT_BYTES) // WORD


def seal(*words: int) -> int:
    """Return a number that fits these words, in this order, and hardly any others; never 0."""
    mixed = len(words)
    for word in words:
        mixed = ((mixed ^ word) * _ODD) & _MASK
        mixed ^= mixed >> 29
    return mixed or 1


def spell_purse(purse: Purse) -> bytes:
    """Write a purse as a slot holds it."""
    return _ENCODE((purse.system, purse.environment, purse.budget, purse.who, purse.period_start))


def read_purse(text: bytes, word: int) -> Purse | None:
    """Read a slot's purse; None while it is being written."""
    payload = checked(text, word)
    if payload is None:
        return None
    system, environment, budget, who, start = _NAMES.decode(payload)
    return Purse(system=system, environment=environment, budget=budget, who=who, period_start=start)


def spell_call(call: OpenCall) -> bytes:
    """Write a call as an entry holds it; what is too long loses what only the provider's books are asked with."""
    text = _ENCODE(call)
    if len(text) <= ENTRY_BYTES - CALL_AT:
        return text
    short = call._replace(url="", secret="", lookup=False, model=call.model[:200], interface="", pin=call.pin[:200])
    return _ENCODE(short._replace(arm="", team=call.team[:200]))


def read_call(text: bytes, word: int) -> OpenCall | None:
    """Read an entry's call; None for a damaged one."""
    payload = checked(text, word)
    return None if payload is None else _CALL.decode(payload)


def sign(payload: bytes) -> int:
    """Return length and checksum of a payload as one word."""
    return len(payload) | crc32(payload) << 32


def checked(text: bytes, word: int) -> bytes | None:
    """Return the payload that begins a text if it is the one signed by the word."""
    payload = text[: word & 0xFFFF_FFFF]
    return payload if payload and sign(payload) == word else None
