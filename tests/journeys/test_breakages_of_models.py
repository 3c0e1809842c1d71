"""Breakages that a model brings: bad, slow, or shown to be bad days later. Each ends in its declared action."""

from __future__ import annotations

from pathlib import Path

import pytest

from callers_kit import Pager, Traffic, paging_holds
from forced_live import force_and_measure
from journeys_kit import SYSTEM, Template, ledger_holds, playing, post, released, shared_folder, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A released project on the machine's clock."""
    return released(shared_folder(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="session")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A released project whose time is driven from outside."""
    return released(shared_folder(tmp_path_factory.getbasetemp()), "replay", ("good", "twin"))


def test_a_bad_model_forced_live_is_gone_within_the_bound(template: Template, tmp_path: Path) -> None:
    """Harm is sure at the N-th bad outcome that `plan` states; soon after it no worker answers with that release."""
    with Pager() as pager, playing(template, tmp_path / "bad") as played:
        played.apply(pager=pager.url)
        played.start(workers=2)
        run = force_and_measure(played, "bad", rate=60)
        assert run.rolled_back
        assert run.failed == 0
        assert run.seconds < 10, f"{run}"
        assert played.champion() == f"{SYSTEM}@v1"
        until(lambda: pager.about("harm"), "the page arrived", played)
        rollback = [one for one in played.events("action.done") if one["after"]["action"] == "rollback"]
        assert [one["after"]["objective"] for one in rollback] == ["harm"]
        paging_holds(played, pager)
        ledger_holds(played)


def test_a_slow_model_forced_live_costs_no_request_and_is_rolled_back(template: Template, tmp_path: Path) -> None:
    """Callers get marked fallback answers within the deadline; the errors objective rolls the release back."""
    with Pager() as pager, playing(template, tmp_path / "slow") as played:
        played.apply(pager=pager.url)
        played.start(workers=1)
        with Traffic(played, rate=20) as traffic:
            until(lambda: traffic.by_release()[f"{SYSTEM}@v1"] >= 20, "v1 answers", played)
            played.promote("slow")
            until(lambda: any(one.fallback for one in list(traffic.answers)), "a fallback answered", played)
            until(lambda: played.champion() == f"{SYSTEM}@v1", "v1 is champion again", played)
            seen = len(traffic.answers)
            until(lambda: len(traffic.answers) >= seen + 40, "traffic goes on", played)
        assert traffic.bad() == []
        marked = [one for one in traffic.answers if one.fallback]
        assert {one.fallback for one in marked} == {"previous"}
        assert {one.release for one in marked} == {f"{SYSTEM}@v1"}
        assert not any(one.fallback for one in traffic.answers[-20:])
        until(lambda: pager.about("errors"), "the page arrived", played)
        rollback = [one for one in played.events("action.done") if one["after"]["action"] == "rollback"]
        assert [one["after"]["objective"] for one in rollback] == ["errors"]
        paging_holds(played, pager)
        ledger_holds(played)


def test_outcomes_that_come_days_after_the_rollout_still_roll_it_back(replayed: Template, tmp_path: Path) -> None:
    """A release went through its canary and looked well; three days later the truth arrives, and it is taken back."""
    with Pager() as pager, playing(replayed, tmp_path / "late") as played:
        played.apply(pager=pager.url)
        played.promote("twin")
        played.roll_back()
        played.promote("v2", force=False)
        played.start(workers=1)
        with Traffic(played, rate=60, truth=False) as traffic:
            until(lambda: played.champion() == f"{SYSTEM}@v2", "the canary was followed by all traffic", played)
            until(lambda: traffic.by_release()[f"{SYSTEM}@v2"] >= 300, "v2 answered", played)
        assert traffic.bad() == []
        assert played.events("rollout.done")
        told = [one for one in traffic.answers if one.release == f"{SYSTEM}@v2"][-250:]
        for hour in range(1, 13):
            played.set_clock(f"2026-01-{5 + (8 + 6 * hour) // 24:02d}T{(8 + 6 * hour) % 24:02d}:00:00Z")
        assert played.champion() == f"{SYSTEM}@v2"
        against = [{"record": one.record, "value": 1 - int(one.label)} for one in told]
        status, body = post(played.port, f"/v1/systems/{SYSTEM}/outcomes", played.key, against)
        assert status == 202, body
        until(lambda: played.champion() == f"{SYSTEM}@v1", "v1 is champion again", played)
        rollback = [one for one in played.events("action.done") if one["after"]["action"] == "rollback"]
        assert [one["after"]["objective"] for one in rollback] == ["harm"]
        assert rollback[0]["after"]["at"] >= 1_767_859_200_000_000, "three days later by the home's clock"
        until(lambda: pager.about("harm"), "the page arrived", played)
        paging_holds(played, pager)
        ledger_holds(played)
