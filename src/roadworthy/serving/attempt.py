"""What passes along the request path: the intake, an attempt to answer its rows, the reply, or that none was left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from roadworthy.domain.digest import Digest
from roadworthy.domain.moment import Micros
from roadworthy.domain.record import StepTaken
from roadworthy.serving.compiled import Row
from roadworthy.serving.outputs import Answer
from roadworthy.serving.problem import Problem
from roadworthy.serving.table import Ready


@dataclass(slots=True)
class Intake:
    """What is known of a request before its rows are."""

    key: str = ""
    trace: str = ""
    started: float = 0.0
    now: Micros = 0


@dataclass(slots=True)
class Attempt:
    """The rows of one arm and how they were answered. `mark` is empty or says which fallback answered."""

    rows: list[Row]
    intended: Digest
    arm: str
    answers: list[Answer] = field(default_factory=list[Answer])
    release: Ready | None = None
    mark: str = ""
    steps: list[StepTaken] = field(default_factory=list[StepTaken])
    flags: int = 0
    error: str = ""


@dataclass(slots=True)
class Reply:
    """A request answered: one id and one answer a row; `names` and `marks` one a row only where they differ."""

    ids: list[str]
    answers: list[Mapping[str, Any]]
    names: list[str]
    marks: list[str]
    recorded: bool


Part: TypeAlias = tuple[Attempt, list[str], list[int] | None]
"""An attempt, the ids of its records, and where its rows stand in the request (None: all of them, in order)."""


class Spent(Problem):
    """Nothing was left to answer with; its records are written already."""

    def __init__(self, ids: list[str], message: str) -> None:
        super().__init__(
            503,
            "RW800",
            message,
            hint="a baseline, or serve.default in the manifest, would have answered",
            headers=(("retry-after", "1"), ("x-roadworthy-record", ",".join(ids[:100]))),
        )
