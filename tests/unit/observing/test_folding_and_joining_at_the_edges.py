"""What observation does with traffic that it cannot judge: it counts what it may and guesses nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from roadworthy.domain.candidate import Artifact, Candidate, Environment
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.ledger import Noun
from roadworthy.domain.record import Flag, Outcome, Record
from roadworthy.domain.reference import Figure, Reference
from roadworthy.domain.release import Release
from roadworthy.domain.rollout import Rollout, Stage, StagePlan
from roadworthy.domain.route import Arm, ArmRole, Route
from roadworthy.errors import Conflict
from roadworthy.lifecycle import buckets as buckets_module
from roadworthy.lifecycle import joining as joining_module
from roadworthy.lifecycle.buckets import Buckets, merge_features
from roadworthy.lifecycle.folding import fold_answers, fold_features, fold_predictions
from roadworthy.lifecycle.joining import Joined, Joiner, decision_loss
from roadworthy.lifecycle.references import References
from roadworthy.lifecycle.trials import TrialState, fold_trial
from roadworthy.ports.monitor import AnswerBucket, FeatureBucket
from roadworthy.ports.observations import BucketKey
from roadworthy.stats.counts import fold, freeze
from unit.observing.world import BEGIN, INTERFACE, World, in_canary, in_shadow, reference

REGRESSION = Interface(inputs=(Field(name="a", type=FieldType.NUMBER),), task=Task.REGRESSION)
BINARY = Interface(inputs=REGRESSION.inputs, task=Task.BINARY, labels=("0", "1"), positive="1")


def record(name: str = "r1", **more: Any) -> Record:
    """Make an answer."""
    plain: dict[str, Any] = {
        "id": name, "system": "s", "environment": "live", "release": "v1", "intended": "v1", "arm": "champion",
        "route_version": 1, "answered_at": BEGIN, "event_time": BEGIN, "latency_us": 10, "status": 200, "flags": 0,
        "interface": "i", "inputs": (1.0,), "outputs": (2.0,),
    }  # fmt: skip
    return Record(**{**plain, **more})


def outcome(of: str, value: object = 1, **more: Any) -> Outcome:
    """Make an outcome of an answer."""
    plain = {"key": f"k-{of}", "received_at": BEGIN, "known_at": BEGIN, "record": of}
    return Outcome(**{"system": "s", "environment": "live", "scorer": "label", "value": value, **plain, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("interface", "outputs", "truth", "loss"),
    [
        (BINARY, (), 1, None),
        (BINARY, (0.9, "1"), 1, 0.0),
        (BINARY, (0.9, "1"), "maybe", None),
        (REGRESSION, (2.0,), "soon", None),
        (REGRESSION, ("two",), 2.0, None),
        (REGRESSION, (2.0,), 3.0, 0.5),
        (Interface(inputs=(), task=Task.MULTICLASS, labels=("x", "y", "z")), ("x", 0.5), "y", 1.0),
    ],
)
def test_a_loss_is_known_where_answer_and_truth_are(interface: Interface, outputs: Any, truth: Any, loss: Any) -> None:
    """A word is no number and an unknown label no verdict: then there is no loss, not a loss of nothing."""
    assert decision_loss(interface, outputs, truth, 2.0) == loss


def test_old_answers_are_forgotten_with_all_that_hangs_on_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; an outcome of a forgotten answer is looked up in the log."""
    monkeypatch.setattr(joining_module, "REMEMBERED", 2)
    joiner = Joiner(world.plane.records)
    shadow = record("s1", flags=int(Flag.SHADOW), shadow_of="r1")
    joiner.remember([shadow, record("r1", entity="UA1"), record("r2"), record("r3")])
    assert joiner.join([outcome("r1"), outcome("", entity="UA1", event_time=BEGIN)]) == []
    joined = joiner.join([outcome("r2"), outcome("r3"), outcome("r2", scorer="kpi", key="k2")])
    assert [one.record.id for one in joined] == ["r2", "r3", "r2"]


def test_ages_payloads_and_answers_that_are_not_there_are_not_counted() -> None:
    """A feature of unknown age has none; a record without payload says nothing of features."""
    answers = AnswerBucket(start=0)
    fold_answers(answers, [record(ages_ms=(None, 7)), record(ages_ms=(5, 9))], ["a_age", "b_age"])
    assert answers.ages_ms == {"a_age": [1, 5, 5], "b_age": [2, 16, 9]}
    bins = {"a": freeze("a", [1.0, 2.0, 3.0])}
    figure = Figure(value=0.2, low=0.1, high=0.3, n=9)
    reference = Reference(
        rows=3, holdout_rows=1, counts={"a": fold(bins["a"], [1.0]).to_doc()}, bins={}, prediction_bins={},
        prediction_counts={}, loss=figure,
    )  # fmt: skip
    features = FeatureBucket(start=0)
    fold_features(features, [record(inputs=())], REGRESSION, reference, bins)
    fold_predictions(features, [record(outputs=())], Task.REGRESSION, bins["a"])
    assert (features.rows, dict(features.counts), features.predictions) == (0, {}, FeatureBucket(start=0).predictions)


def test_counts_over_other_bins_begin_anew() -> None:
    """Counts of two references cannot be added; the newer ones stand."""
    old, new = freeze("a", [1.0, 2.0, 3.0]), freeze("a", [10.0, 20.0, 30.0])
    older = FeatureBucket(start=0, rows=1, counts={"a": fold(old, [1.0]).to_doc()})
    newer = FeatureBucket(
        start=1, rows=2, counts={"a": fold(new, [10.0]).to_doc()}, predictions=fold(new, [10.0]).to_doc()
    )
    whole = merge_features(0, [older, newer])
    assert whole.rows == 3
    assert whole.counts["a"] == newer.counts["a"]
    assert whole.predictions == newer.predictions
    twice = merge_features(0, [newer, newer])
    assert twice.counts["a"]["total"] == 2 * newer.counts["a"]["total"]


def test_memory_of_buckets_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a save the disk knows them; what was not saved is never dropped by it."""
    monkeypatch.setattr(buckets_module, "_KEPT_IN_MEMORY", 0)
    held = Buckets(world.plane.observations)
    key = BucketKey("s", "live", "", 0, "watermark")
    held.put(key, {"at": 5})
    assert held.unsaved() == {key: {"at": 5}}
    held.saved()
    assert held.get(key, dict) is None


def test_a_release_that_the_ledger_does_not_know_has_no_reference(world: World) -> None:
    """Nothing is made up for it."""
    assert References(world.plane).get("sha256:" + "0" * 64) is None


def test_a_trial_leaves_out_what_cannot_be_judged(world: World) -> None:
    """No loss, no evidence; an answer of a third release is nobody's; a shadow of another challenger neither."""
    rollout = in_shadow(world)
    champion, challenger = rollout.replaces, rollout.release
    at = {"answered_at": world.now, "route_version": 1}
    joined = [
        Joined(outcome("r1", "?"), record("r1", release=champion, **at)),
        Joined(outcome("r2"), record("r2", release="third", **at)),
        Joined(outcome("r3"), record("r3", release=champion, **at), (record("x", release="third", **at),)),
        Joined(outcome("r4"), record("r4", release=champion, **at), (record("y", release=challenger, **at),)),
    ]
    losses: Mapping[str, float | None] = {"r1": None, "r2": 1.0, "r3": 0.0, "r4": 0.0, "y": 1.0}
    state = fold_trial(TrialState(rollout=rollout.id), rollout, [], joined, lambda one, _: losses[one.id])
    assert (state.outcomes, state.champion["n"], state.paired["n"]) == (1, 2, 1)
    assert state.challenger == {}


def test_a_stage_without_a_split_counts_no_assignments(world: World) -> None:
    """Where all traffic goes one way there is no share to hold."""
    plan = (StagePlan(stage=Stage.FULL, share=1.0),)
    rollout = Rollout(
        id="ro", system="s", release="new", replaces="old", policy="p", plan=plan, started_at=0, started_by="ana",
        stage_started_at=0,
    )  # fmt: skip
    state = fold_trial(TrialState(rollout="ro"), rollout, [record(release="new")], [], lambda *_: None)
    assert (state.records, state.ratio) == (0, {}) or state.ratio == {}


def test_a_release_without_a_reference_is_counted_and_promises_nothing(world: World) -> None:
    """A number has no scores, a baseline no promise; a reference without answers' bins counts features only."""
    kept = msgspec.json.decode(world.plane.artifacts.get(reference(world.plane).digest), type=Reference)
    content = msgspec.json.encode(replace(kept, prediction_bins={}))
    half = Artifact(role="reference", format="reference", digest=world.plane.artifacts.put(content), size=len(content))
    for number, (name, artifacts) in enumerate({"bare": (), "half": (half,)}.items(), start=3):
        candidate = Candidate(
            system="s",
            recipe=f"sha256:{number:064x}",
            artifacts=artifacts,
            interface=replace(INTERFACE, task=Task.REGRESSION),
            runtime="onnx",
            environment=Environment(python="3.11", platform="linux"),
        )
        world.releases[name] = candidate.id
        made = Release(
            id=candidate.id, system="s", number=number, candidate=candidate, policy="p", run="r", admitted_at=BEGIN,
            admitted_by="ana",
        )  # fmt: skip
        world.decide(Noun.RELEASE, candidate.id, made)
        answers = world.answers(20, release=name)
        for one in answers:
            world.outcome(one, 1.0)
    world.look()
    champion = world.releases["bare"]
    world.route(Route(system="s", arms=(Arm(role=ArmRole.CHAMPION, release=champion, share=1.0),), last_good=champion))
    assert world.signals()["errors"].n == 40  # type: ignore[attr-defined]
    world.route(Route(system="s", arms=(Arm(role=ArmRole.CHAMPION, release="gone", share=1.0),), last_good="gone"))
    assert world.observer.observe(world.now, world.wall) == 0


def test_traffic_of_an_unknown_system_and_other_scores_are_left_alone(world: World) -> None:
    """A record of a system without a policy changes no signal; an outcome that is no label is no truth."""
    made = world.answers(20)
    stray = made[0]._replace(id=made[0].id[:-1] + "f", system="ghost")
    assert world.log.record(stray)  # type: ignore[attr-defined]
    world.log.outcome(outcome(made[0].id, 5, scorer="kpi"))  # type: ignore[attr-defined]
    signals = world.look()
    assert signals["outcomes"].value in (None, 0.0)  # type: ignore[attr-defined]
    assert not world.plane.observations.signals("ghost")


def test_a_truth_that_is_no_label_counts_for_nobody(world: World) -> None:
    """Neither as right nor as wrong."""
    made = world.answers(20)
    for one in made:
        world.outcome(one, "perhaps")
    assert world.look()["harm"].value in (None, 0.0)  # type: ignore[attr-defined]


def test_another_observer_that_was_first_costs_a_look_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was folded is forgotten, and the next look reads what the other one saved."""
    world.answers(20)
    save = world.plane.observations.save
    taken: list[object] = []

    def lose(**more: Any) -> None:
        taken.append(more)
        raise Conflict("another process folded these frames")

    monkeypatch.setattr(world.plane.observations, "save", lose)
    assert world.observer.observe(world.now, world.wall) == 0
    monkeypatch.setattr(world.plane.observations, "save", save)
    assert world.observer.observe(world.now, world.wall) == 20
    assert taken


def test_progress_of_a_stage_that_nobody_has_seen_is_blank(world: World) -> None:
    """Evidence of another rollout is none of this one's."""
    rollout = in_canary(world)
    assert world.observer.progress(rollout).records == 0
    world.answers(40, release="v2")
    world.look()
    assert world.observer.progress(rollout).records > 0
    assert world.observer.progress(replace(rollout, id="another")).records == 0
    world.answers(40, release="v2")
    world.look()
    assert world.observer.progress(rollout).records > 40


def test_costly_monitors_wait_for_their_turn(world: World) -> None:
    """Between two turns only the cheap ones look."""
    world.answers(50)
    world.observer.observe(world.now, world.wall)
    before = {one.name: one.at for one in world.plane.observations.signals("s")}
    world.now += 1_000_000
    world.observer.observe(world.now, world.wall)
    after = {one.name: one.at for one in world.plane.observations.signals("s")}
    assert after["errors"] > before["errors"]
    assert after["drift"] == before["drift"]
