"""Inference: what a table and a model's signature say together, and what they cannot say."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface, Task
from roadworthy.errors import InputError
from roadworthy.lifecycle.infer import Inferred, Signature, as_text, infer
from roadworthy.lifecycle.table import read_table

UNKNOWN = Signature(task=None)


def inferred(
    folder: Path, columns: dict[str, list[object]], signature: Signature = UNKNOWN, target: str = ""
) -> Inferred:
    """Infer from a table of these columns."""
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(str(cell) for cell in row) for row in rows]
    (folder / "rows.csv").write_text("\n".join([",".join(columns), *lines]) + "\n")
    return infer(read_table(folder / "rows.csv"), signature, target)


def field(made: Inferred, name: str) -> Field:
    """Return one input."""
    return next(one for one in made.interface.inputs if one.name == name)


def test_the_target_is_found_by_name_by_its_classes_or_as_the_last_column(tmp_path: Path) -> None:
    """The note says how it was found, so that a person can object."""
    named = inferred(tmp_path, {"label": [0, 1] * 5, "a": list(range(10))})
    assert (named.target, "by its name" in named.notes[0]) == ("label", True)
    last = inferred(tmp_path, {"a": list(range(10)), "b": [0, 1] * 5})
    assert (last.target, "the last column" in last.notes[0]) == ("b", True)
    known = Signature(task=None, features=("a",), classes=("x", "y"))
    fitting = inferred(tmp_path, {"a": list(range(10)), "t": ["x", "y"] * 5, "c": list(range(10))}, known)
    assert (fitting.target, "holds the model's classes" in fitting.notes[0]) == ("t", True)


def test_what_the_model_does_not_use_is_told_apart(tmp_path: Path) -> None:
    """A time and an identifier travel with a request; the rest stays out, and the note names it."""
    extra = {f"x{n}": list(range(12)) for n in range(9)}
    days = [f"2026-01-{n + 1:02d}" for n in range(12)]
    columns = {"a": list(range(12)), "day": days, "order_id": list(range(12)), **extra, "y": [0, 1] * 6}
    made = inferred(tmp_path, columns, Signature(task=None, features=("a",), target="y"))
    assert (made.time, made.entity) == ("day", "order_id")
    assert field(made, "day").role is FieldRole.EVENT_TIME
    assert field(made, "order_id").role is FieldRole.ENTITY
    assert any("x0, x1, x2, x3, x4, x5, x6, x7…" in note for note in made.notes)


def test_a_number_called_id_is_no_entity(tmp_path: Path) -> None:
    """An identifier is a text or a whole number."""
    columns = {"a": list(range(10)), "id": [n + 0.5 for n in range(10)], "y": [0, 1] * 5}
    made = inferred(tmp_path, columns, Signature(task=None, features=("a",), target="y"))
    assert made.entity == ""


def test_categories_are_listed_where_hardly_any_is_unseen(tmp_path: Path) -> None:
    """A word seen once means that others were not seen at all; long and odd words are no categories."""
    columns = {
        "few": ["x", "y"] * 6, "once": ["z", *(["w"] * 11)], "long": ["v" * 61] * 12, "none": [""] * 12,
        "y": [0, 1] * 6,
    }  # fmt: skip
    made = inferred(tmp_path, columns)
    assert field(made, "few").categories == ("x", "y")
    assert field(made, "once").categories == field(made, "long").categories == ()
    assert any(note == "null in every row: none" for note in made.notes)
    assert any(note.endswith("say nothing: long") for note in made.notes)


def test_ranges_are_open_where_the_table_has_no_end_to_speak_of(tmp_path: Path) -> None:
    """A constant gets no range; one below zero stays below; what overflows, and a far tail, is left open."""
    columns = {
        "same": [3] * 40, "debt": [-1 - n for n in range(40)], "vast": [(-1) ** n * 1.6e308 for n in range(40)],
        "tail": [*range(39), -10_000], "y": [0, 1] * 20,
    }  # fmt: skip
    made = inferred(tmp_path, columns)
    assert (field(made, "same").minimum, field(made, "same").maximum) == (None, None)
    assert field(made, "debt").maximum == 0
    assert (field(made, "vast").minimum, field(made, "vast").maximum) == (None, None)
    assert field(made, "tail").minimum is None
    assert field(made, "tail").maximum is not None


def test_dates_may_be_read_as_the_texts_they_are_written_as() -> None:
    """A model that was fitted on written dates gets them so; the time of the event stays a time."""
    day = Field(name="day", type=FieldType.TIMESTAMP)
    event = Field(name="at", type=FieldType.TIMESTAMP, role=FieldRole.EVENT_TIME)
    turned = as_text(Interface(inputs=(day, event), task=Task.REGRESSION))
    assert [one.type for one in turned.inputs] == [FieldType.STRING, FieldType.TIMESTAMP]


def test_a_feature_that_is_a_time_orders_the_rows(tmp_path: Path) -> None:
    """It stays a feature, and the newest fifth judges."""
    days = [f"2026-01-{n + 1:02d}" for n in range(12)]
    made = inferred(tmp_path, {"day": days, "y": [0, 1] * 6})
    assert made.time == "day"
    assert field(made, "day").role is FieldRole.FEATURE


NUMBERS = Signature(task=Task.REGRESSION)


@pytest.mark.parametrize(
    ("columns", "signature", "target", "said"),
    [
        ({"a": [1, 2], "y": [0, 1]}, UNKNOWN, "z", "no column 'z' (columns: a, y)"),
        ({"a": [1, 2]}, Signature(task=None, features=("a",)), "", "none is left to predict"),
        ({"a": [1, 2], "y": [0, 1]}, Signature(task=None, features=("b",)), "y", "lacks: 'b'"),
        ({"a": [1, 2], "y": [0, 1]}, Signature(task=None, features=("a",)), "a", "'a' is a feature of the model"),
        ({"a": [1, 2], "y": [0, 1]}, Signature(task=None, width=4), "y", "takes 4 features without names"),
        ({"a": [1, 2], "y": ["", ""]}, UNKNOWN, "y", "is null in every row"),
        ({"a": [1, 2], "y": ["u", "v"]}, NUMBERS, "y", "predicts numbers, but the target column 'y' holds strings"),
        ({"a": [1, 2], "y": [4, 4]}, NUMBERS, "y", "nothing to learn"),
        ({"a": [1, 2], "y": [4, 4]}, UNKNOWN, "y", "nothing to learn"),
        ({"a": [1, 2], "y": [4, 5]}, Signature(task=None, classes=(4, 6)), "y", "also holds: 5"),
        ({"a": list(range(101)), "y": [f"c{n}" for n in range(101)]}, UNKNOWN, "y", "101 classes, more than 100"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_one_message(
    tmp_path: Path, columns: dict[str, list[object]], signature: Signature, target: str, said: str
) -> None:
    """Table, model and target each say their part; where they disagree, the columns are named."""
    with pytest.raises(InputError) as refused:
        inferred(tmp_path, columns, signature, target)
    assert said in refused.value.message


def test_a_feature_that_no_request_can_carry_is_named_with_its_type(tmp_path: Path) -> None:
    """A list in a table is no input; as the target it is none either."""
    import duckdb

    duckdb.sql("select [range] as a, range % 2 as y, range as b from range(12)").write_parquet(
        str(tmp_path / "rows.parquet")
    )
    table = read_table(tmp_path / "rows.parquet")
    with pytest.raises(InputError, match=r"types a request cannot carry: 'a' \("):
        infer(table, Signature(task=None, features=("a",)), "y")
    assert infer(table, NUMBERS, "b").interface.task is Task.REGRESSION


def test_three_classes_are_a_multiclass_task(tmp_path: Path) -> None:
    """Their labels are in order, and none of them is the positive one."""
    made = inferred(tmp_path, {"a": list(range(12)), "y": ["c", "a", "b"] * 4})
    assert (made.interface.task, made.interface.labels, made.interface.positive) == (
        Task.MULTICLASS,
        ("a", "b", "c"),
        "",
    )
