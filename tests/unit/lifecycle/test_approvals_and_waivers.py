"""Approvals and waivers: people's recorded yes, and their dated, named exceptions."""

from __future__ import annotations

import pytest

from roadworthy.domain.candidate import Candidate, Environment
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import DAY
from roadworthy.domain.principal import AUTOMATION, Actor, Assurance
from roadworthy.domain.system import Decision, GatePlan, Owner, Policy, Tier
from roadworthy.errors import NotFoundError, NotPermitted, RefusedError
from roadworthy.lifecycle.approve import (
    approvals,
    approve,
    find_candidate,
    revoke_approval,
    revoke_waiver,
    waive,
    waivers,
)
from roadworthy.stores.codec import to_doc
from roadworthy.testing import START, FixedClock, memory_plane

ANA = Actor(principal="ana")
PROVEN = Actor(principal="ana", assurance=Assurance.AUTHENTICATED)
INTERFACE = Interface(inputs=(Field(name="x", type=FieldType.NUMBER),), task=Task.REGRESSION)


def _candidate(recipe: str, *, is_baseline: bool = False) -> Candidate:
    return Candidate(
        system="flights",
        recipe=recipe,
        artifacts=(),
        interface=INTERFACE,
        runtime="sklearn",
        environment=Environment(python="3.11", platform="linux"),
        is_baseline=is_baseline,
    )


BASELINE, FIRST, SECOND = _candidate("b", is_baseline=True), _candidate("1"), _candidate("2")


@pytest.fixture(params=[Tier.LOW, Tier.STANDARD, Tier.HIGH])
def tier(request):
    """Every tier."""
    return request.param


@pytest.fixture
def clock():
    """A clock that the test moves."""
    return FixedClock()


@pytest.fixture
def plane(tier, clock):
    """A home with one system, its baseline and two candidates."""
    plane = memory_plane(clock)
    policy = Policy(
        owner=Owner(principal="ana", contact=""), decision=Decision(tier=tier), gates=(GatePlan(name="latency"),)
    )
    decisions = [
        Decide(
            kind="policy.applied",
            system="flights",
            noun=Noun.POLICY,
            subject="flights",
            after=to_doc(policy),
            actor=ANA,
        )
    ]
    decisions += [
        Decide(
            kind="candidate.built", system="flights", noun=Noun.CANDIDATE, subject=one.id, after=to_doc(one), actor=ANA
        )
        for one in (BASELINE, FIRST, SECOND)
    ]
    plane.ledger.commit(decisions)
    return plane


def test_an_approval_says_who_when_and_for_which_candidate(plane):
    """A yes is bound to a digest, so it cannot be carried over to other bytes."""
    approval = approve(plane, "flights", FIRST.id, actor=PROVEN, reason="looks right")
    assert (approval.by, approval.candidate, approval.at, approval.reason) == ("ana", FIRST.id, START, "looks right")
    assert approvals(plane, "flights") == (approval,)


def test_approving_twice_is_approving_once(plane):
    """The first yes stands, with its own time and reason."""
    first = approve(plane, "flights", FIRST.id, actor=PROVEN)
    seq = plane.ledger.head().seq
    assert approve(plane, "flights", FIRST.id, actor=PROVEN, reason="again") == first
    assert plane.ledger.head().seq == seq


def test_above_tier_low_only_proven_people_approve(plane, tier):
    """Where much depends on it, a name typed on a command line is not enough."""
    if tier is Tier.LOW:
        assert approve(plane, "flights", FIRST.id, actor=ANA).assurance == "asserted"
        assert approve(plane, "flights", FIRST.id, actor=PROVEN).assurance == "authenticated"
        assert approve(plane, "flights", FIRST.id, actor=ANA).assurance == "authenticated"
    else:
        with pytest.raises(NotPermitted, match="has proven who they are, and ana has not"):
            approve(plane, "flights", FIRST.id, actor=ANA)


def test_automation_neither_approves_nor_waives(plane):
    """Only people say yes."""
    with pytest.raises(NotPermitted):
        approve(plane, "flights", FIRST.id, actor=AUTOMATION)
    with pytest.raises(NotPermitted):
        waive(plane, "flights", "latency", actor=AUTOMATION, why="x", until=START + DAY)


def test_a_candidate_is_found_by_digest_digits_or_as_the_newest(plane):
    """People type six digits, or mean the newest one."""
    assert find_candidate(plane, "flights", FIRST.id) == FIRST.id
    assert find_candidate(plane, "flights", FIRST.id.removeprefix("sha256:")[:8]) == FIRST.id
    assert find_candidate(plane, "flights", "candidate") == SECOND.id
    assert find_candidate(plane, "flights", "flights@candidate") == SECOND.id
    for text in ("", "sha256:", FIRST.id[7:12], BASELINE.id, "nothing"):
        with pytest.raises(NotFoundError):
            find_candidate(plane, "flights", text)


def test_there_is_no_newest_candidate_before_the_first(clock):
    """The word `candidate` names nothing in an empty home, and an unknown system says so."""
    plane = memory_plane(clock)
    with pytest.raises(NotFoundError, match="no system called 'flights'"):
        find_candidate(plane, "flights", "candidate")


def test_an_approval_can_be_taken_back_by_who_gave_it(plane):
    """A changed mind is an entry of its own, with a reason."""
    approve(plane, "flights", FIRST.id, actor=PROVEN)
    with pytest.raises(RefusedError, match="needs a reason"):
        revoke_approval(plane, "flights", FIRST.id, actor=PROVEN, reason=" ")
    revoke_approval(plane, "flights", FIRST.id, actor=PROVEN, reason="wrong data")
    assert approvals(plane, "flights") == ()
    with pytest.raises(NotFoundError):
        revoke_approval(plane, "flights", FIRST.id, actor=PROVEN, reason="twice")
    approve(plane, "flights", FIRST.id, actor=PROVEN, reason="right after all")
    assert [event.kind for event in plane.ledger.events()][-3:] == [
        "approval.given",
        "approval.revoked",
        "approval.given",
    ]


def test_a_waiver_needs_a_name_a_reason_and_an_end_in_the_future(plane):
    """An exception without an end is a rule."""
    with pytest.raises(RefusedError, match="needs a reason"):
        waive(plane, "flights", "latency", actor=PROVEN, why="  ", until=START + DAY)
    with pytest.raises(RefusedError, match="ends in the future"):
        waive(plane, "flights", "latency", actor=PROVEN, why="slow disk", until=START)
    with pytest.raises(NotFoundError, match="did you mean 'latency'"):
        waive(plane, "flights", "latancy", actor=PROVEN, why="slow disk", until=START + DAY)
    waiver = waive(plane, "flights", "latency", actor=PROVEN, why="slow disk", until=START + DAY)
    assert (waiver.by, waiver.why, waiver.until) == ("ana", "slow disk", START + DAY)


def test_a_waiver_counts_until_its_end(plane, clock):
    """After the date the gate judges again; the ledger still knows the exception."""
    waiver = waive(plane, "flights", "latency", actor=PROVEN, why="slow disk", until=START + DAY)
    assert waive(plane, "flights", "latency", actor=PROVEN, why="slow disk", until=START + DAY) == waiver
    assert waivers(plane, "flights") == (waiver,)
    clock.pass_by(DAY)
    assert waivers(plane, "flights") == ()
    assert waivers(plane, "flights", in_force_only=False) == (waiver,)


def test_a_waiver_can_be_ended_early(plane):
    """Whoever fixed the cause takes the exception back."""
    waiver = waive(plane, "flights", "latency", actor=PROVEN, why="slow disk", until=START + DAY)
    with pytest.raises(RefusedError, match="needs a reason"):
        revoke_waiver(plane, "flights", waiver.id, actor=ANA, reason="")
    revoke_waiver(plane, "flights", waiver.id, actor=ANA, reason="new disk")
    assert waivers(plane, "flights", in_force_only=False) == ()
    with pytest.raises(NotFoundError):
        revoke_waiver(plane, "flights", waiver.id, actor=ANA, reason="twice")


def test_above_tier_low_only_proven_people_waive(plane, tier):
    """An exception weighs at least as much as an approval."""
    if tier is Tier.LOW:
        assert waive(plane, "flights", "latency", actor=ANA, why="x", until=START + DAY).by == "ana"
    else:
        with pytest.raises(NotPermitted):
            waive(plane, "flights", "latency", actor=ANA, why="x", until=START + DAY)
