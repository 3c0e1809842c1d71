"""Breakages from around a model: bad data, killed processes, an owner who left. Each ends in its declared action."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from callers_kit import Pager, Traffic, paging_holds
from journeys_kit import (
    SYSTEM,
    Template,
    home_holds,
    is_alive,
    kill,
    ledger_holds,
    playing,
    released,
    shared_folder,
    until,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A released project on the machine's clock."""
    return released(shared_folder(tmp_path_factory.getbasetemp()))


def test_bad_data_is_answered_422_and_pages_and_harms_nobody_else(template: Template, tmp_path: Path) -> None:
    """A broken feed sends nulls and unknown categories in a fifth of its requests: each is told, a person is paged."""
    sent = 0

    def spoil(row: dict[str, Any]) -> dict[str, Any]:
        nonlocal sent
        sent += 1
        return row if sent % 5 else {**row, "region": None if sent % 2 else "atlantis"}

    with Pager() as pager, playing(template, tmp_path / "data") as played:
        played.apply(pager=pager.url)
        played.start(workers=2)
        with Traffic(played, rate=60) as traffic:
            until(lambda: len(traffic.answers) >= 60, "callers are answered", played)
            traffic.spoil = spoil
            until(lambda: pager.about("violations"), "the page about violations arrived", played)
            traffic.spoil = None
            seen = len(traffic.answers)
            until(lambda: len(traffic.answers) >= seen + 60, "traffic goes on", played)
        refused = traffic.bad()
        assert {one.status for one in refused} == {422}
        assert all("region" in one.error for one in refused)
        assert len(refused) == sent // 5
        assert played.champion() == f"{SYSTEM}@v1"
        assert [one["objective"] for one in played.incidents()] == ["violations"]
        assert [one["after"]["action"] for one in played.events("action.done")] == ["page"]
        paging_holds(played, pager)
        ledger_holds(played)


def test_killed_processes_come_back_and_nothing_is_lost(template: Template, tmp_path: Path) -> None:
    """Killing control costs no request; killing a worker costs at most what it had in its hands; state stays whole."""
    with Pager() as pager, playing(template, tmp_path / "crash") as played:
        played.apply(pager=pager.url)
        played.start(workers=2)
        with Traffic(played, rate=60) as traffic:
            until(lambda: traffic.by_release()[f"{SYSTEM}@v1"] >= 60, "v1 answers", played)
            control = played.control_pid()
            kill(control)
            until(lambda: played.control_pid() not in (0, control), "control runs again", played)
            assert traffic.bad() == []
            worker, (pid, _) = min(played.acknowledged().items())
            dead_at = kill(pid)
            until(lambda: played.acknowledged().get(worker, (pid, 0))[0] != pid, "the worker is back", played)
            until(lambda: played.applied(2), "all workers serve the route in force", played)
            parent = played.serve_pid()
            parent_dead_at = kill(parent)
            until(lambda: played.serve_pid() not in (0, parent), "the data plane starts again", played)
            until(lambda: played.applied(2), "its workers serve the route in force", played)
            back_at = time.monotonic()
            # What automation and people do next works as before.
            traffic.truth = False
            played.promote("bad")
            traffic.truth = True
            until(lambda: played.champion() == f"{SYSTEM}@v1", "the bad model is rolled back", played)
            until(lambda: pager.about("harm"), "the page arrived", played)
        # Where the machine took long to start, more waited than may be in flight at once: they are told to come again.
        shed = [one for one in traffic.bad() if one.status == 429 and parent_dead_at <= one.due <= back_at]
        lost = [one for one in traffic.bad() if one not in shed]
        # In flight at a kill is lost; what comes after it waits in the backlog, which `up` holds.
        after = [one for one in lost if not any(at - 1.0 <= one.due <= at for at in (dead_at, parent_dead_at))]
        assert after == [], f"requests that came after a kill were lost: {after[:5]}"
        assert len(lost) <= 120
        pids = [pid for pid, _ in played.acknowledged().values()] + [played.control_pid(), played.serve_pid()]
        paging_holds(played, pager)
        ledger_holds(played)
        with played.plane() as plane:
            books = plane.records.losses()
            assert books.answers == books.records + books.unrecorded
            assert books.records >= sum(1 for one in traffic.answers if one.status == 200)
            assert books.unrecorded <= 1, "one kill leaves at most one answer in doubt"
        played.stop()
        assert not any(is_alive(pid) for pid in pids)
        home_holds(played, traffic.told())


def test_an_owner_who_left_is_noticed_and_the_backup_is_paged(template: Template, tmp_path: Path) -> None:
    """The system is orphaned in the ledger; whoever is named as backup is told, until it has an owner again."""
    with Pager() as team, Pager() as ben, playing(template, tmp_path / "owner") as played:
        played.apply(pager=team.url, backup=ben.url)
        played.start(workers=1)
        played.cli("people", "gone", "ana", "--reason", "she left the company")
        until(lambda: ben.about("owner"), "the backup is paged", played)
        page = ben.about("owner")[0]
        assert page["to"] == "ben"
        assert "ana is no longer active" in page["title"]
        orphaned = played.events("system.orphaned")
        assert [one["actor"] for one in orphaned] == ["roadworthy"]
        until(lambda: team.about("owner"), "the pager's address is told too", played)
        paging_holds(played, ben)
        paging_holds(played, team)
        ledger_holds(played)
