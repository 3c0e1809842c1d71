"""Fakes for plug-in authors and for unit tests of the verbs: the ports in memory, with the rules of the real ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from roadworthy.domain.ledger import GENESIS, Decide, Event, Fold, Head, Noun, replay, seal
from roadworthy.domain.moment import Micros, parse_iso
from roadworthy.domain.snapshot import Acknowledgement, Snapshot
from roadworthy.errors import Conflict
from roadworthy.ports.clock import Clock
from roadworthy.ports.home import Home
from roadworthy.ports.people import Person
from roadworthy.ports.plane import Plane

START = parse_iso("2013-01-01T00:00:00Z")


@dataclass(slots=True)
class FixedClock:
    """A clock that stands still until it is told otherwise."""

    moment: Micros = START

    def now(self) -> Micros:
        """Return the time it was set to."""
        return self.moment

    def pass_by(self, duration: Micros) -> Micros:
        """Let time pass; return the new time."""
        self.moment += duration
        return self.moment


class MemoryLedger:
    """A ledger in memory: same transaction rules, same hash chain. Not for several threads."""

    def __init__(self, clock: Clock, *, home: str = "memory") -> None:
        self._clock = clock
        self._home = home
        self._events: list[Event] = []
        self._newest: dict[tuple[str, str], Event] = {}
        self._keys: set[str] = set()
        self.epoch = 0
        """The leader's epoch in force; a commit with a lower fence is refused."""

    def commit(self, decisions: Sequence[Decide], *, fence: int | None = None) -> tuple[Event, ...]:
        """Append all decisions or none. A decision whose key exists already is left out of the result.

        Raises:
            Conflict: a subject moved since it was read, or the fence is stale.
        """
        if fence is not None and fence < self.epoch:
            raise Conflict(f"another leader took over (epoch {self.epoch}, ours {fence})")
        newest, keys = dict(self._newest), set(self._keys)
        added: list[Event] = []
        for decision in decisions:
            if decision.key and decision.key in keys:
                continue
            event = self._event(decision, newest, added)
            added.append(event)
            newest[event.noun, event.subject] = event
            keys.add(decision.key)
        self._events += added
        self._newest, self._keys = newest, keys
        return tuple(added)

    def _event(self, decision: Decide, newest: Mapping[tuple[str, str], Event], added: Sequence[Event]) -> Event:
        before = newest.get((str(decision.noun), decision.subject))
        seen = before.seq if before else 0
        if decision.expected is not None and decision.expected != seen:
            raise Conflict(f"{decision.noun} {decision.subject} moved: expected {decision.expected}, found {seen}")
        last = added[-1] if added else self._events[-1] if self._events else None
        event = Event(
            seq=(last.seq if last else 0) + 1,
            at=self._clock.now(),
            kind=decision.kind,
            system=decision.system,
            environment=decision.environment,
            noun=str(decision.noun),
            subject=decision.subject,
            actor=decision.actor.principal,
            assurance=str(decision.actor.assurance),
            reason=decision.reason,
            before=before.after if before else None,
            after=decision.after,
            key=decision.key,
            previous=last.hash if last else GENESIS,
        )
        return replace(event, hash=seal(event))

    def state(self, noun: Noun, subject: str) -> Mapping[str, Any] | None:
        """Return the present state of one subject, or None."""
        event = self._newest.get((str(noun), subject))
        return event.after if event else None

    def states(self, noun: Noun, system: str = "") -> Mapping[str, Mapping[str, Any]]:
        """Return the present states of all subjects of a noun, by subject, oldest change first."""
        found = [event for event in self._newest.values() if event.noun == noun and system in ("", event.system)]
        ordered = sorted(found, key=lambda event: event.seq)
        return {event.subject: event.after for event in ordered if event.after is not None}

    def seq_of(self, noun: Noun, subject: str) -> int:
        """Return the sequence of the subject's newest event, 0 if there is none."""
        event = self._newest.get((str(noun), subject))
        return event.seq if event else 0

    def events(self, *, after: int = 0, system: str = "", until: int | None = None) -> Iterator[Event]:
        """Return events in order, at or before the time `until`."""
        for event in self._events[after:]:
            if (until is None or event.at <= until) and system in ("", event.system):
                yield event

    def head(self) -> Head:
        """Return where the ledger ends."""
        last = self._events[-1] if self._events else None
        return Head(
            home=self._home, seq=last.seq if last else 0, hash=last.hash if last else GENESIS, at=last.at if last else 0
        )

    def at(self, moment: int) -> Fold:
        """Return the state as it was at a past moment."""
        return replay(self.events(until=moment))


class MemoryPeople:
    """Names and contacts in memory."""

    def __init__(self, people: Iterable[Person] = ()) -> None:
        self._people = {person.principal: person for person in people}

    def put(self, person: Person) -> None:
        """Keep or replace what is known of a principal."""
        self._people[person.principal] = person

    def get(self, principal: str) -> Person | None:
        """Return what is known of a principal, or None."""
        return self._people.get(principal)

    def everyone(self) -> Sequence[Person]:
        """Return all, by principal id."""
        return [self._people[name] for name in sorted(self._people)]

    def erase(self, principal: str) -> bool:
        """Forget a name and contact; tell whether there was one."""
        return self._people.pop(principal, None) is not None


@dataclass(slots=True)
class MemorySnapshots:
    """Snapshots in memory. Workers are whoever acknowledged."""

    current: Snapshot | None = None
    words: dict[str, Acknowledgement] = field(default_factory=dict[str, Acknowledgement])

    def publish(self, snapshot: Snapshot) -> bool:
        """Put a snapshot in place; False when the one in place is as new or newer."""
        if snapshot.version <= self.version():
            return False
        self.current = snapshot
        return True

    def version(self) -> int:
        """Return the version in place, 0 if none."""
        return self.current.version if self.current else 0

    def read(self) -> Snapshot | None:
        """Return the snapshot in place."""
        return self.current

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Keep the newest word of a worker."""
        self.words[acknowledgement.worker] = acknowledgement

    def acknowledgements(self) -> Sequence[Acknowledgement]:
        """Return the newest word of each worker."""
        return [self.words[worker] for worker in sorted(self.words)]


class _Absent:
    """Stands where a test gave no adapter; using it says which one is missing."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        raise AttributeError(f"memory_plane was given no '{self._name}', and '{attribute}' of it was asked for")


def memory_plane(clock: FixedClock | None = None, **adapters: Any) -> Plane:
    """Build a plane whose ledger, people and snapshots live in memory; other adapters are given by name if needed."""
    time = clock or FixedClock()
    home = Home(root=Path("/nowhere"), id="memory", created_at=time.now(), clock="replay")
    every: dict[str, Any] = {
        name: _Absent(name) for name in ("artifacts", "records", "observations", "deliveries", "leases", "purses")
    }
    every |= {"ledger": MemoryLedger(time), "people": MemoryPeople(), "snapshots": MemorySnapshots()}
    return Plane(**cast("Any", {"home": home, "clock": time} | every | adapters))
