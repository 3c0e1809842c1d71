"""An interface compiled once per release: JSON bytes in, rows out; every violation named when there is one.

The fast path decodes into a msgspec Struct whose types carry the rules. Whatever it refuses goes to `explain.py`, which
reads the body again, slowly, and names every violation at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
import numpy as np

from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface
from roadworthy.domain.moment import Micros, parse_iso
from roadworthy.domain.record import Value
from roadworthy.domain.system import OnViolation
from roadworthy.errors import Violation
from roadworthy.runtimes.columns import NO_TIME
from roadworthy.serving.explain import Explainer

Row: TypeAlias = tuple[Value, ...]
"""One value a field, in the order of `interface.inputs`; timestamps are µs, missing values None."""

MAX_ROWS: Final = 10_000
_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**63 - 1
_MINUTE_MS: Final = 60_000
_as_row = msgspec.structs.astuple
_DTYPES: Final[Mapping[FieldType, Any]] = {
    FieldType.NUMBER: np.float64,
    FieldType.INTEGER: np.int64,
    FieldType.STRING: object,
    FieldType.BOOLEAN: np.bool_,
    FieldType.TIMESTAMP: None,
}


@dataclass(slots=True)
class Call:
    """The rows of one request: `single` tells how to shape the answer; violations only under default and flag."""

    rows: list[Row]
    single: bool
    violations: tuple[Violation, ...] = ()


class Compiled:
    """One interface made ready: decode requests, build columns, pick entity, event time and feature ages."""

    def __init__(self, interface: Interface, on_violation: OnViolation = OnViolation.REJECT) -> None:
        self.interface = interface
        self.fields = interface.inputs
        self.names = tuple(field.name for field in self.fields)
        self._decode = msgspec.json.Decoder(_envelope(self.fields)).decode
        self._explain = Explainer(interface, on_violation)
        self._timestamps = tuple(i for i, f in enumerate(self.fields) if f.type is FieldType.TIMESTAMP)
        self._times_checked = any(
            f.minimum is not None or f.maximum is not None for f in self.fields if f.type is FieldType.TIMESTAMP
        )
        self._texts = tuple(i for i, f in enumerate(self.fields) if f.type in (FieldType.STRING, FieldType.TIMESTAMP))
        self._optional = tuple(i for i, f in enumerate(self.fields) if not f.required)
        self._defaults = tuple(f.default for f in self.fields)
        self._columns = tuple((i, f.name, _DTYPES[f.type]) for i, f in enumerate(self.fields) if _is_feature(f))
        self.entity_at = _position(self.fields, FieldRole.ENTITY)
        self.entity_is_classified = self.entity_at is not None and self.fields[self.entity_at].is_classified
        self.event_time_at = _position(self.fields, FieldRole.EVENT_TIME)
        self._ages = tuple(i for i, f in enumerate(self.fields) if f.role is FieldRole.AGE)
        self._hidden = frozenset(i for i, f in enumerate(self.fields) if f.is_classified)

    def decode(self, body: bytes) -> Call:
        """Read a request's body.

        Raises:
            Problem: 400 when it is no JSON, 422 naming every violation of the interface.
        """
        try:
            given = self._decode(body).inputs
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self.slowly(body)
        single = given.__class__ is not list
        rows: list[Row] = [_as_row(given)] if single else [_as_row(row) for row in given]
        absent = 0
        if self._optional:
            absent, rows = self._filled(rows)
        if body.count(b":") != self._colons(rows) - absent or not 0 < len(rows) <= MAX_ROWS:
            return self.slowly(body)
        if self._timestamps:
            timed = self._with_times(rows)
            if timed is None:
                return self.slowly(body)
            rows = timed
        return Call(rows, single)

    def slowly(self, body: bytes) -> Call:
        """Read a body that the fast path refused, and say all that is wrong with it."""
        rows, single, violations = self._explain.body(body, MAX_ROWS)
        return Call(rows, single, violations)

    def accept(self, rows: Sequence[Mapping[str, Any]], *, single: bool = False) -> Call:
        """Check rows that came in another shape (V2 tensors); same rules, same errors."""
        checked, violations = self._explain.rows(rows)
        return Call(checked, single, violations)

    def _colons(self, rows: list[Row]) -> int:
        """Count the colons a body without duplicate keys has: msgspec keeps the last of two equal keys in silence."""
        count = 1 + len(self.fields) * len(rows)
        for at in self._texts:
            for row in rows:
                text = row[at]
                if isinstance(text, str):
                    count += text.count(":")
        return count

    def _filled(self, rows: list[Row]) -> tuple[int, list[Row]]:
        """Put defaults where optional fields are absent; return how many were."""
        absent, filled = 0, list[Row]()
        for row in rows:
            values: list[Any] = list(row)
            for at in self._optional:
                if values[at] is msgspec.UNSET:
                    values[at] = self._defaults[at]
                    absent += 1
            filled.append(tuple(values))
        return absent, filled

    def _with_times(self, rows: list[Row]) -> list[Row] | None:
        try:
            timed = [self._timed(row) for row in rows]
        except (ValueError, OverflowError):
            return None
        return None if self._times_checked else timed

    def _timed(self, row: Row) -> Row:
        values = list(row)
        for at in self._timestamps:
            text = values[at]
            if text is not None:
                values[at] = parse_iso(text)  # pyright: ignore[reportArgumentType]
        return tuple(values)

    def columns(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Turn rows into the arrays that `Predictor.predict` takes (ports/runtime.py says their types)."""
        across = tuple(zip(*rows, strict=True))
        return {
            name: _instants(across[at]) if dtype is None else _column(across[at], dtype)
            for at, name, dtype in self._columns
        }

    def entity(self, row: Row) -> str:
        """Name whom or what the row is about, or nothing."""
        at = self.entity_at
        value = None if at is None else row[at]
        return "" if value is None else str(value)

    def event_time(self, row: Row, answered_at: Micros) -> Micros:
        """Return when the thing happened: the declared input, else when it was answered."""
        at = self.event_time_at
        value = None if at is None else row[at]
        return value if value.__class__ is int else answered_at  # pyright: ignore[reportReturnType]

    def ages_ms(self, row: Row) -> tuple[int | None, ...]:
        """Return the feature ages in milliseconds, in the order of the fields with role `age` (minutes on the wire)."""
        if not self._ages:
            return ()
        return tuple(
            None if (age := row[at]) is None else int(age * _MINUTE_MS)  # pyright: ignore[reportOperatorIssue]
            for at in self._ages
        )

    def kept(self, row: Row) -> Row:
        """Return what may be recorded of a row: values of classified fields stay in the request."""
        if not self._hidden:
            return row
        return tuple(None if at in self._hidden else value for at, value in enumerate(row))


def _is_feature(field: Field) -> bool:
    return field.role is FieldRole.FEATURE


def _position(fields: Sequence[Field], role: FieldRole) -> int | None:
    return next((at for at, field in enumerate(fields) if field.role is role), None)


def _column(values: tuple[Value, ...], dtype: Any) -> Any:
    if dtype is object:
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    if dtype is not np.float64 and None in values:
        return np.array(values, dtype=object if dtype is np.bool_ else np.float64)
    return np.array(values, dtype=dtype)


def _instants(values: tuple[Value, ...]) -> Any:
    return np.array([NO_TIME if value is None else value for value in values], dtype=np.int64)


def _wire_type(field: Field) -> Any:
    kind: Any = _BUILDERS[field.type](field)
    return kind | None if field.nullable else kind


def _number(field: Field) -> Any:
    return Annotated[float, msgspec.Meta(ge=field.minimum, le=field.maximum)]


def _integer(field: Field) -> Any:
    """Bounds are whole numbers here: the smallest allowed integer is the ceiling of a broken minimum."""
    low = _SMALLEST if field.minimum is None else max(int(np.ceil(field.minimum)), _SMALLEST)
    high = _LARGEST if field.maximum is None else min(int(np.floor(field.maximum)), _LARGEST)
    return Annotated[int, msgspec.Meta(ge=low, le=high)]


_BUILDERS: Final[Mapping[FieldType, Callable[[Field], Any]]] = {
    FieldType.NUMBER: _number,
    FieldType.INTEGER: _integer,
    FieldType.STRING: lambda field: Literal[field.categories] if field.categories else str,
    FieldType.BOOLEAN: lambda _field: bool,
    FieldType.TIMESTAMP: lambda _field: str,
}


def _envelope(fields: Sequence[Field]) -> Any:
    """Build the Struct of a request. An absent optional field is UNSET, so that it is told from a null."""
    spec: list[Any] = []
    for at, field in enumerate(fields):
        kind = _wire_type(field)
        if field.required:
            spec.append((f"f{at}", kind, msgspec.field(name=field.name)))
        else:
            spec.append((f"f{at}", kind | msgspec.UnsetType, msgspec.field(name=field.name, default=msgspec.UNSET)))
    row = msgspec.defstruct("Row", spec, forbid_unknown_fields=True, kw_only=True, gc=False)
    return msgspec.defstruct("Request", [("inputs", row | list[row])], forbid_unknown_fields=True)
