"""Real processes: a bad release forced live is rolled back by itself, and what is killed comes back."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_kit import ADA, Running, open_running
from roadworthy.domain.ledger import verify
from roadworthy.lifecycle import present
from roadworthy.lifecycle.drill import FAULTS, drill
from roadworthy.lifecycle.explain import explain
from roadworthy.lifecycle.incidents import incidents
from roadworthy.lifecycle.roll_back import roll_back
from roadworthy.stores.fault_files import FileFaults
from serving_kit import until

pytestmark = pytest.mark.slow


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A home with a baseline, a good v1 and a bad v2, ended whatever happens."""
    made = open_running(tmp_path)
    try:
        yield made
    finally:
        made.stop()
        made.plane.close()


def champion(running: Running) -> str:
    """Name the champion."""
    route = present.route(running.plane, "flights", "live")
    assert route is not None
    return present.releases(running.plane, "flights")[route.champion].name


def calls_until(running: Running, claim: object, patience_s: float = 60.0) -> None:
    """Call the system with outcomes until a claim holds."""
    give_up_at = time.monotonic() + patience_s
    while not claim():  # type: ignore[operator]
        assert time.monotonic() < give_up_at, running.log()
        running.call(late=running.sent % 3 == 0)


def test_a_bad_release_is_rolled_back_without_a_failed_request(running: Running) -> None:
    """The failure plan runs by itself: outcomes, breach, incident, rollback, page; and one answer is explained."""
    running.live("v1")
    running.start()
    running.wait_applied()
    for _ in range(30):
        running.call(late=running.sent % 3 == 0)
    running.live("v2")
    bad = [running.call(late=False) for _ in range(3)]
    calls_until(running, lambda: champion(running) == "flights@v1")
    calls_until(running, lambda: running.status().incidents[0].recovered_at is not None)
    assert running.failures == []
    assert running.call().release == "flights@v1"
    story = incidents(running.plane, "flights")[0]
    until(lambda: incidents(running.plane, "flights")[0].actions[-1].action == "page", "the page arrived")
    assert story.objective == "quality"
    pages = (running.plane.home.root / "pages.jsonl").read_text().splitlines()
    assert len({json.loads(page)["key"] for page in pages}) == 1
    assert verify(running.plane.ledger.events()).holds
    told = [answer for answer in bad if answer.release == "flights@v2"]
    found = explain(running.plane, (told or bad)[-1].record)
    assert found.outcomes[-1].value == "on_time"
    assert found.route is not None
    losses = running.plane.records.losses()
    assert losses.answers == losses.records + losses.unrecorded


def test_what_is_killed_comes_back_and_everything_ends_together(running: Running) -> None:
    """A killed control process is started again and leads; SIGTERM ends every child; nothing else is touched."""
    running.live("v1")
    running.start()
    running.wait_applied()
    control = running.plane.home.control_file
    until(control.exists, "control runs")
    first = json.loads(control.read_text())["pid"]
    os.kill(first, signal.SIGKILL)
    until(lambda: control.exists() and json.loads(control.read_text())["pid"] != first, "control runs again")
    second = json.loads(control.read_text())["pid"]
    serve = json.loads(running.plane.home.serve_file.read_text())["pid"]
    running.live("v2")
    calls_until(running, lambda: champion(running) == "flights@v1")
    assert running.failures == []
    running.stop()
    for pid in (second, serve):
        until(lambda pid=pid: not _lives(pid), f"process {pid} ended")
    assert not control.exists()


def test_the_children_end_when_the_supervisor_is_killed(running: Running) -> None:
    """No process is left behind, however `up` dies."""
    running.live("v1")
    running.start()
    until(running.plane.home.control_file.exists, "control runs")
    pids = [
        json.loads(file.read_text())["pid"] for file in (running.plane.home.control_file, running.plane.home.serve_file)
    ]
    assert running.process is not None
    running.process.kill()
    running.process.wait()
    for pid in pids:
        until(lambda pid=pid: not _lives(pid), f"process {pid} ended")


def test_a_rollback_by_hand_works_while_control_is_dead(running: Running) -> None:
    """The verb commits and publishes by itself; workers follow."""
    running.live("v1")
    running.live("v2")
    running.start("serve", workers=1)
    running.wait_applied()
    assert running.call().release == "flights@v2"
    roll_back(running.plane, "flights", actor=ADA)
    running.wait_applied()
    assert running.call().release == "flights@v1"


def test_up_says_in_one_line_what_keeps_it_from_starting(running: Running) -> None:
    """A routed release that does not load keeps `up` from starting."""
    running.live("v1")
    route = present.route(running.plane, "flights", "live")
    assert route is not None
    artifact = present.releases(running.plane, "flights")[route.champion].candidate.artifacts[0]
    path = running.plane.artifacts.path(artifact.digest)
    path.chmod(0o644)
    path.write_bytes(b"select 1")
    with pytest.raises(AssertionError):
        running.start()
    said = running.log()
    assert "flights@v1 does not load" in said
    assert "Traceback" not in said


def test_a_drill_proves_the_failure_plan_on_running_processes(running: Running) -> None:
    """Every fault is noticed, callers are well again, and no statistics of real callers are touched."""
    running.live("v1")
    running.live("v2")
    running.live("v1")
    running.start(workers=2)
    running.wait_applied(workers=2)
    faults = FileFaults(running.plane.home.root)
    reports = drill(running.plane, "flights", faults, actor=ADA, patience_s=20.0)
    assert [report.fault for report in reports] == list(FAULTS)
    missed = [f"{report}" for report in reports if not report.passed]
    assert missed == [], running.log()
    assert champion(running) == "flights@v1"
    by_fault = {report.fault: report for report in reports}
    assert by_fault["model_raises"].failed == 0
    assert by_fault["model_raises"].fallbacks > 0
    assert "action.done" in by_fault["late_bad_outcomes"].entries
    assert incidents(running.plane, "flights") == ()
    assert len(present.routes(running.plane, "flights")) == 1
    assert not running.status().drill.stale
    assert all(not release.withdrawn_for for release in present.releases(running.plane, "flights").values())


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
