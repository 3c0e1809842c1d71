"""The reconcile loop: breaches become incidents and actions, each exactly once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from roadworthy.domain.failure_plan import ActionKind, FailurePlan, Intent, Rule
from roadworthy.domain.ledger import Decide, Noun, verify
from roadworthy.domain.moment import HOUR, MINUTE
from roadworthy.domain.objective import Standing
from roadworthy.domain.principal import Actor, Principal
from roadworthy.domain.rollout import Harm, Progress, RolloutState
from roadworthy.domain.snapshot import Acknowledgement
from roadworthy.errors import Conflict, InputError, NotFoundError, RefusedError, UnavailableError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.incidents import acknowledge, close, incidents, silence
from roadworthy.lifecycle.incidents import incident as find
from roadworthy.lifecycle.judge import judge
from roadworthy.lifecycle.page import addresses_of, backoff, deliver, undelivered
from roadworthy.lifecycle.pause import pause, restore, resume
from roadworthy.lifecycle.publish import is_published
from roadworthy.lifecycle.reconcile import Look, reconcile
from roadworthy.lifecycle.respond import Command, carry_out, handle
from roadworthy.ports.pager import Page
from roadworthy.ports.people import Person
from roadworthy.stores.codec import to_doc

ADA = Actor(principal="ada")
World = Any


def look(world: World, progress: Progress | None = None, wall: int = 0) -> Look:
    """Look once."""
    return reconcile(world.plane, lambda _: progress or Progress(), Command(fence=0, wall=wall))


def break_it(world: World, name: str = "auc", value: float = 0.5, release: str = "v2") -> None:
    """Let a signal be bad for longer than its grace."""
    world.see(name, value, world.release(release).id)
    look(world)
    world.clock.pass_by(MINUTE)
    world.see(name, value, world.release(release).id)


def two_live(world: World) -> World:
    """Make v2 champion with v1 behind it."""
    world.live("v1")
    world.live("v2")
    return world


def test_a_bad_release_is_rolled_back_by_itself_and_its_owner_is_paged(world: World) -> None:
    """Breach, incident, rollback, withdrawal and page, in one look and each once."""
    two_live(world)
    break_it(world)
    assert look(world).taken == 2
    assert world.route.champion == world.release("v1").id
    assert world.release("v2").withdrawn_for == ("quality",)
    story = find(world.plane, "flights-1")
    assert [action.action for action in story.actions] == ["rollback"]
    assert story.severity == "sev3"
    assert story.title.startswith("quality of flights@v2: auc < 0.7 for 1m (auc 0.5")
    assert story.changed_before[0].kind == "route.changed"
    assert is_published(world.plane)
    before = world.kinds()
    assert look(world) == Look()
    assert world.kinds() == [*before, "incident.updated"]
    assert find(world.plane, "flights-1").recovered_at == world.clock.now()
    assert look(world) == Look()
    assert world.kinds() == [*before, "incident.updated"]
    assert verify(world.events()).holds


def test_a_restored_system_is_told_only_when_every_worker_applied_it(world: World) -> None:
    """Recovery is what callers see: a worker that still serves the bad release keeps the incident unrecovered."""
    two_live(world)
    stale = world.plane.ledger.head().seq
    break_it(world)
    world.plane.snapshots.acknowledge(Acknowledgement(worker="w1", pid=1, version=stale, at=0))
    look(world)
    look(world)
    assert find(world.plane, "flights-1").recovered_at is None
    fresh = world.plane.ledger.head().seq
    world.plane.snapshots.acknowledge(Acknowledgement(worker="w1", pid=1, version=fresh, at=0))
    look(world)
    assert find(world.plane, "flights-1").recovered_at is not None


def test_a_breach_is_a_breach_only_after_its_grace(world: World) -> None:
    """A pending objective changes nothing, and a quiet look writes nothing."""
    two_live(world)
    world.see("auc", 0.5, world.release("v2").id)
    before = world.kinds()
    look(world)
    standings = {key.objective: watch.standing for key, watch in world.plane.observations.watches("flights").items()}
    assert standings == {"quality": Standing.PENDING, "errors": Standing.NO_DATA, "drift": Standing.NO_DATA}
    assert world.kinds() == before


def test_the_whole_systems_signal_is_judged_only_where_the_champion_has_none(world: World) -> None:
    """The system's window still holds the answers of a release that was rolled back."""
    two_live(world)
    world.see("auc", 0.9, world.release("v2").id)
    world.see("auc", 0.1)
    look(world)
    world.clock.pass_by(MINUTE)
    assert look(world).taken == 0
    world.see("errors", 0.5)
    look(world)
    world.clock.pass_by(MINUTE)
    assert look(world).taken == 2
    assert world.route.degraded_by == "flights-1"


def test_a_worker_that_cannot_load_the_target_leads_to_the_next_one(world: World) -> None:
    """A release that a live worker refused is no rollback target."""
    two_live(world)
    head = world.plane.ledger.head().seq
    word = Acknowledgement(
        worker="w1", pid=1, version=head, at=0, refused=((world.release("v1").id, "bytes are altered"),)
    )
    world.plane.snapshots.acknowledge(word)
    break_it(world)
    look(world)
    assert world.route.champion == world.release("baseline").id


def test_a_second_bad_release_within_the_cool_down_falls_back(world: World) -> None:
    """At most one automatic rollback per system and cool-down."""
    two_live(world)
    break_it(world)
    look(world)
    world.admit(3)
    world.live("v3")
    break_it(world, release="v3")
    look(world)
    route = world.route
    assert route.champion == world.release("v3").id
    assert route.degraded_by == "flights-2"
    assert route.fallback[0] == world.release("v1").id
    assert not restore(world.plane, "flights", actor=ADA).degraded_by
    world.clock.pass_by(HOUR)
    look(world)
    assert world.route.champion == world.release("v1").id, "the cool-down is over and the breach goes on"


def test_a_bad_challenger_is_taken_back_and_the_champion_stays(world: World) -> None:
    """A breach during a rollout aborts it; automation pages and leaves the champion alone."""
    world.live("v1")
    world.promote("v2")
    look(world, Progress(records=10))
    break_it(world)
    look(world)
    assert world.route.champion == world.release("v1").id
    assert present.rollout(world.plane, "flights", "live").state is RolloutState.ABORTED
    assert find(world.plane, "flights-1").severity == "sev3"


def test_drift_of_a_challenger_pages_and_aborts_nothing(world: World) -> None:
    """Input drift alone neither rolls back nor ends a rollout."""
    world.live("v1")
    world.promote("v2")
    look(world, Progress(records=10))
    break_it(world, "drift", 0.9)
    look(world)
    assert present.running(world.plane, "flights", "live") is not None
    assert "action.attempted" in world.kinds()


def test_a_shadow_in_breach_ends_its_rollout_and_tells_the_owner(world: World) -> None:
    """No caller saw it, so it is sev3; but who began the rollout hears that it ended."""
    world.live("v1")
    world.promote("v2")
    break_it(world)
    look(world)
    assert present.rollout(world.plane, "flights", "live").state is RolloutState.ABORTED
    (story,) = present.incidents(world.plane)
    assert (story.objective, story.severity) == ("rollout", "sev3")
    assert story.title.startswith("rollout of flights@v2 aborted in shadow: in breach: ")


HARM = Harm(metric="decision loss", low=0.05, high=0.2, margin=0.02, n=400)


def test_a_rollout_aborted_for_harm_opens_an_incident_and_pages_once(world: World) -> None:
    """Automation never takes a release back in silence; looking again tells nobody twice."""
    world.live("v1")
    world.promote("v2")
    look(world, Progress(records=10))
    look(world, Progress(records=500, harm=(HARM,)))
    assert present.rollout(world.plane, "flights", "live").state is RolloutState.ABORTED
    assert world.route.champion == world.release("v1").id
    look(world)
    (story,) = present.incidents(world.plane)
    assert "decision loss is worse than the champion's" in story.title
    pages = [kind for kind in world.kinds() if kind == "action.attempted"]
    assert len(pages) == 1
    addresses = addresses_of(present.policy(world.plane, "flights"), owner_is_here=True)
    assert len(world.plane.deliveries.of("flights")) == len(addresses)
    kinds = world.kinds()
    assert kinds.index("action.attempted") < kinds.index("rollout.aborted"), "owed before, so that no kill loses it"


def test_a_broken_split_is_told_as_well(world: World) -> None:
    """A rollout whose arms do not get their shares ends, and its owner hears why."""
    world.live("v1")
    world.promote("v2")
    look(world, Progress(records=10))
    look(world, Progress(records=500, sample_ratio_ok=False))
    (story,) = present.incidents(world.plane)
    assert "split of traffic" in story.title


def test_a_rollout_moves_by_itself_unless_automation_is_paused(world: World) -> None:
    """Pause stops rollouts and actions; pages still go out."""
    world.live("v1")
    world.promote("v2")
    pause(world.plane, "flights", actor=ADA, reason="migration")
    assert look(world, Progress(records=10)).moved == 0
    break_it(world, release="v1")
    look(world)
    assert world.route.champion == world.release("v1").id
    assert [action["action"] for action in world.plane.ledger.states(Noun.ACTION).values()] == ["page"]
    resume(world.plane, "flights", actor=ADA)
    look(world, Progress(records=10))
    assert world.route.champion == world.release("baseline").id


def test_a_stop_rule_stops_and_an_unknown_action_fails_visibly(world: World) -> None:
    """What nothing here can do is written as failed, once."""
    rules = (Rule(objective="quality", do=(ActionKind.STOP, ActionKind.RETRAIN)),)
    policy = replace(present.policy(world.plane, "flights"), failure=FailurePlan(rules=rules))
    world.apply(policy)
    two_live(world)
    break_it(world)
    look(world)
    assert world.route.stopped
    story = find(world.plane, "flights-1")
    assert [(action.action, action.outcome) for action in story.actions] == [("stop", "done"), ("retrain", "failed")]
    assert look(world).taken == 0


def test_a_breach_that_comes_back_is_another_episode_of_the_same_incident(world: World) -> None:
    """One story for one cause; the plan may act once in each episode."""
    two_live(world)
    errors = world.release("v2").id
    break_it(world, "errors", 0.5)
    look(world)
    assert world.route.degraded_by == "flights-1"
    look(world)
    assert find(world.plane, "flights-1").recovered_at is not None
    restore(world.plane, "flights", actor=ADA)
    look(world)
    story = find(world.plane, "flights-1")
    assert (story.episode, story.handle) == (2, "flights-1.2")
    assert world.route.degraded_by == "flights-1.2"
    assert len(present.incidents(world.plane)) == 1
    world.see("errors", 0.0, errors)


def test_what_was_seen_before_a_person_restored_a_system_moves_nothing(world: World) -> None:
    """The fault may be mended: only what is seen from then on counts, and if it is still there the plan acts again."""
    two_live(world)
    break_it(world, "errors", 0.5)
    look(world)
    look(world)
    world.clock.pass_by(MINUTE)
    restore(world.plane, "flights", actor=ADA)
    look(world)
    world.clock.pass_by(HOUR)
    look(world)
    assert not world.route.degraded_by
    break_it(world, "errors", 0.5)
    look(world)
    assert world.route.degraded_by == "flights-1.2"


def test_two_processes_that_see_the_same_breach_act_once(world: World) -> None:
    """Keys make the second one's decisions no-ops, whatever it read before."""
    two_live(world)
    break_it(world)
    policy, route = present.policy(world.plane, "flights"), world.route
    judged = judge(world.plane, policy, route, world.clock.now())
    handle(world.plane, policy, route, judged, Command(fence=0, wall=0))
    count = len(world.kinds())
    handle(world.plane, policy, route, judged, Command(fence=0, wall=0))
    assert len(world.kinds()) == count
    intent = Intent(
        key="late", system="flights", action=ActionKind.STOP, objective="quality", reason="late", incident="flights-1"
    )
    with pytest.raises(Conflict, match="moved since"):
        carry_out(world.plane, policy, intent, {}, Command(fence=0, wall=0), decided_on=route.version)


def test_trouble_in_one_system_does_not_hold_up_the_others(world: World) -> None:
    """A system whose state cannot be read is named; the rest goes on."""
    two_live(world)
    policy = to_doc(present.policy(world.plane, "flights"))
    route = to_doc(replace(world.route, system="broken"))
    world.plane.ledger.commit(
        [
            _decide(Noun.POLICY, "broken", policy),
            _decide(Noun.ROUTE, "broken/live", route),
            _decide(Noun.INCIDENT, "broken-1", {"id": 3}),
        ]
    )
    break_it(world)
    done = look(world)
    assert list(done.problems) == ["broken"]
    assert done.taken == 2


def _decide(noun: Noun, subject: str, after: dict[str, Any]) -> Decide:
    return Decide(kind="test.written", system="broken", noun=noun, subject=subject, after=after, actor=ADA)


def test_a_stale_leader_carries_nothing_out(world: World) -> None:
    """Its epoch is refused in the transaction, and it says so."""
    two_live(world)
    break_it(world)
    world.plane.ledger.epoch = 5
    done = reconcile(world.plane, lambda _: Progress(), Command(fence=4, wall=0))
    assert done.taken == 0
    assert world.route.champion == world.release("v2").id


def test_what_a_killed_process_left_unpublished_is_published(world: World) -> None:
    """The next look hands the workers what they miss."""
    two_live(world)
    world.plane.snapshots.current = None
    assert not is_published(world.plane)
    look(world)
    assert is_published(world.plane)


def test_an_owner_who_left_is_an_incident_for_the_backup(world: World) -> None:
    """The backup is paged once, the system is marked, and both end when there is an owner again."""
    two_live(world)
    world.leave("ada")
    look(world)
    look(world)
    story = find(world.plane, "flights-1")
    assert story.title == "flights has no owner: ada is no longer active"
    assert story.owner == "ben"
    due = world.plane.deliveries.due(1)
    assert {one.document["address"] for one in due} == {"file:pages.jsonl", "file:backup.jsonl"}
    assert due[0].document["page"]["to"] == "ben"
    assert world.kinds().count("system.orphaned") == 1
    world.commit("principal.changed", Noun.PRINCIPAL, "ada", to_doc(Principal(id="ada")))
    look(world)
    assert world.kinds().count("system.adopted") == 1
    assert find(world.plane, "flights-1").recovered_at is not None


def test_a_page_is_retried_under_the_same_key_until_it_arrives(world: World) -> None:
    """At least once: an unreachable pager shows, backs off and is tried again."""
    two_live(world)
    break_it(world)
    look(world, wall=1)
    tried: list[Page] = []

    def send(address: str, page: Page) -> None:
        assert address == "file:pages.jsonl"
        tried.append(page)
        if len(tried) < 3:
            raise UnavailableError("the pager does not answer")

    wall = 1
    while len(tried) < 3:
        deliver(world.plane, send, wall)
        if len(tried) < 3:
            assert undelivered(world.plane, "flights")[0].error == "the pager does not answer"
        wall += backoff(len(tried))
    assert len({page.key for page in tried}) == 1
    assert "Runbook: https://example.org/runbook" in tried[0].body
    assert undelivered(world.plane, "flights") == ()
    assert deliver(world.plane, send, wall * 100) == 0
    assert [action.action for action in find(world.plane, "flights-1").actions] == ["rollback", "page"]


def test_a_page_that_never_arrives_ends_as_a_failed_action(world: World) -> None:
    """After a day of trying the incident says that nobody was reached."""
    two_live(world)
    break_it(world)
    look(world, wall=1)

    def send(address: str, page: Page) -> None:
        raise UnavailableError("no route to host")

    deliver(world.plane, send, 1)
    deliver(world.plane, send, 1 + 25 * HOUR)
    assert find(world.plane, "flights-1").actions[-1].outcome == "failed"
    assert "action.failed" in world.kinds()


def test_a_policy_that_names_no_address_fails_the_page(world: World) -> None:
    """Nobody to reach is a failed action, not a silent one."""
    policy = present.policy(world.plane, "flights")
    world.plane.people.put(Person(principal="ada", contact="ada@example.org"))
    world.apply(replace(policy, failure=replace(policy.failure, pager=())))
    two_live(world)
    break_it(world)
    look(world)
    assert world.kinds().count("action.failed") == 1
    assert addresses_of(policy, owner_is_here=True) == ("file:pages.jsonl",)


def test_silence_holds_pages_back_until_it_ends(world: World) -> None:
    """Actions go on in silence; a breach that outlasts it pages afterwards."""
    two_live(world)
    break_it(world, "drift", 0.9)
    look(world)
    silence(world.plane, "flights-1", until=world.clock.now() + HOUR, actor=ADA)
    world.see("drift", 0.0, world.release("v2").id)
    look(world)
    break_it(world, "drift", 0.9)
    look(world)
    assert find(world.plane, "flights-1").episode == 2
    assert len(world.plane.deliveries.of("flights")) == 1
    world.clock.pass_by(HOUR)
    look(world)
    assert len(world.plane.deliveries.of("flights")) == 2
    with pytest.raises(RefusedError, match="has passed"):
        silence(world.plane, "flights-1", until=1, actor=ADA)


def test_closing_asks_for_the_new_test(world: World) -> None:
    """An incident is acknowledged and closed by people, and kept."""
    two_live(world)
    break_it(world)
    look(world)
    look(world)
    assert acknowledge(world.plane, "flights-1", actor=ADA).acknowledged_by == "ada"
    for texts in ({}, {"new_test": "tests/test_leak.py", "no_test": "no"}):
        with pytest.raises(InputError, match="needs the new test"):
            close(world.plane, "flights-1", actor=ADA, **texts)
    closed = close(world.plane, "flights-1", actor=ADA, no_test="the cause was the upstream feed")
    assert closed.new_test == "none: the cause was the upstream feed"
    with pytest.raises(RefusedError, match="is closed"):
        acknowledge(world.plane, "flights-1", actor=ADA)
    assert incidents(world.plane) == ()
    assert len(incidents(world.plane, everything=True)) == 1
    with pytest.raises(NotFoundError, match="did you mean"):
        find(world.plane, "flights-2")
    look(world)
    assert len(present.incidents(world.plane)) == 1


def test_a_release_forced_live_again_is_not_judged_by_its_last_signal(world: World) -> None:
    """What was seen when it was taken back is older than the person's word; only what comes now counts."""
    two_live(world)
    break_it(world)
    look(world)
    assert world.route.champion == world.release("v1").id
    world.clock.pass_by(2 * HOUR)
    world.live("v2")
    look(world)
    world.clock.pass_by(MINUTE)
    look(world)
    assert world.route.champion == world.release("v2").id
    break_it(world)
    look(world)
    assert world.route.champion == world.release("v1").id
