"""What is kept of questions so that their drift can be seen: four numbers and categories each, never a word of them.

The reference is the first questions that a release answered: a suite's questions are chosen by hand, so real ones
would differ from them on the first day. While they are collected there is no data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from roadworthy.domain.interface import Interface
from roadworthy.domain.llm import QUESTION
from roadworthy.domain.record import Flag, Record
from roadworthy.lifecycle.fold_chats import passages_of
from roadworthy.ports.monitor import FeatureBucket
from roadworthy.stats.columns import Kind
from roadworthy.stats.counts import Bins, Counts, fold, freeze, merge

REFERENCE_ROWS: Final = 500
KINDS: Final[Mapping[str, Kind]] = {
    "question_words": "numeric",
    "question_non_ascii": "numeric",
    "question_abstained": "boolean",
    "question_source": "categorical",
}
_ASCII: Final = 128
_LONGEST: Final = 1e9


@dataclass(slots=True, kw_only=True)
class AskedReference:
    """What a release was asked first. `rows` are dropped once `bins` and `counts` are frozen from them."""

    rows: list[list[Any]] = field(default_factory=list[list[Any]])
    bins: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    counts: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


def features(record: Record, interface: Interface) -> list[Any]:
    """Return what is kept of a question, in the order of `KINDS`; None for what is not known.

    Its number of words, its share of characters beyond ASCII, whether the index abstained, its best passage's file.
    """
    question = _question(record, interface)
    retrieved = any(step.kind == "retrieval" for step in record.steps)
    found = passages_of(record)
    return [
        None if question is None else float(len(question.split())),
        None if not question else round(sum(ord(letter) >= _ASCII for letter in question) / len(question), 2),
        str(bool(record.flags & Flag.ABSTAINED)).lower() if retrieved else None,
        found[0].partition("#")[0] if found else None,
    ]


def fold_questions(asked: AskedReference, bucket: FeatureBucket, rows: Sequence[list[Any]]) -> None:
    """Add questions to the reference until it is full, and from then on to the bucket."""
    if not asked.counts:
        taken = REFERENCE_ROWS - len(asked.rows)
        asked.rows += rows[:taken]
        rows = rows[taken:]
        if len(asked.rows) == REFERENCE_ROWS:
            _freeze(asked)
    if not rows:
        return
    bucket.rows += len(rows)
    for at, name in enumerate(KINDS):
        fresh = fold(Bins.from_doc(asked.bins[name]), _column(rows, at))
        known = bucket.counts.get(name)
        bucket.counts[name] = (merge(Counts.from_doc(known), fresh) if known else fresh).to_doc()


def _freeze(asked: AskedReference) -> None:
    for at, (name, kind) in enumerate(KINDS.items()):
        column = _column(asked.rows, at)
        # The first questions do not bound what may be asked: a longer one, or another file, is nothing unseen.
        bins = replace(freeze(name, column, kind), low=0.0, high=_LONGEST, complete=kind == "boolean")
        asked.bins[name], asked.counts[name] = bins.to_doc(), fold(bins, column).to_doc()
    asked.rows = []


def _column(rows: Sequence[list[Any]], at: int) -> Any:
    values = [row[at] for row in rows]
    if list(KINDS.values())[at] == "numeric":
        return np.array([float("nan") if value is None else value for value in values], dtype=np.float64)
    return np.array(values, dtype=object)


def _question(record: Record, interface: Interface) -> str | None:
    given = dict(zip((one.name for one in interface.inputs), record.inputs, strict=False))
    question = given.get(QUESTION)
    return question if isinstance(question, str) else None
