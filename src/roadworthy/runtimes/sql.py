"""Prototypes and baselines written as SQL: a table that is fitted once, and one query that answers rows.

The text holds at most two statements: `create table fitted as select … from train …`, and one `select` from `input`
that gives, ordered by `rw_row`, one row an input: `probability`, `label` or `value` (multiclass also `probability_…`,
one a label). It runs in an in-memory DuckDB that can reach neither files nor network nor its own settings.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import duckdb
import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.errors import ArtifactError, InputError
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.runtime import Columns, Outputs, Predictor
from roadworthy.runtimes.columns import NO_TIME, count_rows
from roadworthy.runtimes.environment import require
from roadworthy.runtimes.outputs import (
    BadAnswer,
    expect_rows,
    from_labels,
    from_positive,
    from_probabilities,
    from_values,
)
from roadworthy.runtimes.warm import warmed

DISTRIBUTIONS: Final = ("duckdb", "numpy")
_CONFIG: Final[dict[str, Any]] = {
    "threads": 1,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
_PARQUET: Final = "(format parquet, compression zstd)"
_TYPES: Final = {
    FieldType.NUMBER: "double",
    FieldType.INTEGER: "bigint",
    FieldType.STRING: "varchar",
    FieldType.BOOLEAN: "boolean",
    FieldType.TIMESTAMP: "timestamp",
}


@dataclass(frozen=True, slots=True)
class Statements:
    """A SQL prototype in its two parts; `fit` is empty when nothing is fitted."""

    fit: str
    answer: str


class SqlRuntime:
    """Loads candidates whose `model` is SQL text and whose `fitted`, if any, is a Parquet table."""

    name: ClassVar[str] = "sql"
    native: ClassVar[bool] = False

    def load(self, candidate: Candidate, artifacts: Artifacts) -> Predictor:
        """Load the SQL candidate; see `ports.runtime.Runtime.load`."""
        model, fitted = candidate.artifact("model"), candidate.artifact("fitted")
        if model is None or model.format != "sql":
            raise ArtifactError("the candidate holds no SQL text")
        require(candidate.environment, DISTRIBUTIONS)
        statements = split_statements(artifacts.get(model.digest).decode())
        table = artifacts.path(fitted.digest) if fitted else None
        return warmed(SqlPredictor(statements, table, candidate.interface), candidate.interface)


class SqlPredictor:
    """Answers rows with a query. Each thread has its own cursor on one database."""

    def __init__(self, statements: Statements, fitted: Path | None, interface: Interface) -> None:
        self._answer = statements.answer
        self._interface = interface
        self._fields = interface.features
        self._mine = threading.local()
        self._database = duckdb.connect(":memory:", config=_CONFIG)
        self._database.execute("set timezone = 'UTC'")
        if fitted is not None:
            self._database.execute("create table fitted as select * from read_parquet($path)", {"path": str(fitted)})
        _shut(self._database)

    def predict(self, columns: Columns) -> Outputs:
        """Answer the rows; see `ports.runtime.Predictor.predict`."""
        n = count_rows(columns)
        cursor = self._cursor()
        cursor.register("rw_rows", {**_raw(columns, self._fields), "rw_row": np.arange(n)})
        result: Mapping[str, Any] = cursor.execute(self._answer).fetchnumpy()
        return expect_rows(self._declare(result, n), n)

    def _declare(self, result: Mapping[str, Any], n: int) -> Outputs:
        if "rw_row" in result and not np.array_equal(np.asarray(result["rw_row"]), np.arange(n)):
            raise BadAnswer("the query does not give one row an input in the order of rw_row")
        holes = [name for name, values in result.items() if np.ma.getmaskarray(values).any()]
        if holes:
            raise BadAnswer(f"the query answered with null ({', '.join(holes)})")
        interface = self._interface
        shares = [f"probability_{label}" for label in interface.labels]
        if interface.task is Task.REGRESSION and "value" in result:
            return from_values(result["value"])
        if interface.task is Task.BINARY and "probability" in result:
            return from_positive(result["probability"], interface)
        if interface.task is Task.MULTICLASS and all(name in result for name in shares):
            return from_probabilities(np.column_stack([result[name] for name in shares]), interface.labels, interface)
        if interface.task is not Task.REGRESSION and "label" in result:
            return from_labels(result["label"].tolist(), interface)
        wanted = {Task.REGRESSION: "value", Task.BINARY: "probability or label"}.get(interface.task, "label")
        raise BadAnswer(f"the query gives {', '.join(result)}; a {interface.task} system needs {wanted}")

    def _cursor(self) -> DuckDBPyConnection:
        cursor: DuckDBPyConnection | None = getattr(self._mine, "cursor", None)
        if cursor is None:
            cursor = self._database.cursor()
            empty = {field.name: np.empty(0, dtype=object) for field in self._fields}
            cursor.register("rw_rows", {**empty, "rw_row": np.arange(0)})
            cursor.execute(f"create temp view input as {_typed(self._fields)}")
            self._mine.cursor = cursor
        return cursor


def split_statements(text: str) -> Statements:
    """Split SQL text into what is fitted and what answers.

    Raises:
        InputError: no SQL, or other statements than the two that a prototype may have.
    """
    try:
        statements = [statement.query.strip().rstrip(";") for statement in duckdb.extract_statements(text)]
    except duckdb.Error as wrong:
        raise InputError(f"the SQL cannot be read: {_first_line(wrong)}") from wrong
    kinds = [_bare(statement).split(maxsplit=3)[:3] for statement in statements]
    if not statements or len(statements) > 2 or kinds[-1][0] not in ("select", "with", "from"):  # noqa: PLR2004
        raise InputError(
            "the SQL must be one select from `input`, after an optional `create table fitted as …`",
            hint="end it with: select … as probability from input order by rw_row;",
        )
    if len(statements) == 1:
        return Statements("", statements[0])
    if kinds[0] != ["create", "table", "fitted"]:
        raise InputError("the first of the two statements must be `create table fitted as select … from train`")
    return Statements(statements[0], statements[1])


def fit(statements: Statements, train: Columns, fields: Iterable[Field], target: Path) -> int:
    """Run `create table fitted as …` over the training rows and write the table as Parquet; return its rows.

    Args:
        statements: from `split_statements`; `fit` is not empty.
        train: every column the SQL may name, the target included.
        fields: their types.
        target: the file to write.

    Raises:
        InputError: the SQL fails; the message is the database's first line.
    """
    with _database(train, tuple(fields)) as database:
        try:
            database.execute(statements.fit)
            row = database.execute("select count(*) from fitted").fetchone()
        except duckdb.Error as wrong:
            raise InputError(f"the SQL's `create table fitted` failed: {_first_line(wrong)}") from wrong
        ordered: Mapping[str, Any] = database.execute("select * from fitted order by all").fetchnumpy()
        described = database.execute("describe fitted").fetchall()
    _write_fitted(ordered, [(str(name), str(kind)) for name, kind, *_ in described], target)
    return int(row[0]) if row else 0


@contextmanager
def _database(train: Columns, fields: tuple[Field, ...]) -> Generator[DuckDBPyConnection]:
    """Open a shut database that holds the training rows as `train`."""
    database = duckdb.connect(":memory:", config=_CONFIG)
    try:
        database.execute("set timezone = 'UTC'")
        database.register("rw_rows", {**_raw(train, fields), "rw_row": np.arange(count_rows(train))})
        database.execute(f"create table train as {_typed(fields)}")
        _shut(database)
        yield database
    finally:
        database.close()


def write_table(columns: Columns, fields: Iterable[Field], target: Path) -> None:
    """Write columns as a Parquet file, in their order."""
    kept = tuple(fields)
    with duckdb.connect(":memory:", config=_CONFIG) as writer:
        writer.register("rw_rows", {**_raw(columns, kept), "rw_row": np.arange(count_rows(columns))})
        cells = ", ".join(_quoted(field.name) for field in kept)
        writer.execute(f"copy (select {cells} from ({_typed(kept)}) order by rw_row) to {_text(target)} {_PARQUET}")


def _write_fitted(columns: Mapping[str, Any], types: list[tuple[str, str]], target: Path) -> None:
    """Write what a shut database gave: only a second one, which runs no SQL of the project, may touch files."""
    with duckdb.connect(":memory:", config=_CONFIG) as writer:
        writer.execute("set timezone = 'UTC'")
        writer.register("rw_rows", {name: _bridge(values) for name, values in columns.items()})
        typed = ", ".join(f"cast({_quoted(name)} as {kind}) as {_quoted(name)}" for name, kind in types)
        writer.execute(f"copy (select {typed} from rw_rows) to {_text(target)} {_PARQUET}")


def _bridge(values: NDArray[Any]) -> NDArray[Any]:
    if not np.ma.getmaskarray(values).any():
        return np.asarray(values)
    cells: NDArray[Any] = np.empty(len(values), dtype=object)
    cells[:] = values.tolist()  # a masked array lists its holes as None
    return cells


def _raw(columns: Columns, fields: Iterable[Field]) -> dict[str, NDArray[Any]]:
    return {field.name: columns[field.name] for field in fields}


def _typed(fields: Iterable[Field]) -> str:
    cells = [f"{_cell(field)} as {_quoted(field.name)}" for field in fields]
    return f"select {', '.join([*cells, 'rw_row'])} from rw_rows"


def _cell(field: Field) -> str:
    name = _quoted(field.name)
    if field.type is FieldType.TIMESTAMP:
        return f"case when {name} <> {NO_TIME} then make_timestamp(cast({name} as bigint)) end"
    if field.type is FieldType.NUMBER:
        return f"nullif(cast({name} as double), 'nan'::double)"
    if field.type is FieldType.INTEGER:
        return f"case when not isnan(cast({name} as double)) then cast({name} as bigint) end"
    return f"cast({name} as {_TYPES[field.type]})"


def _shut(database: DuckDBPyConnection) -> None:
    database.execute("set enable_external_access = false")
    database.execute("set lock_configuration = true")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _bare(statement: str) -> str:
    """Return a statement in lower case without the comments before it."""
    lines = [line for line in statement.splitlines() if not line.strip().startswith("--")]
    return " ".join(lines).strip().lower()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
