"""What control sees of a system from its record log alone, with real files and a real database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roadworthy.domain.moment import DAY, HOUR, MINUTE
from roadworthy.domain.record import Flag, Outcome
from roadworthy.errors import StoreError
from unit.observing.world import World, in_canary, in_shadow


def test_a_system_without_user_code_has_all_its_signals(world: World) -> None:
    """An owner who wrote no monitoring sees latency, errors, violations, drift and answers."""
    world.answers(400)
    seen = world.look()
    assert seen["latency"].value == pytest.approx(2.0, rel=0.03)
    assert seen["errors"].value == 0
    assert seen["violations"].value == 0
    assert seen["drift"].alarm is False
    assert seen["predictions"].value is not None
    assert seen["freshness(feed_age)"].value == pytest.approx(5.0)
    assert world.signals()["traffic"].n == 400


def test_no_outcome_is_no_data_and_says_blind(world: World) -> None:
    """No data is never ok: without outcomes the quality of decisions is unknown, and the signal says so."""
    world.answers(50)
    seen = world.look()
    assert seen["quality"].value is None
    assert "blind" in seen["outcomes"].reason


def test_failed_answers_count_though_a_fallback_saved_them(world: World) -> None:
    """A release whose failures are hidden by a fallback still shows its errors; the caller's path does not."""
    world.answers(80)
    world.answers(20, flags=Flag.FAILED | Flag.FALLBACK)
    assert world.look()["errors"].value == pytest.approx(0.2)
    assert world.signals()["errors"].value == 0


def test_violations_are_counted_by_field(world: World) -> None:
    """The field that breaks the interface most is named."""
    world.answers(90)
    world.answers(10, status=422, violations=(("amount", "minimum"),))
    seen = world.look()
    assert seen["violations"].value == pytest.approx(0.1)
    assert seen["violations(amount)"].value == pytest.approx(0.1)


def test_old_traffic_leaves_the_window(world: World) -> None:
    """Signals of operations speak of the last minutes only."""
    world.answers(100, latency_us=90_000)
    world.look()
    world.answers(100, latency_us=1_000, at=world.now + HOUR)
    seen = world.look(later=HOUR + MINUTE)
    assert seen["latency"].value == pytest.approx(1.0, rel=0.05)


def test_a_moved_feature_is_named(world: World) -> None:
    """Drift names the feature and the channel that moved."""
    world.answers(600, shift=60, spread=7 * DAY)
    seen = world.look()
    assert seen["drift(amount)"].alarm
    assert not seen["drift(region)"].alarm
    assert "amount: shape" in seen["drift"].reason


def test_a_morning_is_not_a_week(world: World) -> None:
    """Before the window is full a moved shape has a value and no alarm, however many rows there are."""
    world.answers(2_000, shift=-12, spread=6 * HOUR)
    seen = world.look()["drift(amount)"]
    assert seen.value > seen.threshold
    assert not seen.alarm


def test_nulls_are_a_channel_of_their_own(world: World) -> None:
    """A feature that goes missing is seen though the values that remain did not move."""
    world.answers(600, null_share=0.3)
    assert "nulls" in world.look()["drift"].reason


def test_constant_answers_are_seen(world: World) -> None:
    """A model stuck on one answer breaks its own distribution within a window."""
    world.answers(300, score=0.1)
    assert world.look()["predictions"].alarm


def test_outcomes_days_late_count_in_the_days_they_belong_to(world: World) -> None:
    """Quality follows event time: outcomes three days late fill the past, found in files."""
    records = world.answers(200)
    world.look()
    world.plane.records.compact()
    world.reopen()
    world.now += 3 * DAY
    world.outcomes(records, wrong=0.25)
    seen = world.look()
    assert seen["quality"].n == 200
    assert seen["quality"].value == pytest.approx(0.25, abs=0.1)
    assert seen["outcomes"].value == 1.0


def test_an_outcome_posted_twice_counts_once(world: World) -> None:
    """The key of an outcome makes repeats harmless."""
    records = world.answers(40)
    for _ in range(2):
        for record in records:
            world.outcome(record, record.outputs[1], key=f"k{record.id}")
    assert world.look()["quality"].n == 40


def test_a_correction_takes_the_place_of_what_it_corrects(world: World) -> None:
    """The last outcome by known time wins; an older one that arrives later changes nothing."""
    records = world.answers(40)
    for record in records:
        world.outcome(record, 1 - int(record.outputs[1]), key=f"a{record.id}", known=world.now + 10)
    assert world.look()["quality"].value == 1.0
    for record in records:
        world.outcome(record, record.outputs[1], key=f"b{record.id}", known=world.now + 20)
        world.outcome(record, 1 - int(record.outputs[1]), key=f"c{record.id}", known=world.now + 5)
    seen = world.look()["quality"]
    assert (seen.value, seen.n) == (0.0, 40)


def test_a_correction_after_a_restart_still_replaces(world: World) -> None:
    """What control forgot when it was killed it reads again, and counts no outcome twice."""
    records = world.answers(40)
    for record in records:
        world.outcome(record, 1 - int(record.outputs[1]), key=f"a{record.id}", known=world.now + 10)
    world.look()
    world.reopen()
    for record in records:
        world.outcome(record, record.outputs[1], key=f"b{record.id}", known=world.now + 20)
    seen = world.look()["quality"]
    assert (seen.value, seen.n) == (0.0, 40)


def test_outcomes_join_by_entity_and_event_time(world: World) -> None:
    """Who knows no record id names the thing and its time."""
    for record in world.answers(40):
        named = {"entity": record.entity, "event_time": record.event_time}
        made = Outcome(f"e{record.id}", "s", "live", "label", record.outputs[1], world.now, world.now, **named)
        assert world.log.outcome(made)
    assert world.look()["quality"].n == 40


@pytest.mark.parametrize("is_seen_live", [True, False])
def test_a_classified_entity_joins_by_its_keyed_digest(world: World, is_seen_live: bool) -> None:
    """Where a name must not be kept, answer and outcome meet by its digest, in memory or in files."""
    records = [
        one._replace(id=one.id[:-4] + "aaaa", entity="", subject=f"digest-{one.id}") for one in world.answers(40)
    ]
    for record in records:
        assert world.log.record(record)
    if not is_seen_live:
        world.look()
        world.plane.records.compact()
        world.reopen()
    for record in records:
        named = {"entity": record.subject, "event_time": record.event_time}
        made = Outcome(f"s{record.id}", "s", "live", "label", record.outputs[1], world.now, world.now, **named)
        assert world.log.outcome(made)
    assert world.look()["quality"].n == 40


def test_an_outcome_that_overtakes_its_answer_waits(world: World) -> None:
    """Frames of two workers may arrive in either order."""
    records = world.answers(40)
    ahead = [record._replace(id=record.id[:-4] + "ffff", entity="x" + record.entity) for record in records]
    world.outcomes(ahead, wrong=0)
    world.look()
    for record in ahead:
        assert world.log.record(record)
    assert world.look()["quality"].n == 40


def test_harm_is_certain_soon_after_a_bad_release(world: World) -> None:
    """A release that decides badly is found within the bound that plan prints."""
    from roadworthy.monitors.harm import worst_case

    good = world.answers(300)
    world.outcomes(good, wrong=0.2)
    assert world.look()["harm"].value == 0
    bound = worst_case(0.212 + 0.05, 1e-4)
    bad = world.answers(bound)
    world.outcomes(bad, wrong=1.0)
    assert world.look()["harm"].value > 0


def test_a_release_put_in_front_again_is_judged_afresh(world: World) -> None:
    """What an earlier test found does not take back a release that a person forced live once more."""
    world.outcomes(world.answers(200), wrong=1.0)
    assert world.look()["harm"].value > 0
    world.rollout(replace(in_canary(world), id="again", release=world.releases["v1"]))
    assert world.look()["harm"].value is None
    world.outcomes(world.answers(200, seed=2), wrong=1.0)
    assert world.look()["harm"].value > 0


def test_a_release_that_keeps_its_promise_shows_no_harm(world: World) -> None:
    """Thousands of outcomes at the promised loss raise nothing."""
    for round_ in range(6):
        records = world.answers(500, seed=round_)
        world.outcomes(records, wrong=0.2, seed=round_)
        assert world.look()["harm"].value == 0


def test_each_frame_is_folded_once_over_restarts(world: World) -> None:
    """Buckets and the cursor move together, so a restart neither loses nor repeats an answer."""
    for _ in range(5):
        world.answers(20)
        world.reopen()
        world.look()
    assert world.signals()["traffic"].n == 100


def test_a_failed_save_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses, the next look folds the same frames."""
    world.answers(30)
    real = world.plane.observations.save

    def refuse(**_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(type(world.plane.observations), "save", lambda self, **given: refuse(**given))
    with pytest.raises(StoreError):
        world.look()
    monkeypatch.setattr(type(world.plane.observations), "save", lambda self, **given: real(**given))
    world.look()
    assert world.signals()["traffic"].n == 30


def test_a_shadow_is_compared_on_the_same_requests(world: World) -> None:
    """In shadow the challenger's loss is paired with the champion's, so few outcomes tell much."""
    rollout = in_shadow(world)
    primary = world.answers(150)
    world.answers(150, release="v2", shadow_of=primary)
    world.outcomes(primary, wrong=0.2)
    world.look()
    progress = world.observer.progress(rollout)
    assert progress.records == 150
    assert progress.outcomes == 150
    assert {one.metric for one in progress.harm} == {"decision loss", "errors"}


def test_a_worse_challenger_in_canary_is_harm(world: World) -> None:
    """In canary a challenger that decides worse has a lower bound of harm above 0."""
    rollout = in_canary(world)
    world.outcomes(world.answers(300), wrong=0.1)
    world.outcomes(world.answers(300, release="v2"), wrong=0.6)
    world.look()
    loss = next(one for one in world.observer.progress(rollout).harm if one.metric == "decision loss")
    assert loss.low > 0


def test_a_broken_split_is_seen(world: World) -> None:
    """When the arms do not get the shares the route declares, no comparison of them is trusted."""
    rollout = in_canary(world, share=0.5)
    world.answers(300)
    world.answers(60, release="v2")
    world.look()
    assert world.observer.progress(rollout).sample_ratio_ok is False


def test_answers_before_the_stage_are_not_its_evidence(world: World) -> None:
    """Each stage starts from nothing."""
    rollout = in_canary(world)
    world.answers(50, release="v2", at=world.now - 3 * HOUR)
    world.look()
    assert world.observer.progress(rollout).records == 0


def test_a_worker_that_still_splits_by_the_last_route_is_no_evidence(world: World) -> None:
    """A new stage's route reaches each worker a moment later; until then it splits by the old shares."""
    rollout = in_canary(world, route_version=2)
    world.outcomes(world.answers(300))
    world.look()
    assert world.observer.progress(rollout).sample_ratio_ok
    assert world.observer.progress(rollout).outcomes == 0
