"""Plan says what would change and changes nothing; apply puts it in force in one transaction."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from roadworthy.domain.candidate import Artifact, Candidate, Environment
from roadworthy.domain.condition import Comparison, Condition
from roadworthy.domain.digest import digest_bytes
from roadworthy.domain.failure_plan import ActionKind, FailurePlan, Rule
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.ledger import Decide, Noun, verify
from roadworthy.domain.moment import DAY
from roadworthy.domain.objective import Objective
from roadworthy.domain.principal import Actor, Assurance, Principal
from roadworthy.domain.reference import Figure, Reference
from roadworthy.domain.release import Release
from roadworthy.domain.rollout import Rollout, Stage, StagePlan
from roadworthy.domain.route import Arm, ArmRole, Route
from roadworthy.domain.system import (
    Content,
    DataPlan,
    Decision,
    GatePlan,
    Goal,
    Kind,
    NonGoal,
    Owner,
    Policy,
    StatedWaiver,
    System,
    Tier,
    WatchPlan,
)
from roadworthy.errors import ArtifactError, Conflict, NotPermitted, RefusedError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.apply import apply
from roadworthy.lifecycle.plan import plan
from roadworthy.ports.people import Person
from roadworthy.stores.codec import from_doc, to_doc
from roadworthy.testing import START, FixedClock, memory_plane

ANA = Actor(principal="ana")
PROVEN = Actor(principal="ana", assurance=Assurance.AUTHENTICATED)
INTERFACE = Interface(
    inputs=(Field(name="hour", type=FieldType.INTEGER, minimum=0, maximum=23),),
    task=Task.BINARY,
    labels=("no", "yes"),
    positive="yes",
)
OBJECTIVES = (
    Objective(
        name="errors", when=Condition(monitor="errors", comparison=Comparison.ABOVE, threshold=0.05, grace=30_000_000)
    ),
    Objective(name="harm", when=Condition(monitor="harm", comparison=Comparison.ABOVE)),
)
POLICY = Policy(
    owner=Owner(principal="ana", contact="ana@example.com", backup="ben", backup_contact="ben@example.com"),
    gates=(GatePlan(name="latency", parameters={"p99_ms": 50.0}),),
    rollout=(StagePlan(stage=Stage.FULL, share=1.0),),
    watch=WatchPlan(objectives=OBJECTIVES),
    failure=FailurePlan(
        rules=(
            Rule(objective="harm", do=(ActionKind.ROLLBACK, ActionKind.PAGE)),
            Rule(objective="errors", do=()),
        ),
        pager=("file:pages.jsonl",),
    ),
)
SYSTEM = System(
    name="flights",
    kind=Kind.MODEL,
    content=Content(
        use="model.skops",
        data=DataPlan(table="flights.parquet", target="late"),
        baseline="baseline.sql",
        interface=INTERFACE,
    ),
    policy=POLICY,
)


class _Bytes:
    """Artifacts in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        name = digest_bytes(content)
        self.kept[name] = content
        return name

    def get(self, digest: str) -> bytes:
        if digest not in self.kept:
            raise ArtifactError("the bytes are missing")
        return self.kept[digest]


def _with(**policy) -> System:
    return replace(SYSTEM, policy=replace(POLICY, **policy))


def test_apply_writes_policy_system_and_people_in_one_transaction():
    """Policy, content, owner and backup come into force together or not at all."""
    plane = memory_plane()
    applied = apply(plane, SYSTEM, actor=ANA, reason="first")
    assert [event.kind for event in applied.events] == [
        "principal.changed",
        "principal.changed",
        "policy.applied",
        "system.applied",
    ]
    assert applied.changed
    assert from_doc(Policy, plane.ledger.state(Noun.POLICY, "flights")).digest == SYSTEM.policy.digest == applied.policy
    assert plan(plane, SYSTEM).content_before == SYSTEM.content.digest == applied.content
    assert verify(plane.ledger.events()).holds
    assert plane.snapshots.version() == plane.ledger.head().seq


def test_applying_twice_is_applying_once():
    """The same manifest again writes no entry."""
    plane = memory_plane()
    apply(plane, SYSTEM, actor=ANA)
    before = plane.ledger.head()
    assert not apply(plane, SYSTEM, actor=ANA).changed
    assert plane.ledger.head() == before


def test_contacts_never_reach_the_ledger():
    """Addresses live where they can be erased, and the policy in force still knows them."""
    plane = memory_plane()
    apply(plane, SYSTEM, actor=ANA)
    assert "example.com" not in str(list(plane.ledger.events()))
    assert plane.people.get("ana") == Person(principal="ana", contact="ana@example.com")
    assert present.policy(plane, "flights").owner == POLICY.owner
    plane.people.erase("ben")
    assert present.policy(plane, "flights").owner.backup_contact == ""


def test_a_new_contact_keeps_the_name_of_a_person():
    """Being reached elsewhere does not make another person."""
    plane = memory_plane()
    plane.people.put(Person(principal="ana", name="Ana Lima", contact="old@example.com"))
    apply(plane, SYSTEM, actor=ANA)
    assert plane.people.get("ana") == Person(principal="ana", name="Ana Lima", contact="ana@example.com")


def test_a_changed_policy_is_a_new_revision_and_content_stays():
    """Only what changed is written again."""
    plane = memory_plane()
    apply(plane, SYSTEM, actor=ANA)
    applied = apply(plane, _with(glossary={"late": "15 minutes"}), actor=ANA)
    assert [event.kind for event in applied.events] == ["policy.applied"]
    applied = apply(
        plane, replace(_with(glossary={"late": "15 minutes"}), content=replace(SYSTEM.content, seed=1)), actor=ANA
    )
    assert [event.kind for event in applied.events] == ["system.applied"]


def test_apply_keeps_the_flags_of_a_system_and_ends_its_orphanhood():
    """A paused system stays paused; one that has an owner again is no orphan."""
    plane = memory_plane()
    apply(plane, SYSTEM, actor=ANA)
    document = {**plane.ledger.state(Noun.SYSTEM, "flights"), "paused": True, "paused_by": "ana", "orphaned": True}
    plane.ledger.commit(
        [Decide(kind="system.paused", system="flights", noun=Noun.SYSTEM, subject="flights", after=document, actor=ANA)]
    )
    apply(plane, SYSTEM, actor=ANA)
    standing = present.standing(plane, "flights")
    assert (standing["paused"], standing["paused_by"], standing["orphaned"]) == (True, "ana", False)


@pytest.mark.parametrize(
    ("system", "why"),
    [
        (_with(owner=Owner(principal="", contact="")), "no owner who can be reached"),
        (_with(owner=Owner(principal="ana", contact="")), "no owner who can be reached"),
        (_with(failure=FailurePlan()), "no failure plan"),
        (replace(SYSTEM, content=replace(SYSTEM.content, baseline="")), "no baseline"),
    ],
)
def test_a_system_without_owner_failure_plan_or_baseline_is_refused(system, why):
    """A production system has an owner, a failure plan and a baseline."""
    plane = memory_plane()
    with pytest.raises(RefusedError, match=why):
        apply(plane, system, actor=ANA)
    assert plane.ledger.head().seq == 0
    assert any(why in reason for reason in plan(plane, system).refused)


@pytest.mark.parametrize("gone", ["ana", "ben"])
def test_an_owner_or_backup_who_left_is_refused(gone):
    """Accountability cannot rest with someone who is gone."""
    plane = memory_plane()
    left = to_doc(Principal(id=gone, active=False))
    decision = Decide(kind="principal.changed", system="", noun=Noun.PRINCIPAL, subject=gone, after=left, actor=ANA)
    plane.ledger.commit([decision])
    with pytest.raises(RefusedError, match=f"{gone} has left"):
        apply(plane, SYSTEM, actor=Actor(principal="eva"))
    if gone == "ana":
        with pytest.raises(NotPermitted, match="not active"):
            apply(plane, SYSTEM, actor=ANA)


def test_a_dated_waiver_stands_in_for_a_baseline_until_it_ends():
    """An exception has a name, a reason and an end; after it the rule holds again."""
    clock = FixedClock()
    plane = memory_plane(clock)
    waiver = StatedWaiver(gate="baseline", by="ana", why="the model is a rule", until=START + DAY)
    bare = replace(_with(waivers=(waiver,)), content=replace(SYSTEM.content, baseline=""))
    events = apply(plane, bare, actor=ANA).events
    assert events[-1].kind == "waiver.given"
    assert plane.ledger.states(Noun.WAIVER, "flights")[events[-1].subject]["until"] == START + DAY
    assert not apply(plane, bare, actor=ANA).changed
    clock.pass_by(DAY)
    with pytest.raises(RefusedError, match="no baseline"):
        apply(plane, bare, actor=ANA)


def test_a_waiver_above_tier_low_needs_someone_proven():
    """A name on a local command line does not excuse a gate where much depends on it."""
    plane = memory_plane()
    waiver = StatedWaiver(gate="latency", by="ana", why="slow disk", until=START + DAY)
    careful = _with(waivers=(waiver,), decision=Decision(what="x", tier=Tier.STANDARD))
    with pytest.raises(NotPermitted, match="proved who they are"):
        apply(plane, careful, actor=ANA)
    assert plane.ledger.head().seq == 0
    assert apply(plane, careful, actor=PROVEN).changed


def test_a_conflict_is_read_again_and_decided_again():
    """Two appliers at once end with one revision each, in order."""
    plane = memory_plane()
    commit, tries = plane.ledger.commit, []

    def once(decisions, *, fence=None):
        tries.append(1)
        if len(tries) == 1:
            raise Conflict("moved")
        return commit(decisions, fence=fence)

    plane.ledger.commit = once
    assert apply(plane, SYSTEM, actor=ANA).changed
    assert len(tries) == 2


def test_a_plan_changes_nothing():
    """Planning on a branch leaves no trace."""
    plane = memory_plane()
    first = plan(plane, SYSTEM)
    assert first.is_new
    assert first.needs_candidate
    assert not first.changes_nothing
    assert (plane.ledger.head().seq, plane.snapshots.version(), plane.people.everyone()) == (0, 0, [])


def test_a_plan_of_what_is_in_force_says_nothing_changes():
    """Plan after apply is empty."""
    plane = memory_plane()
    apply(plane, SYSTEM, actor=ANA)
    again = plan(plane, SYSTEM)
    assert again.changes == ()
    assert again.changes_nothing
    assert not again.needs_candidate
    assert again.policy == again.policy_before


def test_a_plan_lists_each_changed_key_and_when_it_takes_effect():
    """A reviewer reads exact effects: from, to, and from when on."""
    plane = memory_plane()
    apply(plane, SYSTEM, actor=ANA)
    changed = replace(
        _with(
            owner=replace(POLICY.owner, contact="new@example.com"),
            failure=replace(POLICY.failure, cool_down=DAY, rules=POLICY.failure.rules[:1]),
            gates=(GatePlan(name="latency", parameters={"p99_ms": 20.0}), GatePlan(name="skew")),
            waivers=(StatedWaiver(gate="skew", by="ana", why="none", until=START + DAY),),
        ),
        content=replace(SYSTEM.content, interface=replace(INTERFACE, threshold=0.4), seed=3),
    )
    found = plan(plane, changed)
    changes = {change.key: (change.before, change.after) for change in found.changes}
    assert changes["owner.contact"] == ("ana@example.com", "new@example.com")
    assert changes["failure.cool_down"] == ("1h", "1d")
    assert changes["failure.rules.errors"] == ([], None)
    assert changes["failure.order"] == (["harm", "errors"], ["harm"])
    assert changes["gates.latency.p99_ms"] == (50.0, 20.0)
    assert changes["interface.threshold"] == (0.5, 0.4)
    assert changes["seed"] == (0, 3)
    assert changes["waivers.skew until 2013-01-02T00:00:00Z"] == (None, "ana: none")
    effects = {change.section: change.effect for change in found.changes}
    assert effects["owner"] == effects["failure"] == "at once"
    assert "next verdicts" in effects["gates"]
    assert "next candidate" in effects["seed"]
    assert found.needs_candidate


def test_a_gate_without_parameters_is_seen_when_it_comes_or_goes():
    """Adding an empty gate is a change, though it has no parameter."""
    plane = memory_plane()
    apply(plane, SYSTEM, actor=ANA)
    keys = {change.key for change in plan(plane, _with(gates=(*POLICY.gates, GatePlan(name="skew")))).changes}
    assert any(key.startswith("gates.skew") for key in keys)


def test_a_plan_states_each_rule_in_plain_words():
    """What happens when is readable without knowing the grammar."""
    rules = {rule.objective: rule for rule in plan(memory_plane(), SYSTEM).rules}
    assert rules["harm"].sentence == "once harm > 0 is first seen: rollback, then page"
    assert rules["errors"].sentence == (
        "once errors > 0.05 has held for 30s without a break: open an incident and do nothing else"
    )
    assert rules["harm"].do == ("rollback", "page")


def _released(plane, name: str, *, reference: bool, number: int = 1, keep: bool = True) -> str:
    artifacts = ()
    if reference:
        found = Reference(
            rows=1000,
            holdout_rows=200,
            bins={},
            counts={},
            prediction_bins={},
            prediction_counts={},
            loss=Figure(value=0.2, low=0.15, high=0.25, n=200),
        )
        content = msgspec.json.encode(found)
        kept = plane.artifacts.put(content) if keep else digest_bytes(content)
        artifacts = (Artifact(role="reference", format="reference", digest=kept),)
    candidate = Candidate(
        system="flights",
        recipe=name,
        artifacts=artifacts,
        interface=INTERFACE,
        runtime="sklearn",
        environment=Environment(python="3.11", platform="linux"),
    )
    release = Release(
        id=candidate.id,
        system="flights",
        number=number,
        candidate=candidate,
        policy=POLICY.digest,
        run="r",
        admitted_at=START,
        admitted_by="ana",
    )
    _commit(plane, "release.admitted", Noun.RELEASE, release.id, release)
    return release.id


def _commit(plane, kind: str, noun: Noun, subject: str, value: object) -> None:
    plane.ledger.commit(
        [Decide(kind=kind, system="flights", noun=noun, subject=subject, after=to_doc(value), actor=ANA)]
    )


def test_a_plan_prints_the_bound_of_the_harm_rule_for_each_release():
    """N bad outcomes in a row must set the rule off, whatever came before: the number is known beforehand."""
    plane = memory_plane(artifacts=_Bytes())
    champion = _released(plane, "a", reference=True)
    fallback = _released(plane, "b", reference=False, number=2)
    lost = _released(plane, "c", reference=True, number=3, keep=True)
    route = Route(
        system="flights",
        arms=(Arm(role=ArmRole.CHAMPION, release=champion, share=1.0),),
        fallback=(fallback, "sha256:unknown"),
        last_good=lost,
    )
    _commit(plane, "route.changed", Noun.ROUTE, "flights/live", route)
    harm = next(rule for rule in plan(plane, SYSTEM).rules if rule.objective == "harm")
    bounds = {bound.release: bound for bound in harm.bounds}
    assert set(bounds) == {champion, fallback, lost}
    assert bounds[champion].promised_loss == pytest.approx(0.30)
    assert bounds[champion].n is not None
    assert bounds[champion].n > 10
    assert f"{bounds[champion].n} bad outcomes in a row" in bounds[champion].sentence
    assert bounds[fallback].n is None
    assert "never judged" in bounds[fallback].sentence
    plane.artifacts.kept.clear()
    harm = next(rule for rule in plan(plane, SYSTEM).rules if rule.objective == "harm")
    assert "cannot be read" in {bound.release: bound for bound in harm.bounds}[champion].sentence


def test_a_rollout_under_way_ends_under_its_own_revision():
    """Changing the rules does not change a game that has begun."""
    plane = memory_plane(artifacts=_Bytes())
    apply(plane, SYSTEM, actor=ANA)
    release = _released(plane, "a", reference=False)
    rollout = Rollout(
        id="r1",
        system="flights",
        release=release,
        replaces="",
        policy=POLICY.digest,
        plan=POLICY.rollout,
        started_at=START,
        started_by="ana",
    )
    _commit(plane, "rollout.started", Noun.ROLLOUT, "flights/live", rollout)
    assert plan(plane, SYSTEM).under_way == ("the rollout of flights@v1 in live ends under the revision it began with",)
    _commit(plane, "rollout.done", Noun.ROLLOUT, "flights/live", replace(rollout, state="done"))
    assert plan(plane, SYSTEM).under_way == ()


def test_warnings_name_what_a_reviewer_should_ask_about():
    """Undefined terms, a missing backup, waivers that end, objectives without a rule: said, not refused."""
    later = Objective(name="quality", when=Condition(monitor="quality", comparison=Comparison.ABOVE, threshold=0.4))
    careful = _with(
        owner=Owner(principal="ana", contact="ana@example.com"),
        decision=Decision(what="x", tier=Tier.HIGH),
        goals=(Goal(id="G1", text="fewer `late` calls, no `early` ones, `late`"),),
        non_goals=(NonGoal(id="N1", text="no `firing`"),),
        glossary={"late": "15 minutes"},
        watch=WatchPlan(objectives=(*OBJECTIVES, later)),
        waivers=(
            StatedWaiver(gate="skew", by="ana", why="x", until=START),
            StatedWaiver(gate="latency", by="ana", why="x", until=START + DAY),
            StatedWaiver(gate="tests", by="ana", why="x", until=START + 30 * DAY),
        ),
    )
    assert list(plan(memory_plane(), careful).warnings) == [
        "G1 uses the term `early`, which the glossary does not define",
        "N1 uses the term `firing`, which the glossary does not define",
        "ana is the only one who can be paged: name a backup",
        "the waiver of skew ended 2013-01-01T00:00:00Z and excuses nothing",
        "the waiver of latency ends soon, 2013-01-02T00:00:00Z",
        "pages go to a file only, which wakes nobody (tier high)",
        "there is no runbook for whoever is woken (tier high)",
        "the cost of a failure is not stated, so every incident weighs the same (tier high)",
        "no rule names the objective 'quality': a breach of it pages, and does nothing else",
    ]
    assert plan(memory_plane(), SYSTEM).warnings == ()
    well = _with(
        decision=Decision(what="x", tier=Tier.HIGH, cost_of_failure_micros=1),
        failure=replace(POLICY.failure, pager=("https://x",), runbook="https://r"),
    )
    assert plan(memory_plane(), well).warnings == ()
