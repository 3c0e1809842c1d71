"""A change of a noun changes what it says and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roadworthy.domain.exposure import (
    answering,
    degraded,
    first_route,
    promoted,
    restored,
    rolled_back,
    stopped,
    under_trial,
)
from roadworthy.domain.failure_plan import ActionKind, FailurePlan, Intent, Rule
from roadworthy.domain.incident import (
    ActionTaken,
    Incident,
    IncidentState,
    Severity,
    acknowledge,
    close,
    recover,
    relapse,
    silence,
    took,
)
from roadworthy.domain.response import Breach, Situation, is_drill, respond, rollback_target
from roadworthy.domain.rollout import Stage, StagePlan
from roadworthy.domain.route import Arm, ArmRole, Route, Shadow

ORDER = ("previous", "baseline", "default")
INCIDENT = Incident(
    id="flights-1",
    system="flights",
    objective="harm",
    severity=Severity.SEV2,
    state=IncidentState.OPEN,
    opened_at=5,
    title="harm",
    owner="ana",
    release="b",
    signal="0.1",
)
DONE = ActionTaken(action="rollback", at=6, outcome="done")


def test_a_person_takes_an_incident_in_hand():
    """The incident says who, and is open no longer."""
    assert acknowledge(INCIDENT, "ben") == replace(INCIDENT, state=IncidentState.ACKNOWLEDGED, acknowledged_by="ben")
    assert silence(INCIDENT, 99) == replace(INCIDENT, silenced_until=99)
    assert INCIDENT.cause == ("live", "harm", "b")


def test_an_incident_is_closed_with_the_test_that_would_have_caught_it():
    """Closing says who, when and what is better now."""
    closed = close(INCIDENT, "ben", " test_x ", 9)
    assert closed == replace(INCIDENT, state=IncidentState.CLOSED, closed_at=9, closed_by="ben", new_test="test_x")
    with pytest.raises(ValueError, match=r"^closing an incident needs the new test that would have caught it$"):
        close(INCIDENT, "ben", "  ", 9)
    with pytest.raises(ValueError, match=r"^incident flights-1 is closed; it is kept as it is$"):
        silence(closed, 5)


def test_recovery_is_noted_once_and_a_relapse_begins_another_episode():
    """The first moment of recovery stands; what comes back before closing is the same story."""
    recovered = recover(INCIDENT, 7)
    assert recovered == replace(INCIDENT, recovered_at=7)
    assert recover(recovered, 8) is recovered
    again = relapse(recovered, "0.2")
    assert again == replace(INCIDENT, recovered_at=None, episode=INCIDENT.episode + 1, signal="0.2")
    assert relapse(INCIDENT, "0.2") is INCIDENT
    closed = close(recovered, "ben", "test_x", 9)
    assert recover(closed, 10) is closed
    assert relapse(closed, "0.3") is closed
    assert recover(close(INCIDENT, "ben", "t", 9), 10).recovered_at is None


def test_an_action_is_told_once():
    """The story has each action once, in order."""
    told = took(INCIDENT, DONE)
    assert told == replace(INCIDENT, actions=(DONE,))
    assert took(told, DONE) is told
    assert took(told, replace(DONE, at=7)).actions == (DONE, replace(DONE, at=7))


def _route(champion: str, version: int, **changes) -> Route:
    arms = (Arm(role=ArmRole.CHAMPION, release=champion, share=1.0),)
    return Route(system="flights", environment="e", version=version, arms=arms, **changes)


FIRST = first_route("flights", "e", "base")


def test_routes_change_as_they_are_asked_to():
    """Each change is the whole new route, one version on."""
    assert _route("base", 1, last_good="base") == FIRST
    one = promoted(FIRST, "a", ORDER, "base", ())
    assert one == _route("a", 2, fallback=("base",), last_good="base")
    two = promoted(one, "b", ORDER, "base", ())
    assert two == _route("b", 3, fallback=("a", "base"), last_good="a")
    assert rolled_back(two, "a", ORDER, "base", ()) == _route("a", 4, fallback=("base",), last_good="base")
    assert rolled_back(two, "base", ORDER, "base", {"a"}) == _route("base", 4, fallback=(), last_good="base")
    down = stopped(two, "because")
    assert down == _route("b", 4, fallback=("a", "base"), last_good="a", stopped=True, stopped_for="because")
    assert restored(down, 7) == _route("b", 5, fallback=("a", "base"), last_good="a", restored_at=7)
    worse = degraded(two, "flights-1", "base")
    assert worse == _route("b", 4, fallback=("base", "a"), last_good="a", degraded_by="flights-1")
    assert restored(worse, 7) == _route("b", 5, fallback=("base", "a"), last_good="a", restored_at=7)
    shadow = under_trial(two, "c", StagePlan(stage=Stage.SHADOW, share=0.4))
    assert shadow == _route("b", 4, fallback=("a", "base"), last_good="a", shadow=Shadow(release="c", rate=0.4))


def test_an_arm_without_a_share_answers_nobody():
    """Who answers is who has traffic."""
    arms = (
        Arm(role=ArmRole.CHAMPION, release="b", share=1.0),
        Arm(role=ArmRole.CHALLENGER, release="c", share=0.0),
    )
    assert answering(replace(FIRST, arms=arms)) == ("b",)


PLAN = FailurePlan(
    rules=(
        Rule(objective="harm", do=(ActionKind.ROLLBACK, ActionKind.PAGE)),
        Rule(objective="errors", do=(ActionKind.STOP, ActionKind.REVIEW)),
    )
)
SERVING = _route("b", 3, fallback=("a", "base"), last_good="a")


def _seen(**known) -> Situation:
    return Situation(system="flights", environment="e", route=SERVING, now=10, **known)


def _breach(objective: str, incident: str = "i1") -> Breach:
    return Breach(objective=objective, incident=incident, release="b", reason=f"{objective} broke")


def _intent(action: ActionKind, objective: str, incident: str = "i1", **changes) -> Intent:
    return Intent(
        key=f"flights/e/{objective}/b/{action}/{incident}",
        system="flights",
        environment="e",
        action=action,
        objective=objective,
        release="b",
        incident=incident,
        reason=f"{objective} broke",
        **changes,
    )


def test_an_intent_says_what_for_whom_and_why():
    """Lifecycle needs nothing but the intent to carry it out."""
    assert respond(PLAN, [_breach("harm")], _seen()) == (
        _intent(ActionKind.ROLLBACK, "harm", target="a"),
        _intent(ActionKind.PAGE, "harm"),
    )
    assert respond(PLAN, [_breach("errors")], _seen()) == (
        _intent(ActionKind.STOP, "errors"),
        _intent(ActionKind.REVIEW, "errors"),
    )


def test_breaches_are_handled_in_the_plan_s_order_and_unruled_ones_last():
    """The first rule has precedence; what no rule names comes after, by name."""
    breaches = [_breach("zeta"), _breach("alpha"), _breach("errors"), _breach("harm")]
    found = respond(PLAN, breaches, _seen())
    assert [intent.objective for intent in found] == ["harm", "harm", "errors", "alpha", "zeta"]


def test_there_is_no_target_where_nothing_may_answer():
    """An empty target means that automation may go nowhere, not even to what is broken itself."""
    assert rollback_target("harm", "b", _seen(unloadable={"a", "base"})) == ""
    assert rollback_target("harm", "a", _seen()) == "base"
    why = respond(PLAN, [_breach("harm")], _seen(withdrawn={"a": {"harm"}, "base": {"harm"}}))
    assert why[0].action is ActionKind.PAGE
    assert "harm broke; no rollback: no earlier release loads and is clear of this cause" in why[0].reason


def test_a_drill_has_an_environment_of_its_own():
    """What is drilled is told from what is live by its name."""
    assert is_drill("drill-slow")
    assert not is_drill("live")
    assert not is_drill("a-drill-")
