"""The failure plan's rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roadworthy.domain.exposure import degraded, first_route, promoted, role_of, rolled_back, stopped, under_trial
from roadworthy.domain.failure_plan import ActionKind, FailurePlan, Intent, Rule
from roadworthy.domain.moment import HOUR
from roadworthy.domain.response import Breach, Situation, actions_for, respond, rollback_target
from roadworthy.domain.rollout import Stage, StagePlan
from roadworthy.domain.route import Route

ORDER = ("previous", "baseline", "default")
NOW = 1_000 * HOUR
GOOD, BAD, BASE = "sha256:good", "sha256:bad", "sha256:base"
PLAN = FailurePlan(
    rules=(
        Rule(objective="quality", do=(ActionKind.ROLLBACK, ActionKind.PAGE)),
        Rule(objective="errors", do=(ActionKind.FALLBACK, ActionKind.PAGE)),
        Rule(objective="latency", do=(ActionKind.STOP,)),
        Rule(objective="spend", do=(ActionKind.REVIEW,)),
    ),
    cool_down=HOUR,
)


def serving(champion: str = BAD) -> Route:
    """Build a route with a good release behind the champion and the baseline behind that."""
    route = promoted(first_route("flights", "live", BASE), GOOD, ORDER, BASE, ())
    return route if champion == GOOD else promoted(route, champion, ORDER, BASE, ())


def breach(objective: str = "quality", release: str = BAD, incident: str = "flights-1") -> Breach:
    """Build a breach that an incident handles."""
    return Breach(objective=objective, release=release, incident=incident, reason=f"{objective} is in breach")


def seen(route: Route | None = None, **known: object) -> Situation:
    """Build what the rules look at."""
    return Situation(system="flights", route=route or serving(), now=NOW, **known)  # type: ignore[arg-type]


def asked(intents: tuple[Intent, ...]) -> list[ActionKind]:
    """List the actions asked for."""
    return [intent.action for intent in intents]


def test_a_bad_champion_is_rolled_back_to_the_last_good_release_and_its_owner_paged() -> None:
    """A breach with a rollback rule asks for the rollback to the last good release, then for the page."""
    intents = respond(PLAN, [breach()], seen())
    assert asked(intents) == [ActionKind.ROLLBACK, ActionKind.PAGE]
    assert intents[0].target == GOOD
    assert intents[0].key == f"flights/live/quality/{BAD}/rollback/flights-1"


def test_the_same_question_has_the_same_answer() -> None:
    """Two processes that see the same state ask for the same keys, so one of them does nothing."""
    assert respond(PLAN, [breach()], seen()) == respond(PLAN, [breach()], seen())


def test_what_was_taken_is_not_asked_for_again() -> None:
    """An intent whose key was carried out, refused or failed is never asked for twice."""
    first = respond(PLAN, [breach()], seen())
    assert respond(PLAN, [breach()], seen(taken={intent.key for intent in first})) == ()


def test_its_own_rollback_is_no_reason_to_fall_back() -> None:
    """A process that sees the route before the rollback and the action after it asks for nothing."""
    taken = {intent.key for intent in respond(PLAN, [breach()], seen())}
    assert respond(PLAN, [breach()], seen(taken=taken, last_rollback=NOW)) == ()


def test_no_rollback_to_a_release_withdrawn_for_the_same_cause() -> None:
    """A release that was rolled back for this objective is skipped; the next one is taken."""
    intents = respond(PLAN, [breach()], seen(withdrawn={GOOD: ("quality",)}))
    assert intents[0].target == BASE
    other_cause = respond(PLAN, [breach()], seen(withdrawn={GOOD: ("errors",)}))
    assert other_cause[0].target == GOOD


def test_no_rollback_to_a_release_in_breach_of_that_objective() -> None:
    """A target that breaks the same objective now would not help."""
    assert rollback_target("quality", BAD, seen(in_breach={("quality", GOOD)})) == BASE
    assert rollback_target("quality", BAD, seen(in_breach={("errors", GOOD)})) == GOOD


def test_no_rollback_to_a_release_that_does_not_load() -> None:
    """A release that a worker refused to load is no target."""
    assert rollback_target("quality", BAD, seen(unloadable={GOOD})) == BASE


def test_without_a_target_the_system_falls_back_to_its_stated_default_and_pages() -> None:
    """Where no release may take over, the stated default answers and a person is told why."""
    cornered = seen(unloadable={GOOD, BASE}, has_stated_default=True)
    intents = respond(PLAN, [breach()], cornered)
    assert asked(intents) == [ActionKind.FALLBACK, ActionKind.PAGE]
    assert intents[0].target == ""
    assert "no earlier release loads" in intents[1].reason


def test_with_nothing_to_answer_instead_only_a_page_goes_out() -> None:
    """Automation does not swap a poor answer for none unless the plan says stop."""
    intents = respond(PLAN, [breach()], seen(unloadable={GOOD, BASE}))
    assert asked(intents) == [ActionKind.PAGE]
    assert "nothing to fall back to" in intents[0].reason


def test_a_second_automatic_rollback_within_the_cool_down_becomes_a_fallback_and_a_page() -> None:
    """Automation rolls a system back at most once per cool-down."""
    intents = respond(PLAN, [breach()], seen(last_rollback=NOW - HOUR + 1))
    assert asked(intents) == [ActionKind.FALLBACK, ActionKind.PAGE]
    assert "rolled back within the last 1h" in intents[0].reason
    assert asked(respond(PLAN, [breach()], seen(last_rollback=NOW - HOUR)))[0] is ActionKind.ROLLBACK


def test_the_fallback_skips_what_breaks_the_same_objective() -> None:
    """The first fallback that is clear of the cause goes in front."""
    intents = respond(PLAN, [breach("errors")], seen(in_breach={("errors", GOOD)}))
    assert (intents[0].action, intents[0].target) == (ActionKind.FALLBACK, BASE)


def test_a_degraded_system_is_not_degraded_again_but_may_be_rolled_back() -> None:
    """Once the fallback answers, another fallback rule changes nothing; a rollback rule still may."""
    route = degraded(serving(), "flights-1", GOOD)
    assert asked(respond(PLAN, [breach("errors")], seen(route))) == [ActionKind.PAGE]
    assert asked(respond(PLAN, [breach()], seen(route))) == [ActionKind.ROLLBACK, ActionKind.PAGE]


def test_a_fallback_in_breach_gives_way_to_the_next_fallback() -> None:
    """While degraded the answering fallback is judged like a champion; going back from it is a fallback."""
    route = degraded(serving(), "flights-1", GOOD)
    intents = respond(PLAN, [breach("quality", GOOD, "flights-2")], seen(route))
    assert (intents[0].action, intents[0].target) == (ActionKind.FALLBACK, BASE)
    assert "fallback already" in intents[0].reason


def test_a_release_that_does_not_answer_only_pages() -> None:
    """Late bad outcomes of a release that left the route, a challenger or a reserve change no route."""
    trial = under_trial(serving(GOOD), BAD, StagePlan(stage=Stage.CANARY, share=0.1))
    gone = rolled_back(serving(), GOOD, ORDER, BASE, ())
    for route in (trial, gone):
        for objective in ("quality", "errors"):
            assert asked(respond(PLAN, [breach(objective)], seen(route))) == [ActionKind.PAGE]
        assert respond(PLAN, [breach("latency")], seen(route)) == ()


def test_a_stop_rule_stops_once() -> None:
    """Stop lowers exposure to nothing, and a stopped system is left alone."""
    assert asked(respond(PLAN, [breach("latency")], seen())) == [ActionKind.STOP]
    halted = stopped(serving(), "latency")
    every = [breach("latency"), breach("quality"), breach("errors")]
    assert asked(respond(PLAN, every, seen(halted))) == [ActionKind.PAGE, ActionKind.PAGE]


def test_an_objective_without_a_rule_only_pages() -> None:
    """Input drift alone never rolls a system back unless its owner wrote that rule."""
    assert actions_for(PLAN, "drift") == (ActionKind.PAGE,)
    assert asked(respond(PLAN, [breach("drift")], seen())) == [ActionKind.PAGE]


def test_other_actions_are_passed_on() -> None:
    """An action that changes no route is asked for as written."""
    assert asked(respond(PLAN, [breach("spend")], seen())) == [ActionKind.REVIEW]


def test_a_paused_system_pages_and_does_nothing_else() -> None:
    """Pause stops automation, never the news."""
    every = [breach("quality"), breach("errors"), breach("latency"), breach("spend")]
    assert set(asked(respond(PLAN, every, seen(paused=True)))) == {ActionKind.PAGE}


def test_one_call_changes_the_route_once_and_the_first_rule_has_precedence() -> None:
    """Two breaches of one release lead to one change; the second is judged by the route that follows."""
    both = [breach("errors", incident="flights-2"), breach("quality")]
    intents = respond(PLAN, both, seen())
    assert asked(intents) == [ActionKind.ROLLBACK, ActionKind.PAGE, ActionKind.PAGE]
    after = rolled_back(serving(), GOOD, ORDER, BASE, ())
    assert respond(PLAN, both, seen(after, taken={intent.key for intent in intents})) == ()


def test_a_breach_of_the_whole_system_is_the_champions() -> None:
    """A signal without a release stands for the champion."""
    intents = respond(PLAN, [breach("errors", "")], seen())
    assert (intents[0].action, intents[0].target) == (ActionKind.FALLBACK, GOOD)
    assert intents[0].key == "flights/live/errors/-/fallback/flights-1"


@pytest.mark.parametrize("champion", [GOOD, BAD])
def test_a_target_is_never_the_champion_itself(champion: str) -> None:
    """Going back to where one is would change nothing."""
    route = replace(serving(champion), last_good=champion)
    assert rollback_target("quality", "", seen(route)) != champion
    assert role_of(route, champion) == "champion"
