"""The table a project is trained and judged on, read from CSV or Parquet into typed columns."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from roadworthy.domain.digest import PREFIX, Digest
from roadworthy.domain.interface import Field, FieldType
from roadworthy.errors import InputError
from roadworthy.ports.runtime import Columns
from roadworthy.runtimes.columns import NO_TIME, nulls_of

_CSV: Final = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")
_PARQUET: Final = (".parquet", ".pq")
_NULLS: Final = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>", "#N/A")
_WHOLE: Final = frozenset(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"))
_REAL: Final = frozenset(("FLOAT", "DOUBLE", "UBIGINT", "HUGEINT", "UHUGEINT"))
_TEXT: Final = frozenset(("VARCHAR", "UUID"))
_CASTS: Final = {
    FieldType.NUMBER: "double",
    FieldType.INTEGER: "bigint",
    FieldType.STRING: "varchar",
    FieldType.BOOLEAN: "boolean",
    FieldType.TIMESTAMP: "timestamp",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows in the order of the file. `fields` types every usable column; `unusable` names the others' types.

    `keys` is one uint64 a row: a digest of the row's content, or of `key_column` alone.
    """

    path: Path
    n: int
    fields: tuple[Field, ...]
    columns: Columns
    keys: NDArray[np.uint64]
    unusable: Mapping[str, str]

    def field(self, name: str) -> Field | None:
        """Return a column's type, or None when the table has no such usable column."""
        return next((field for field in self.fields if field.name == name), None)


def read_table(path: Path, wanted: Iterable[Field] = (), *, key_column: str = "") -> Table:
    """Read a table; columns named in `wanted` are read as the types given there, others as they are.

    Args:
        path: a `.csv`, `.tsv` (also gzipped) or `.parquet` file.
        wanted: fields whose types are known, such as the interface's.
        key_column: what `keys` are made from; the whole row if empty.

    Raises:
        InputError: there is no such file, it is empty, odd, or a value is not of its wanted type.
    """
    source = _source(path)
    with _session() as session:
        described = _describe(session, source, path)
        if key_column and key_column not in described:
            raise InputError(f"{path.name} lacks the column '{key_column}'", hint="mend data.entity, or the table")
        types = {field.name: field.type for field in wanted}
        if source.startswith("read_csv"):
            # A code such as 007 or a date must reach a text field as it is written.
            texts = [name for name in described if types.get(name) is FieldType.STRING]
            words = _words(session, path, {name: kind for name, kind in described.items() if name not in types})
            source = _csv_source(path, [*texts, *words])
            described |= dict.fromkeys(words, "VARCHAR")
        fields = _fields(described, types)
        _check_casts(session, source, fields, described)
        columns, keys = _fetch(session, source, path, fields, key_column)
    unusable = {name: kind for name, kind in described.items() if all(field.name != name for field in fields)}
    n = len(keys)
    if n == 0:
        raise InputError(f"{path.name} has columns but no rows")
    typed = tuple(_with_nullability(field, columns[field.name]) for field in fields)
    return Table(path=path, n=n, fields=typed, columns=columns, keys=keys, unusable=unusable)


def digest_file(path: Path) -> Digest:
    """Name a file by the digest of its bytes.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return PREFIX + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as wrong:
        raise InputError(f"{path.name} cannot be read: {wrong.strerror}") from wrong


def _session() -> DuckDBPyConnection:
    config: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    session = duckdb.connect(":memory:", config=config)
    session.execute("set timezone = 'UTC'")
    session.execute("set threads = 2")
    return session


def _source(path: Path) -> str:
    if not path.exists():
        raise InputError(f"there is no file {path.name} in {path.parent}", hint="give the table with --data")
    if path.is_dir():
        raise InputError(f"{path.name} is a folder; a table is one file")
    if path.stat().st_size == 0:
        raise InputError(f"{path.name} is empty")
    name = path.name.lower()
    if name.endswith(_CSV):
        return _csv_source(path, ())
    if name.endswith(_PARQUET):
        return f"read_parquet({_text(path)})"
    raise InputError(f"{path.name} is neither CSV nor Parquet", hint="save the table as .csv or .parquet")


def _csv_source(path: Path, texts: Sequence[str]) -> str:
    nulls = ", ".join(f"'{text}'" for text in _NULLS)
    types = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in texts)
    kept = f", types = {{{types}}}" if texts else ""
    return f"read_csv({_text(path)}, header = true, sample_size = -1, nullstr = [{nulls}]{kept})"


def _describe(session: DuckDBPyConnection, source: str, path: Path) -> dict[str, str]:
    """Return the type of each column by name, after what is odd about the names was refused."""
    try:
        rows = session.execute(f"describe select * from {source}").fetchall()
        names = _written_names(session, source, path)
    except duckdb.Error as wrong:
        raise InputError(f"{path.name} cannot be read: {_first_line(wrong)}") from wrong
    twice = [name for name, count in Counter(name.lower() for name in names).items() if count > 1]
    if twice:
        raise InputError(f"{path.name} has columns whose names differ at most in case: {', '.join(sorted(twice))}")
    if any(not name.strip() for name in names):
        raise InputError(f"{path.name} has a column without a name")
    if all(_is_number(name) for name in names):
        raise InputError(f"the first line of {path.name} holds numbers, not column names", hint="add a header line")
    return {str(name): str(kind) for name, kind, *_ in rows}


def _written_names(session: DuckDBPyConnection, source: str, path: Path) -> list[str]:
    """Return the column names as the file writes them; DuckDB itself renames the ones that clash."""
    if source.startswith("read_parquet"):
        rows = session.execute(f"select name, num_children from parquet_schema({_text(path)})").fetchall()
        return [str(name) for name, children in rows if not children]
    found = session.execute(f"select Delimiter, Quote from sniff_csv({_text(path)}, header = true)").fetchone()
    if found is None or path.name.lower().endswith(".gz"):
        return [str(row[0]) for row in session.execute(f"describe select * from {source}").fetchall()]
    quote = str(found[1])
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file, delimiter=str(found[0]), quotechar=quote if len(quote) == 1 else '"')
        first: list[str] = next(reader, [""])
        return first


def _words(session: DuckDBPyConnection, path: Path, described: Mapping[str, str]) -> list[str]:
    """Return the columns that DuckDB reads as something else but other readers as words: yes and no, times of day."""
    truths = [name for name, kind in described.items() if kind == "BOOLEAN"]
    words = [name for name, kind in described.items() if _type_of(kind) is None]
    if truths:
        plain = _csv_source(path, truths)
        odd = ", ".join(f"bool_or(lower({_quoted(name)}) not in ('true', 'false'))" for name in truths)
        row = session.execute(f"select {odd} from {plain}").fetchone() or ()
        words += [name for name, is_odd in zip(truths, row, strict=True) if is_odd]
    return words


def _fields(described: Mapping[str, str], types: Mapping[str, FieldType]) -> tuple[Field, ...]:
    found = ((name, types.get(name) or _type_of(kind)) for name, kind in described.items())
    return tuple(Field(name=name, type=kind) for name, kind in found if kind is not None)


def _type_of(kind: str) -> FieldType | None:
    plain = kind.split("(", maxsplit=1)[0].upper()
    if plain in _WHOLE:
        return FieldType.INTEGER
    if plain in _REAL or plain == "DECIMAL":
        return FieldType.NUMBER
    if plain in _TEXT or plain == "ENUM":
        return FieldType.STRING
    if plain == "BOOLEAN":
        return FieldType.BOOLEAN
    if plain == "DATE" or (plain.startswith("TIMESTAMP") and not plain.endswith("]")):
        return FieldType.TIMESTAMP
    # A column of nothing but nulls has no type of its own; it is a number that is always missing.
    return FieldType.NUMBER if plain in ('"NULL"', "NULL") else None


def _check_casts(
    session: DuckDBPyConnection, source: str, fields: Sequence[Field], described: Mapping[str, str]
) -> None:
    """Name the first column with a value that is not of its wanted type."""
    doubtful = [field for field in fields if _type_of(described[field.name]) not in (field.type, None)]
    for field in doubtful:
        name, kind = _quoted(field.name), _CASTS[field.type]
        query = f"select {name} from {source} where {name} is not null and try_cast({name} as {kind}) is null limit 1"
        bad = session.execute(query).fetchone()
        if bad is not None:
            raise InputError(f"column '{field.name}' should be a {field.type} but holds other values")


def _fetch(
    session: DuckDBPyConnection, source: str, path: Path, fields: Sequence[Field], key_column: str
) -> tuple[dict[str, NDArray[Any]], NDArray[np.uint64]]:
    keyed = [_quoted(key_column)] if key_column else [_quoted(field.name) for field in fields]
    texts = ", ".join(f"coalesce(cast({name} as varchar), chr(30))" for name in keyed)
    cells = ", ".join(f"cast({_quoted(f.name)} as {_CASTS[f.type]}) as {_quoted(f.name)}" for f in fields)
    query = f"select {cells}, md5_number_lower(concat_ws(chr(31), {texts})) as rw_key from {source}"
    try:
        found: Mapping[str, Any] = session.execute(query).fetchnumpy()
    except duckdb.Error as wrong:
        raise InputError(f"{path.name} cannot be read: {_first_line(wrong)}") from wrong
    columns = {field.name: _column(field, np.ma.asarray(found[field.name])) for field in fields}
    return columns, np.asarray(found["rw_key"], dtype=np.uint64)


def _column(field: Field, values: NDArray[Any]) -> NDArray[Any]:
    """Turn what DuckDB gives (masked arrays) into the column that `ports.runtime.Columns` describes."""
    hidden = np.ma.getmaskarray(values)
    raw = np.ma.getdata(values)
    if field.type is FieldType.TIMESTAMP:
        instants = raw.astype("datetime64[us]").astype(np.int64)
        return np.where(hidden, NO_TIME, instants)
    if field.type is FieldType.NUMBER:
        return np.where(hidden, np.nan, raw).astype(np.float64)
    if not hidden.any() and field.type is not FieldType.STRING:
        return raw.astype(np.int64) if field.type is FieldType.INTEGER else raw.astype(np.bool_)
    if field.type is FieldType.INTEGER:
        return np.where(hidden, np.nan, raw.astype(np.float64))
    cells: NDArray[Any] = np.empty(len(raw), dtype=object)
    cells[:] = [None if gone else value for value, gone in zip(raw.tolist(), hidden.tolist(), strict=True)]
    return cells


def _with_nullability(field: Field, values: NDArray[Any]) -> Field:
    return Field(name=field.name, type=field.type, nullable=bool(nulls_of(field, values).any()))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
