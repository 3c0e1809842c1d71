"""The ledger: decisions only, hash-chained, one chain per home. The present is a fold over it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from roadworthy.domain.digest import Digest, canonical, digest_bytes
from roadworthy.domain.moment import Micros
from roadworthy.domain.principal import Actor

GENESIS: Final[Digest] = "sha256:" + "0" * 64


class Noun(StrEnum):
    """What an event is about. The state of a subject is the `after` of its newest event."""

    SYSTEM = "system"
    POLICY = "policy"
    PRINCIPAL = "principal"
    KEY = "key"
    RUN = "run"
    CANDIDATE = "candidate"
    VERDICT = "verdict"
    WAIVER = "waiver"
    APPROVAL = "approval"
    RELEASE = "release"
    ROUTE = "route"
    ROLLOUT = "rollout"
    INCIDENT = "incident"
    ACTION = "action"
    DRILL = "drill"
    TRUST = "trust"
    WORDING = "wording"
    BUDGET = "budget"
    PIN = "pin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide:
    """A decision someone wants in the ledger: the new state of one subject, and why.

    `expected` is the sequence of the subject's newest event as the decider saw it (0: the subject is new, None:
    do not care). `key` is unique: a second decision with the same key is a no-op. `after` None ends the subject.
    """

    kind: str
    system: str
    noun: Noun
    subject: str
    after: Mapping[str, Any] | None
    actor: Actor
    reason: str = ""
    environment: str = ""
    key: str = ""
    expected: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the ledger. `hash` covers every other field and the hash of the entry before it."""

    seq: int
    at: Micros
    kind: str
    system: str
    environment: str
    noun: str
    subject: str
    actor: str
    assurance: str
    reason: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    key: str
    previous: Digest
    hash: Digest = ""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a ledger ends; exported, it proves a later truncation."""

    home: str
    seq: int
    hash: Digest
    at: Micros


def seal(event: Event) -> Digest:
    """Return the hash an event must carry."""
    body: dict[str, Any] = {
        name: getattr(event, name)
        for name in (
            "seq",
            "at",
            "kind",
            "system",
            "environment",
            "noun",
            "subject",
            "actor",
            "assurance",
            "reason",
            "before",
            "after",
            "key",
            "previous",
            "version",
        )
    }
    return digest_bytes(canonical(body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """How far a ledger holds. `broken_at` is the first bad sequence, 0 when it all holds."""

    entries: int
    broken_at: int = 0
    problem: str = ""
    head: Digest = GENESIS

    @property
    def holds(self) -> bool:
        """Claim that every entry is as it was written."""
        return not self.problem


def verify(events: Iterable[Event], exported: Head | None = None) -> Verification:
    """Find the first edited, deleted or reordered entry, and a truncation when given an exported head."""
    previous, count = GENESIS, 0
    head_seen = exported is None or exported.seq == 0
    for event in events:
        expected_seq = count + 1
        if event.seq != expected_seq:
            problem = f"entry {expected_seq} is missing or out of order (found {event.seq})"
            return Verification(entries=count, broken_at=expected_seq, problem=problem, head=previous)
        if event.previous != previous:
            problem = f"entry {event.seq} does not follow the entry before it"
            return Verification(entries=count, broken_at=event.seq, problem=problem, head=previous)
        if seal(event) != event.hash:
            problem = f"entry {event.seq} ({event.kind}) was edited"
            return Verification(entries=count, broken_at=event.seq, problem=problem, head=previous)
        previous, count = event.hash, event.seq
        if exported is not None and event.seq == exported.seq:
            if event.hash != exported.hash:
                problem = f"entry {event.seq} differs from the exported head"
                return Verification(entries=count, broken_at=event.seq, problem=problem, head=previous)
            head_seen = True
    if not head_seen and exported is not None:
        problem = f"the ledger ends at {count}, before the exported head at {exported.seq}: it was truncated"
        return Verification(entries=count, broken_at=count + 1, problem=problem, head=previous)
    return Verification(entries=count, head=previous)


@dataclass(frozen=True, slots=True)
class Fold:
    """The present, or any past moment: the newest state of each subject, by (noun, subject)."""

    states: Mapping[tuple[str, str], Mapping[str, Any]] = field(
        default_factory=dict[tuple[str, str], "Mapping[str, Any]"]
    )
    seq: int = 0


def replay(events: Iterable[Event], start: Fold | None = None) -> Fold:
    """Fold events into the state they lead to. The projections of a store must equal this."""
    base = start or Fold()
    states = dict(base.states)
    seq = base.seq
    for event in events:
        subject = (event.noun, event.subject)
        if event.after is None:
            states.pop(subject, None)
        else:
            states[subject] = event.after
        seq = event.seq
    return Fold(states=states, seq=seq)
