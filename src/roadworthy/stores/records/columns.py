"""Records and outcomes as columns: the one schema of Parquet files, tail tables and views.

Payloads (`inputs`, `outputs`, `violations`, `ages_ms`, `steps`) are JSON text, one array a cell, in the order of the
interface whose digest is in `interface`: exact for every value an interface allows, the same columns for every
release, so that any set of files reads as one table, and a field is `inputs->>3` or, typed,
`cast(inputs->>3 as double)`. Typed columns per interface would need one set of files per interface digest; they can be
added beside these without rewriting. A number that is not finite becomes null, as JSON has none.

`day` and `hour` (start of the hour, µs) are those of the record's id, for an outcome those of the record it is about,
so that one record and all its outcomes are found by opening one hour. `segment` and `place` say which frame a row was.
`subject_bucket` is what erasure will rewrite by; -1 without a subject.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias
from zlib import crc32

import msgspec
import numpy as np

from roadworthy.domain.moment import HOUR, Micros, iso
from roadworthy.domain.record import Outcome, Record, StepTaken, Value
from roadworthy.stores.records.ids import hour_of

SUBJECT_BUCKETS: Final = 64
RECORDS: Final = "records"
OUTCOMES: Final = "outcomes"


class Row(NamedTuple):
    """A decoded frame and where it was."""

    noun: Any
    hour: Micros
    segment: str
    place: int


class Column(NamedTuple):
    """One column: its name, its SQL type, and whether a value is written into it as JSON text."""

    name: str
    sql_type: str
    as_json: bool = False


def subject_bucket(subject: str) -> int:
    """Return the bucket a subject's rows are in; -1 without a subject."""
    return crc32(subject.encode()) % SUBJECT_BUCKETS if subject else -1


def record_hour(record: Record) -> Micros:
    """Return the hour a record is kept in."""
    return hour_of(record.id)


def outcome_hour(outcome: Outcome) -> Micros:
    """Return the hour an outcome is kept in: that of its record, else of its event."""
    if outcome.record:
        return hour_of(outcome.record)
    moment = outcome.event_time or outcome.received_at
    return moment - moment % HOUR


def day_of(hour: Micros) -> str:
    """Return the day of an hour as `yyyy-mm-dd`."""
    return iso(hour)[:10]


def number_of(value: Value) -> float | None:
    """Return a value as a number where it is one; true is 1."""
    if isinstance(value, bool | int | float):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None


_JSON: Final = msgspec.json.Encoder()


def _text(value: object) -> str:
    return "[]" if value == () else _JSON.encode(value).decode()


def _own_columns(fields: Sequence[str], numbers: Sequence[str], json_fields: Sequence[str]) -> list[Column]:
    return [Column(name, "bigint" if name in numbers else "varchar", name in json_fields) for name in fields]


_KEPT_PLACE: Final = [
    *(Column("day", "varchar"), Column("hour", "bigint")),
    *(Column("segment", "varchar"), Column("place", "bigint")),
]
_RECORD_NUMBERS: Final = (
    *("route_version", "answered_at", "event_time", "latency_us"),
    *("status", "flags", "cost_micros"),
)
_RECORD_JSON: Final = ("inputs", "outputs", "violations", "ages_ms", "steps")
_OWN: Final[dict[str, list[Column]]] = {
    RECORDS: _own_columns(Record._fields, _RECORD_NUMBERS, _RECORD_JSON),
    OUTCOMES: _own_columns(Outcome._fields, ("known_at", "received_at", "event_time"), ("value",)),
}
COLUMNS: Final[dict[str, list[Column]]] = {
    RECORDS: [*_OWN[RECORDS], Column("subject_bucket", "bigint"), *_KEPT_PLACE],
    OUTCOMES: [*_OWN[OUTCOMES], Column("number", "double"), *_KEPT_PLACE],
}
TIME_COLUMN: Final = {RECORDS: "answered_at", OUTCOMES: "known_at"}
ORDER: Final = {RECORDS: "id", OUTCOMES: "record, entity, event_time, known_at"}
RECORD_FIELDS: Final = ", ".join(f'"{name}"' for name in Record._fields)
OUTCOME_FIELDS: Final = ", ".join(f'"{name}"' for name in Outcome._fields)


def create_table(kind: str, name: str) -> str:
    """Return the statement that creates an empty table of a kind."""
    columns = ", ".join(f'"{column.name}" {column.sql_type}' for column in COLUMNS[kind])
    return f'create table "{name}" ({columns})'


_DTYPES: Final[dict[str, Any]] = {"varchar": object, "bigint": np.int64, "double": np.float64}


def arrays(kind: str, rows: Sequence[Row]) -> dict[str, np.ndarray[Any, Any]]:
    """Return rows as one NumPy array a column, which DuckDB reads directly."""
    nouns = [row.noun for row in rows]
    own = zip(_OWN[kind], zip(*nouns, strict=True), strict=True)
    cells: dict[str, Sequence[Any]] = {
        column.name: list(map(_text, values)) if column.as_json else values for column, values in own
    }
    if kind == RECORDS:
        cells["subject_bucket"] = list(map(subject_bucket, cells["subject"]))
    else:
        cells["number"] = [number_of(noun.value) for noun in nouns]
    cells["hour"] = [row.hour for row in rows]
    days = {hour: day_of(hour) for hour in set(cells["hour"])}
    cells["day"] = [days[hour] for hour in cells["hour"]]
    cells["segment"] = [row.segment for row in rows]
    cells["place"] = [row.place for row in rows]
    return {column.name: np.array(cells[column.name], dtype=_DTYPES[column.sql_type]) for column in COLUMNS[kind]}


_Scalar: TypeAlias = str | int | float | bool | None
_VALUES: Final = msgspec.json.Decoder(tuple[_Scalar, ...])
_VALUE: Final = msgspec.json.Decoder(_Scalar)
_VIOLATIONS: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_AGES: Final = msgspec.json.Decoder(tuple[int | None, ...])
_STEPS: Final = msgspec.json.Decoder(tuple[StepTaken, ...])


def record_from(row: Sequence[Any]) -> Record:
    """Turn the values of `RECORD_FIELDS` back into the record."""
    record = Record._make(row)
    return record._replace(
        inputs=_VALUES.decode(record.inputs),  # pyright: ignore[reportArgumentType]  # still text here
        outputs=_VALUES.decode(record.outputs),  # pyright: ignore[reportArgumentType]
        violations=_VIOLATIONS.decode(record.violations),  # pyright: ignore[reportArgumentType]
        ages_ms=_AGES.decode(record.ages_ms),  # pyright: ignore[reportArgumentType]
        steps=_STEPS.decode(record.steps),  # pyright: ignore[reportArgumentType]
    )


def outcome_from(row: Sequence[Any]) -> Outcome:
    """Turn the values of `OUTCOME_FIELDS` back into the outcome."""
    outcome = Outcome._make(row)
    return outcome._replace(value=_VALUE.decode(outcome.value))  # pyright: ignore[reportArgumentType]
