"""Verify the ledger: name the first edited, deleted or reordered entry, and a truncation given an exported head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from roadworthy.domain.ledger import Event, Fold, Head, Noun, Verification, replay, verify
from roadworthy.errors import InputError, StoreError
from roadworthy.ports.ledger import Ledger
from roadworthy.ports.plane import Plane
from roadworthy.stores.atomic import plain_errors, write_bytes
from roadworthy.stores.codec import from_doc, from_json, to_json

_CATCH_UPS: Final = 20


def verify_ledger(ledger: Ledger, exported: Head | None = None) -> Verification:
    """Read every entry and say how far the ledger holds; then compare what the tables say is the present with it.

    Raises:
        InputError: the exported head is of another home.
    """
    head = ledger.head()
    if exported is not None and exported.home != head.home:
        raise InputError(f"the exported head is of home {exported.home}, this one is {head.home}")
    reading = _Reading()
    try:
        found = verify(reading.through(ledger.events()), exported)
    except StoreError as problem:
        return Verification(entries=reading.seq, broken_at=reading.seq + 1, problem=problem.message, head=head.hash)
    if not found.holds:
        return found
    return _present_matches(ledger, found)


class _Reading:
    """Remembers how far a reading came, for the entry that cannot be read at all."""

    seq = 0

    def through(self, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            yield event
            self.seq = event.seq


def _present_matches(ledger: Ledger, found: Verification) -> Verification:
    fold = Fold()
    for _ in range(_CATCH_UPS):
        fold = replay(ledger.events(after=fold.seq), fold)
        present = {(noun.value, name): state for noun in Noun for name, state in ledger.states(noun).items()}
        if present == fold.states:
            return found
        # Entries that were committed while we read explain a difference; then fold them too and compare again.
        if ledger.head().seq == fold.seq:
            return replace(found, broken_at=found.entries + 1, problem=_difference(present, fold))
    return found


def _difference(present: Mapping[tuple[str, str], object], fold: Fold) -> str:
    differing = {key for key in present.keys() | fold.states.keys() if present.get(key) != fold.states.get(key)}
    noun, subject = min(differing)
    return (
        f"the present of {noun} {subject} is not what the {fold.seq} entries lead to: "
        "either it was edited, or the newest entries were cut off"
    )


def export_head(plane: Plane, path: Path) -> Head:
    """Write where the ledger ends to a file that is kept elsewhere; `verify` later proves a truncation by it.

    Raises:
        StoreError: the file cannot be written.
    """
    head = plane.ledger.head()
    write_bytes(path, to_json(head) + b"\n", "backup")
    return head


def read_head(path: Path) -> Head:
    """Read an exported head.

    Raises:
        InputError: the file is no exported head.
        StoreError: it cannot be read.
    """
    with plain_errors(f"read {path}"):
        text = path.read_bytes()
    try:
        return from_doc(Head, from_json(text))
    except (ValueError, StoreError) as problem:
        raise InputError(
            f"{path} is no exported head of a ledger", hint="roadworthy ledger head --to FILE"
        ) from problem
