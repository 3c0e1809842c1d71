"""Which rows train and which rows judge. The same table and manifest give the same split, on every machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface, Task, label_text
from roadworthy.domain.system import Content, DataPlan
from roadworthy.errors import InputError
from roadworthy.lifecycle.table import Table, read_table
from roadworthy.ports.gate import Rows
from roadworthy.ports.runtime import Columns
from roadworthy.runtimes.columns import NO_TIME, nulls_of, take

MOST_REFERENCE_ROWS: Final = 100_000
_FEWEST_ROWS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A project's table in two parts. `notes` say in words how it was cut and which rows were left out.

    `time` names the column that orders the rows in time, if there is one.
    """

    table: Table
    interface: Interface
    target: NDArray[Any]
    train_index: NDArray[np.intp]
    holdout_index: NDArray[np.intp]
    notes: tuple[str, ...] = ()
    time: str = ""

    def train(self) -> Rows:
        """Return the rows a prototype is fitted on."""
        return self._rows(self.train_index)

    def holdout(self, most: int = 0, why: str = "") -> Rows:
        """Return the rows it is judged on; at most so many, evenly over time, where a number is given (and why)."""
        index = self.spaced(self.holdout_index, most or len(self.holdout_index))
        return self._rows(index, _fewer(index, self.holdout_index, why))

    def reference(self, most: int = 0, why: str = "") -> Rows:
        """Return the training rows, at most 100,000 (or `most`), evenly spaced and so the same ones each time."""
        index = self.train_index
        if len(index) > MOST_REFERENCE_ROWS:
            index = index[np.linspace(0, len(index) - 1, MOST_REFERENCE_ROWS).astype(np.intp)]
        chosen = self.spaced(index, most or len(index))
        return self._rows(chosen, _fewer(chosen, index, why))

    def judged_on(self, most: int, why: str) -> Split:
        """Return the same split with at most so many rows to judge by, and a note that says so; itself if all fit."""
        index = self.spaced(self.holdout_index, most)
        if len(index) == len(self.holdout_index):
            return self
        return replace(self, holdout_index=index, notes=(*self.notes, _fewer(index, self.holdout_index, why)))

    def spaced(self, index: NDArray[np.intp], most: int) -> NDArray[np.intp]:
        """Return at most so many of these rows, evenly over time (without a time: over the file), in their order."""
        if len(index) <= most:
            return index
        ordered = index[np.argsort(self.table.columns[self.time][index], kind="stable")] if self.time else index
        return np.sort(ordered[np.linspace(0, len(index) - 1, most).astype(np.intp)])

    def everything(self, index: NDArray[np.intp]) -> Columns:
        """Return every usable column of some rows, the target included, as training code and SQL see them."""
        return take(self.table.columns, index)

    def _rows(self, index: NDArray[np.intp], note: str = "") -> Rows:
        names = [field.name for field in self.interface.inputs if field.name in self.table.columns]
        columns = take({name: self.table.columns[name] for name in names}, index)
        return Rows(
            columns=columns, target=self.target[index], n=len(index), note="; ".join(filter(None, (*self.notes, note)))
        )


def read_split(folder: Path, content: Content) -> Split:
    """Read a project's table and cut it as its manifest says.

    With `data.time` the newest `holdout` share judges; else rows (or, with `data.entity`, entities) are dealt by the
    digest of their content and the seed, so that equal rows land on one side.

    Raises:
        InputError: the table is missing or odd, lacks a feature or the target, or has nothing to learn from.
    """
    # One command asks several times (the build, the trial of the baseline, that of the candidate).
    path = folder / content.data.table
    seen = path.stat() if path.is_file() else None
    key = (path, seen.st_mtime_ns, seen.st_size, seen.st_ino) if seen else (path,)
    return _cut(key, folder, content.data, content.interface, content.seed)


@lru_cache(maxsize=1)
def _cut(_: object, folder: Path, plan: DataPlan, interface: Interface, seed: int) -> Split:
    by_entity = plan.entity if not plan.time else ""
    known = [field for field in interface.inputs if field.name != plan.target]
    table = read_table(folder / plan.table, [*known, *_typed_time(plan, interface)], key_column=by_entity)
    _check_columns(table, plan, interface)
    target, present = read_target(table, plan.target, interface)
    notes = [f"{table.n - int(present.sum())} rows without '{plan.target}' left out"] if not present.all() else []
    rows = np.flatnonzero(present)
    if len(rows) < _FEWEST_ROWS:
        raise InputError(f"{table.path.name} has {len(rows)} rows with a target; at least {_FEWEST_ROWS} are needed")
    held, how = _by_time(table, plan, rows) if plan.time else _by_key(table, plan, rows, seed)
    _check_both_sides(target, rows[~held], interface)
    return Split(
        table=table, interface=interface, target=target, train_index=rows[~held], holdout_index=rows[held],
        notes=(how, *notes), time=plan.time,
    )  # fmt: skip


def read_target(table: Table, name: str, interface: Interface) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return a table's targets as `ports.gate.Rows` describes them, and where there is one.

    Raises:
        InputError: the column is missing, all null, constant, or holds what the interface does not know.
    """
    field = table.field(name)
    if field is None:
        known = ", ".join(column.name for column in table.fields)
        raise InputError(f"{table.path.name} has no target column '{name}' (columns: {known})")
    raw = table.columns[name]
    present = ~nulls_of(field, raw)
    if not present.any():
        raise InputError(f"the target column '{name}' is null in every row")
    if interface.task is Task.REGRESSION:
        target = _numbers(field, raw)
        distinct = len(np.unique(target[present]))
    else:
        target = _labels(raw, present)
        distinct = _check_labels(name, set(target[present].tolist()), interface)
    if distinct < 2:  # noqa: PLR2004 (something to tell apart)
        raise InputError(f"the target column '{name}' has the same value in every row: there is nothing to learn")
    return target, present


def _fewer(chosen: NDArray[np.intp], index: NDArray[np.intp], why: str) -> str:
    if len(chosen) == len(index):
        return ""
    return f"{len(chosen):,} of {len(index):,} rows, evenly spaced" + (f": {why}" if why else "")


def _typed_time(plan: DataPlan, interface: Interface) -> Iterable[Field]:
    if plan.time and all(field.name != plan.time for field in interface.inputs):
        yield Field(name=plan.time, type=FieldType.TIMESTAMP)


def _check_columns(table: Table, plan: DataPlan, interface: Interface) -> None:
    needed = [field.name for field in interface.inputs if field.role is FieldRole.FEATURE]
    needed += [name for name in (plan.time, plan.entity) if name]
    missing = [name for name in needed if table.field(name) is None]
    if not missing:
        return
    unusable = [f"'{name}' ({table.unusable[name]})" for name in missing if name in table.unusable]
    if unusable:
        raise InputError(f"columns of {table.path.name} have types that a table cannot serve: {', '.join(unusable)}")
    listed = ", ".join(f"'{name}'" for name in missing)
    raise InputError(f"{table.path.name} lacks the columns {listed}", hint="mend interface.yaml or the table")


def _numbers(field: Field, raw: NDArray[Any]) -> NDArray[np.float64]:
    if field.type not in (FieldType.NUMBER, FieldType.INTEGER, FieldType.BOOLEAN):
        raise InputError(f"the target column '{field.name}' holds {field.type}s; a regression predicts numbers")
    return raw.astype(np.float64)


def _labels(raw: NDArray[Any], present: NDArray[np.bool_]) -> NDArray[Any]:
    labels: NDArray[Any] = np.empty(len(raw), dtype=object)
    texts: dict[object, str] = {}
    pairs = zip(raw.tolist(), present.tolist(), strict=True)
    labels[:] = [_spelled(value, texts) if there else None for value, there in pairs]
    return labels


def _spelled(value: object, texts: dict[object, str]) -> str:
    text = texts.get(value)
    if text is None:
        text = texts[value] = label_text(value)
    return text


def _check_labels(name: str, found: set[str], interface: Interface) -> int:
    unknown = sorted(found - set(interface.labels))
    if unknown:
        some = ", ".join(unknown[:5]) + (", …" if len(unknown) > 5 else "")  # noqa: PLR2004
        known = ", ".join(interface.labels)
        raise InputError(f"the target column '{name}' holds labels that the interface does not know: {some} ({known})")
    return len(found)


def _by_time(table: Table, plan: DataPlan, rows: NDArray[np.intp]) -> tuple[NDArray[np.bool_], str]:
    field = table.field(plan.time)
    if field is None or field.type is not FieldType.TIMESTAMP:
        raise InputError(f"the time column '{plan.time}' of {table.path.name} holds no times")
    times = table.columns[plan.time][rows]
    if (times == NO_TIME).all():
        raise InputError(f"the time column '{plan.time}' is null in every row")
    known = np.sort(times[times != NO_TIME])
    cut = known[min(len(known) - 1, round(len(known) * (1 - plan.holdout)))]
    held = times >= cut
    if held.all():
        raise InputError(f"all rows have the same time in '{plan.time}', so no newest part can judge")
    return held, f"the newest {held.mean():.0%} of the rows by {plan.time} judge"


def _by_key(table: Table, plan: DataPlan, rows: NDArray[np.intp], seed: int) -> tuple[NDArray[np.bool_], str]:
    drawn = _mix(table.keys[rows], seed)
    ranked = np.sort(drawn)
    held = drawn < ranked[min(len(rows) - 1, max(1, round(len(rows) * plan.holdout)))]
    if not held.any():
        what = f"the column '{plan.entity}'" if plan.entity else "every row"
        raise InputError(f"{what} holds one and the same content, so no part of the rows can judge")
    dealt = f"by {plan.entity}" if plan.entity else "by their content"
    return held, f"{held.mean():.0%} of the rows, dealt {dealt}, judge"


def _mix(keys: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Mix a seed into row digests. Source: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        z = keys + np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _check_both_sides(target: NDArray[Any], train: NDArray[np.intp], interface: Interface) -> None:
    if interface.task is Task.REGRESSION:
        return
    seen = set(target[train].tolist())
    if len(seen) < 2:  # noqa: PLR2004 (something to tell apart)
        raise InputError(f"all training rows have the label '{next(iter(seen))}': there is nothing to learn")
