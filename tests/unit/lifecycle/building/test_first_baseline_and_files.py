"""The first baseline is SQL that people can read and that answers; the first files say what must hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.system import Content, DataPlan
from roadworthy.lifecycle.first_baseline import first_baseline
from roadworthy.lifecycle.first_files import first_test, ignored, manifest
from roadworthy.lifecycle.prototype import from_sql
from roadworthy.lifecycle.split import Split, read_split
from roadworthy.ports.runtime import Outputs
from roadworthy.stores.artifacts import FileArtifacts

CARRIER = Field(name="carrier", type=FieldType.STRING)
HOUR = Field(name="hour", type=FieldType.INTEGER)
WIND = Field(name="wind", type=FieldType.NUMBER)
REGRESSION = Interface(inputs=(CARRIER, HOUR, WIND), task=Task.REGRESSION)
BINARY = Interface(inputs=(CARRIER, HOUR, WIND), task=Task.BINARY, labels=("0", "1"), positive="1")


def split(folder: Path, interface: Interface, truth: object, rows: int = 400, name: str = "y") -> Split:
    """Make rows whose truth is a function of carrier and hour."""
    lines = []
    for n in range(rows):
        carrier, hour = "AB"[n % 2], (n // 2) % 4
        lines.append(f"{carrier},{hour},{n},{truth(carrier, hour, n)}")  # type: ignore[operator]
    (folder / "rows.csv").write_text("\n".join([f'carrier,hour,wind,"{name}"', *lines]) + "\n")
    data = DataPlan(table="rows.csv", target=name)
    return read_split(folder, Content(use="m.skops", data=data, baseline="baseline.sql", interface=interface))


def answers(folder: Path, made: Split, sql: str) -> Outputs:
    """Fit the baseline and have it answer the hold-out."""
    path = folder / "baseline.sql"
    path.write_text(sql)
    found = from_sql(path, made.interface, made, FileArtifacts(folder / "artifacts"))
    return found.predictor.predict(made.holdout().columns)


def test_two_columns_that_explain_together_make_the_segments(tmp_path: Path) -> None:
    """A pair earns its place where neither column alone says it all."""
    made = split(tmp_path, REGRESSION, lambda carrier, hour, _: 10 * (carrier == "A") + 8 * hour)
    sql = first_baseline(made, "y")
    assert "the mean by hour, carrier" in sql
    assert np.abs(answers(tmp_path, made, sql)["value"] - made.holdout().target).max() < 10


def test_columns_that_explain_nothing_are_left_out(tmp_path: Path) -> None:
    """The mean of all rows is a rival too; a constant truth in training has nothing to explain."""
    many = Interface(inputs=(CARRIER, HOUR, Field(name="wind", type=FieldType.INTEGER)), task=Task.REGRESSION)
    made = split(tmp_path, many, lambda _, __, n: n * 7919 % 1009)
    assert "wind" not in first_baseline(made, "y")
    made = split(tmp_path, REGRESSION, lambda _, __, n: n % 3 if n in (1, 2) else 5, rows=40)
    flat = replace(made, train_index=np.flatnonzero(made.target == 5))
    sql = first_baseline(flat, "y")
    assert "the mean of the training rows" in sql
    assert set(answers(tmp_path, flat, sql)["value"].tolist()) == {5.0}


def test_three_labels_get_a_share_each(tmp_path: Path) -> None:
    """Answers carry a column a label, also where labels and target need quotes."""
    interface = Interface(inputs=(CARRIER, HOUR, WIND), task=Task.MULTICLASS, labels=("it's", "no", "yes"))
    made = split(
        tmp_path,
        interface,
        lambda carrier, hour, _: ("it's", "no", "yes", "yes")[hour],
        name="Order By",
    )
    found = answers(tmp_path, made, first_baseline(made, "Order By"))
    assert np.allclose(found["probabilities"].sum(axis=1), 1)
    assert (found["label"] == made.holdout().target).mean() > 0.9


def test_labels_that_differ_in_case_only_get_the_commonest(tmp_path: Path) -> None:
    """SQL cannot tell such columns apart, so the majority answers."""
    interface = Interface(inputs=(CARRIER, HOUR, WIND), task=Task.BINARY, labels=("A", "a"), positive="a")
    made = split(tmp_path, interface, lambda _, hour, __: "a" if hour else "A")
    sql = first_baseline(made, "y")
    assert "select 'a' as label" in sql
    assert set(answers(tmp_path, made, sql)["label"].tolist()) == {"a"}


def test_a_column_with_the_name_of_the_answer_makes_no_segment(tmp_path: Path) -> None:
    """The answer's name is taken."""
    lines = [f"{n % 2},{n % 2},{n}" for n in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(["Probability,y,n", *lines]) + "\n")
    data = DataPlan(table="rows.csv", target="y")
    loose = Interface(
        inputs=(Field(name="Probability", type=FieldType.INTEGER),), task=Task.BINARY, labels=("0", "1"), positive="1"
    )
    made = read_split(tmp_path, Content(use="m", data=data, baseline="b", interface=loose))
    assert "the mean of the training rows" in first_baseline(made, "y")


def test_git_leaves_out_what_it_should_and_keeps_what_was_said_before(tmp_path: Path) -> None:
    """Lines that are there already are not repeated; a file without a last line end gets one."""
    assert ignored(tmp_path, []) == ".roadworthy/\n__pycache__/\n"
    (tmp_path / ".gitignore").write_text("*.log")
    assert ignored(tmp_path, ["big.parquet"]) == "*.log\n.roadworthy/\n__pycache__/\n/big.parquet\n"
    (tmp_path / ".gitignore").write_text(".roadworthy/\n__pycache__/\n")
    assert ignored(tmp_path, []) is None


def test_a_manifest_quotes_what_yaml_would_misread() -> None:
    """`no` is a name, and so is a column with a colon."""
    text = manifest(
        "s", "ana@example.org", "train.py", DataPlan(table="a b.csv", target="no", time="at", entity="id: 7")
    )
    assert 'table: "a b.csv", target: "no", time: at, entity: "id: 7"' in text
    assert "trust" not in text
    assert "trust: [mine.Type]" in manifest("s", "a@b", "m.skops", DataPlan(table="t", target="y"), ["mine.Type"])


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION])
def test_a_first_test_is_valid_for_every_task(task: Task) -> None:
    """What a project begins with runs."""
    compile(first_test("s", Interface(inputs=(HOUR,), task=task)), "test_system.py", "exec")
