"""A trial on paper: rows made here, models that are functions, a serving path that is a function of JSON rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from roadworthy.domain.candidate import Artifact, Candidate, Environment
from roadworthy.domain.interface import Field, FieldType, Interface, Task, violation
from roadworthy.domain.system import Content, DataPlan, Kind, Owner, Policy, System
from roadworthy.errors import NotFoundError
from roadworthy.gates.cells import json_rows
from roadworthy.ports.gate import LoadReport, Rows, TestReport

BINARY = Interface(
    inputs=(
        Field(name="hour", type=FieldType.INTEGER, minimum=0, maximum=23),
        Field(name="carrier", type=FieldType.STRING, categories=("AA", "UA")),
        Field(name="wind", type=FieldType.NUMBER, nullable=True),
    ),
    task=Task.BINARY,
    labels=("0", "1"),
    positive="1",
)
REGRESSION = Interface(inputs=BINARY.inputs, task=Task.REGRESSION)
Model = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def shares(probability: np.ndarray) -> dict[str, Any]:
    """Answer a binary task."""
    labels = np.array(["0", "1"], dtype=object)
    return {"probability": probability, "label": labels[(probability >= 0.5).astype(int)]}


def knowing(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Answer with what the truth below follows."""
    return shares(0.1 + 0.8 * (columns["hour"] >= 12))


def coin(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Answer without looking."""
    return shares(np.full(len(columns["hour"]), 0.5))


def made_rows(n: int = 400, interface: Interface = BINARY, seed: int = 0) -> Rows:
    """Draw rows whose truth follows the hour nine times in ten."""
    generator = np.random.default_rng(seed)
    hour = generator.integers(0, 24, n)
    carrier = np.array(["AA", "UA"], dtype=object)[generator.integers(0, 2, n)]
    wind = np.where(generator.random(n) < 0.1, np.nan, generator.random(n) * 30)
    likely = (hour >= 12) == (generator.random(n) < 0.9)
    if interface.task is Task.REGRESSION:
        target: Any = hour + generator.normal(size=n)
    else:
        target = np.array(["0", "1"], dtype=object)[likely.astype(int)]
    return Rows(columns={"hour": hour, "carrier": carrier, "wind": wind}, target=target, n=n)


def made_system(interface: Interface = BINARY, policy: Policy | None = None) -> System:
    """Declare a small system."""
    data = DataPlan(table="rows.csv", target="late")
    content = Content(use="train.py", data=data, baseline="baseline.sql", interface=interface)
    plain = Policy(owner=Owner(principal="ana", contact="ana@example.org"))
    return System(name="flights", kind=Kind.MODEL, content=content, policy=policy or plain)


def made_candidate(interface: Interface = BINARY, runtime: str = "onnx", native: bool = True) -> Candidate:
    """Name a candidate whose bytes nobody asks for."""
    kept = [Artifact(role="model", format=runtime, digest="sha256:" + "1" * 64)]
    if native:
        kept.append(Artifact(role="native", format="skops", digest="sha256:" + "2" * 64))
    return Candidate(
        system="flights",
        recipe="sha256:" + "3" * 64,
        artifacts=tuple(kept),
        interface=interface,
        runtime=runtime,
        environment=Environment(python="3.11", platform="linux", distributions={"numpy": "2"}),
    )


@dataclass
class PaperTrial:
    """Fulfils `ports.gate.Trial`; each part can be replaced."""

    model: Model = knowing
    rival: Model | None = coin
    prototype: Model | None = None
    in_force: Model | None = None
    served: Model | None = None
    system: System = field(default_factory=made_system)
    candidate: Candidate = field(default_factory=made_candidate)
    notes: tuple[str, ...] = ()
    rows: Rows = field(default_factory=made_rows)
    report: TestReport = TestReport(passed=1, failed=0, seconds=0.1)
    loads: list[LoadReport] = field(default_factory=list)
    status_for_broken: int = 422
    asked: int = 0

    def holdout(self) -> Rows:
        """Return the rows."""
        return self.rows

    def reference(self) -> Rows:
        """Return the rows."""
        return self.rows

    def predict(self, columns: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer with the model."""
        return self.model(columns)

    def native(self, columns: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Answer with the prototype."""
        return self.prototype(columns) if self.prototype else None

    def baseline(self, columns: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer with the rival."""
        if self.rival is None:
            raise NotFoundError("flights has no baseline")
        return self.rival(columns)

    def champion(self, columns: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Answer with what is in force."""
        return self.in_force(columns) if self.in_force else None

    def serve(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Answer JSON rows one by one."""
        return [self._served(row) for row in rows]

    def _served(self, row: Mapping[str, Any]) -> dict[str, Any]:
        interface = self.system.content.interface
        missing = [one for one in interface.inputs if one.name not in row]
        if missing or any(violation(one, row[one.name]) for one in interface.inputs):
            return {"status": self.status_for_broken}
        columns = {
            "hour": np.array([row["hour"]]),
            "carrier": np.array([row["carrier"]], dtype=object),
            "wind": np.array([np.nan if row["wind"] is None else row["wind"]], dtype=np.float64),
        }
        outputs = (self.served or self.model)(columns)
        spoken = {name: values.tolist()[0] for name, values in outputs.items()}
        return {"status": 200, "outputs": spoken, "fallback": None}

    def load(self, seconds: float, rate: float) -> LoadReport:
        """Return the next report."""
        self.asked += 1
        return self.loads[min(self.asked, len(self.loads)) - 1]

    def tests(self, timeout_s: float = 120.0) -> TestReport:
        """Return the report."""
        return self.report


def sent(rows: Rows, interface: Interface = BINARY) -> list[dict[str, Any]]:
    """Spell rows as a caller sends them."""
    return json_rows(rows.columns, interface.inputs, np.arange(rows.n))
