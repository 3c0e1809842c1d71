"""The interface of a release: typed fields in, typed fields out, and what a value may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from roadworthy.errors import Violation

Scalar: TypeAlias = "str | int | float | bool | None"


class FieldType(StrEnum):
    """The types a field may have. A `timestamp` is an ISO 8601 text on the wire and int64 µs UTC inside."""

    NUMBER = "number"
    INTEGER = "integer"
    STRING = "string"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"


class Task(StrEnum):
    """What the outputs mean, which decides the quality metrics."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    TEXT = "text"


class FieldRole(StrEnum):
    """A feature reaches the model; the others travel with the request and are recorded."""

    FEATURE = "feature"
    ENTITY = "entity"
    EVENT_TIME = "event_time"
    AGE = "age"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One input: its type, whether it may be null or missing, and its range or categories.

    `default` is used when the policy for violations is `default`. `classes` are data classes such as `pii`:
    the values of such a field appear in no log, cache, trace, error or record. `age_of` names the field whose
    age in minutes this field carries (role `age`).
    """

    name: str
    type: FieldType
    nullable: bool = False
    required: bool = True
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    default: Scalar = None
    role: FieldRole = FieldRole.FEATURE
    classes: tuple[str, ...] = ()
    age_of: str = ""

    @property
    def is_classified(self) -> bool:
        """Claim that values of this field must not leave the request."""
        return bool(self.classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What a release takes and gives. Part of the candidate digest.

    Outputs by task: binary → `probability` (number, of the positive class) and `label`; multiclass → `label`
    and `probabilities` (one a class, in the order of `labels`); regression → `value`; text → `domain.llm.TEXT_OUTPUTS`.
    """

    inputs: tuple[Field, ...]
    task: Task
    labels: tuple[str, ...] = ()
    positive: str = ""
    threshold: float = 0.5

    @property
    def features(self) -> tuple[Field, ...]:
        """Return the inputs that reach the model, in its column order."""
        return tuple(field for field in self.inputs if field.role is FieldRole.FEATURE)

    @property
    def entity(self) -> Field | None:
        """Return the field that names whom or what a request is about, if one is declared."""
        return next((field for field in self.inputs if field.role is FieldRole.ENTITY), None)

    @property
    def event_time(self) -> Field | None:
        """Return the field that says when the thing happened, if one is declared."""
        return next((field for field in self.inputs if field.role is FieldRole.EVENT_TIME), None)


def label_text(value: object) -> str:
    """Spell a class as labels, outcomes and answers do: `1`, `late`, `true`; 1 and 1.0 are one class."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


_PYTHON_TYPES: dict[FieldType, tuple[type, ...]] = {
    FieldType.NUMBER: (int, float),
    FieldType.INTEGER: (int,),
    FieldType.STRING: (str,),
    FieldType.BOOLEAN: (bool,),
    FieldType.TIMESTAMP: (int,),
}


def violation(field: Field, value: Scalar) -> Violation | None:
    """Name the first rule that a present value breaks, or return None. Values of classified fields stay out."""
    broken = _broken_rule(field, value)
    if broken is None:
        return None
    rule, message = broken
    shown = None if field.is_classified else value
    return Violation(field=field.name, rule=rule, message=message, value=shown)


def _broken_rule(field: Field, value: Scalar) -> tuple[str, str] | None:
    if value is None:
        return None if field.nullable else ("null", f"'{field.name}' must not be null")
    if not _has_type(field.type, value):
        return "type", f"'{field.name}' must be {_article(field.type)} {field.type}"
    if isinstance(value, float) and not math.isfinite(value):
        return "finite", f"'{field.name}' must be a finite number"
    if isinstance(value, str):
        return _broken_category(field, value)
    return _broken_range(field, value)


def _article(kind: FieldType) -> str:
    return "an" if kind is FieldType.INTEGER else "a"


def _has_type(kind: FieldType, value: Scalar) -> bool:
    if isinstance(value, bool):
        return kind is FieldType.BOOLEAN
    if kind is FieldType.INTEGER and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _PYTHON_TYPES[kind])


def _broken_category(field: Field, value: str) -> tuple[str, str] | None:
    if not field.categories or value in field.categories:
        return None
    some = ", ".join(field.categories[:8]) + (", …" if len(field.categories) > 8 else "")  # noqa: PLR2004
    return "category", f"'{field.name}' must be one of: {some}"


def _broken_range(field: Field, value: float) -> tuple[str, str] | None:
    if field.minimum is not None and value < field.minimum:
        return "minimum", f"'{field.name}' must be at least {field.minimum:g}"
    if field.maximum is not None and value > field.maximum:
        return "maximum", f"'{field.name}' must be at most {field.maximum:g}"
    return None


def label_of(interface: Interface, value: Scalar) -> str | None:
    """Spell an outcome or target as one of the interface's labels, or None where it is none of them.

    `1`, `1.0`, `true` and `"1"` are the same label, however the label itself is spelled.
    """
    spellings = _spellings(value)
    return next((label for label in interface.labels if label in spellings), None)


def _spellings(value: Scalar) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("true", "True", "1", "yes") if value else ("false", "False", "0", "no")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    if text in ("0", "1"):
        return (text, "false", "False") if text == "0" else (text, "true", "True")
    if text.lower() in ("true", "false"):
        return (text, text.lower(), text.capitalize(), "1" if text.lower() == "true" else "0")
    return (text,)
