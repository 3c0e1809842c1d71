"""The loans rows: read from a pickle without unpickling it, and split without inventing dates."""

from __future__ import annotations

import lzma
import os
import pickle

import duckdb
import pytest

from roadworthy.demo.data import write_loans
from roadworthy.demo.pickled_table import read_pickled_table
from roadworthy.errors import InputError


@pytest.fixture(scope="module")
def loans(tmp_path_factory):
    """Give the files built from the installed package."""
    return write_loans(tmp_path_factory.mktemp("loans"))


def test_the_loans_are_those_that_the_literature_describes(loans):
    """Counts and means are the ones published for this table: 2,380 loans, 285 denied, 339 of African Americans."""
    assert (loans.train_rows, loans.later_rows) == (1_663, 717)
    query = """select count(*), count(distinct loan_id), sum(deny), count(*) filter (african_american = 'yes'),
        round(avg(payment_to_income), 3), round(avg(housing_to_income), 3), round(avg(loan_to_value), 3)
        from read_parquet($p)"""
    with duckdb.connect() as session:
        row = session.execute(query, {"p": [str(loans.train), str(loans.later)]}).fetchone()
    assert row == (2_380, 2_380, 285, 339, 0.331, 0.255, 0.738)


def test_columns_keep_their_own_values(loans):
    """The blocks of the pickled frame are put back in the order of its columns: first row, checked by hand."""
    with duckdb.connect() as session:
        query = "from read_parquet($p) select * where loan_id = '9'"
        found = session.execute(query, {"p": [str(loans.train), str(loans.later)]})
        row = dict(zip([column[0] for column in found.description], found.fetchone(), strict=True))
    assert row["deny"] == 1
    assert row["insurance_denied"] == "yes"
    assert (row["credit_history"], row["mortgage_history"], row["high_school"]) == (2, 2, "yes")
    assert row["loan_to_value"] == pytest.approx(0.897, abs=1e-3)


def test_building_loans_twice_gives_the_same_bytes(loans, tmp_path):
    """A data digest means the same rows on every run."""
    again = write_loans(tmp_path)
    assert again.train.read_bytes() == loans.train.read_bytes()
    assert again.later.read_bytes() == loans.later.read_bytes()


class _Planted:
    """What an attacker would pickle."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("wrap", [lambda planted: planted, lambda planted: {"deny": [planted]}])
def test_reading_a_planted_pickle_runs_nothing(tmp_path, wrap):
    """A file that names a function to run is refused, and the function does not run."""
    mark = tmp_path / "ran"
    path = tmp_path / "table.pkl.compress"
    path.write_bytes(lzma.compress(pickle.dumps(wrap(_Planted(str(mark))), protocol=5)))
    with pytest.raises(InputError, match="is not a pickled table"):
        read_pickled_table(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no xz",
        lzma.compress(b""),
        lzma.compress(b"\x80\x05"),
        lzma.compress(b"\x80\x05N."),
        lzma.compress(b"(i0\n."),
    ],
)
def test_what_is_no_pickled_table_is_refused_in_one_line(tmp_path, content):
    """An empty, torn or foreign file ends in a sentence, not in a traceback of the decoder."""
    path = tmp_path / "table.pkl.compress"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"table\.pkl\.compress is not a pickled table"):
        read_pickled_table(path)
