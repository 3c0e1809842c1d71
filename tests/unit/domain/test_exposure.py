"""How a route changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.domain.exposure import (
    Role,
    answering,
    degraded,
    first_route,
    promoted,
    restored,
    role_of,
    rolled_back,
    stopped,
    under_trial,
    without_trial,
)
from roadworthy.domain.rollout import Stage, StagePlan

ORDER = ("previous", "baseline", "default")
CANARY = StagePlan(stage=Stage.CANARY, share=0.1)
SHADOW = StagePlan(stage=Stage.SHADOW, share=0.5)


def test_the_baseline_serves_first() -> None:
    """Before any release has passed, the baseline is champion."""
    route = first_route("loans", "live", "b")
    assert (route.champion, route.fallback, route.version) == ("b", (), 1)


def test_a_promotion_keeps_the_previous_champion_as_last_good_and_first_fallback() -> None:
    """The release that served before is what one goes back to."""
    route = promoted(promoted(first_route("loans", "live", "b"), "v1", ORDER, "b", ()), "v2", ORDER, "b", ())
    assert (route.champion, route.last_good, route.fallback) == ("v2", "v1", ("v1", "b"))
    assert route.version == 3


def test_a_withdrawn_champion_never_becomes_last_good() -> None:
    """Promoting over a release that was withdrawn keeps the good one before it."""
    route = promoted(promoted(first_route("loans", "live", "b"), "v1", ORDER, "b", ()), "v2", ORDER, "b", ())
    assert promoted(route, "v3", ORDER, "b", {"v2"}).last_good == "v1"
    assert promoted(route, "v1", ORDER, "b", {"v2"}).last_good == "b"
    assert promoted(route, "v1", ORDER, "b", {"v2", "b"}).last_good == "v1"


def test_promoting_the_champion_again_keeps_its_rollback_target() -> None:
    """A release is never its own rollback target while there is another."""
    route = promoted(promoted(first_route("loans", "live", "b"), "v1", ORDER, "b", ()), "v2", ORDER, "b", ())
    assert promoted(route, "v2", ORDER, "b", ()).last_good == "v1"


def test_a_rolled_back_release_leaves_the_route() -> None:
    """Nothing routes to a release that was rolled back, not even as a fallback."""
    route = promoted(promoted(first_route("loans", "live", "b"), "v1", ORDER, "b", ()), "v2", ORDER, "b", ())
    after = rolled_back(route, "v1", ORDER, "b", ())
    assert (after.champion, after.last_good, after.fallback) == ("v1", "b", ("b",))
    assert rolled_back(after, "b", ORDER, "b", ()).last_good == "b"


@pytest.mark.parametrize(("stage", "role"), [(CANARY, Role.CHALLENGER), (SHADOW, Role.SHADOW)])
def test_a_stage_gives_its_share_and_can_be_taken_back(stage: StagePlan, role: Role) -> None:
    """A trial changes nothing else of the route."""
    start = promoted(first_route("loans", "live", "b"), "v1", ORDER, "b", ())
    trial = under_trial(start, "v2", stage)
    assert role_of(trial, "v2") is role
    assert trial.version == start.version + 1
    assert without_trial(trial).arms == start.arms
    assert without_trial(trial).shadow is None


def test_going_from_shadow_to_canary_ends_the_shadow() -> None:
    """A release is never shadow and challenger at once."""
    trial = under_trial(under_trial(first_route("loans", "live", "b"), "v1", SHADOW), "v1", CANARY)
    assert trial.shadow is None
    assert answering(trial) == ("b", "v1")


def test_a_degraded_route_answers_with_its_first_fallback() -> None:
    """While degraded the champion waits behind the fallback, and a person restores it."""
    route = promoted(promoted(first_route("loans", "live", "b"), "v1", ORDER, "b", ()), "v2", ORDER, "b", ())
    low = degraded(route, "loans-1", "b")
    assert answering(low) == ("b",)
    assert (role_of(low, "b"), role_of(low, "v1"), role_of(low, "x")) == (Role.FALLBACK, Role.RESERVE, Role.NONE)
    assert answering(restored(low, 7)) == ("v2",)
    assert degraded(route, "loans-1", "").fallback == route.fallback


def test_a_stopped_route_answers_nothing() -> None:
    """Stop is on purpose and stated."""
    halted = stopped(first_route("loans", "live", "b"), "the goal is void")
    assert answering(halted) == ()
    assert halted.stopped_for == "the goal is void"
    assert not restored(halted, 7).stopped


def test_an_empty_release_stands_for_the_champion() -> None:
    """Signals of the whole system are the champion's."""
    assert role_of(first_route("loans", "live", "b"), "") is Role.CHAMPION


RELEASES = st.sampled_from(["b", "v1", "v2", "v3"])
STEPS = st.one_of(
    st.tuples(st.just("promote"), RELEASES),
    st.tuples(st.just("back"), RELEASES),
    st.tuples(st.just("canary"), RELEASES),
    st.tuples(st.just("shadow"), RELEASES),
    st.tuples(st.just("degrade"), RELEASES),
    st.tuples(st.just("restore"), RELEASES),
    st.tuples(st.just("stop"), RELEASES),
)


@given(st.lists(STEPS, max_size=12), st.sets(RELEASES, max_size=2))
def test_any_sequence_of_changes_keeps_one_champion_and_a_rollback_target(
    steps: list[tuple[str, str]], bad: set[str]
) -> None:
    """Versions only grow, shares sum to 1, and there is always a last good release that is not a withdrawn one."""
    route = first_route("loans", "live", "b")
    for verb, release in steps:
        before = route
        match verb:
            case "promote":
                route = promoted(route, release, ORDER, "b", bad)
            case "back":
                route = rolled_back(route, release, ORDER, "b", bad)
            case "canary" if release != route.champion:
                route = under_trial(route, release, CANARY)
            case "shadow":
                route = under_trial(route, release, SHADOW)
            case "degrade":
                route = degraded(route, "loans-1", route.fallback[0] if route.fallback else "")
            case "restore":
                route = restored(route, 7)
            case "stop":
                route = stopped(route, "because")
            case _:
                continue
        assert route.version == before.version + 1
        assert route.champion
        assert route.last_good
        if verb in ("promote", "back"):
            assert route.last_good == route.champion or route.last_good not in bad
            assert route.champion not in route.fallback
