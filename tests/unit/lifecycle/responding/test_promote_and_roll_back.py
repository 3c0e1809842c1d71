"""Promotion, rollback, stop and pause as verbs over the ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from roadworthy.domain.exposure import degraded
from roadworthy.domain.ledger import Noun
from roadworthy.domain.principal import AUTOMATION, Actor, Principal, PrincipalKind
from roadworthy.domain.rollout import Harm, Move, Progress, RolloutState
from roadworthy.errors import ArtifactError, Conflict, NotFoundError, NotPermitted, RefusedError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.change_route import route_changed
from roadworthy.lifecycle.pause import is_paused, pause, restore, resume, stop
from roadworthy.lifecycle.roll_back import roll_back
from roadworthy.lifecycle.roll_out import pause_rollout, resume_rollout, roll_out
from roadworthy.stores.codec import to_doc

ADA = Actor(principal="ada")
World = Any


def test_a_promotion_begins_the_rollout_of_the_policy(world: World) -> None:
    """A release enters the first stage beside the baseline, and its rollout waits for signals."""
    done = world.promote("v1")
    assert done.rollout.state is RolloutState.RUNNING
    assert world.route.champion == world.release("baseline").id
    assert world.route.shadow.release == world.release("v1").id
    assert "shadow" in done.sentence
    assert world.plane.snapshots.version() == world.plane.ledger.head().seq


def test_a_promotion_proves_that_the_release_and_its_rollback_target_load(world: World) -> None:
    """Nothing is promoted over a target that one could not go back to; force does not spare that."""
    world.promote("v1")
    assert world.proven == [world.release("v1").id, world.release("baseline").id]
    roll_back(world.plane, "flights", actor=ADA)
    world.unloadable.add(world.release("baseline").id)
    before = world.kinds()
    with pytest.raises(ArtifactError, match="rollback target flights@baseline does not load"):
        world.promote("v1", force=True, reason="now")
    assert world.kinds() == before


def test_force_routes_to_all_traffic_at_once(world: World) -> None:
    """A person with a reason makes a release champion; the one before it becomes last good and first fallback."""
    world.live("v1")
    world.live("v2")
    route = world.route
    assert route.champion == world.release("v2").id
    assert route.last_good == world.release("v1").id
    assert route.fallback == (world.release("v1").id, world.release("baseline").id)
    assert world.kinds()[-2:] == ["rollout.done", "route.changed"]
    assert world.events()[-1].reason == "the test needs it live"


def test_force_admits_a_candidate_that_its_gates_refused(world: World) -> None:
    """What no gate passed becomes a release by a person's word, which its admission names."""
    from dataclasses import replace as change

    refused = change(world.release("v2").candidate, recipe="sha256:" + "f" * 64)
    world.commit("candidate.built", Noun.CANDIDATE, refused.id, to_doc(refused))
    with pytest.raises(NotFoundError):
        world.promote(refused.id)
    world.live("candidate")
    assert world.release("v3").forced_by == "ada"
    assert world.route.champion == refused.id
    with pytest.raises(NotFoundError):
        world.promote("sha256:123", force=True, reason="no such thing")


@pytest.mark.parametrize("kind", [PrincipalKind.SERVICE, PrincipalKind.AUTOMATION])
def test_only_a_person_may_force(world: World, kind: PrincipalKind) -> None:
    """A service or automation never passes gates."""
    world.commit("principal.changed", Noun.PRINCIPAL, "ada", to_doc(Principal(id="ada", kind=kind)))
    with pytest.raises(NotPermitted):
        world.live("v1")


def test_force_needs_an_active_person_and_a_reason(world: World) -> None:
    """Who left may not force, nor may one without a reason."""
    with pytest.raises(RefusedError, match="needs a reason"):
        world.promote("v1", force=True)
    world.leave("ada")
    with pytest.raises(NotPermitted, match="not active"):
        world.live("v1")


def test_promoting_the_champion_is_a_no_op(world: World) -> None:
    """Asking twice changes nothing."""
    world.live("v1")
    before = world.kinds()
    done = world.promote("v1")
    assert not done.changed
    assert world.kinds() == before


def test_one_rollout_at_a_time_unless_forced(world: World) -> None:
    """A second promotion waits for the first to end; force ends it."""
    world.promote("v1")
    with pytest.raises(RefusedError, match="is under way"):
        world.promote("v2")
    world.live("v2")
    assert "rollout.aborted" in world.kinds()
    assert world.route.champion == world.release("v2").id


def test_a_withdrawn_release_is_not_promoted_by_routine(world: World) -> None:
    """What was taken back for a cause needs a person's force to come back."""
    bad = replace(world.release("v2"), withdrawn_for=("quality",))
    world.commit("release.withdrawn", Noun.RELEASE, bad.id, to_doc(bad))
    with pytest.raises(RefusedError, match="taken back for quality"):
        world.promote("v2")
    world.live("v2")
    world.live("v1")
    assert world.route.last_good == world.release("baseline").id


def test_a_system_without_a_baseline_does_not_go_live(world: World) -> None:
    """There must be something to fall back to."""
    baseline = world.release("baseline")
    world.plane.ledger.commit(
        [
            replace_decide(world, baseline.id),
        ]
    )
    with pytest.raises(RefusedError, match="has no baseline"):
        world.promote("v1")


def replace_decide(world: World, subject: str) -> Any:
    """Build the end of a release."""
    from roadworthy.domain.ledger import Decide

    return Decide(kind="release.ended", system="flights", noun=Noun.RELEASE, subject=subject, after=None, actor=ADA)


def test_a_rollout_moves_through_its_stages_to_all_traffic(world: World) -> None:
    """Automation raises exposure along a rollout that a person started, and only on go on."""
    rollout = world.promote("v1").rollout
    waiting = roll_out(world.plane, rollout, Progress(records=3), fence=0)
    assert waiting.step.move is Move.WAIT
    canary = roll_out(world.plane, waiting.rollout, Progress(records=10), fence=0)
    assert canary.rollout.stage.stage == "canary"
    assert [arm.share for arm in world.route.arms] == [0.9, 0.1]
    done = roll_out(world.plane, canary.rollout, Progress(records=20), fence=0)
    assert done.rollout.state is RolloutState.DONE
    assert world.route.champion == world.release("v1").id
    again = roll_out(world.plane, canary.rollout, Progress(records=20), fence=0)
    assert again.step.reason == "it ended meanwhile"


def test_waiting_is_written_once_for_each_kind_of_reason(world: World) -> None:
    """Growing counts fill the status page, not the ledger."""
    rollout = world.promote("v1").rollout
    for records in (1, 2, 3):
        rollout = roll_out(world.plane, rollout, Progress(records=records), fence=0).rollout
    assert world.kinds().count("rollout.waiting") == 1
    assert rollout.waiting_for == "3 of 10 records"


def test_harm_aborts_a_rollout_and_the_champion_keeps_all_traffic(world: World) -> None:
    """Exposure falls at any stage, also while a person holds the rollout."""
    rollout = world.promote("v1").rollout
    pause_rollout(world.plane, "flights", actor=ADA)
    paused = present.running(world.plane, "flights", "live")
    held = roll_out(world.plane, paused, Progress(records=99), fence=0)
    assert held.step.reason == "paused by a person"
    harm = Harm(metric="decision loss", low=0.02, high=0.1, margin=0.05, n=99)
    roll_out(world.plane, paused, Progress(records=99, harm=(harm,)), fence=0)
    assert present.rollout(world.plane, "flights", "live").state is RolloutState.ABORTED
    assert world.route.shadow is None
    assert rollout.replaces == world.route.champion


def test_a_rollout_is_paused_and_resumed_by_people(world: World) -> None:
    """Each needs a rollout in the right state."""
    with pytest.raises(NotFoundError, match="no rollout"):
        pause_rollout(world.plane, "flights", actor=ADA)
    world.promote("v1")
    pause_rollout(world.plane, "flights", actor=ADA)
    with pytest.raises(RefusedError, match="paused, not running"):
        pause_rollout(world.plane, "flights", actor=ADA)
    assert resume_rollout(world.plane, "flights", actor=ADA).state is RolloutState.RUNNING


def test_a_stale_leader_moves_nothing(world: World) -> None:
    """Who lost the lease is refused in the transaction."""
    rollout = world.promote("v1").rollout
    world.plane.ledger.epoch = 2
    with pytest.raises(Conflict):
        roll_out(world.plane, rollout, Progress(records=10), fence=1)


def test_a_rollback_makes_the_last_good_release_champion(world: World) -> None:
    """By hand it commits and publishes by itself."""
    world.live("v1")
    world.live("v2")
    done = roll_back(world.plane, "flights", actor=ADA)
    assert world.route.champion == world.release("v1").id
    assert done.sentence == "flights@v1 has all traffic again; flights@v2 has none"
    assert world.plane.snapshots.current.systems[0].route == world.route


def test_a_rollback_during_a_rollout_takes_the_trial_back(world: World) -> None:
    """The champion was not the problem; it keeps serving."""
    world.live("v1")
    world.promote("v2")
    done = roll_back(world.plane, "flights", actor=ADA)
    assert world.route.champion == world.release("v1").id
    assert "rollout of flights@v2 is aborted" in done.sentence


def test_a_rollback_to_a_named_release_proves_it_unless_it_is_in_the_route(world: World) -> None:
    """What is in the route was proven when it came in; another release is loaded first."""
    world.live("v1")
    world.live("v2")
    world.proven.clear()
    roll_back(world.plane, "flights", "baseline", actor=ADA, prove_loads=world.prove)
    assert world.proven == []
    roll_back(world.plane, "flights", "v2", actor=ADA, prove_loads=world.prove)
    assert world.proven == [world.release("v2").id]


def test_a_rollback_to_nowhere_is_refused(world: World) -> None:
    """Without a route, without an earlier release or onto itself there is nothing to do."""
    with pytest.raises(NotFoundError, match="nothing was promoted"):
        roll_back(world.plane, "flights", actor=ADA)
    world.live("v1")
    with pytest.raises(RefusedError, match="champion already"):
        roll_back(world.plane, "flights", "v1", actor=ADA)
    roll_back(world.plane, "flights", actor=ADA)
    with pytest.raises(RefusedError, match="no earlier release"):
        roll_back(world.plane, "flights", actor=ADA)
    with pytest.raises(NotPermitted):
        roll_back(world.plane, "flights", actor=AUTOMATION)


def test_stop_and_restore_are_a_persons(world: World) -> None:
    """A stopped system answers 503 on purpose until a person restores it."""
    with pytest.raises(NotFoundError):
        stop(world.plane, "flights", actor=ADA, reason="recall")
    world.live("v1")
    world.promote("v2")
    with pytest.raises(RefusedError, match="needs a reason"):
        stop(world.plane, "flights", actor=ADA, reason=" ")
    assert stop(world.plane, "flights", actor=ADA, reason="recall").stopped
    assert present.running(world.plane, "flights", "live") is None
    with pytest.raises(RefusedError, match="stopped already"):
        stop(world.plane, "flights", actor=ADA, reason="recall")
    assert not restore(world.plane, "flights", actor=ADA).stopped
    with pytest.raises(RefusedError, match="neither stopped nor"):
        restore(world.plane, "flights", actor=ADA)
    stop(world.plane, "flights", actor=ADA, reason="again")
    roll_back(world.plane, "flights", actor=ADA)
    assert not world.route.stopped


def test_a_promotion_over_a_degraded_champion_does_not_keep_it_as_last_good(world: World) -> None:
    """A champion that the failure plan put behind its fallback is no rollback target."""
    world.live("v1")
    world.live("v2")
    seq = present.route_seq(world.plane, "flights", "live")
    low = degraded(world.route, "flights-1", world.release("v1").id)
    world.plane.ledger.commit([route_changed(low, AUTOMATION, "errors", expected=seq)])
    world.admit(3)
    world.live("v3")
    assert world.route.last_good == world.release("v1").id


def test_automation_is_paused_and_resumed_with_a_reason(world: World) -> None:
    """Pause is a state of the system that a person sets and lifts."""
    with pytest.raises(RefusedError, match="needs a reason"):
        pause(world.plane, "flights", actor=ADA, reason="")
    pause(world.plane, "flights", actor=ADA, reason="migration")
    assert is_paused(world.plane, "flights")
    with pytest.raises(RefusedError, match="paused already"):
        pause(world.plane, "flights", actor=ADA, reason="migration")
    resume(world.plane, "flights", actor=ADA)
    assert not is_paused(world.plane, "flights")
    with pytest.raises(RefusedError, match="not paused"):
        resume(world.plane, "flights", actor=ADA)
    with pytest.raises(NotFoundError, match="did you mean 'flights'"):
        resume(world.plane, "flight", actor=ADA)


def test_a_verb_reads_again_when_someone_was_faster() -> None:
    """A conflict is retried on what is true now, and given up after eight."""
    tries: list[int] = []

    def third_time() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise Conflict("moved")
        return "done"

    assert present.settle(third_time) == "done"

    def never() -> None:
        raise Conflict("moved")

    with pytest.raises(Conflict):
        present.settle(never)
