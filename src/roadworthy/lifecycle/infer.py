"""Infer an interface from a table and a model's signature; people review what comes out.

The rules are plain.

- A number's range is that of the table, widened by its span on both sides, never past zero, rounded outwards to two
  digits. An end that lies more than 10 interquartile ranges from the median is left open: it has no end to speak of.
  Names of the calendar (`month`, `hour`, `weekday`, …) get the calendar's own range. A constant gets none.
- A text lists its categories when there are at most 50 and none was seen only once: then, by Good and Turing's
  estimate, hardly any is still unseen. Otherwise any text is allowed.
- A field may be null where the table has nulls.
- Columns beside the model's features: the first of times becomes `event_time`, the first identifier `entity`; both are
  optional in a request.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface, Task, label_text
from roadworthy.errors import InputError
from roadworthy.lifecycle.table import Table
from roadworthy.runtimes.columns import NO_TIME, nulls_of

_CALENDAR: Final = {
    "month": (1, 12),
    "hour": (0, 23),
    "minute": (0, 59),
    "weekday": (0, 7),
    "dayofweek": (0, 7),
    "day_of_week": (0, 7),
    "day": (1, 31),
    "day_of_year": (1, 366),
    "dayofyear": (1, 366),
    "quarter": (1, 4),
}
_TARGET_NAMES: Final = ("target", "label", "y", "outcome", "class")
_MOST_CATEGORIES: Final = 50
_LONGEST_CATEGORY: Final = 60
_MOST_LABELS: Final = 100
_LONGEST_TAIL: Final = 10
_MOST_NAMED: Final = 8
_FEWEST_TIMES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a model says of itself: its feature names (None: it does not know them), their number, its classes."""

    task: Task | None
    features: tuple[str, ...] | None = None
    width: int | None = None
    classes: tuple[object, ...] = ()
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred:
    """An interface, the columns that play a part besides it, and in words how they were found."""

    interface: Interface
    target: str
    time: str
    entity: str
    notes: tuple[str, ...]


def infer(table: Table, signature: Signature, target: str = "") -> Inferred:
    """Infer the interface; `target` is the caller's word for the column to predict.

    Raises:
        InputError: table and model do not fit together; names the columns.
    """
    chosen, why = _target(table, signature, target)
    names = _features(table, signature, chosen)
    if not names:
        raise InputError(f"{table.path.name} has no column beside the target '{chosen}' that a model could look at")
    fields = tuple(_field(table, name) for name in names)
    task, labels = _task(table, chosen, signature)
    others = [field for field in table.fields if field.name not in names and field.name != chosen]
    time, entity = _time(table, others) or _time_among(table, fields), _entity(others)
    extra = [
        Field(name=time, type=FieldType.TIMESTAMP, nullable=True, required=False, role=FieldRole.EVENT_TIME)
        for one in others
        if one.name == time
    ]
    extra += [
        Field(name=one.name, type=one.type, nullable=True, required=False, role=FieldRole.ENTITY)
        for one in others
        if one.name == entity
    ]
    interface = Interface(
        inputs=(*fields, *extra), task=task, labels=labels, positive=labels[1] if task is Task.BINARY else ""
    )
    return Inferred(
        interface=interface, target=chosen, time=time, entity=entity,
        notes=(why, *_remarks(table, fields, others, time, entity)),
    )  # fmt: skip


def as_text(interface: Interface) -> Interface:
    """Return the interface with its times as plain texts, for models that were fitted on dates as they are written."""
    inputs = [
        replace(field, type=FieldType.STRING)
        if field.type is FieldType.TIMESTAMP and field.role is FieldRole.FEATURE
        else field
        for field in interface.inputs
    ]
    return replace(interface, inputs=tuple(inputs))


def _target(table: Table, signature: Signature, given: str) -> tuple[str, str]:
    names = [field.name for field in table.fields]
    for name, how in ((given, "as told"), (signature.target, "as the code names it")):
        if name:
            if name not in names:
                raise InputError(f"{table.path.name} has no column '{name}' (columns: {', '.join(names)})")
            return name, f"the target is '{name}', {how}"
    left = [name for name in names if name not in (signature.features or ())]
    if not left:
        raise InputError(
            f"every column of {table.path.name} is a feature of the model, so none is left to predict",
            hint="add the column with the truth, or name it: --target COLUMN",
        )
    if signature.features and len(left) == 1:
        return left[0], f"the target is '{left[0]}', the one column that is no feature of the model"
    named = [name for name in left if name.lower() in _TARGET_NAMES]
    if named:
        return named[0], f"the target is '{named[0]}', by its name (another one: --target COLUMN)"
    fitting = [name for name in left if _holds_classes(table, name, signature)]
    if signature.classes and signature.features and len(fitting) == 1:
        return fitting[0], f"the target is '{fitting[0]}', the one column that holds the model's classes"
    return left[-1], f"the target is '{left[-1]}', the last column (another one: --target COLUMN)"


def _holds_classes(table: Table, name: str, signature: Signature) -> bool:
    field = table.field(name)
    assert field is not None
    found = _distinct(field, table.columns[name])
    return len(found) > 1 and found <= {label_text(one) for one in signature.classes}


def _features(table: Table, signature: Signature, target: str) -> tuple[str, ...]:
    if signature.features is not None:
        missing = [name for name in signature.features if table.field(name) is None]
        unusable = [f"'{name}' ({table.unusable[name]})" for name in missing if name in table.unusable]
        if unusable:
            raise InputError(f"columns of {table.path.name} have types a request cannot carry: {', '.join(unusable)}")
        if missing:
            listed = ", ".join(f"'{name}'" for name in missing[:10])
            raise InputError(f"the model was fitted on columns that {table.path.name} lacks: {listed}")
        if target in signature.features:
            raise InputError(
                f"'{target}' is a feature of the model, so it cannot be the target",
                hint="fit the model without it, or name another column: --target COLUMN",
            )
        return signature.features
    names = tuple(field.name for field in table.fields if field.name != target)
    if signature.width is not None and signature.width != len(names):
        raise InputError(
            f"the model takes {signature.width} features without names, but {table.path.name} has {len(names)} columns "
            f"beside the target '{target}'",
            hint="give a table with exactly these columns, or fit the model on a DataFrame",
        )
    return names


def _task(table: Table, target: str, signature: Signature) -> tuple[Task, tuple[str, ...]]:
    field = table.field(target)
    assert field is not None
    found = _distinct(field, table.columns[target]) if signature.task is not Task.REGRESSION else set[str]()
    if not (table.n - int(nulls_of(field, table.columns[target]).sum())):
        raise InputError(f"the target column '{target}' is null in every row")
    if signature.task is Task.REGRESSION:
        if field.type not in (FieldType.NUMBER, FieldType.INTEGER, FieldType.BOOLEAN):
            raise InputError(f"the model predicts numbers, but the target column '{target}' holds {field.type}s")
        if len(_distinct(field, table.columns[target])) < 2:  # noqa: PLR2004 (something to predict)
            raise InputError(f"the target column '{target}' has the same value in every row: there is nothing to learn")
        return Task.REGRESSION, ()
    labels = tuple(label_text(one) for one in signature.classes) or tuple(sorted(found))
    unknown = sorted(found - set(labels))
    if unknown:
        some = ", ".join(unknown[:5])
        raise InputError(
            f"the model knows the classes {', '.join(labels[:10])}, the column '{target}' also holds: {some}",
            hint="name the column with the truth: --target COLUMN",
        )
    if len(labels) < 2 or len(found) < 2:  # noqa: PLR2004 (something to tell apart)
        raise InputError(f"the target column '{target}' has the same value in every row: there is nothing to learn")
    if len(labels) > _MOST_LABELS:
        raise InputError(f"the target column '{target}' has {len(labels)} classes, more than {_MOST_LABELS}")
    return (Task.BINARY if len(labels) == 2 else Task.MULTICLASS), labels  # noqa: PLR2004 (binary)


def _field(table: Table, name: str) -> Field:
    field = table.field(name)
    assert field is not None
    values = table.columns[name]
    if field.type in (FieldType.NUMBER, FieldType.INTEGER):
        low, high = _range(name, values[~nulls_of(field, values)], whole=field.type is FieldType.INTEGER)
        return replace(field, minimum=low, maximum=high)
    if field.type is FieldType.STRING:
        return replace(field, categories=_categories(values.tolist()))
    return field


def _range(name: str, values: NDArray[Any], *, whole: bool) -> tuple[float | None, float | None]:
    finite = values[np.isfinite(values)]
    if len(finite) == 0 or finite.min() == finite.max():
        return None, None
    low, high = float(finite.min()), float(finite.max())
    natural = _CALENDAR.get(name.lower())
    if natural and whole and natural[0] <= low and high <= natural[1]:
        return float(natural[0]), float(natural[1])
    margin = high - low
    widest_low = max(0.0, low - margin) if low >= 0 else low - margin
    widest_high = min(0.0, high + margin) if high <= 0 else high + margin
    found = _outward(widest_low, math.floor, whole=whole), _outward(widest_high, math.ceil, whole=whole)
    if not all(map(math.isfinite, found)):
        return None, None
    quarter, middle, three_quarters = np.quantile(finite.astype(np.float64), (0.25, 0.5, 0.75)).tolist()
    reach = _LONGEST_TAIL * (three_quarters - quarter)
    return (found[0] if middle - low <= reach or found[0] == 0 else None), (
        found[1] if high - middle <= reach else None
    )


def _outward(value: float, to: Any, *, whole: bool) -> float:
    """Round away from the middle to two digits; a whole number to a whole number."""
    if value == 0 or not math.isfinite(value):
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    step = max(step, 1.0) if whole else step
    return float(f"{to(value / step) * step:.12g}")


def _categories(values: Iterable[str | None]) -> tuple[str, ...]:
    seen = Counter(value for value in values if value is not None)
    if len(seen) > _MOST_CATEGORIES or not seen or min(seen.values()) == 1:
        return ()
    if any(len(text) > _LONGEST_CATEGORY or not text.isprintable() or text != text.strip() for text in seen):
        return ()
    return tuple(sorted(seen))


def _distinct(field: Field, values: NDArray[Any]) -> set[str]:
    return {label_text(one) for one in set(values[~nulls_of(field, values)].tolist())}


def _time(table: Table, fields: Sequence[Field]) -> str:
    return next((field.name for field in fields if _tells_time(table, field)), "")


def _time_among(table: Table, features: Sequence[Field]) -> str:
    """Return a feature that is a time: rows can be told older from newer by it, though it stays a feature."""
    return next((field.name for field in features if _tells_time(table, field)), "")


def _tells_time(table: Table, field: Field) -> bool:
    if field.type is not FieldType.TIMESTAMP:
        return False
    values = table.columns[field.name]
    return len(np.unique(values[values != NO_TIME])) >= _FEWEST_TIMES


def _entity(fields: Sequence[Field]) -> str:
    for field in fields:
        name = field.name.lower()
        known = name in ("id", "uuid", "entity") or name.endswith(("_id", "_uuid"))
        if known and field.type in (FieldType.STRING, FieldType.INTEGER):
            return field.name
    return ""


def _remarks(table: Table, fields: Sequence[Field], others: Sequence[Field], time: str, entity: str) -> tuple[str, ...]:
    found: list[str] = []
    if time:
        found.append(f"'{time}' orders the rows in time: the newest fifth judges")
    if entity:
        found.append(f"'{entity}' says what a row is about")
    left = [field.name for field in others if field.name not in (time, entity)]
    if left:
        found.append(
            f"columns the model does not use stay out of requests: {', '.join(left[:_MOST_NAMED])}"
            + ("…" if len(left) > _MOST_NAMED else "")
        )
    empty = [field.name for field in fields if bool(nulls_of(field, table.columns[field.name]).all())]
    if empty:
        found.append(f"null in every row: {', '.join(empty)}")
    same = [field.name for field in fields if field.name not in empty and _is_constant(table, field)]
    if same:
        found.append(f"the same in every row, so they say nothing: {', '.join(same)}")
    return tuple(found)


def _is_constant(table: Table, field: Field) -> bool:
    values = table.columns[field.name]
    first = values[0]
    return bool((values == first).all())
