"""Say everything that is wrong with a request: each field, value and rule, all rows at once.

Reads with the standard library's parser, which shows duplicate keys, NaN literals and numbers out of range with their
place. Slow on purpose; only requests that the compiled decoder refused come here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, NoReturn, cast

from roadworthy.domain.interface import Field, FieldType, Interface, violation
from roadworthy.domain.moment import parse_iso
from roadworthy.domain.record import Value
from roadworthy.domain.system import OnViolation
from roadworthy.errors import Violation
from roadworthy.serving.problem import Problem

MAX_SHOWN: Final = 100
_ABSENT: Final = object()
_SHAPE: Final = 'send {"inputs": {field: value, …}} or {"inputs": [{…}, …]}'
_INT64_END: Final = 2**63


class _Pairs(dict[str, Any]):
    """An object as it was sent, with the names it had twice."""

    __slots__ = ("twice",)
    twice: tuple[str, ...]


def _object(pairs: list[tuple[str, Any]]) -> _Pairs:
    made = _Pairs(pairs)
    made.twice = () if len(made) == len(pairs) else _repeated([name for name, _ in pairs])
    return made


def _repeated(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if names.count(name) > 1))


def read_json(body: bytes) -> Any:
    """Read JSON with a sentence for what is wrong with it.

    Raises:
        Problem: 400.
    """
    if not body:
        raise bad_json("the body is empty", _SHAPE)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_json(f"the body is not UTF-8 (byte {error.start})", "encode the body as UTF-8") from None
    try:
        read = json.loads(text, object_pairs_hook=_object)
        text.encode("utf-8", "strict")
        json.dumps(read, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise bad_json("the body is nested too deeply", _SHAPE) from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise bad_json(f"the body is not JSON: {error.msg} ({place})", _SHAPE) from None
    except UnicodeEncodeError:
        raise bad_json("the body holds half a surrogate pair", "encode the body as UTF-8") from None
    except ValueError:
        raise bad_json("the body holds a number with too many digits", _SHAPE) from None
    return read


def bad_json(message: str, hint: str) -> Problem:
    """Say that a body is no JSON."""
    return Problem(400, "RW200", message, hint=hint)


class Explainer:
    """Reads the bodies that the compiled decoder refused, under one interface and one policy for violations."""

    def __init__(self, interface: Interface, on_violation: OnViolation) -> None:
        self._fields = interface.inputs
        self._by_name = {field.name: field for field in self._fields}
        self._policy = on_violation

    def body(self, body: bytes, max_rows: int) -> tuple[list[tuple[Value, ...]], bool, tuple[Violation, ...]]:
        """Return rows, whether there was a single one, and the violations that the policy let through.

        Raises:
            Problem: 400 no JSON, 422 no rows, too many, or violations under the policy `reject`.
        """
        given, single = _inputs_of(read_json(body))
        if len(given) > max_rows:
            _refuse("inputs", "rows", f"'inputs' holds {len(given)} rows; at most {max_rows} go in one request")
        if not given:
            _refuse("inputs", "empty", "'inputs' holds no rows")
        rows, violations = self.rows(given)
        return rows, single, violations

    def rows(self, given: Sequence[Any]) -> tuple[list[tuple[Value, ...]], tuple[Violation, ...]]:
        """Check rows of field → value.

        Raises:
            Problem: 422 under the policy `reject`, or where the policy has no value to go on with.
        """
        found: list[Violation] = []
        fatal = False
        rows: list[tuple[Value, ...]] = []
        for at, row in enumerate(given):
            if not isinstance(row, Mapping):
                found.append(Violation("inputs", "type", "each row must be an object of field: value", row=at))
                fatal = True
                continue
            values, broken, stuck = self._row(cast("Mapping[str, Any]", row), at)
            found += broken
            fatal = fatal or stuck
            rows.append(values)
        if found and (fatal or self._policy is OnViolation.REJECT):
            raise refused(found)
        return rows, tuple(found)

    def _row(self, row: Mapping[str, Any], at: int) -> tuple[tuple[Value, ...], list[Violation], bool]:
        found = self._strangers(row, at)
        stuck = False
        values: list[Value] = []
        for field in self._fields:
            value, broken = _checked(field, row.get(field.name, _ABSENT), at)
            if broken is not None:
                found.append(broken)
                value, usable = self._instead(field, value)
                stuck = stuck or not usable
            values.append(value)
        return tuple(values), found, stuck

    def _strangers(self, row: Mapping[str, Any], at: int) -> list[Violation]:
        found: list[Violation] = []
        for name in row:
            if name not in self._by_name:
                near = get_close_matches(name, list(self._by_name), n=1)
                guess = f"; did you mean '{near[0]}'?" if near else f" (known: {', '.join(list(self._by_name)[:12])})"
                found.append(Violation(name[:80], "unknown", f"no field called '{name[:80]}'{guess}", row=at))
        twice: tuple[str, ...] = getattr(row, "twice", ())
        found += [Violation(name[:80], "duplicate", f"'{name[:80]}' is given twice", row=at) for name in twice]
        return found

    def _instead(self, field: Field, value: Value) -> tuple[Value, bool]:
        """Return the value to go on with, and whether there is one: the default, the value itself, or a missing one."""
        if self._policy is OnViolation.DEFAULT:
            usable = field.default is not None or field.nullable
            return _inside(field, field.default), usable
        return (value if _representable(field, value) else None), True


def _checked(field: Field, raw: Any, at: int) -> tuple[Value, Violation | None]:
    if raw is not _ABSENT:
        return _judged(field, raw, at)
    if not field.required:
        return _inside(field, field.default), None
    return None, Violation(field.name, "missing", f"'{field.name}' is missing", row=at)


def _judged(field: Field, raw: Any, at: int) -> tuple[Value, Violation | None]:
    if isinstance(raw, dict | list):
        return None, _broken(field, "type", f"'{field.name}' must be a {field.type}, not nested", None, at)
    value = _inside(field, raw)
    if field.type is FieldType.TIMESTAMP and raw is not None and not (isinstance(raw, str) and isinstance(value, int)):
        return None, _broken(field, "type", f"'{field.name}' must be an ISO 8601 time", raw, at)
    if field.type is FieldType.INTEGER and isinstance(value, int) and not -_INT64_END <= value < _INT64_END:
        return None, _broken(field, "range", f"'{field.name}' must fit 64 bits", raw, at)
    broken = violation(field, value)
    if broken is None:
        return _narrowed(field, value), None
    return value, _broken(field, broken.rule, broken.message, raw, at)


def _broken(field: Field, rule: str, message: str, raw: Any, at: int) -> Violation:
    return Violation(field.name, rule, message, None if field.is_classified else raw, row=at)


def _inside(field: Field, raw: Any) -> Any:
    """Turn a value of the wire into the one the model path carries; a text that is no time stays text."""
    if field.type is FieldType.TIMESTAMP and isinstance(raw, str):
        try:
            return parse_iso(raw)
        except (ValueError, OverflowError):
            return raw
    return raw


def _narrowed(field: Field, value: Value) -> Value:
    if value is None or isinstance(value, bool):
        return value
    if field.type is FieldType.NUMBER:
        return float(value)
    return int(value) if field.type is FieldType.INTEGER else value


def _representable(field: Field, value: Value) -> bool:
    """Tell whether a violating value still fits the field's column (out of range, unknown category)."""
    if value is None or isinstance(value, bool):
        return field.type is FieldType.BOOLEAN
    if field.type is FieldType.STRING:
        return isinstance(value, str)
    if field.type is FieldType.NUMBER:
        return isinstance(value, int | float) and abs(value) < float("inf")
    return isinstance(value, int)


def _inputs_of(read: Any) -> tuple[list[Any], bool]:
    if not isinstance(read, _Pairs):
        _refuse("inputs", "shape", "the body must be an object with 'inputs'")
    strange = [name for name in read if name != "inputs"]
    if "inputs" not in read:
        _refuse("inputs", "missing", "'inputs' is missing")
    if strange:
        _refuse(strange[0][:80], "unknown", f"no member called '{strange[0][:80]}' beside 'inputs'")
    if read.twice:
        _refuse("inputs", "duplicate", "'inputs' is given twice")
    inputs = read["inputs"]
    if isinstance(inputs, _Pairs):
        return [inputs], True
    if not isinstance(inputs, list):
        _refuse("inputs", "type", "'inputs' must be an object or a list of objects")
    return cast("list[Any]", inputs), False


def _refuse(field: str, rule: str, message: str) -> NoReturn:
    raise refused([Violation(field, rule, message)])


def refused(violations: Sequence[Violation]) -> Problem:
    """Answer 422: the first violation in the message, at most a hundred listed."""
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    hint = _SHAPE if violations[0].field == "inputs" else "GET /openapi.json lists fields, types and ranges"
    return Problem(422, "RW200", f"{violations[0].message}{more}", violations=violations[:MAX_SHOWN], hint=hint)
