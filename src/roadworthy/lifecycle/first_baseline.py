"""Write a first baseline as SQL that people can read: a rate, a mean or a majority, by at most two columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.lifecycle.split import Split
from roadworthy.ports.runtime import Columns

_MOST_VALUES: Final = 50
_CANDIDATES: Final = 8
_WEIGHT: Final = 20
_LEAST_GAIN: Final = 0.01


def first_baseline(split: Split, target: str) -> str:
    """Return the SQL of a baseline for these rows.

    Segments are the one or two columns with few values that explain most of the target's variance on the training
    rows, after each segment's mean was drawn towards the overall mean by the weight of 20 rows (so that a segment of
    three says little). Columns that explain less than 1 % are left out.
    """
    interface = split.interface
    rows = split.train()
    truth = _numbers(interface, rows.target)
    field = split.table.field(target)
    assert field is not None
    if len({label.lower() for label in interface.labels}) < len(interface.labels):
        return _majority(rows.target)  # SQL cannot tell columns apart that differ in case only
    answers = _answers(interface, field, _quoted(target))
    taken = {name.lower() for name, _ in answers}
    fields = [field for field in interface.features if field.name.lower() not in taken]
    columns = [_quoted(name) for name in _segments(fields, rows.columns, truth)]
    return _with_segments(answers, columns) if columns else _overall(answers)


def _answers(interface: Interface, field: Field, target: str) -> list[tuple[str, str]]:
    """Return (name of the answer, SQL number a row whose mean is the answer)."""
    if interface.task is Task.REGRESSION:
        return [("value", f"cast(train.{target} as double)")]
    if interface.task is Task.BINARY:
        return [("probability", _is_label(field, target, interface.positive))]
    return [(f"probability_{label}", _is_label(field, target, label)) for label in interface.labels]


def _is_label(field: Field, target: str, label: str) -> str:
    literal = _text(label) if field.type is FieldType.STRING else label
    return f"cast(train.{target} = {literal} as integer)"


def _with_segments(answers: list[tuple[str, str]], segments: list[str]) -> str:
    by = ", ".join(segments)
    names = [_quoted(name) for name, _ in answers]
    means = ",\n    ".join(f"avg({number}) as {_quoted(name)}" for name, number in answers)
    drawn = ",\n    ".join(
        f"(sum({number}) + {_WEIGHT} * any_value(overall.{_quoted(name)})) / (count(*) + {_WEIGHT}) as {_quoted(name)}"
        for name, number in answers
    )
    known = " and ".join(f"train.{one} is not null" for one in segments)
    columns = ", ".join(f"train.{one}" for one in segments)
    nothing = ", ".join("null" for _ in segments)
    picks = ",\n    ".join(
        f"coalesce(segment.{name}, (select {name} from fitted where {segments[0]} is null)) as {name}" for name in names
    )
    return f"""-- The simple rival of the model, and its stand-in when it fails: the mean by {by}, drawn
-- towards that of all rows by the weight of {_WEIGHT}, so that a segment of three rows says little.
create table fitted as
with overall as (
    select {means}
    from train
)
select {columns},
    {drawn}
from train, overall
where {known}
group by {columns}
union all
select {nothing}, {", ".join(f"overall.{name}" for name in names)} from overall;

-- One answer per row of `input`, in its order. A segment never seen gets the mean of all rows.
select
    {picks}
from input
left join fitted segment using ({by})
order by input.rw_row;
"""


def _majority(target: NDArray[Any]) -> str:
    labels, counts = np.unique(target.astype(str), return_counts=True)
    return f"""-- The simple rival of the model, and its stand-in when it fails: the commonest label in training.
select {_text(str(labels[counts.argmax()]))} as label
from input
order by rw_row;
"""


def _overall(answers: list[tuple[str, str]]) -> str:
    means = ",\n    ".join(f"avg({number}) as {_quoted(name)}" for name, number in answers)
    names = ", ".join(f"fitted.{_quoted(name)}" for name, _ in answers)
    return f"""-- The rival of the model, and its stand-in when it fails: the mean of the training rows (`train`).
create table fitted as
select {means}
from train;

-- The same answer for every row of `input`, in its order.
select {names}
from input, fitted
order by rw_row;
"""


def _segments(fields: Sequence[Field], columns: Columns, truth: NDArray[np.float64]) -> tuple[str, ...]:
    """Return the columns to segment by, none when they explain nothing."""
    codes = {field.name: _codes(columns[field.name]) for field in fields if field.type in _SEGMENT_TYPES}
    few = {name: code for name, code in codes.items() if code is not None and 1 < code.max() + 1 <= _MOST_VALUES}
    gains: dict[tuple[str, ...], float] = {(name,): _explained(code, truth) for name, code in few.items()}
    best = sorted(few, key=lambda name: -gains[(name,)])[:_CANDIDATES]
    for first, second in combinations(best, 2):
        pair = few[first] * (int(few[second].max()) + 1) + few[second]
        gains[first, second] = _explained(np.unique(pair, return_inverse=True)[1], truth)
    # A second column has to earn its place.
    ranked = sorted(gains, key=lambda names: -(gains[names] - _LEAST_GAIN * len(names)))
    return ranked[0] if ranked and gains[ranked[0]] > _LEAST_GAIN * len(ranked[0]) else ()


_SEGMENT_TYPES: Final = (FieldType.STRING, FieldType.BOOLEAN, FieldType.INTEGER)


def _codes(values: NDArray[Any]) -> NDArray[np.intp] | None:
    """Number a column's values, nulls as one of them; None when there are too many."""
    texts = [str(value) for value in values.tolist()]
    if len(set(texts)) > _MOST_VALUES:
        return None
    return np.unique(texts, return_inverse=True)[1]


def _explained(code: NDArray[np.intp], truth: NDArray[np.float64]) -> float:
    """Return the share of the variance that shrunken segment means explain."""
    total = float(np.square(truth - truth.mean()).sum())
    if total == 0:
        return 0.0
    sums = np.bincount(code, weights=truth)
    means = (sums + _WEIGHT * truth.mean()) / (np.bincount(code) + _WEIGHT)
    return 1 - float(np.square(truth - means[code]).sum()) / total


def _numbers(interface: Interface, target: NDArray[Any]) -> NDArray[np.float64]:
    if interface.task is Task.REGRESSION:
        return target.astype(np.float64)
    wanted = interface.positive or interface.labels[0]
    return (target == wanted).astype(np.float64)


def _quoted(name: str) -> str:
    plain = name.isidentifier() and name.isascii() and name == name.lower() and name not in _reserved()
    return name if plain else '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@cache
def _reserved() -> frozenset[str]:
    """Return the words that a column may not be called without quotes."""
    with duckdb.connect(":memory:") as session:
        rows = session.execute("select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'")
        return frozenset(str(row[0]) for row in rows.fetchall())
