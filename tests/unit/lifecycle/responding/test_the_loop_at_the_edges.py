"""Control where something else happens at the same instant, is missing, or cannot be done."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roadworthy.domain.condition import Comparison, Condition
from roadworthy.domain.failure_plan import ActionKind, Intent
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.ledger import Noun
from roadworthy.domain.llm import TEXT_OUTPUTS
from roadworthy.domain.objective import Light, Objective, Signal, Watch
from roadworthy.domain.principal import Actor
from roadworthy.domain.rollout import Harm, Progress
from roadworthy.errors import Conflict, StoreError
from roadworthy.lifecycle import drill as drill_module
from roadworthy.lifecycle import explain as explain_module
from roadworthy.lifecycle import page as page_module
from roadworthy.lifecycle import present
from roadworthy.lifecycle import reconcile as reconcile_module
from roadworthy.lifecycle import supervise as supervise_module
from roadworthy.lifecycle.control import Control
from roadworthy.lifecycle.incidents import changed_before, close, incident, incidents, note_recovery, spell_signal
from roadworthy.lifecycle.judge import Judged, judge
from roadworthy.lifecycle.page import action_document
from roadworthy.lifecycle.probe import Answer
from roadworthy.lifecycle.reconcile import Look, reconcile
from roadworthy.lifecycle.respond import Command
from roadworthy.lifecycle.supervise import Child, Supervisor
from serving_kit import until

ADA = Actor(principal="ada")
World = Any
HARM = Progress(records=50, harm=(Harm(metric="decision loss", low=0.2, high=0.4, margin=0.02, n=50),))


def look(world: World, progress: Progress | None = None) -> Look:
    """Look once."""
    return reconcile(world.plane, lambda _: progress or Progress(), Command(fence=0, wall=1))


def test_a_publisher_on_a_full_disk_is_a_problem_and_no_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure plan of every system is looked at all the same."""

    def full(_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(reconcile_module, "publish", full)
    monkeypatch.setattr(reconcile_module, "is_published", lambda _: False)
    assert look(world).problems == {"snapshot": "the disk is full"}


def test_a_decision_of_someone_else_at_the_same_instant_is_met_at_the_next_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conflict is told and is no problem."""

    def busy(*_: object) -> None:
        raise Conflict("the route moved")

    monkeypatch.setattr(reconcile_module, "mind_the_owner", busy)
    assert look(world).conflicts == ("flights: the route moved",)
    assert look(world).problems == {}


def test_an_abort_waits_until_its_incident_can_be_opened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollout is never taken back without anyone being told."""
    world.live("v1")
    world.promote("v2")
    monkeypatch.setattr(reconcile_module, "open_story", lambda *_, **__: None)
    assert look(world, HARM).moved == 0
    assert present.running(world.plane, "flights", "live") is not None
    monkeypatch.undo()
    assert look(world, HARM).moved == 1
    assert present.running(world.plane, "flights", "live") is None


def test_an_owner_who_is_back_ends_only_the_story_of_their_absence(world: World) -> None:
    """Other incidents, and those that were closed, stay as they are."""
    world.live("v1")
    world.promote("v2")
    look(world, HARM)
    world.leave("ada")
    look(world)
    stories = {one.objective: one for one in incidents(world.plane, "flights")}
    assert len(stories) == 2
    world.commit("principal.changed", Noun.PRINCIPAL, "ada", {"id": "ada", "kind": "person", "active": True})
    look(world)
    recovered = {one.objective: one.recovered_at for one in incidents(world.plane, "flights")}
    assert sum(moment is not None for moment in recovered.values()) >= 1
    assert "system.adopted" in world.kinds()


def test_watches_that_another_process_saved_first_are_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judging goes on; the next look finds what the other one kept."""
    world.live("v1")
    world.see("auc", 0.5, world.release("v1").id)

    def busy(**_: object) -> None:
        raise Conflict("the cursor moved")

    monkeypatch.setattr(world.plane.observations, "save", busy)
    policy = present.policy(world.plane, "flights")
    judged = judge(world.plane, policy, world.route, world.clock.now())
    assert any(one.objective.name == "quality" for one in judged)
    assert not world.plane.observations.watches("flights", "live")


def test_what_does_not_lead_does_not_compact_and_what_fails_is_tried_again(world: World, caplog: Any) -> None:
    """A follower touches no file; a leader whose disk is full says so and goes on."""
    compacted = asyncio.Event()
    loop: Any = None

    class Records:
        compactions = 0

        def compact(self) -> int:
            self.compactions += 1
            loop.call_soon_threadsafe(compacted.set)
            raise StoreError("the disk is full")

    records = Records()
    world.plane = replace(world.plane, records=records)
    work = Control(world.plane, lambda *_: 0, lambda _: Progress(), send=lambda *_: None)
    work.compact()
    work.deliver()
    work.resign()
    assert records.compactions == 0

    async def run() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        work.look()
        job = asyncio.create_task(work.run(ended))
        await compacted.wait()
        ended.set()
        await job

    asyncio.run(run())
    assert "compact: the disk is full" in caplog.text


def objective() -> Objective:
    """Ask for an AUC."""
    when = Condition(monitor="auc", comparison=Comparison.BELOW, threshold=0.7, grace=0)
    return Objective(name="quality", when=when, light=Light.DECISION)


def test_a_signal_without_a_value_is_spelled_as_no_data() -> None:
    """An incident says what was seen, and what was not."""
    watch = Watch(objective="quality", release="r")
    seen = Signal(system="s", name="auc", at=0, value=None, n=0)
    for one in (None, seen):
        judged = Judged(objective=objective(), release="r", signal=one, watch=watch)
        assert spell_signal(judged) == "no data for auc"


def test_what_changed_before_names_policies_too(world: World) -> None:
    """Not only routes and releases change."""
    told = [one.what for one in changed_before(world.plane, "flights", world.clock.now())]
    assert any(what.startswith("policy.applied") for what in told)
    assert any("flights@v1" in what for what in told)


def test_a_page_whose_incident_is_not_in_the_ledger_still_ends(world: World) -> None:
    """Its action is closed once; there is no story to tell it in."""
    intent = Intent(
        key="flights/live/page", system="flights", environment="live", release="", action=ActionKind.PAGE,
        objective="errors", reason="why", incident="",
    )  # fmt: skip
    after = action_document(intent, "attempting", 1)
    world.commit("action.attempted", Noun.ACTION, intent.key, after)
    page_module._finish(world.plane, {"intent": intent.key, "address": "file:p"}, "done", "written")
    state = world.plane.ledger.state(Noun.ACTION, intent.key)
    assert (state["state"], state["detail_text"]) == ("done", "file:p: written")
    head = world.plane.ledger.head()
    page_module._finish(world.plane, {"intent": intent.key, "address": "file:q"}, "failed", "late")
    assert world.plane.ledger.head() == head


def test_a_recovery_is_noted_once(world: World) -> None:
    """Whoever looks again finds it noted."""
    world.live("v1")
    world.promote("v2")
    look(world, HARM)
    story = incidents(world.plane, "flights")[0]
    note_recovery(world.plane, story, fence=None)
    head = world.plane.ledger.head()
    note_recovery(world.plane, incident(world.plane, story.id), fence=None)
    assert world.plane.ledger.head() == head


def test_a_page_without_a_runbook_has_no_line_for_one(world: World) -> None:
    """Its last line is what to do next."""
    world.live("v1")
    world.promote("v2")
    look(world, HARM)
    story = incidents(world.plane, "flights")[0]
    policy = present.policy(world.plane, "flights")
    intent = Intent(key="k", system="flights", action=ActionKind.PAGE, objective="rollout", reason="why")
    without = replace(policy, failure=replace(policy.failure, runbook=""))
    assert "Runbook: https" in page_module._body(story, intent, policy)
    body = page_module._body(story, intent, without)
    assert "Runbook" not in body
    assert body.splitlines()[-1].startswith("Next: ")


def test_a_release_is_found_by_six_digits(world: World) -> None:
    """Five would fit too many."""
    known = present.releases(world.plane, "flights")
    one = world.release("v1")
    digits = one.id.removeprefix("sha256:")
    assert present.find_release(known, digits[:8], "flights") == one


@pytest.mark.parametrize(
    ("task", "names"),
    [(Task.BINARY, ("probability", "label")), (Task.REGRESSION, ("value",)), (Task.TEXT, TEXT_OUTPUTS)],
)
def test_outputs_are_named_by_their_task(task: Task, names: tuple[str, ...]) -> None:
    """What came out is read with its name; more of it is numbered."""
    interface = Interface(inputs=(Field(name="a", type=FieldType.NUMBER),), task=task)
    found = explain_module._outputs(interface, [*range(len(names)), 9])
    assert list(found) == [*names, f"output {len(names) + 1}"]


def test_a_drill_page_needs_someone_to_reach(world: World) -> None:
    """Without an address nothing is sent, so nothing is noticed."""
    policy = present.policy(world.plane, "flights")
    world.apply(replace(policy, failure=replace(policy.failure, pager=())))
    for name in ("ada", "ben"):
        known = world.plane.people.get(name)
        world.plane.people.put(replace(known, contact=""))
    scene = type("Scene", (), {"system": "flights", "environment": "drill", "plane": world.plane})()
    assert drill_module._page(world.plane, scene, ADA) == ""


def test_late_bad_outcomes_are_sent_for_answers_that_were_recorded(world: World) -> None:
    """An answer without a record has nothing to hang an outcome on."""
    sent: list[object] = []
    traffic = type("Traffic", (), {"outcome": lambda _, *what: sent.append(what)})()
    interface = Interface(
        inputs=(Field(name="hour", type=FieldType.INTEGER),), task=Task.BINARY, labels=("0", "1"), positive="1"
    )
    scene = type(
        "Scene", (), {"system": "flights", "environment": "drill", "plane": world.plane, "requests": 1,
                      "traffic": traffic, "interface": interface},
    )()  # fmt: skip
    for record in ("", "r1"):
        answer = Answer(status=200, release="flights@v1", record=record, outputs={"label": "0", "probability": 0.1})
        assert drill_module._sign(scene, "late_bad_outcomes", answer, frozenset(), "") == ""
    assert sent == [("r1", "1")]


def test_a_drill_closes_its_own_incidents_only(world: World) -> None:
    """The live system's stories are for people to close."""
    world.live("v1")
    world.promote("v2")
    look(world, HARM)
    story = incidents(world.plane, "flights")[0]
    drill_module._clean_up(world.plane, "flights", "drill", ADA)
    assert not incident(world.plane, story.id).is_closed
    close(world.plane, story.id, actor=ADA, no_test="known")
    assert incident(world.plane, story.id).is_closed


def test_a_child_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that ends leaves nothing behind."""
    monkeypatch.setattr(supervise_module, "DRAIN_S", 0.2)
    deafness = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    program = deafness + "print('deaf', flush=True); time.sleep(60)"
    log = tmp_path / "deaf.log"
    said: list[str] = []
    deaf = Child(name="deaf", command=[sys.executable, "-c", program], environment=dict(os.environ), log=log)
    work = Supervisor([deaf], said.append)
    work.look()
    until(lambda: "deaf" in log.read_text(), "the child is deaf")
    work.stop()
    assert said == ["deaf did not end within 0.2 s and was killed"]
    work.stop()


def test_a_child_ends_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the parent died before the child could say so; where no kernel does this, nothing is promised."""
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    bind = supervise_module._parent_binder()
    assert bind is not None
    try:
        monkeypatch.setattr(os, "getppid", os.getpid)
        bind()
        assert killed == []
        monkeypatch.setattr(os, "getppid", lambda: 1)
        bind()
        assert killed == [(os.getpid(), signal.SIGTERM)]
    finally:
        ctypes.CDLL(None).prctl(supervise_module._PR_SET_PDEATHSIG, 0)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert supervise_module._parent_binder() is None
