"""The ledger as people read it: newest first, one line a decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from roadworthy.domain.digest import is_digest, short
from roadworthy.domain.ledger import Event, Head, Verification
from roadworthy.domain.moment import Micros
from roadworthy.ports.plane import Plane

LIMIT: Final = 50
_LOOK_BACK: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One decision."""

    seq: int
    at: Micros
    kind: str
    system: str
    subject: str
    actor: str
    assurance: str
    reason: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerView:
    """A page of the ledger. `verification` is there after the button was pressed."""

    entries: tuple[Entry, ...]
    head: Head
    before: int
    older: int
    system: str
    may_verify: bool
    now: Micros
    verification: Verification | None = None

    @property
    def title(self) -> str:
        """Say how long the ledger is, or whether it holds."""
        if self.verification is None:
            return f"Ledger: {self.head.seq:,} entries"
        return "Ledger: it holds" if self.verification.holds else "Ledger: it does not hold"


def ledger_view(
    plane: Plane,
    opens: Callable[[str], bool],
    *,
    system: str = "",
    before: int = 0,
    verification: Verification | None = None,
) -> LedgerView:
    """Return a page of decisions that the caller may see; `before` is a sequence to read back from."""
    head = plane.ledger.head()
    end = before or head.seq + 1
    found = entries(plane, system=system, before=end, opens=opens)
    older = found[-1].seq if len(found) == LIMIT else 0
    return LedgerView(
        entries=found,
        head=head,
        before=before,
        older=older,
        system=system,
        may_verify=opens(""),
        now=plane.clock.now(),
        verification=verification,
    )


def entries(
    plane: Plane,
    *,
    system: str = "",
    limit: int = LIMIT,
    before: int = 0,
    opens: Callable[[str], bool] | None = None,
) -> tuple[Entry, ...]:
    """Return decisions before a sequence, newest first; reads at most 2,000 back."""
    end = before or plane.ledger.head().seq + 1
    found: list[Entry] = []
    for event in plane.ledger.events(after=max(0, end - 1 - _LOOK_BACK), system=system):
        if event.seq >= end:
            break
        if opens is None or opens(event.system):
            found.append(_entry(event))
    return tuple(reversed(found[-limit:]))


def _entry(event: Event) -> Entry:
    return Entry(
        seq=event.seq,
        at=event.at,
        kind=event.kind,
        system=event.system,
        subject=_subject(event.subject),
        actor=event.actor,
        assurance=event.assurance,
        reason=event.reason,
        hash=event.hash,
    )


def _subject(text: str) -> str:
    """Shorten the digests in a subject."""
    return "/".join(short(part) if is_digest(part) else part for part in text.split("/"))
