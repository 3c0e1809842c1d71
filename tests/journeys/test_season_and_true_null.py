"""Drift on a year of real flights: the season is seen, and flights dealt over the year at random raise nothing."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

from roadworthy.demo.data import ExampleFiles, shuffled, write_flights
from roadworthy.domain.candidate import Candidate, Environment
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.moment import DAY, iso
from roadworthy.domain.reference import Figure, Reference
from roadworthy.domain.release import Release
from roadworthy.domain.system import Owner, Policy, WatchPlan
from roadworthy.monitors.drift import DriftMonitor
from roadworthy.ports.monitor import FeatureBucket, View
from roadworthy.stats.counts import Bins, fold, freeze

FEATURES = ("carrier", "origin", "hour", "distance", "dewp", "humid", "wind_speed", "precip", "visib", "pressure")
WEEK = 7 * DAY
PAST = 8


def columns(path: Path) -> dict[str, np.ndarray]:
    """Read the features and the event time of a file."""
    names = ", ".join(FEATURES)
    source = f"select epoch_us(scheduled_at) as moment, {names} from read_parquet('{path}') order by moment"
    return {name: plain(values) for name, values in duckdb.sql(source).fetchnumpy().items()}


def plain(values: np.ma.MaskedArray) -> np.ndarray:
    """Spell nulls as None in text and as NaN in numbers."""
    if values.dtype == object:
        return np.ma.filled(values, None)
    return np.ma.filled(values.astype(float), np.nan)


def weeks(path: Path, bins: dict[str, Bins]) -> list[FeatureBucket]:
    """Count each whole week of a file, one bucket each."""
    rows = columns(path)
    first = int(rows["moment"][0])
    number = ((rows["moment"] - first) // WEEK).astype(int)
    made = []
    for week in range(number.max()):
        inside = number == week
        counts = {name: fold(bins[name], rows[name][inside]).to_doc() for name in FEATURES}
        made.append(FeatureBucket(start=first + week * WEEK, rows=int(inside.sum()), counts=counts))
    return made


def alarms(files: ExampleFiles) -> tuple[int, list[str]]:
    """Look at every week as control does; return how many weeks there were, and those that alarmed."""
    train = columns(files.train)
    bins = {name: freeze(name, train[name]) for name in FEATURES}
    reference = Reference(
        rows=len(train["moment"]),
        holdout_rows=0,
        bins={name: one.to_doc() for name, one in bins.items()},
        counts={name: fold(bins[name], train[name]).to_doc() for name in FEATURES},
        prediction_bins={},
        prediction_counts={},
        loss=Figure(value=0.2, low=0.19, high=0.21, n=1000),
    )
    interface = Interface(inputs=(Field(name="hour", type=FieldType.INTEGER),), task=Task.BINARY, labels=("0", "1"))
    candidate = Candidate(
        system="flights",
        recipe="",
        artifacts=(),
        interface=interface,
        runtime="onnx",
        environment=Environment(python="3.11", platform="linux"),
    )
    release = Release(
        id="r", system="flights", number=1, candidate=candidate, policy="p", run="r", admitted_at=0, admitted_by="ana"
    )
    policy = Policy(owner=Owner(principal="ana", contact="a@b"), watch=WatchPlan(drift_window=WEEK))
    seen = weeks(files.later, bins)
    loud = []
    for place, bucket in enumerate(seen):
        view = View(
            system="flights",
            policy=policy,
            interface=interface,
            environment="live",
            release=release,
            reference=reference,
            now=bucket.start + WEEK,
            watermark=bucket.start + WEEK,
            features=[bucket],
            past_features=seen[max(0, place - PAST) : place],
        )
        whole = next(one for one in DriftMonitor().watch(view) if one.name == "drift")
        if whole.alarm:
            loud.append(f"{iso(bucket.start)}: {whole.reason}")
    return len(seen), loud


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> ExampleFiles:
    """The year as it was."""
    return write_flights(tmp_path_factory.mktemp("flights"))


def test_flights_dealt_at_random_over_the_year_raise_no_alarm(flights: ExampleFiles, tmp_path: Path) -> None:
    """A true null, with the same rows and the same windows as the demo: not one week alarms."""
    looked_at, loud = alarms(shuffled(flights, tmp_path))
    assert looked_at >= 38
    assert loud == []


def test_the_real_season_is_seen(flights: ExampleFiles) -> None:
    """Spring and summer differ from the winter the model learned from, and the weather is named."""
    looked_at, loud = alarms(flights)
    assert looked_at >= 38
    assert len(loud) >= 5
    assert "dewp" in loud[0]
