"""Native models live in a child process: what they do to it, callers do not feel."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.record import Flag
from roadworthy.runtimes.environment import capture
from roadworthy.stores.records import open_records
from serving_kit import INTERFACE, ROW, Plane, open_plane, release, served, solo, sql_candidate, until

MODEL = """
import ctypes, os, time
import numpy as np

class Predictor:
    def predict(self, columns):
        distance = columns["distance"]
        if 666 in distance:
            ctypes.string_at(0)
        if 777 in distance:
            time.sleep(3600)
        if 888 in distance:
            raise ValueError("a secret value")
        if 999 in distance:
            return {"probability": np.full(len(distance), np.nan), "label": np.array(["late"] * len(distance))}
        label = np.array(["late"] * len(distance), dtype=object)
        return {"probability": np.full(len(distance), 0.5 + columns["hour"] / 100), "label": label}

class Runtime:
    name = "crashing"
    native = True
    def load(self, candidate, artifacts):
        if candidate.recipe == "unloadable":
            raise RuntimeError("cannot")
        return Predictor()
"""


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A home whose processes know a runtime that crashes, hangs and raises when asked to."""
    site = tmp_path / "site"
    (site / "crashing-1.0.dist-info").mkdir(parents=True)
    (site / "crashing_model.py").write_text(MODEL)
    (site / "crashing-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: crashing\nVersion: 1.0\n")
    (site / "crashing-1.0.dist-info" / "entry_points.txt").write_text(
        "[roadworthy.runtimes]\ncrashing = crashing_model:Runtime\n"
    )
    made = open_plane(tmp_path)
    made.extra_environment = {"PYTHONPATH": str(site)}
    try:
        yield made
    finally:
        made.stop()


def native(recipe: str = "native") -> Candidate:
    """Describe a candidate of the crashing runtime."""
    return Candidate(
        system="flights", recipe=recipe, artifacts=(), interface=INTERFACE, runtime="crashing", environment=capture(())
    )


def start(plane: Plane, **plan: object) -> None:
    """Serve the native release with a baseline behind it."""
    champion, baseline = native(), sql_candidate(plane.artifacts, "0.2", is_baseline=True)
    route = solo(champion.id, fallback=(baseline.id,))
    plane.publish(served(route, release(champion, "flights@v1"), release(baseline, "flights@baseline"), **plan))
    plane.start()
    plane.wait_applied()


def children_of(pid: int) -> list[int]:
    """Return the processes that a process started."""
    texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(text) for one in texts for text in one.split()]


def test_a_native_model_answers_from_its_own_process(plane):
    """Columns go over and outputs come back as they were, for one row and for many."""
    start(plane)
    assert plane.predict(ROW).json["outputs"] == {"probability": 0.59, "label": "late"}
    many = plane.predict([{**ROW, "hour": hour} for hour in range(24)]).json["outputs"]
    assert [round(one["probability"], 2) for one in many] == [round(0.5 + hour / 100, 2) for hour in range(24)]
    (word,) = plane.wait_applied()
    assert len(children_of(word.pid)) == 1


def test_a_segfault_costs_its_callers_nothing_but_a_fallback(plane):
    """The child dies, the worker lives, the request falls back, the child starts again."""
    start(plane, breaker_cool_down=100_000)
    (word,) = plane.wait_applied()
    reply = plane.predict({**ROW, "distance": 666})
    assert (reply.status, reply.json["fallback"]) == (200, "baseline")
    until(lambda: plane.predict(ROW).json["fallback"] is None, "the native model answers again")
    (again,) = plane.wait_applied()
    assert again.pid == word.pid


def test_a_stuck_call_meets_the_deadline_and_its_child_is_replaced(plane):
    """A C call that never returns costs one deadline; then its process is killed."""
    start(plane, deadline_ms=200, breaker_cool_down=100_000)
    (word,) = plane.wait_applied()
    (stuck,) = children_of(word.pid)
    reply = plane.predict({**ROW, "distance": 777})
    assert (reply.status, reply.json["fallback"]) == (200, "baseline")
    (record,) = open_records(plane.home.records, plane.home.counters).tail().records
    assert record.flags & Flag.TIMED_OUT
    until(lambda: plane.predict(ROW).json["fallback"] is None, "another child answers")
    assert children_of(word.pid) != [stuck]


def test_what_a_native_model_raises_stays_in_its_process(plane):
    """An exception falls back; its text, which may hold values, is recorded nowhere."""
    start(plane)
    assert plane.predict({**ROW, "distance": 888}).json["fallback"] == "baseline"
    assert plane.predict({**ROW, "distance": 999}).json["fallback"] == "baseline"
    plane.stop()
    kept = b"".join(path.read_bytes() for path in (plane.home.records / "segments").glob("*.seg"))
    assert b"a secret value" not in kept
    assert "a secret value" not in plane.log()


def test_a_native_release_that_cannot_be_loaded_is_refused(plane):
    """The worker names it and serves what it can."""
    bad, baseline = native("unloadable"), sql_candidate(plane.artifacts, "0.2", is_baseline=True)
    route = solo(bad.id, fallback=(baseline.id,))
    plane.publish(served(route, release(bad, "flights@v1"), release(baseline, "flights@baseline")))
    plane.start()
    (word,) = plane.wait_applied()
    assert [name for name, _ in word.refused] == [bad.id]
    assert plane.predict(ROW).json["fallback"] == "baseline"


def test_children_end_with_their_worker(plane):
    """No model process outlives a killed worker."""
    start(plane)
    (word,) = plane.wait_applied()
    (child,) = children_of(word.pid)
    os.kill(word.pid, signal.SIGKILL)
    until(
        lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text(), "the child ends"
    )
