"""Outcomes over HTTP: checked one by one, refused all at once, taken into the log before the caller hears 202."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from roadworthy.domain.moment import Micros, parse_iso
from roadworthy.domain.record import Outcome
from roadworthy.domain.snapshot import ServedSystem
from roadworthy.errors import Violation
from roadworthy.serving.explain import read_json, refused

MAX_OUTCOMES: Final = 1_000
SCORER: Final = "label"
_KNOWN: Final = ("record", "entity", "event_time", "value", "scorer", "known_at", "key")
_HEX: Final = frozenset("0123456789abcdef")
_ID_LENGTH: Final = 32
_LONGEST: Final = 1000


class _Checker:
    """Reads one outcome and keeps what is wrong with it."""

    def __init__(self, given: Mapping[str, Any], at: int) -> None:
        self._given = given
        self._at = at
        self.found: list[Violation] = []
        for name in given:
            if name not in _KNOWN:
                known = ", ".join(_KNOWN)
                self.fail(str(name)[:80], "unknown", f"no field called '{str(name)[:80]}' (known: {known})")
        for name in getattr(given, "twice", ()):
            self.fail(str(name)[:80], "duplicate", f"'{str(name)[:80]}' is given twice")

    def fail(self, field: str, rule: str, message: str) -> None:
        """Note what is wrong. Values stay out: they may be anybody's."""
        self.found.append(Violation(field, rule, message, row=self._at))

    def has(self, name: str) -> bool:
        """Tell whether the caller gave a field."""
        return name in self._given

    def is_empty(self, name: str) -> bool:
        """Tell whether the caller gave a field without content."""
        return self._given.get(name) == ""

    def text(self, name: str, default: str = "") -> str:
        """Read an optional text."""
        value = self._given.get(name, default)
        if isinstance(value, str) and len(value) <= _LONGEST:
            return value
        self.fail(name, "type", f"'{name}' must be a text of at most {_LONGEST} characters")
        return default

    def time(self, name: str, default: Micros) -> Micros:
        """Read an optional ISO 8601 time."""
        if name not in self._given:
            return default
        value = self._given[name]
        try:
            return parse_iso(cast("str", value))
        except (ValueError, TypeError, OverflowError):
            self.fail(name, "type", f"'{name}' must be an ISO 8601 time")
            return default

    def value(self) -> str | int | float | bool | None:
        """Read the value: a number, a category or a text."""
        if "value" not in self._given:
            self.fail("value", "missing", "'value' is missing")
            return None
        value = self._given["value"]
        if isinstance(value, dict | list):
            self.fail("value", "type", "'value' must be a number, a text or a boolean, not nested")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self.fail("value", "finite", "'value' must be a finite number")
            return None
        if value is None:
            self.fail("value", "null", "'value' must not be null")
        if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
            self.fail("value", "range", "'value' must fit 64 bits")
            return None
        return value


def read(
    body: bytes, served: ServedSystem, now: Micros, source: str, hide: Callable[[str], str] | None = None
) -> list[Outcome]:
    """Read one outcome or a list of them.

    Args:
        body: JSON as the caller sent it.
        served: the system they belong to.
        now: when they were received; also when they became known, unless they say so.
        source: the id of the caller's key.
        hide: makes the keyed digest of an entity, where entities are classified; before anything else is made of it.

    Raises:
        Problem: 400 no JSON, 422 none, too many, or naming every violation.
    """
    given = read_json(body)
    rows: list[Any] = cast("list[Any]", given) if isinstance(given, list) else [given]
    if len(rows) > MAX_OUTCOMES:
        message = f"{len(rows)} outcomes in one request; at most {MAX_OUTCOMES}"
        raise refused([Violation("outcomes", "rows", message)])
    found: list[Violation] = [] if rows else [Violation("outcomes", "empty", "there is no outcome in the list")]
    made = [_outcome(row, at, served, now, source, found.extend, hide) for at, row in enumerate(rows)]
    if found:
        problem = refused(found)
        problem.hint = 'send {"record": id, "value": …} or {"entity": …, "event_time": …, "value": …}'
        raise problem
    return [outcome for outcome in made if outcome is not None]


def _outcome(
    row: Any,
    at: int,
    served: ServedSystem,
    now: Micros,
    source: str,
    complain: Callable[[list[Violation]], None],
    hide: Callable[[str], str] | None,
) -> Outcome | None:
    if not isinstance(row, dict):
        complain([Violation("outcomes", "type", "an outcome must be an object", row=at)])
        return None
    check = _Checker(cast("dict[str, Any]", row), at)
    record, entity = check.text("record"), check.text("entity")
    event_time = check.time("event_time", 0)
    if check.is_empty("entity"):
        check.fail("entity", "empty", "'entity' must not be empty; leave it out instead")
    entity = hide(entity) if hide and entity else entity
    if check.has("record") and not (len(record) == _ID_LENGTH and set(record) <= _HEX):
        check.fail("record", "format", "'record' must be the id that came with the answer")
    if not record and not (entity and event_time):
        check.fail("record", "missing", "name the answer by 'record', or by 'entity' and 'event_time'")
    scorer = check.text("scorer", SCORER) or SCORER
    known_at = check.time("known_at", now)
    value = check.value()
    key = check.text("key") or key_of(served.name, served.environment, scorer, record, entity, event_time, value)
    if check.found:
        complain(check.found)
        return None
    return Outcome(
        key, served.name, served.environment, scorer, value, known_at, now, record, entity, event_time, source
    )


def key_of(*content: str | float | bool | None) -> str:
    """Name an outcome by its content, so that posting the same one twice counts once."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
