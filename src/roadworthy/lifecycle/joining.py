"""Join outcomes to the answers they belong to, however late they come."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from roadworthy.domain.interface import Interface, Task, label_of
from roadworthy.domain.moment import Micros
from roadworthy.domain.record import Flag, Outcome, Record, Value
from roadworthy.ports.records import Records
from roadworthy.stats.decision_loss import label_loss, value_loss

REMEMBERED = 200_000
MOST_WAITING = 20_000


class Joined(NamedTuple):
    """An outcome with the record it belongs to, that record's shadow answers, and the outcome it replaces."""

    outcome: Outcome
    record: Record
    shadows: tuple[Record, ...] = ()
    replaces: Outcome | None = None


class Joiner:
    """Remembers the newest answers; looks older ones up in the log, an hour's file at a time.

    An outcome whose answer is not known yet waits (its frame may come from another worker a moment later).
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._recent: OrderedDict[str, Record] = OrderedDict()
        self._shadows: defaultdict[str, dict[str, Record]] = defaultdict(dict)
        self._by_entity: dict[tuple[str, str, str, Micros], str] = {}
        self._newest: OrderedDict[tuple[str, str], Outcome] = OrderedDict()
        self._waiting: list[Outcome] = []
        self._looked_up: set[str] = set()

    def remember(self, records: Iterable[Record]) -> None:
        """Keep answers so that their outcomes join without a look-up."""
        for record in records:
            if record.flags & Flag.SHADOW:
                self._shadows[record.shadow_of][record.id] = record
                continue
            self._recent[record.id] = record
            for place in _places(record):
                self._by_entity[place] = record.id
        while len(self._recent) > REMEMBERED:
            name, old = self._recent.popitem(last=False)
            self._shadows.pop(name, None)
            self._looked_up.discard(name)
            for place in _places(old):
                self._by_entity.pop(place, None)

    def join(self, outcomes: Sequence[Outcome]) -> list[Joined]:
        """Return the outcomes that join now; repeats of a key are dropped, corrections name what they replace."""
        due = [*self._waiting, *outcomes]
        self._waiting = []
        self._look_up(due)
        joined: list[Joined] = []
        for outcome in due:
            record = self._recent.get(self._record_id(outcome))
            if record is None:
                self._waiting.append(outcome)
                continue
            fresh, replaced = self._supersedes(outcome, record)
            if fresh:
                joined.append(Joined(outcome, record, tuple(self._shadows.get(record.id, {}).values()), replaced))
        self._waiting = self._waiting[-MOST_WAITING:]
        return joined

    def _record_id(self, outcome: Outcome) -> str:
        if outcome.record:
            return outcome.record
        place = (outcome.system, outcome.environment, outcome.entity, outcome.event_time)
        return self._by_entity.get(place, "")

    def _look_up(self, outcomes: Sequence[Outcome]) -> None:
        unknown = {one.record for one in outcomes if one.record and one.record not in self._recent}
        found = list(self._records.find_many(sorted(unknown)).values()) if unknown else []
        for outcome in outcomes:
            if outcome.entity and not outcome.record and not self._record_id(outcome):
                found.extend(self._of_entity(outcome))
        self._looked_up.update(record.id for record in found)
        self.remember(found)

    def _of_entity(self, outcome: Outcome) -> list[Record]:
        found = self._records.query(
            "select id from records where system = ? and environment = ? and ? in (entity, subject) and event_time = ?"
            " order by answered_at desc limit 1",
            (outcome.system, outcome.environment, outcome.entity, outcome.event_time),
        )
        return list(self._records.find_many([str(row["id"]) for row in found]).values())

    def _supersedes(self, outcome: Outcome, record: Record) -> tuple[bool, Outcome | None]:
        """Say whether an outcome counts, and which earlier one of the same scorer it takes the place of."""
        place = (record.id, outcome.scorer)
        known = self._newest.get(place)
        if known is None and record.id in self._looked_up:
            known = self._earlier(outcome, record)
        if known is not None and (known.key == outcome.key or known.known_at > outcome.known_at):
            return False, None
        self._newest[place] = outcome
        if len(self._newest) > REMEMBERED:
            self._newest.popitem(last=False)
        return True, known

    def _earlier(self, outcome: Outcome, record: Record) -> Outcome | None:
        known = [
            one
            for one in self._records.outcomes_of(record.id)
            if one.scorer == outcome.scorer and one.received_at < outcome.received_at
        ]
        return max(known, key=lambda one: one.known_at, default=None)


def _places(record: Record) -> list[tuple[str, str, str, Micros]]:
    """Name what an outcome may join an answer by: its entity, or where that is classified, its keyed digest."""
    names = {record.entity, record.subject} - {""}
    return [(record.system, record.environment, name, record.event_time) for name in names]


def decision_loss(interface: Interface, outputs: Sequence[Value], truth: Value, scale: float) -> float | None:
    """Return the loss in [0, 1] of one answer, or None when it cannot be judged (no answer, or an unknown label).

    The truth about a text is a score from 0 (bad) to 1 (good), also where the text itself was not kept; feedback of -1
    counts as 0.
    """
    if interface.task is Task.TEXT:
        return text_loss(truth)
    if not outputs:
        return None
    if interface.task is Task.REGRESSION:
        answer = outputs[0]
        if isinstance(truth, str | None) or isinstance(answer, str | None):
            return None
        return float(value_loss([truth], [answer], scale)[0])
    actual = label_of(interface, truth)
    if actual is None:
        return None
    answered = outputs[1] if interface.task is Task.BINARY else outputs[0]
    return float(label_loss([actual], [str(answered)])[0])


def text_loss(score: Value) -> float | None:
    """Return 1 - score, or None for what is no score between -1 and 1."""
    if isinstance(score, str | None) or not -1 <= score <= 1:
        return None
    return 1.0 - max(0.0, float(score))
