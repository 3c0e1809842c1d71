"""The ledger in SQLite: decisions appended and the present projected in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from roadworthy.domain.ledger import GENESIS, Decide, Event, Fold, Head, Noun, replay, seal
from roadworthy.errors import Conflict, StoreError
from roadworthy.ports.clock import Clock
from roadworthy.ports.leases import LEADER
from roadworthy.stores.codec import from_json, to_json
from roadworthy.stores.metadata import LEASE, LEDGER, PROJECTION, Metadata

_PAGE: Final = 1_000
_INSERT_EVENT: Final = LEDGER.insert()
_UPSERT: Final = sa.text(
    "insert into projection (noun, subject, system, seq, state) values (:noun, :subject, :system, :seq, :state) "
    "on conflict (noun, subject) do update set system = excluded.system, seq = excluded.seq, state = excluded.state"
)
_NEWEST: Final = sa.text("select seq, state from projection where noun = :noun and subject = :subject")
_HAS_KEY: Final = sa.text("select 1 from ledger where key = :key and key != ''")
_HEAD: Final = sa.text("select seq, hash, at from ledger order by seq desc limit 1")


class SqlLedger:
    """The ledger of one home. Safe for threads and processes; the clock stamps the events."""

    def __init__(self, metadata: Metadata, clock: Clock, home: str) -> None:
        self._metadata = metadata
        self._clock = clock
        self._home = home

    def commit(self, decisions: Sequence[Decide], *, fence: int | None = None) -> tuple[Event, ...]:
        """Append all decisions or none; see `ports.ledger`. Durable when it returns."""
        with self._metadata.writing("ledger") as connection:
            if fence is not None:
                check_fence(connection, fence)
            head = connection.execute(_HEAD).one_or_none()
            seq, previous = (int(head.seq), str(head.hash)) if head else (0, GENESIS)
            events: list[Event] = []
            for decision in decisions:
                event = _event(connection, decision, self._clock.now(), seq + 1, previous)
                if event is not None:
                    _append(connection, event)
                    events.append(event)
                    seq, previous = event.seq, event.hash
        return tuple(events)

    def state(self, noun: Noun, subject: str) -> Mapping[str, Any] | None:
        """Return the present state of one subject, or None."""
        with self._metadata.reading() as connection:
            row = connection.execute(_NEWEST, {"noun": noun.value, "subject": subject}).one_or_none()
        return None if row is None or row.state is None else from_json(row.state)

    def states(self, noun: Noun, system: str = "") -> Mapping[str, Mapping[str, Any]]:
        """Return the present states of all subjects of a noun, by subject, oldest change first."""
        query = (
            sa.select(PROJECTION.c.subject, PROJECTION.c.state)
            .where(PROJECTION.c.noun == noun.value, PROJECTION.c.state.is_not(None))
            .order_by(PROJECTION.c.seq)
        )
        if system:
            query = query.where(PROJECTION.c.system == system)
        with self._metadata.reading() as connection:
            return {row.subject: from_json(row.state) for row in connection.execute(query)}

    def seq_of(self, noun: Noun, subject: str) -> int:
        """Return the sequence of the subject's newest event, 0 if there is none."""
        with self._metadata.reading() as connection:
            row = connection.execute(_NEWEST, {"noun": noun.value, "subject": subject}).one_or_none()
        return int(row.seq) if row else 0

    def events(self, *, after: int = 0, system: str = "", until: int | None = None) -> Iterator[Event]:
        """Return events in order, read in pages: a long ledger needs little memory and blocks no writer."""
        query = sa.select(LEDGER).order_by(LEDGER.c.seq).limit(_PAGE)
        if system:
            query = query.where(LEDGER.c.system == system)
        if until is not None:
            query = query.where(LEDGER.c.at <= until)
        while True:
            with self._metadata.reading() as connection:
                rows = connection.execute(query.where(LEDGER.c.seq > after)).mappings().all()
            yield from map(_read, rows)
            if len(rows) < _PAGE:
                return
            after = int(rows[-1]["seq"])

    def head(self) -> Head:
        """Return where the ledger ends."""
        with self._metadata.reading() as connection:
            row = connection.execute(_HEAD).one_or_none()
        if row is None:
            return Head(home=self._home, seq=0, hash=GENESIS, at=0)
        return Head(home=self._home, seq=int(row.seq), hash=str(row.hash), at=int(row.at))

    def at(self, moment: int) -> Fold:
        """Return the state as it was at a past moment."""
        return replay(self.events(until=moment))

    def projected(self) -> Fold:
        """Return the fold as the projection table holds it; must equal `replay(events())`."""
        with self._metadata.reading() as connection:
            rows = connection.execute(sa.select(PROJECTION).order_by(PROJECTION.c.seq)).all()
        states = {(row.noun, row.subject): from_json(row.state) for row in rows if row.state is not None}
        return Fold(states=states, seq=max((int(row.seq) for row in rows), default=0))

    def rebuild_projections(self) -> int:
        """Throw the projections away and fold the ledger again, in one transaction; return the entries folded."""
        count = 0
        with self._metadata.writing("ledger") as connection:
            connection.execute(PROJECTION.delete())
            for row in connection.execute(sa.select(LEDGER).order_by(LEDGER.c.seq)).mappings():
                event = _read(row)
                connection.execute(_UPSERT, _projection(event))
                count += 1
        return count


def check_fence(connection: sa.Connection, fence: int) -> None:
    """Refuse a leader of the past, within its transaction.

    Raises:
        Conflict: the lease is at another epoch.
    """
    epoch = connection.execute(sa.select(LEASE.c.epoch).where(LEASE.c.name == LEADER)).scalar()
    if epoch != fence:
        raise Conflict(
            f"this process is no longer the leader (its epoch is {fence}, the lease is at {epoch or 0})",
            hint="another control process took over; this one must stop deciding",
        )


def _event(connection: sa.Connection, decision: Decide, now: int, seq: int, previous: str) -> Event | None:
    if decision.key and connection.execute(_HAS_KEY, {"key": decision.key}).one_or_none():
        return None
    subject = {"noun": decision.noun.value, "subject": decision.subject}
    newest = connection.execute(_NEWEST, subject).one_or_none()
    newest_seq = int(newest.seq) if newest else 0
    if decision.expected is not None and decision.expected != newest_seq:
        raise Conflict(
            f"{decision.noun} {decision.subject} moved since it was read "
            f"(entry {newest_seq}, expected {decision.expected})",
            hint="read it again and retry",
        )
    event = Event(
        seq=seq,
        at=now,
        kind=decision.kind,
        system=decision.system,
        environment=decision.environment,
        noun=decision.noun.value,
        subject=decision.subject,
        actor=decision.actor.principal,
        assurance=decision.actor.assurance.value,
        reason=decision.reason,
        before=None if newest is None or newest.state is None else from_json(newest.state),
        # What is hashed is what JSON gives back, so that a reader years later hashes the same.
        after=None if decision.after is None else from_json(to_json(decision.after)),
        key=decision.key,
        previous=previous,
    )
    return replace(event, hash=seal(event))


def _append(connection: sa.Connection, event: Event) -> None:
    connection.execute(
        _INSERT_EVENT,
        {
            "seq": event.seq,
            "at": event.at,
            "kind": event.kind,
            "system": event.system,
            "environment": event.environment,
            "noun": event.noun,
            "subject": event.subject,
            "actor": event.actor,
            "assurance": event.assurance,
            "reason": event.reason,
            "before": _text(event.before),
            "after": _text(event.after),
            "key": event.key,
            "previous": event.previous,
            "hash": event.hash,
            "version": event.version,
        },
    )
    connection.execute(_UPSERT, _projection(event))


def _projection(event: Event) -> dict[str, Any]:
    return {
        "noun": event.noun,
        "subject": event.subject,
        "system": event.system,
        "seq": event.seq,
        "state": _text(event.after),
    }


def _text(document: Mapping[str, Any] | None) -> str | None:
    return None if document is None else to_json(document).decode()


def _read(row: sa.RowMapping) -> Event:
    fields: dict[str, Any] = {str(name): value for name, value in row.items()}
    try:
        for name in ("before", "after"):
            fields[name] = None if fields[name] is None else from_json(fields[name])
    except ValueError as problem:
        raise StoreError(
            f"entry {fields['seq']} of the ledger cannot be read: its document is no JSON",
            hint="it was edited; run: roadworthy ledger verify",
        ) from problem
    return Event(**fields)
