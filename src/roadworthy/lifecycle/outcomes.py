"""Accept outcomes from a file: read, check every row, then append all to the record log or none.

A row names its answer by `record`, or by `entity` and `event_time`; it has a `value` and may have `scorer`, `known_at`
and `key`. Without a key a row is named by what it says, as over HTTP, so that a file may be sent twice, or after a
part of it was already posted.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final, cast

from roadworthy.domain.moment import Micros, micros, parse_iso
from roadworthy.domain.principal import Actor
from roadworthy.domain.record import Outcome, Value, outcome_key
from roadworthy.errors import InputError, StoreError, Violation
from roadworthy.lifecycle import present
from roadworthy.ports.plane import Plane
from roadworthy.ports.records import RecordLog
from roadworthy.stores.records import open_log

COLUMNS: Final = ("record", "entity", "event_time", "value", "scorer", "known_at", "key")
WRITER: Final = "outcomes"
_SEGMENT_BYTES: Final = 1 << 20
_WAIT_S: Final = 30.0
_LONGEST: Final = 1_000
_SHOWN: Final = 20
_ID: Final = re.compile(r"[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_TRUTH: Final[Mapping[str, bool]] = {"true": True, "True": True, "false": False, "False": False}
_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
_JSON_LINES: Final = (".jsonl", ".ndjson", ".json")
_PARQUET: Final = (".parquet", ".pq")
_HINT: Final = f"columns: record, or entity and event_time; value; optional {', '.join(COLUMNS[4:])}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """How many outcomes were taken into the log."""

    accepted: int


class _Wrong(Exception):  # a finding, turned into one Violation
    """One row breaks one rule."""

    def __init__(self, field: str, rule: str, message: str) -> None:
        super().__init__(message)
        self.field, self.rule, self.message = field, rule, message


def accept_file(
    plane: Plane, path: Path, system: str, *, environment: str = "live", scorer: str = "label", actor: Actor
) -> Accepted:
    """Take every outcome of a CSV, TSV, JSON lines or Parquet file into the record log.

    Args:
        plane: the home.
        path: the file.
        system: the system that gave the answers.
        environment: where it gave them.
        scorer: what the values are, for rows that do not say.
        actor: who sends them; kept as their source.

    Raises:
        NotFoundError: no such system.
        InputError: the file cannot be read or rows are wrong; nothing was accepted and every finding is listed.
        StoreError: the disk is full; the message says how many were accepted. Sending the file again is harmless.
    """
    present.policy(plane, system)
    outcomes = read_outcomes(path, system, environment, scorer, now=plane.clock.now(), source=actor.principal)
    log = open_log(plane.home.records, WRITER, segment_bytes=_SEGMENT_BYTES, wait_s=_WAIT_S)
    try:
        return Accepted(accepted=append(log, outcomes))
    finally:
        log.close()


def append(log: RecordLog, outcomes: Iterable[Outcome]) -> int:
    """Append outcomes to a log and return how many.

    Raises:
        StoreError: one could not be kept; those before it were.
    """
    accepted = 0
    for outcome in outcomes:
        if not log.outcome(outcome):
            raise StoreError(
                f"the disk is full: {accepted} outcomes were accepted, the rest were not",
                hint="free some space and send the file again; what was accepted counts once",
            )
        accepted += 1
    return accepted


def read_outcomes(
    path: Path, system: str, environment: str, scorer: str, *, now: Micros, source: str = ""
) -> list[Outcome]:
    """Read and check a file of outcomes.

    Raises:
        InputError: the file cannot be read, or rows are wrong: all findings at once, with their row numbers.
    """
    outcomes: list[Outcome] = []
    found: list[Violation] = []
    for number, row in _rows(path):
        try:
            outcomes.append(_outcome(row, system, environment, scorer, now, source))
        except _Wrong as wrong:
            found.append(Violation(wrong.field, wrong.rule, wrong.message, row=number))
    if found:
        lines = [f"  row {one.row}: {one.message}" for one in found[:_SHOWN]]
        more = [f"  … and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        message = f"{path.name} has {len(found)} wrong rows; nothing was accepted:\n" + "\n".join(lines + more)
        raise InputError(message, found, hint=_HINT)
    if not outcomes:
        raise InputError(f"{path.name} holds no outcomes", hint=_HINT)
    return outcomes


def _outcome(row: Mapping[str, Any], system: str, environment: str, scorer: str, now: Micros, source: str) -> Outcome:
    record, entity = _text(row, "record"), _text(row, "entity")
    event_time = _time(row, "event_time", 0)
    if record and not _ID.fullmatch(record):
        raise _Wrong("record", "format", "'record' must be the id that came with the answer")
    if not record and not (entity and event_time):
        raise _Wrong("record", "missing", "name the answer by 'record', or by 'entity' and 'event_time'")
    value = _value(row.get("value"))
    scored = _text(row, "scorer") or scorer
    key = _text(row, "key") or outcome_key(system, environment, scored, record, entity, event_time, value)
    known_at = _time(row, "known_at", now)
    return Outcome(key, system, environment, scored, value, known_at, now, record, entity, event_time, source)


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise _Wrong(name, "type", f"'{name}' must be a text of at most {_LONGEST} characters")
    return text.strip()


def _time(row: Mapping[str, Any], name: str, default: Micros) -> Micros:
    value = row.get(name)
    if value is None or value == "":
        return default
    try:
        if isinstance(value, datetime):
            return micros(value)
        if isinstance(value, date):
            return micros(datetime.combine(value, time()))
        return parse_iso(cast("str", value))
    except (ValueError, TypeError, OverflowError):
        raise _Wrong(name, "type", f"'{name}' must be an ISO 8601 time") from None


def _value(value: object) -> Value:
    if value is None or value == "":
        raise _Wrong("value", "missing", "'value' is missing")
    if isinstance(value, float) and not math.isfinite(value):
        raise _Wrong("value", "finite", "'value' must be a finite number")
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        raise _Wrong("value", "range", "'value' must fit 64 bits")
    if isinstance(value, str) and len(value) > _LONGEST:
        raise _Wrong("value", "type", f"'value' must have at most {_LONGEST} characters")
    if not isinstance(value, str | int | float | bool):
        raise _Wrong("value", "type", "'value' must be a number, a text or a boolean")
    return value


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    ending = path.suffix.lower()
    if ending not in (*_DELIMITERS, *_JSON_LINES, *_PARQUET):
        raise InputError(f"{path.name} is no outcomes file: its name ends with none of .csv .tsv .jsonl .parquet")
    try:
        if ending in _DELIMITERS:
            yield from _csv_rows(path, _DELIMITERS[ending])
        elif ending in _JSON_LINES:
            yield from _json_rows(path)
        else:
            yield from _parquet_rows(path)
    except OSError as problem:
        raise InputError(f"{path.name} cannot be read: {problem.strerror}", hint="check the path") from problem
    except UnicodeDecodeError as problem:
        raise InputError(f"{path.name} is not UTF-8 text (byte {problem.start})") from problem


def _check_names(path: Path, names: Iterable[object]) -> None:
    unknown = [str(name) for name in names if name not in COLUMNS]
    if unknown:
        raise InputError(f"{path.name} has columns that mean nothing here: {', '.join(unknown)[:200]}", hint=_HINT)


def _csv_rows(path: Path, delimiter: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.DictReader(file, delimiter=delimiter, strict=True, restkey="(too many cells)")
            _check_names(path, reader.fieldnames or ())
            for row in reader:
                _check_names(path, row)
                yield reader.line_num, {**row, "value": _typed(row.get("value"))}
        except csv.Error as problem:
            raise InputError(f"{path.name} is not CSV: {problem}") from problem


def _typed(text: str | None) -> Value:
    """Read a cell as JSON would: numbers and truth values are themselves, `007` and everything else is text."""
    if text is None or text in _TRUTH:
        return None if text is None else _TRUTH[text]
    whole = _NUMBER.fullmatch(text)
    if whole is None:
        return text
    return float(text) if whole[2] or whole[3] else int(text)


def _json_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row: object = json.loads(line)
            except (ValueError, RecursionError) as problem:
                raise InputError(f"{path.name}, line {number}: this is not JSON", hint="one object a line") from problem
            if not isinstance(row, dict):
                raise InputError(f"{path.name}, line {number}: an outcome is an object", hint="one object a line")
            fields = cast("dict[str, Any]", row)
            _check_names(path, fields)
            yield number, fields


def _parquet_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    # Reading CSV must not load DuckDB.
    import duckdb

    if not path.is_file():
        raise FileNotFoundError(2, "there is no such file", str(path))
    config: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    with duckdb.connect(":memory:", config=config) as session:
        session.execute("set timezone = 'UTC'")
        try:
            answer = session.execute("select * from read_parquet(?, hive_partitioning = false)", [str(path)])
            names = [str(column[0]) for column in answer.description or ()]
            _check_names(path, names)
            number = 0
            while rows := answer.fetchmany(10_000):
                for row in rows:
                    number += 1
                    yield number, dict(zip(names, row, strict=True))
        except duckdb.Error as problem:
            why = str(problem).partition("\n")[0]
            raise InputError(f"{path.name} is not a Parquet file that can be read: {why}") from problem
