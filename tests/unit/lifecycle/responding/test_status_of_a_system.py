"""Status: one value that says state, cause and next step."""

from __future__ import annotations

from typing import Any

from roadworthy.domain.ledger import Noun
from roadworthy.domain.moment import DAY, MINUTE
from roadworthy.domain.objective import Light, Standing
from roadworthy.domain.principal import Actor
from roadworthy.domain.rollout import Progress
from roadworthy.domain.snapshot import Acknowledgement
from roadworthy.errors import UnavailableError
from roadworthy.lifecycle.page import deliver
from roadworthy.lifecycle.pause import pause, stop
from roadworthy.lifecycle.reconcile import reconcile
from roadworthy.lifecycle.respond import Command
from roadworthy.lifecycle.roll_out import pause_rollout
from roadworthy.lifecycle.status import Serving, status
from roadworthy.ports.pager import Page
from roadworthy.stores.codec import from_json, to_doc, to_json

ADA = Actor(principal="ada")
World = Any


def look(world: World) -> None:
    """Look once."""
    reconcile(world.plane, lambda _: Progress(), Command(fence=0, wall=1))


def lights(world: World) -> dict[Light, Standing]:
    """Read both lights."""
    return {one.light: one.standing for one in status(world.plane, "flights").lights}


def test_a_system_that_was_never_promoted_says_so(world: World) -> None:
    """Nothing is shown as ok before anything serves."""
    found = status(world.plane, "flights")
    assert found.serving is Serving.NOTHING
    assert found.next_step == "roadworthy promote flights@v1"
    assert set(lights(world).values()) == {Standing.NO_DATA}
    assert found.drill.stale


def test_no_data_is_not_ok_and_the_two_lights_are_never_merged(world: World) -> None:
    """Each light has its own standing; the worst objective decides it."""
    world.live("v1")
    look(world)
    assert lights(world) == {Light.OPERATIONS: Standing.NO_DATA, Light.DECISION: Standing.NO_DATA}
    one = world.release("v1").id
    world.see("errors", 0.001, one)
    world.see("auc", 0.8, one)
    look(world)
    assert lights(world) == {Light.OPERATIONS: Standing.OK, Light.DECISION: Standing.NO_DATA}
    world.see("drift", 0.01, one)
    look(world)
    assert lights(world)[Light.DECISION] is Standing.OK
    world.see("drift", 0.9, one)
    look(world)
    assert lights(world)[Light.DECISION] is Standing.PENDING
    world.clock.pass_by(MINUTE)
    look(world)
    found = status(world.plane, "flights")
    assert lights(world)[Light.DECISION] is Standing.BREACH
    assert found.sentence == "flights@v1 serves; decision: in breach: drift"
    assert found.next_step == "roadworthy incident show flights-1"


def test_a_degraded_system_says_what_answers_instead(world: World) -> None:
    """A person sees state, cause and next step without knowing the tool."""
    world.live("v1")
    world.live("v2")
    world.see("errors", 0.5, world.release("v2").id)
    look(world)
    world.clock.pass_by(MINUTE)
    look(world)
    found = status(world.plane, "flights")
    assert found.serving is Serving.FALLBACK
    assert found.sentence == "flights@v1 answers in place of flights@v2 (incident flights-1)"
    assert [(part.name, part.role) for part in found.parts][:2] == [
        ("flights@v2", "champion"),
        ("flights@v1", "fallback"),
    ]


def test_a_stopped_and_a_paused_system_say_why(world: World) -> None:
    """What people set on purpose is shown with their reason."""
    world.live("v1")
    pause(world.plane, "flights", actor=ADA, reason="migration")
    stop(world.plane, "flights", actor=ADA, reason="recall")
    found = status(world.plane, "flights")
    assert (found.paused_for, found.serving) == ("migration", Serving.STOPPED)
    assert found.sentence == "flights answers 503 on purpose: recall"
    assert found.next_step == "roadworthy start"


def test_a_rollout_says_what_it_waits_for(world: World) -> None:
    """The reason is computed at the look, so its counts are fresh."""
    world.promote("v1")
    found = status(world.plane, "flights").rollout
    assert (found.stage, found.waiting_for) == ("shadow", "0 of 10 records")
    pause_rollout(world.plane, "flights", actor=ADA)
    held = status(world.plane, "flights")
    assert held.rollout.waiting_for == "paused by a person"
    assert held.next_step == "roadworthy resume --rollout"


def test_a_route_is_applied_when_every_live_worker_has_it(world: World) -> None:
    """Old or new per worker, and the skew is shown."""
    world.live("v1")
    old = world.plane.ledger.head().seq
    assert not status(world.plane, "flights").applied, "no worker lives"
    world.live("v2")
    new = world.plane.ledger.head().seq
    for worker, version in (("w1", old), ("w2", new)):
        world.plane.snapshots.acknowledge(Acknowledgement(worker=worker, pid=7, version=version, at=0))
    found = status(world.plane, "flights")
    assert (found.applied, found.skew) == (False, new - old)
    assert [worker.applied for worker in found.workers] == [False, True]
    world.plane.snapshots.acknowledge(Acknowledgement(worker="w1", pid=7, version=new, at=0))
    assert status(world.plane, "flights").applied


def test_a_drill_grows_stale(world: World) -> None:
    """A failure plan that was not proven lately is not proven."""
    world.live("v1")
    world.commit("drill.finished", Noun.DRILL, "flights/model_raises", {"finished_at": world.clock.now()})
    assert not status(world.plane, "flights").drill.stale
    world.clock.pass_by(91 * DAY)
    assert "more than 90d ago" in status(world.plane, "flights").drill.reason


def test_a_pager_that_cannot_be_reached_shows(world: World) -> None:
    """A page that did not arrive is not lost from sight."""
    world.live("v1")
    world.see("drift", 0.9, world.release("v1").id)
    look(world)
    world.clock.pass_by(MINUTE)
    look(world)

    def send(address: str, page: Page) -> None:
        raise UnavailableError("connection refused")

    deliver(world.plane, send, 1)
    assert status(world.plane, "flights").undelivered[0].error == "connection refused"


def test_status_travels_as_json(world: World) -> None:
    """Every page is also JSON."""
    world.live("v1")
    look(world)
    found = status(world.plane, "flights")
    assert from_json(to_json(found)) == to_doc(found)
    assert found.losses.answers == found.losses.records + found.losses.unrecorded
    (world.plane.home.root / "control.json").write_text('{"pid": 1, "url": "http://127.0.0.1:8081"}')
    assert status(world.plane, "flights").control == "http://127.0.0.1:8081"
