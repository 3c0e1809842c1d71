"""The control loop and the supervisor, without the rest of the house."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from roadworthy.domain.moment import MINUTE
from roadworthy.domain.rollout import Progress
from roadworthy.errors import StoreError
from roadworthy.lifecycle.control import Control
from roadworthy.lifecycle.supervise import Child, Supervisor, last_line
from roadworthy.ports.leases import LEADER
from serving_kit import until

World = Any


class Compactable:
    """A record log that counts its compactions."""

    def __init__(self) -> None:
        self.compactions = 0

    def compact(self) -> int:
        """Count."""
        self.compactions += 1
        return 0


def control(world: World, **more: Any) -> Control:
    """Build a control loop that observes nothing."""
    return Control(world.plane, more.pop("observe", lambda *_: 0), lambda _: Progress(), **more)


def test_only_the_leader_looks(world: World) -> None:
    """A second control process waits until the lease is free."""
    first, second = control(world), control(world)
    first.look()
    second.look()
    assert (first.health.leads, second.health.leads) == (True, False)
    assert first.health.epoch == 1
    first.resign()
    world.plane.ledger.epoch = 2
    second.look()
    assert second.health.leads
    assert second.health.epoch == 2


def test_only_the_leader_scores_and_only_where_there_is_a_scorer(world: World) -> None:
    """Judges cost money, so no two processes ask them; a home without a scorer goes without."""
    scored: list[int] = []

    def score() -> int:
        scored.append(1)
        return 1

    first, second = control(world, score=score), control(world, score=score)
    first.look()
    second.look()
    first.score()
    second.score()
    assert scored == [1]
    first.resign()
    bare = control(world)
    bare.look()
    bare.score()
    assert scored == [1]


def test_a_look_goes_on_to_the_failure_plan_although_observing_failed(world: World) -> None:
    """A full disk is shown as a problem and does not keep a rollback waiting."""
    world.live("v1")
    world.live("v2")

    def full(*_: object) -> int:
        raise StoreError("the disk is full")

    work = control(world, observe=full, send=lambda *_: None)
    world.see("auc", 0.1, world.release("v2").id)
    work.look()
    world.clock.pass_by(MINUTE)
    work.look()
    assert world.route.champion == world.release("v1").id
    assert work.health.problems == ("observe: the disk is full",)
    assert work.health.looks == 2


def test_the_loop_survives_errors_delivers_compacts_and_resigns(world: World) -> None:
    """Whatever one look raises, the next one comes; at the end the lease is given back."""
    records = Compactable()
    world.plane = replace(world.plane, records=records)
    looks: list[int] = []

    def observe(*_: object) -> int:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("a bug")
        return 0

    async def run() -> None:
        ended = asyncio.Event()
        work = control(world, observe=observe)
        job = asyncio.create_task(work.run(ended))
        while len(looks) < 3 or not records.compactions:
            if work.health.leads and not records.compactions:
                work.compact()
                work.deliver()
            await asyncio.sleep(0.01)
        ended.set()
        await job

    asyncio.run(run())
    assert world.plane.leases.acquire(LEADER, "another", 1.0) is not None


def child(tmp_path: Path, name: str, program: str) -> Child:
    """Describe a small program."""
    return Child(
        name=name, command=[sys.executable, "-c", program], environment=dict(os.environ), log=tmp_path / f"{name}.log"
    )


def test_a_child_that_ends_is_started_again_and_says_why(tmp_path: Path) -> None:
    """The last line of its log is the reason; restarts back off."""
    said: list[str] = []
    failing = child(tmp_path, "control", "import sys; sys.exit('port 8081 is in use')")
    keeper = Supervisor([failing], said.append)

    def looked() -> bool:
        keeper.look()
        return len(said) >= 2

    until(looked, "two ends")
    keeper.stop()
    assert said[0].startswith("control ended by code 1: port 8081 is in use; it starts again in")
    assert said[0] != said[1], "the second pause is longer"


def test_stopping_ends_the_children_and_nothing_else(tmp_path: Path) -> None:
    """Children get SIGTERM and are waited for."""
    said: list[str] = []
    program = (
        "import signal,sys,time\nsignal.signal(15, lambda *_: sys.exit(0))\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    keeper = Supervisor([child(tmp_path, "serve", program)], said.append)
    keeper.look()
    until(lambda: last_line(tmp_path / "serve.log") == "ready", "the child is ready")
    keeper.stop()
    keeper.stop()
    assert said == []


def test_the_supervisor_runs_until_it_is_told_to_end(tmp_path: Path) -> None:
    """SIGTERM ends the loop; each look tells whoever listens."""
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        Supervisor([child(tmp_path, "a", "pass")], lambda _: None).run(look)
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    assert len(looks) == 2


def test_a_log_that_is_not_there_has_no_last_line(tmp_path: Path) -> None:
    """Nothing is raised for a child that never wrote."""
    assert last_line(tmp_path / "none.log") == ""
    (tmp_path / "empty.log").write_text("\n\n")
    assert last_line(tmp_path / "empty.log") == ""
