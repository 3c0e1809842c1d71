"""Splits: the same rows on each side on every machine, and nothing to judge by is said."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.system import Content, DataPlan
from roadworthy.errors import InputError
from roadworthy.lifecycle import split as split_module
from roadworthy.lifecycle.split import Split, read_split, read_target
from roadworthy.lifecycle.table import read_table

FEATURE = Field(name="a", type=FieldType.NUMBER)
BINARY = Interface(inputs=(FEATURE,), task=Task.BINARY, labels=("0", "1"), positive="1")
REGRESSION = Interface(inputs=(FEATURE,), task=Task.REGRESSION)


def table(rows: int = 40, **columns: Any) -> str:
    """Spell a table of a number, who it is about, when, and a truth; each column may be given as a function of n."""
    made: dict[str, Any] = {
        "a": lambda n: n / 10, "who": lambda n: f"w{n % 8}", "at": lambda n: f"2026-01-{1 + n % 28:02d}",
        "y": lambda n: n % 2, **columns,
    }  # fmt: skip
    lines = [",".join(str(value(n)) for value in made.values()) for n in range(rows)]
    return "\n".join([",".join(made), *lines]) + "\n"


def cut(folder: Path, text: str, interface: Interface = BINARY, **plan: Any) -> Split:
    """Read and cut a table."""
    (folder / "rows.csv").write_text(text)
    data = DataPlan(**{"table": "rows.csv", "target": "y", **plan})
    return read_split(folder, Content(use="m.skops", data=data, baseline="", interface=interface))


def test_the_newest_rows_judge_where_there_is_a_time(tmp_path: Path) -> None:
    """Nobody is judged on a past that it has seen the future of."""
    made = cut(tmp_path, table(), time="at", holdout=0.25)
    times = made.table.columns["at"]
    assert times[made.holdout_index].min() > times[made.train_index].max()
    assert made.notes[0] == "the newest 25% of the rows by at judge"


def test_entities_stay_together_and_equal_rows_do_too(tmp_path: Path) -> None:
    """Neither a customer nor a repeated row is on both sides."""
    made = cut(tmp_path, table(), entity="who")
    who = made.table.columns["who"]
    assert not set(who[made.train_index]) & set(who[made.holdout_index])
    assert "dealt by who" in made.notes[0]
    plain = cut(tmp_path, table() + table().partition("\n")[2])
    assert not set(plain.table.keys[plain.train_index]) & set(plain.table.keys[plain.holdout_index])


def test_rows_without_a_truth_are_left_out_and_counted(tmp_path: Path) -> None:
    """What cannot teach and cannot judge is said to be missing."""
    made = cut(tmp_path, table(y=lambda n: "" if n % 10 == 0 else n % 2))
    assert made.notes[1] == "4 rows without 'y' left out"
    assert len(made.train_index) + len(made.holdout_index) == 36
    assert None not in made.holdout().target.tolist()


def test_fewer_rows_are_chosen_evenly_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow model is asked a part of the rows that spans them all, and the note says which part and why."""
    made = cut(tmp_path, table(200, at=lambda n: f"2026-01-{1 + n // 10:02d}"), time="at")
    some = made.holdout(5, "the model is slow")
    assert some.n == 5
    assert some.note.endswith(f"5 of {len(made.holdout_index)} rows, evenly spaced: the model is slow")
    assert made.holdout().note == made.notes[0]
    assert made.judged_on(10_000, "no need") is made
    judged = made.judged_on(5, "")
    assert judged.holdout().n == 5
    assert judged.notes[-1].endswith("evenly spaced")
    assert made.reference().n == len(made.train_index)
    monkeypatch.setattr(split_module, "MOST_REFERENCE_ROWS", 50)
    assert made.reference().n == 50
    assert made.reference(10).n == 10
    assert made.train().n == len(made.train_index)


def test_rows_without_a_time_are_spaced_over_the_file(tmp_path: Path) -> None:
    """Where nothing orders the rows, the file does."""
    made = cut(tmp_path, table(200))
    chosen = made.spaced(made.train_index, 7).tolist()
    assert chosen == sorted(chosen)
    assert set(chosen) < set(made.train_index.tolist())


def test_times_and_entities_beside_the_interface_are_read_as_what_they_are(tmp_path: Path) -> None:
    """The time that orders the rows need not be an input, and travels to training code with all other columns."""
    made = cut(tmp_path, table(), time="at")
    assert set(made.everything(made.train_index)) == {"a", "who", "at", "y"}
    known = Interface(
        inputs=(FEATURE, Field(name="at", type=FieldType.TIMESTAMP)), task=Task.BINARY, labels=("0", "1"), positive="1"
    )
    assert cut(tmp_path, table(), known, time="at").time == "at"


@pytest.mark.parametrize(
    ("columns", "plan", "said"),
    [
        ({}, {"target": "z"}, "has no target column 'z' (columns: a, who, at, y)"),
        ({"y": lambda _: 1}, {}, "same value in every row"),
        ({"y": lambda _: ""}, {}, "null in every row"),
        ({"y": lambda n: n % 7 + 1}, {}, "does not know: 2, 3, 4, 5, 6, … (0, 1)"),
        ({"y": lambda n: 2 if n else 1}, {}, "does not know: 2 (0, 1)"),
        ({}, {"entity": "whom"}, "rows.csv lacks the column 'whom'"),
        ({"at": lambda _: ""}, {"time": "at"}, "is null in every row"),
        ({"at": lambda _: "2026-01-01"}, {"time": "at"}, "all rows have the same time in 'at'"),
        ({"who": lambda _: "ana"}, {"entity": "who"}, "the column 'who' holds one and the same content"),
        ({"y": lambda n: int(n > 35), "at": lambda n: f"2026-01-01 {n // 2:02d}:00"}, {"time": "at"},
         "all training rows have the label '0'"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_is_one_message(tmp_path: Path, columns: Any, plan: Any, said: str) -> None:
    """Every way in which a table has nothing to learn from, or nothing to judge by, has its sentence."""
    with pytest.raises(InputError) as refused:
        cut(tmp_path, table(**columns), **plan)
    assert said in refused.value.message


def test_rows_that_are_all_the_same_cannot_be_dealt(tmp_path: Path) -> None:
    """Equal rows land on one side, so nothing is left for the other."""
    text = "a\n" + "1\n" * 40
    (tmp_path / "rows.csv").write_text(text)
    same = read_table(tmp_path / "rows.csv")
    plan = DataPlan(table="rows.csv", target="a")
    with pytest.raises(InputError, match="every row holds one and the same content"):
        split_module._by_key(same, plan, np.arange(40), 0)


def test_a_column_of_words_orders_nothing_and_is_no_number(tmp_path: Path) -> None:
    """A time column must hold times, a regression's target numbers; truths count as numbers."""
    words = replace(BINARY, inputs=(FEATURE, Field(name="who", type=FieldType.STRING)))
    with pytest.raises(InputError, match=r"the time column 'who' of rows\.csv holds no times"):
        cut(tmp_path, table(), words, time="who")
    with pytest.raises(InputError, match="holds strings; a regression predicts numbers"):
        cut(tmp_path, table(y=lambda n: "xy"[n % 2]), REGRESSION)
    made = cut(tmp_path, table(y=lambda n: str(n % 2 == 0).lower()), REGRESSION)
    assert set(made.target.tolist()) == {0.0, 1.0}


def test_a_feature_of_an_unusable_type_is_named_with_its_type(tmp_path: Path) -> None:
    """A list can be in no request, so no model may be fed with one."""
    import duckdb

    duckdb.sql("select range % 2 as y, [range] as a from range(40)").write_parquet(str(tmp_path / "rows.parquet"))
    data = DataPlan(table="rows.parquet", target="y")
    loose = Interface(
        inputs=(Field(name="b", type=FieldType.NUMBER),), task=Task.BINARY, labels=("0", "1"), positive="1"
    )
    with pytest.raises(InputError, match="lacks the columns 'b'"):
        read_split(tmp_path, Content(use="m", data=data, baseline="", interface=loose))
    entity = DataPlan(table="rows.parquet", target="y", time="", entity="a")
    none = Interface(inputs=(), task=Task.BINARY, labels=("0", "1"), positive="1")
    with pytest.raises(InputError, match=r"types that a table cannot serve: 'a' \("):
        read_split(tmp_path, Content(use="m", data=entity, baseline="", interface=none))


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    """Ten rows with a truth are the least."""
    with pytest.raises(InputError, match="at least 10 are needed"):
        cut(tmp_path, table(9))


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    """The manifest may name a file that is not there."""
    data = DataPlan(table="gone.csv", target="y")
    with pytest.raises(InputError, match=r"there is no file gone\.csv"):
        read_split(tmp_path, Content(use="m", data=data, baseline="", interface=BINARY))


def test_targets_are_spelled_as_the_interface_spells_labels(tmp_path: Path) -> None:
    """1.0 in a column with nulls is the label 1."""
    chance = random.Random(1)
    text = "a,y\n" + "".join(f"{chance.random()},{chance.choice(['0', '1', ''])}\n" for _ in range(60))
    (tmp_path / "rows.csv").write_text(text)
    target, present = read_target(read_table(tmp_path / "rows.csv"), "y", BINARY)
    assert set(target[present].tolist()) == {"0", "1"}
    assert set(target[~present].tolist()) == {None}
