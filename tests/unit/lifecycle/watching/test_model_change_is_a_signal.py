"""What the monitor says of each standing of the watch, and which of it is an alarm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from roadworthy.domain.llm import Assistant
from roadworthy.domain.moment import MINUTE
from roadworthy.domain.objective import Signal
from roadworthy.domain.pin_watch import Said
from roadworthy.lifecycle.accept_pin import accept_pin
from roadworthy.lifecycle.pin_books import SAID, spell_said
from roadworthy.monitors.model_change import ModelChangeMonitor
from roadworthy.ports.chat import ProviderTrouble, Trouble
from roadworthy.ports.monitor import PinSeen, View
from roadworthy.ports.observations import BucketKey
from unit.lifecycle.watching.pins_world import ANA, LOCAL, MAIN, SPARE, Thinker, World, make_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A system on a provider that lists log-probabilities."""
    made = make_world(tmp_path)
    yield made
    made.plane.close()


def signals(world: World, name: str = "v1", **changes: object) -> dict[str, Signal]:
    """Return what the monitor says of a release."""
    release = world.releases[name]
    view = View(
        system="desk", policy=world.policy, interface=release.candidate.interface, environment="live", release=release,
        reference=None, now=world.clock.now(), watermark=0, pins=world.books.seen(release, world.policy, "live"),
    )  # fmt: skip
    return {one.name: one for one in ModelChangeMonitor().watch(replace(view, **changes))}


def test_before_the_reference_there_is_no_data(world):
    """A watch that has seen nothing says so, and is never ok."""
    assert signals(world)["model_change"].value is None
    assert signals(world)["model_change"].reason == "main: 0 of 3 reference rounds"
    blank = signals(world, pins=[PinSeen(name="main")])["model_change"]
    assert (blank.value, blank.reason) == (None, "main was not probed yet")


def test_while_probes_are_being_chosen_it_says_how_far(tmp_path):
    """Choosing may take days where calls are bounded; nobody need guess why there is no data."""
    world = make_world(tmp_path, Thinker(lists=False))
    world.steps(2, apart=MINUTE)
    said = signals(world)["model_change"]
    told = "8 of 144 prompts were sampled at temperature 0.2"
    assert (said.value, said.reason) == (None, f"main: probes are being chosen, {told}")
    world.plane.close()


def test_a_reference_without_a_check_is_no_alarm(world):
    """There is something to compare with, and nothing was compared yet."""
    world.steps(3)
    found = signals(world)["model_change"]
    assert (found.value, found.alarm) == (0.0, False)


def test_the_whole_is_yes_or_no_and_each_pin_a_distance(world):
    """An objective reads 0 or 1; a chart shows how far a pin is from its reference, and where far begins."""
    world.steps(5)
    found = signals(world)
    assert (found["model_change"].value, found["model_change"].alarm) == (0.0, False)
    assert 0 < found["model_change(main)"].value < found["model_change(main)"].threshold
    assert (found["model_change(main)"].unit, found["model_change(main)"].n) == ("nats", 5)
    world.provider.seed = 2
    world.steps(1)
    found = signals(world)
    assert (found["model_change"].value, found["model_change"].alarm, found["model_change"].n) == (1.0, True, 10)
    assert found["model_change(main)"].value > found["model_change(main)"].threshold
    assert "p=0.00" in found["model_change"].reason
    assert "roadworthy check" in found["model_change"].reason


def test_trouble_with_the_provider_is_no_data(world):
    """Neither an alarm nor ok."""
    world.steps(5)
    world.provider.trouble = ProviderTrouble(Trouble.DOWN, "it does not answer")
    world.steps(1)
    found = signals(world)["model_change"]
    assert (found.value, found.alarm) == (None, None)
    assert "it does not answer" in found.reason


def test_three_live_answers_under_another_name_are_an_alarm_at_once(world):
    """The provider says so itself; two could be a slip."""
    world.steps(4)

    def seen(n: int) -> Signal:
        cursor = world.plane.observations.cursor()
        key = BucketKey("desk", "live", world.releases["v1"].id, 0, SAID)
        counts = {spell_said(Said("big-1", "fp")): 50, spell_said(Said("big-9", "fp")): n}
        world.plane.observations.save(before=cursor, cursor=cursor, buckets={key: counts})
        return signals(world)["model_change"]

    assert not seen(2).alarm
    found = seen(3)
    assert (found.value, found.alarm, found.n) == (1.0, True, 3)
    assert "'big-9' in 3" in found.reason


def test_names_count_before_the_first_check_and_not_before_the_reference(world):
    """Without a reference no name is foreign."""
    cursor = world.plane.observations.cursor()
    key = BucketKey("desk", "live", world.releases["v1"].id, 0, SAID)
    name = spell_said(Said("big-9", "fp"))
    world.plane.observations.save(before=cursor, cursor=cursor, buckets={key: {name: 9}})
    assert signals(world)["model_change"].value is None
    world.steps(3)
    assert not signals(world)["model_change"].alarm
    world.plane.observations.save(before=cursor, cursor=cursor, buckets={key: {spell_said(Said("big-7", "")): 9}})
    assert signals(world)["model_change"].alarm


def test_an_accepted_model_is_ok_by_a_persons_word(world):
    """Until its new reference is there, the acceptance is what is known."""
    world.steps(4)
    accept_pin(world.plane, "desk", "main", actor=ANA, why="it is better")
    found = signals(world)["model_change"]
    assert (found.value, found.alarm) == (0.0, False)
    assert found.reason == "ana accepted main as it is: it is better; 0 of 3 reference rounds"


def test_only_the_pin_that_answers_decides_the_whole(world):
    """A changed spare pin shows in its own signal; a local one is held to its file's digest."""
    world.admit("v2", Assistant(prompt="p", use="local", pins=(LOCAL, SPARE, MAIN)), 2)
    world.route("v2")
    world.steps(4)
    found = signals(world, "v2")
    assert list(found) == ["model_change", "model_change(local)", "model_change(spare)"]
    assert found["model_change"].value == 0.0
    assert "held to its digest" in found["model_change"].reason
    assert found["model_change(spare)"].n == 5


def test_a_pin_that_names_another_version_has_no_distance(world):
    """Nothing was compared, and it is an alarm all the same."""
    world.steps(5)
    world.provider.trouble = ProviderTrouble(Trouble.WRONG_MODEL, "another one")
    world.steps(1)
    assert (signals(world)["model_change"].value, signals(world)["model_change(main)"].value) == (1.0, 0.0)


def test_what_has_no_pins_has_no_signal(world):
    """A baseline, the whole system, and systems of kind model."""
    assert signals(world, "baseline") == {}
    assert signals(world, release=None) == {}
