"""Baselines as SQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pytest

from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.errors import InputError
from roadworthy.runtimes.columns import gather
from roadworthy.runtimes.outputs import BadAnswer
from roadworthy.runtimes.sql import SqlPredictor, fit, split_statements, write_table

FIELDS = (
    Field(name="shop", type=FieldType.STRING, nullable=True),
    Field(name="size", type=FieldType.NUMBER, nullable=True),
    Field(name="Day of", type=FieldType.TIMESTAMP, nullable=True),
)
BINARY = Interface(inputs=FIELDS, task=Task.BINARY, labels=("0", "1"), positive="1")
TARGET = Field(name="y", type=FieldType.INTEGER)
ROWS = [
    {"shop": "a", "size": 1.0, "Day of": "2020-01-01", "y": 1},
    {"shop": "a", "size": None, "Day of": None, "y": 0},
    {"shop": "b", "size": 3.0, "Day of": "2020-01-03", "y": 1},
]
TEXT = """-- how often, by shop
create table fitted as select shop, avg(y) as rate from train group by shop;
select coalesce(rate, 0.25) as probability from input left join fitted using (shop) order by rw_row;
"""


def _predictor(tmp_path: Path, text: str = TEXT, interface: Interface = BINARY) -> SqlPredictor:
    statements = split_statements(text)
    table = None
    if statements.fit:
        table = tmp_path / "fitted.parquet"
        fit(statements, gather(ROWS, [*FIELDS, TARGET]), [*FIELDS, TARGET], table)
    return SqlPredictor(statements, table, interface)


def test_a_fitted_table_answers_row_by_row(tmp_path: Path) -> None:
    """What was fitted on the training rows answers new rows in their order, nulls included."""
    rows = [{"shop": "b"}, {"shop": None}, {"shop": "a"}, {"shop": "new"}]
    outputs = _predictor(tmp_path).predict(gather(rows, FIELDS))
    assert outputs["probability"].tolist() == [1.0, 0.25, 0.5, 0.25]
    assert outputs["label"].tolist() == ["1", "0", "1", "0"]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    """A baseline fitted twice is one artifact, so it is one release."""
    statements = split_statements(TEXT)
    columns = gather(ROWS, [*FIELDS, TARGET])
    for name in ("one", "two"):
        fit(statements, columns, [*FIELDS, TARGET], tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_nulls_and_times_reach_sql_as_such(tmp_path: Path) -> None:
    """NaN is null in a query, and a time is a timestamp."""
    text = (
        'select case when size is null and "Day of" is null then 1 else 0 end as probability from input order by rw_row'
    )
    outputs = _predictor(tmp_path, text).predict(gather(ROWS, FIELDS))
    assert outputs["probability"].tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "statement",
    ["select * from read_csv('/etc/hostname')", "select content from read_text('/etc/hostname')"],
)
def test_a_query_cannot_reach_the_disk(tmp_path: Path, statement: str) -> None:
    """A baseline is data and arithmetic: it reads no file, whoever wrote it."""
    predictor = _predictor(tmp_path, f"select (select count(*) from ({statement})) as probability from input")
    with pytest.raises(duckdb.Error, match="disabled"):
        predictor.predict(gather(ROWS, FIELDS))


def test_fitting_cannot_reach_the_disk(tmp_path: Path) -> None:
    """Nor does it read one while it is fitted."""
    with pytest.raises(InputError, match="disabled"):
        _predictor(
            tmp_path, "create table fitted as select * from read_text('/etc/hostname'); select 1 as label from input"
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("select 0.5 as probability from input limit 1", "asked for 3 answers and gave 1"),
        ("select null as probability from input", "null"),
        ("select 2.0 as probability from input", "outside"),
        ("select 1 as chance from input", "needs probability or label"),
        ("select rw_row, 0.5 as probability from input order by rw_row desc", "order of rw_row"),
    ],
)
def test_a_wrong_answer_is_named(tmp_path: Path, text: str, said: str) -> None:
    """Rows that are missing, null, impossible or out of order never become an answer."""
    with pytest.raises(BadAnswer, match=said):
        _predictor(tmp_path, text).predict(gather(ROWS, FIELDS))


@pytest.mark.parametrize(
    "text",
    ["", "delete from input", "select 1; select 2; select 3", "drop table x; select 1 as label from input", "selec"],
)
def test_other_statements_are_refused(text: str) -> None:
    """Only a fit and an answer are SQL that a project may bring."""
    with pytest.raises(InputError):
        split_statements(text)


def test_threads_share_one_predictor(tmp_path: Path) -> None:
    """Requests on several threads get their own rows' answers."""
    predictor = _predictor(tmp_path)

    def ask(number: int) -> list[float]:
        rows = [{"shop": "b"}] * (number + 1)
        return predictor.predict(gather(rows, FIELDS))["probability"].tolist()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(40)))
    assert found == [[1.0] * (number + 1) for number in range(40)]


def test_labels_and_values_are_answers_too(tmp_path: Path) -> None:
    """A baseline may say a label, shares by class, or a number, as its task asks."""
    three = Interface(inputs=FIELDS, task=Task.MULTICLASS, labels=("x", "y"))
    number = Interface(inputs=FIELDS, task=Task.REGRESSION)
    rows = gather(ROWS, FIELDS)
    label = _predictor(tmp_path, "select 'y' as label from input order by rw_row", three).predict(rows)
    assert label["label"].tolist() == ["y"] * 3
    shares = "select 0.75 as probability_x, 0.25 as probability_y from input order by rw_row"
    assert _predictor(tmp_path, shares, three).predict(rows)["label"].tolist() == ["x"] * 3
    value = _predictor(tmp_path, "select coalesce(size, 7) as value from input order by rw_row", number).predict(rows)
    assert value["value"].tolist() == [1.0, 7.0, 3.0]


def test_columns_are_written_in_their_order(tmp_path: Path) -> None:
    """A child process reads the rows that its parent wrote, row by row."""
    write_table(gather(ROWS, FIELDS), FIELDS, tmp_path / "rows.parquet")
    found = duckdb.read_parquet(str(tmp_path / "rows.parquet")).fetchnumpy()
    assert found["shop"].tolist() == ["a", "a", "b"]
    assert np.ma.getmaskarray(found["size"]).tolist() == [False, True, False]
