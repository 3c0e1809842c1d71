"""The failure plan under kills: whatever instant control dies at, each action happens once and the page arrives."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from control_kit import POLICY, open_running
from roadworthy.domain.ledger import Noun, verify
from roadworthy.domain.objective import Signal
from roadworthy.domain.rollout import Progress
from roadworthy.lifecycle import present
from roadworthy.lifecycle.control import Control
from roadworthy.lifecycle.incidents import incidents
from roadworthy.lifecycle.publish import is_published
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.wiring import open_plane

pytestmark = pytest.mark.slow
DRIVER = Path(__file__).with_name("control_driver.py")
POINTS = (
    "ledger.before_commit@1",
    "ledger.after_commit@1",
    "ledger.before_commit@2",
    "ledger.after_commit@2",
    "ledger.before_commit@3",
    "ledger.after_commit@3",
    "ledger.before_commit@4",
    "ledger.after_commit@4",
    "ledger.after_commit@5",
    "deliveries.before_commit@1",
    "deliveries.after_commit@1",
    "deliveries.before_commit@2",
    "deliveries.after_commit@2",
    "deliveries.before_commit@3",
    "deliveries.after_commit@3",
    "observations.before_commit",
    "observations.after_commit",
    "snapshot.before_fsync",
    "snapshot.before_rename",
    "snapshot.after_rename",
    "snapshot.after_version",
    "leases.before_commit",
    "leases.after_commit",
)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose champion v2 is in breach, with v1 behind it."""
    folder = tmp_path_factory.mktemp("broken")
    made = open_running(folder, POLICY)
    made.live("v1")
    made.live("v2")
    bad = present.releases(made.plane, "flights")
    champion = present.find_release(bad, "v2", "flights").id
    signal = Signal(system="flights", name="brier", at=made.plane.clock.now(), value=0.8, n=50, release=champion)
    made.plane.observations.save(before="", cursor="", signals=[signal])
    made.plane.close()
    return folder / "home"


def run(home: Path, looks: int, crash_at: str = "") -> int:
    """Run control's looks in a process; return how it ended."""
    environment = {**os.environ, "ROADWORTHY_HOME": str(home), "ROADWORTHY_CRASH_AT": crash_at}
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(looks)], env=environment, capture_output=True, check=False, timeout=120
    )
    assert done.returncode in (0, -9), done.stderr.decode()
    return done.returncode


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_instant_leaves_one_rollback_one_incident_and_a_page(
    broken: Path, tmp_path: Path, point: str
) -> None:
    """The next control process finishes what the killed one began, and nothing happens twice."""
    home = tmp_path / "home"
    shutil.copytree(broken, home)
    assert run(home, 3, point) == -9, f"{point} was never reached"
    _let_time_pass(home)
    plane = open_plane(Settings(home=home))
    try:
        _look(plane, 3)
        events = list(plane.ledger.events())
        assert verify(events).holds
        known = present.releases(plane, "flights")
        route = present.route(plane, "flights", "live")
        assert route is not None
        assert known[route.champion].name == "flights@v1"
        assert is_published(plane)
        stories = incidents(plane, "flights", everything=True)
        assert [story.objective for story in stories] == ["quality"]
        assert sorted(action.action for action in stories[0].actions) == ["page", "rollback"]
        kinds = [event.kind for event in events]
        assert kinds.count("incident.opened") == 1
        assert kinds.count("release.withdrawn") == 1
        assert kinds.count("route.changed") == 3
        actions = plane.ledger.states(Noun.ACTION, "flights").values()
        assert {(action["action"], action["state"]) for action in actions} == {("rollback", "done"), ("page", "done")}
    finally:
        plane.close()
    pages = [json.loads(line) for line in (home / "pages.jsonl").read_text().splitlines()]
    assert len({page["key"] for page in pages}) == 1
    assert len(pages) in (1, 2), "at least once, with one key"


def test_two_control_processes_at_once_do_what_one_does(broken: Path, tmp_path: Path) -> None:
    """One leads, the other waits; together they act once."""
    home = tmp_path / "home"
    shutil.copytree(broken, home)
    environment = {**os.environ, "ROADWORTHY_HOME": str(home)}
    both = [subprocess.Popen([sys.executable, str(DRIVER), "8"], env=environment) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    plane = open_plane(Settings(home=home))
    try:
        kinds = [event.kind for event in plane.ledger.events()]
        assert kinds.count("incident.opened") == 1
        assert kinds.count("route.changed") == 3
    finally:
        plane.close()


def _look(plane: Plane, times: int) -> None:
    """Do in this process what the next control process does."""
    control = Control(plane, lambda *_: 0, lambda _: Progress())
    for _ in range(times):
        control.look()
        control.deliver()
    control.resign()


def _let_time_pass(home: Path) -> None:
    """End the killed leader's lease and make its attempted pages due; waiting is not what this test is about."""
    with sqlite3.connect(home / "control.sqlite") as connection:
        connection.execute("update lease set expires_at = 0")
        connection.execute("update delivery set due_at = 0 where finished_at is null")
    connection.close()
