"""The watch on pins: reference rounds, checks, alarms, what they cost, and what is no alarm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from roadworthy.domain.budget import Budget
from roadworthy.domain.llm import Assistant
from roadworthy.domain.moment import DAY, MINUTE
from roadworthy.domain.pin import Price, Usage
from roadworthy.domain.pin_watch import MOST_ROUNDS, PROMPTS, Method, Said
from roadworthy.domain.record import Flag, Record
from roadworthy.domain.system import WatchPlan
from roadworthy.errors import InputError, NotFoundError, NotPermitted, RefusedError
from roadworthy.lifecycle.accept_pin import accept_pin, pins_of
from roadworthy.lifecycle.pin_books import SAID, names_said, said_of, spell_said
from roadworthy.lifecycle.watch_pins import MOST_UNPRICED_CALLS, STEADY_AT, TEMPERATURES, PinWatcher
from roadworthy.ports.chat import ProviderTrouble, Trouble
from roadworthy.ports.observations import BucketKey
from roadworthy.stores.codec import to_json
from unit.lifecycle.watching.pins_world import ANA, LOCAL, MAIN, PRICE, SPARE, Thinker, World, make_world

DOWN = ProviderTrouble(Trouble.DOWN, "it does not answer")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A system on a provider that lists log-probabilities."""
    made = make_world(tmp_path)
    yield made
    made.plane.close()


def live(world: World, **counts: int) -> None:
    """Let so many live answers of v1 carry these model names."""
    cursor = world.plane.observations.cursor()
    key = BucketKey("desk", "live", world.releases["v1"].id, 0, SAID)
    names = {spell_said(Said(name.replace("_", "-"), "fp")): n for name, n in counts.items()}
    world.plane.observations.save(before=cursor, cursor=cursor, buckets={key: names})


def test_three_rounds_make_a_reference_and_then_there_are_checks(world):
    """The rounds are minutes apart after the promotion; the first check comes after the interval."""
    assert world.watcher.watch() == 1
    assert (world.watch().method, world.watch().rounds) == (Method.LOGPROBS, 1)
    assert world.watcher.watch() == 0
    watch = world.steps(2, apart=5 * MINUTE)
    assert (watch.rounds, watch.finding) == (3, None)
    assert world.steps(1, apart=5 * MINUTE).finding is None
    finding = world.steps(1).finding
    assert finding is not None
    assert (finding.alarm, finding.calls) == (False, 5)
    assert "main is as it was" in finding.reason


def test_a_clean_check_joins_the_reference_until_it_has_ten_rounds(world):
    """Later the reference stands still, so that small steps cannot move it along."""
    assert world.steps(45).rounds == MOST_ROUNDS
    assert len(world.books.reference(world.watch()).rounds) == MOST_ROUNDS


def test_another_model_is_an_alarm_after_two_rounds_of_five_calls(world):
    """A first suspicious round is followed by a second one at once; both together are ten one-token calls."""
    world.steps(6)
    before = world.provider.calls
    world.provider.seed = 2
    finding = world.steps(1).finding
    assert finding is not None
    assert finding.alarm
    assert world.provider.calls - before == 10 == finding.calls
    assert "main changed" in finding.reason
    assert all(one["max_tokens"] == 1 for one in world.provider.requests)
    rounds = world.watch().rounds
    world.provider.seed = 1
    finding = world.steps(1).finding
    assert finding is not None
    assert not finding.alarm
    assert world.watch().rounds == rounds + 1


def test_a_suspicious_round_alone_is_the_providers_noise(world):
    """A round that the next one does not confirm is no alarm; it joins the reference and shows what noise there is."""
    world.steps(6)
    rounds = world.watch().rounds
    answer = world.provider.answer
    left = [5]

    def moved(pin, request):
        world.provider.seed = 2 if left[0] > 0 else 1
        left[0] -= 1
        return answer(pin, request)

    world.provider.answer = moved
    watch = world.steps(1)
    assert watch.finding is not None
    assert not watch.finding.alarm
    assert "one round was suspicious" in watch.finding.reason
    assert watch.rounds == rounds + 2


def test_another_name_is_an_alarm_and_a_fingerprint_is_none(world):
    """The provider's own word counts where it names another model; fingerprints change with its machines."""
    world.steps(6)
    world.provider.fingerprint = "fp2"
    finding = world.steps(1).finding
    assert finding is not None
    assert not finding.alarm
    assert "fingerprint 'fp2' is new" in finding.reason
    world.provider.model = "big-2"
    finding = world.steps(1).finding
    assert finding is not None
    assert finding.alarm
    assert "answers as 'big-2'" in finding.reason


def test_a_pinned_version_that_is_not_there_any_more_is_an_alarm(world):
    """The provider refuses to be what the pin says: nothing is compared, and two such answers are enough."""
    world.steps(6)
    rounds = world.watch().rounds
    world.provider.trouble = ProviderTrouble(Trouble.WRONG_MODEL, "it answers as another one", usage=Usage(input=10))
    finding = world.steps(1).finding
    assert finding is not None
    assert (finding.alarm, finding.distance, finding.calls) == (True, None, 2)
    assert world.watch().rounds == rounds


def test_names_that_were_a_slip_do_not_join_the_reference(world):
    """One answer under another version's name, and the next round well again: nothing to compare with is kept."""
    world.steps(6)
    rounds = world.watch().rounds
    ask = world.provider

    def once(pin, requests):
        ask.trouble = ProviderTrouble(Trouble.WRONG_MODEL, "another one") if ask.trouble is None else None
        return ask(pin, requests)

    world.watcher = PinWatcher(world.plane, once, wall=lambda: world.wall)
    watch = world.steps(1)
    assert watch.finding is not None
    assert not watch.finding.alarm
    assert watch.rounds == rounds + 1


def test_a_provider_in_trouble_leaves_no_data_and_no_alarm(world):
    """Its trouble is the reason why there is no data; a later round goes on as if nothing had been."""
    world.steps(6)
    world.provider.trouble = DOWN
    watch = world.steps(1)
    assert watch.problem == "main could not be probed: it does not answer"
    assert watch.finding is not None
    assert not watch.finding.alarm
    world.provider.trouble = None
    assert world.steps(1, apart=30 * MINUTE).problem == ""


def test_a_provider_that_is_down_at_first_is_asked_again(world):
    """Nothing is taken as known of a provider that did not answer."""
    world.provider.trouble = DOWN
    assert world.steps(1).method is None
    world.provider.trouble = None
    assert world.steps(4).has_reference


def test_a_provider_that_lists_nothing_any_more_is_in_trouble(world):
    """Log-probabilities that vanish are no data: rounds of another kind could not be compared."""
    world.steps(6)
    world.provider.lists = False
    assert "lists no log-probabilities any more" in world.steps(1).problem


@pytest.mark.parametrize("refuses", [True, False])
def test_without_log_probabilities_border_prompts_are_chosen_and_tokens_compared(tmp_path, refuses):
    """Where a provider lists none, or refuses to, ten prompts that waver are asked once each, and a change seen."""
    world = make_world(tmp_path, Thinker(lists=False, sharp=0.4, noise=0.02))
    refusal = ProviderTrouble(Trouble.REFUSED, "logprobs cannot be asked of this provider", usage=Usage())

    def ask(pin, requests):
        world.provider.trouble = refusal if refuses and requests[0].get("logprobs") else None
        return world.provider(pin, requests)

    world.watcher = PinWatcher(world.plane, ask, wall=lambda: world.wall)
    assert world.steps(3, apart=MINUTE).choosing == "12 of 144 prompts were sampled at temperature 0.2"
    watch = world.steps(60, apart=30 * MINUTE)
    reference = world.books.reference(watch)
    assert (watch.method, len(reference.prompts), reference.temperature) == (Method.TOKENS, 10, 0.0)
    assert watch.choosing == ""
    assert [sum(map(len, made.answers)) for made in reference.rounds[:3]] == [40, 40, 40]
    sampled = Counter(one["messages"][0]["content"] for one in world.provider.requests if one["temperature"] == 0.2)
    assert sampled == Counter(dict.fromkeys(PROMPTS, 10))
    assert watch.finding is not None
    assert not watch.finding.alarm
    assert watch.finding.calls in (10, 20)
    world.provider.seed = 2
    before = world.provider.calls
    world.steps(1)
    assert world.watch().finding.alarm
    assert world.provider.calls - before == world.watch().finding.calls == 20
    assert "of first tokens" in world.watch().finding.reason
    world.plane.close()


def test_a_model_that_never_wavers_is_watched_all_the_same(tmp_path):
    """Each temperature is tried; then any prompts will do, for a model that says something else altogether."""
    world = make_world(tmp_path, Thinker(lists=False, sharp=60, noise=0.0))
    world.apply(watch=WatchPlan(probe_budget=Budget(limit_micros=10_000_000)))
    watch = world.steps(120, apart=30 * MINUTE)
    assert {one["temperature"] for one in world.provider.requests} == {0, STEADY_AT, *TEMPERATURES}
    assert watch.has_reference
    world.provider.seed = 2
    world.steps(1)
    assert world.watch().finding.alarm


def test_a_few_probes_of_ones_own_are_asked_more_often_each(tmp_path):
    """Five prompts make ten calls a round too."""
    world = make_world(tmp_path, Thinker(lists=False, sharp=0.4))
    own = replace(MAIN, probes=world.plane.artifacts.put(to_json([f"Is {n} odd?" for n in range(5)])))
    world.admit("own", Assistant(prompt="p", use="main", pins=(own,)), 2)
    world.route("own", "baseline")
    world.steps(30, apart=30 * MINUTE)
    watch = world.watch(own)
    assert watch.finding is not None
    assert watch.finding.calls in (10, 20)
    world.plane.close()


def test_a_name_that_live_answers_carry_asks_for_a_check_out_of_turn(world):
    """It is looked into once; found harmless it becomes known, and never again does it ask."""
    world.steps(6)
    before = world.provider.calls
    live(world, big_1=9, big_x=1)
    world.steps(1, apart=4 * MINUTE)
    assert world.provider.calls == before
    world.steps(1, apart=4 * MINUTE)
    assert world.provider.calls == before + 5
    world.steps(3, apart=20 * MINUTE)
    assert world.provider.calls == before + 5
    assert Said("big-x", "fp") in world.watch().noticed


def test_what_live_answers_said_before_the_reference_was_whole_is_known(world):
    """A provider with several names at once is no stranger later."""
    live(world, big_1=3, big_b=2)
    assert world.steps(3).models == {"big-1", "big-b"}


def test_the_days_bound_on_cost_is_not_passed(world):
    """A round that could cost more than what is left of the day is not asked; the next day there are rounds again."""
    world.apply(watch=WatchPlan(probe_every=5 * MINUTE, probe_budget=Budget(limit_micros=120)))
    world.steps(40, apart=10 * MINUTE)
    spent = world.books.spending("desk")
    assert 0 < sum(spent.picos.values()) <= 120 * 1_000_000
    assert "bound on the cost of probing" in world.watch().problem
    assert sum(spent.picos.values()) == PRICE.cost(Usage(input=10, output=1)) * spent.calls[MAIN.id]
    world.clock.pass_by(DAY)
    world.wall += DAY
    world.watcher.watch()
    assert world.watch().problem == ""


def test_calls_of_an_unknown_price_are_bounded_by_their_number(tmp_path):
    """Without a price the bound is a number of calls a day."""
    world = make_world(tmp_path, price=None)
    world.apply(watch=WatchPlan(probe_every=2 * MINUTE))
    for _ in range(MOST_UNPRICED_CALLS // 5 + 20):
        world.clock.pass_by(2 * MINUTE)
        world.watcher.watch()
    assert world.provider.calls <= MOST_UNPRICED_CALLS
    assert "its price is not known" in world.watch().problem
    world.plane.close()


def test_a_call_that_failed_counts_as_if_it_had_been_billed(world):
    """What a provider may have billed is counted, so that the bound holds whatever its invoice says."""
    world.provider.trouble = DOWN
    world.watcher.watch()
    assert world.books.spending("desk").picos[MAIN.id] > PRICE.cost(Usage(input=10, output=1))
    world.provider.trouble = None


def test_a_killed_process_leaves_its_round_booked(world):
    """What a round may cost is booked before it is asked; a kill in between costs the day some of its bound."""

    def killed(_pin, _requests):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PinWatcher(world.plane, killed, wall=lambda: world.wall).watch()
    assert world.books.spending("desk").calls[MAIN.id] == 1
    assert world.steps(3).has_reference


def test_a_person_accepts_a_changed_model_and_new_reference_rounds_begin(world):
    """The alarm ends with a person's word, which the ledger keeps; what it answers now is the new reference."""
    world.steps(6)
    world.provider.seed = 2
    assert world.steps(1).finding.alarm
    accept_pin(world.plane, "desk", "main", actor=ANA, why="the suite passes")
    watch = world.watch()
    assert (watch.finding, watch.rounds, watch.accepted_by, watch.accepted_why) == (None, 0, "ana", "the suite passes")
    assert world.books.reference(watch).rounds == ()
    watch = world.steps(4)
    assert watch.finding is not None
    assert not watch.finding.alarm
    accept_pin(world.plane, "desk", "main", actor=ANA, why="once more, before any check")
    accept_pin(world.plane, "desk", "main", actor=ANA, why="and again")
    assert world.watch().accepted_why == "and again"


def test_only_a_person_accepts_and_only_with_a_reason_what_there_is(world):
    """Automation accepts nothing; a local model cannot change under a release; an unknown pin is named."""
    world.admit("v2", Assistant(prompt="p", use="main", pins=(MAIN, LOCAL)), 2)
    world.route("v2", "baseline")
    with pytest.raises(NotPermitted):
        accept_pin(world.plane, "desk", "main", actor=replace(ANA, principal="roadworthy"), why="x")
    with pytest.raises(InputError):
        accept_pin(world.plane, "desk", "main", actor=ANA, why=" ")
    with pytest.raises(NotFoundError):
        accept_pin(world.plane, "desk", "mian", actor=ANA, why="x")
    with pytest.raises(RefusedError):
        accept_pin(world.plane, "desk", "local", actor=ANA, why="x")


def test_pins_of_all_that_is_routed_are_watched_once_each(world):
    """Two releases on one pin share its reference; fallback pins are watched, local ones are not."""
    world.admit("v2", Assistant(prompt="q", use="main", pins=(MAIN, SPARE, LOCAL)), 2)
    world.route("v2", "v1", "baseline")
    world.steps(4)
    found = {one.pin.name: one for one in pins_of(world.plane, "desk")}
    assert list(found) == ["main", "spare", "local"]
    assert found["main"].releases == ("desk@v2", "desk@v1")
    assert (found["main"].watch.rounds, found["spare"].watch.rounds, found["local"].watch.rounds) == (3, 3, 0)
    assert found["main"].calls == found["spare"].calls > 0
    assert pins_of(world.plane, "desk", wall=world.wall + 2 * DAY)[0].calls == 0


def test_prompts_of_ones_own_are_what_is_asked(world):
    """A pin's own probes are an artifact of its release."""
    mine = tuple(f"Is {n} odd?" for n in range(6))
    pin = replace(MAIN, probes=world.plane.artifacts.put(to_json(mine)))
    world.admit("v2", Assistant(prompt="p", use="main", pins=(pin,)), 2)
    world.route("v2")
    world.watcher.watch()
    assert {one["messages"][0]["content"] for one in world.provider.requests} == set(mine[:5])
    assert len(set(PROMPTS)) == len(PROMPTS)


def test_a_pin_that_got_another_name_keeps_its_reference(world):
    """Its name in the manifest decides nothing of its answers."""
    world.steps(3)
    pin = replace(MAIN, name="first")
    assert (world.watch(pin).pin, world.watch(pin).rounds) == ("first", 3)


def test_a_watcher_that_was_told_to_stop_asks_nothing_more(world):
    """The end of its process does not wait for a provider."""
    world.watcher.stop()
    assert world.watcher.watch() == 0


def test_a_route_may_name_releases_that_are_not_there(world):
    """What the ledger does not know has no pins."""
    world.decide_route = None
    world.releases["gone"] = replace(world.releases["v1"], id="sha256:" + "0" * 64)
    world.route("v1", "gone")
    assert world.watcher.watch() == 1


def test_systems_without_pins_are_left_alone(world):
    """Kind model has none; a release of it has no assistant."""
    world.apply(pins=())
    assert world.watcher.watch() == 0
    release = world.releases["v1"]
    bare = replace(release, id="other", candidate=replace(release.candidate, artifacts=()))
    assert world.books.assistant(bare) is None


def record(**changes: object) -> Record:
    """Make a record of kind llm as the gateway writes it."""
    outputs = ("text", "stop", 1, 1, 0, 5, 9, "big-1", "fp", "manifest")
    made = Record("r", "desk", "live", "v1", "v1", "champion", 1, 1, 1, 1, 200, 0, "i", outputs=outputs)
    return made._replace(**changes)


def test_only_answers_of_the_releases_own_pin_say_what_it_is():
    """What a fallback, a cache or nobody answered says nothing of the pin."""
    records = [
        record(), record(), record(flags=int(Flag.FALLBACK)), record(flags=int(Flag.CACHED)), record(release="v0"),
        record(outputs=()), record(outputs=(*record().outputs[:7], "", "", "")),
        record(intended="", outputs=(*record().outputs[:7], "big-1", None, "")),
    ]  # fmt: skip
    counts = names_said(records)
    assert {said_of(name): n for name, n in counts.items()} == {Said("big-1", "fp"): 2, Said("big-1", ""): 1}


def test_a_price_decides_what_is_booked(tmp_path):
    """A call's price counts, whatever its tokens."""
    world = make_world(tmp_path, price=Price(input=0, output=0, per_call=7))
    world.watcher.watch()
    assert world.books.spending("desk").picos[MAIN.id] == 7 * 6
    world.plane.close()


def test_a_release_whose_prompt_is_lost_is_not_watched_and_stops_nothing(world):
    """Who serves it says that its bytes are gone; every other watch goes on."""
    release = world.releases["v1"]
    model = release.candidate.artifact("model")
    world.plane.artifacts.path(model.digest).unlink()
    assert world.books.assistant(release) is None
    assert world.books.pins(release, world.policy) == ()
