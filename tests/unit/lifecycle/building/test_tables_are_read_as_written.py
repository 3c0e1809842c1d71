"""Tables: every column as the type it is, every oddity one message."""

from __future__ import annotations

import gzip
from pathlib import Path

import duckdb
import numpy as np
import pytest

from roadworthy.domain.interface import Field, FieldType
from roadworthy.errors import InputError
from roadworthy.lifecycle.table import Table, digest_file, read_table
from roadworthy.runtimes.columns import NO_TIME


def written(folder: Path, text: str, name: str = "rows.csv") -> Path:
    """Write a table."""
    path = folder / name
    path.write_text(text)
    return path


def parquet(folder: Path, query: str) -> Path:
    """Write what a query selects."""
    path = folder / "rows.parquet"
    duckdb.sql(query).write_parquet(str(path))
    return path


def types(table: Table) -> dict[str, FieldType]:
    """Return each usable column's type."""
    return {field.name: field.type for field in table.fields}


def test_parquet_columns_keep_their_types_and_their_nulls(tmp_path: Path) -> None:
    """What an engine wrote typed is read typed; what no request could carry is set aside with its type."""
    table = read_table(
        parquet(
            tmp_path,
            "select * from (values (1::integer, 1.5::decimal(4,2), 2.5::double, 'x', true, date '2026-01-02',"
            " timestamp '2026-01-02 03:04:05', [1, 2], 'a'::enum('a', 'b')),"
            " (null, null, null, null, null, null, null, null, null))"
            " t(whole, money, real, word, truth, day, moment, list, one_of)",
        )
    )
    assert types(table) == {
        "whole": FieldType.INTEGER, "money": FieldType.NUMBER, "real": FieldType.NUMBER, "word": FieldType.STRING,
        "truth": FieldType.BOOLEAN, "day": FieldType.TIMESTAMP, "moment": FieldType.TIMESTAMP,
        "one_of": FieldType.STRING,
    }  # fmt: skip
    assert list(table.unusable) == ["list"]
    assert all(field.nullable for field in table.fields)
    assert table.columns["moment"].tolist()[1] == NO_TIME
    assert np.isnan(table.columns["whole"][1])
    assert table.columns["truth"].tolist() == [True, None]


def test_columns_without_nulls_are_plain_arrays(tmp_path: Path) -> None:
    """Whole numbers stay whole and truths stay truths where nothing is missing."""
    table = read_table(parquet(tmp_path, "select 7::integer as whole, true as truth"))
    assert (table.columns["whole"].dtype, table.columns["truth"].dtype) == (np.int64, np.bool_)


def test_words_for_yes_and_no_stay_words(tmp_path: Path) -> None:
    """A reader that made truths of them would disagree with the one that serves; times of day stay as written too."""
    table = read_table(written(tmp_path, "paid,on,at,n\nyes,true,03:04:05,1\nno,false,04:05:06,2\n"))
    assert types(table) == {
        "paid": FieldType.STRING, "on": FieldType.BOOLEAN, "at": FieldType.STRING, "n": FieldType.INTEGER
    }  # fmt: skip
    assert table.columns["paid"].tolist() == ["yes", "no"]


def test_a_wanted_text_is_read_as_it_is_written(tmp_path: Path) -> None:
    """A code such as 007 keeps its zeros when the interface says that it is a text."""
    path = written(tmp_path, "code,n\n007,1\n010,2\n")
    assert read_table(path, [Field(name="code", type=FieldType.STRING)]).columns["code"].tolist() == ["007", "010"]


def test_a_compressed_table_is_read_like_a_plain_one(tmp_path: Path) -> None:
    """Compression is no other format."""
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,x\n2,\n"))
    assert read_table(path).columns["b"].tolist() == ["x", None]


def test_a_column_of_nothing_is_a_number_that_is_always_missing(tmp_path: Path) -> None:
    """It may be filled tomorrow."""
    table = read_table(parquet(tmp_path, 'select 1 as a, null as "none"'))
    assert types(table)["none"] in (FieldType.NUMBER, FieldType.INTEGER)
    assert bool(table.fields[1].nullable)


def test_equal_keys_make_equal_row_digests(tmp_path: Path) -> None:
    """Rows of one customer land on one side of a split, whatever else they hold."""
    path = written(tmp_path, "who,n\nana,1\nana,2\nben,1\n")
    ana, again, ben = read_table(path, key_column="who").keys.tolist()
    assert ana == again != ben
    assert len(set(read_table(path).keys.tolist())) == 3


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("rows.csv", "a,,b\n1,2,3\n", "column without a name"),
        ("rows.csv", "a,A\n1,2\n", "differ at most in case: a"),
        ("rows.xlsx", "PK", "neither CSV nor Parquet"),
        ("rows.parquet", "PAR1 not really", "cannot be read"),
        ("rows.csv", "", "is empty"),
    ],
)
def test_an_odd_table_is_one_message(tmp_path: Path, name: str, text: str, said: str) -> None:
    """Whatever is wrong is said in one sentence that names the file."""
    with pytest.raises(InputError, match=said) as refused:
        read_table(written(tmp_path, text, name))
    assert name in refused.value.message


def test_a_table_that_is_not_there_or_is_a_folder_is_said_to_be(tmp_path: Path) -> None:
    """A path that leads nowhere is named; so is a folder where a file is wanted."""
    with pytest.raises(InputError, match=r"there is no file none\.csv"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "rows.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read_table(tmp_path / "rows.csv")
    with pytest.raises(InputError, match="cannot be read"):
        digest_file(tmp_path / "rows.csv")


def test_a_value_that_is_not_of_its_wanted_type_names_the_column(tmp_path: Path) -> None:
    """The reviewed interface decides what a column is; a value that cannot be that is refused, one that can is read."""
    path = written(tmp_path, "a,b\n1.5,2\nx,3\n")
    with pytest.raises(InputError, match="column 'a' should be a number but holds other values"):
        read_table(path, [Field(name="a", type=FieldType.NUMBER)])
    assert read_table(path, [Field(name="b", type=FieldType.NUMBER)]).columns["b"].tolist() == [2.0, 3.0]


def test_damaged_rows_behind_a_sound_footer_are_one_message(tmp_path: Path) -> None:
    """A Parquet file whose end reads well may still hold damaged pages."""
    path = parquet(tmp_path, "select range as a, md5(range::varchar) as b from range(5000)")
    content = bytearray(path.read_bytes())
    content[200 : len(content) // 2] = bytes(len(content) // 2 - 200)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"rows\.parquet cannot be read"):
        read_table(path)
