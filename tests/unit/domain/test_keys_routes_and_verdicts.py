"""Who may act, which release answers, and what admits a candidate."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.domain.principal import AUTOMATION, Assurance, Key, Scope, hash_secret, spell_key, split_key
from roadworthy.domain.route import Arm, ArmRole, Route, Shadow, bucket, choose
from roadworthy.domain.verdict import (
    Approval,
    Verdict,
    VerdictState,
    Waiver,
    missing_approval,
    standing_in_the_way,
    under_waivers,
)

KEY = Key(id="k1", principal="ana", secret_sha256=hash_secret("s"), scopes=(Scope.PREDICT,), systems=("flights",))


def test_a_key_opens_with_its_secret_only():
    """Only the hash of a secret is kept, and it must match."""
    assert hash_secret("s") == hashlib.sha256(b"s").hexdigest()
    assert KEY.admits("s", now=0)
    assert not KEY.admits("t", now=0)
    assert not KEY.admits("", now=0)


def test_a_key_ends_when_it_expires_or_is_revoked():
    """The moment of expiry is already too late."""
    timed = replace(KEY, expires_at=100)
    assert timed.admits("s", now=99)
    assert not timed.admits("s", now=100)
    assert not replace(KEY, revoked=True).admits("s", now=0)


def test_a_key_may_do_what_its_scopes_and_systems_say():
    """`admin` carries every scope; no systems means all of them."""
    assert KEY.may(Scope.PREDICT, "flights")
    assert not KEY.may(Scope.READ, "flights")
    assert not KEY.may(Scope.PREDICT, "loans")
    assert replace(KEY, systems=()).may(Scope.PREDICT, "loans")
    admin = replace(KEY, scopes=(Scope.ADMIN,))
    assert admin.may(Scope.APPROVE, "flights")
    assert not admin.may(Scope.APPROVE, "loans")


def test_a_key_is_spelled_and_split_again():
    """What a holder sends names the key and proves it."""
    assert spell_key("k1", "a_b") == "rw_k1_a_b"
    assert split_key("rw_k1_a_b") == ("k1", "a_b")
    for text in ("", "rw", "rw_k1", "rw_k1_", "rw__s", "xx_k1_s", "RW_k1_s"):
        assert split_key(text) is None


def test_automation_is_always_itself():
    """The automation acts under its own name, proven by running inside."""
    assert (AUTOMATION.principal, AUTOMATION.assurance) == ("roadworthy", Assurance.AUTHENTICATED)


CHAMPION = Arm(role=ArmRole.CHAMPION, release="a", share=0.9)
CHALLENGER = Arm(role=ArmRole.CHALLENGER, release="b", share=0.1)


def _route(*arms: Arm, **changes) -> Route:
    return Route(system="flights", arms=arms, **changes)


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ((), "the shares of a route must sum to 1"),
        ((CHAMPION,), "the shares of a route must sum to 1"),
        ((replace(CHAMPION, share=1.1), replace(CHALLENGER, share=-0.1)), "a share must not be negative"),
        ((replace(CHALLENGER, share=1.0),), "a route has exactly one champion"),
        ((replace(CHAMPION, share=0.5), replace(CHAMPION, share=0.5)), "a route has exactly one champion"),
        ((replace(CHAMPION, share=0.9 + 1e-6), CHALLENGER), "the shares of a route must sum to 1"),
    ],
)
def test_a_route_that_would_lose_or_double_traffic_cannot_be_made(arms, message):
    """Shares sum to 1 and exactly one release is champion."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        _route(*arms)


def test_a_route_names_its_releases():
    """Everything named must stay loaded, each once."""
    route = _route(CHALLENGER, CHAMPION, fallback=("c", "a"), last_good="d", shadow=Shadow(release="e", rate=0.5))
    assert (route.champion, route.challenger) == ("a", "b")
    assert route.releases == ("b", "a", "c", "d", "e")
    assert _route(replace(CHAMPION, share=1.0)).challenger == ""
    assert _route(replace(CHAMPION, share=1.0)).releases == ("a",)
    assert _route(replace(CHAMPION, share=1 - 1e-10), replace(CHALLENGER, share=0)).champion == "a"


def test_the_challenger_sits_at_the_low_end():
    """A growing canary only adds keys: who saw the challenger goes on seeing it."""
    for arms in ((CHALLENGER, CHAMPION), (CHAMPION, CHALLENGER)):
        route = _route(*arms)
        assert choose(route, 0.0) == CHALLENGER
        assert choose(route, 0.0999) == CHALLENGER
        assert choose(route, 0.1) == CHAMPION
        assert choose(route, 0.9999) == CHAMPION


def test_two_challengers_share_the_low_end():
    """Arms follow each other without gap or overlap."""
    other = Arm(role=ArmRole.CHALLENGER, release="c", share=0.2)
    route = _route(replace(CHAMPION, share=0.7), CHALLENGER, other)
    assert [choose(route, place).release for place in (0.05, 0.1, 0.29, 0.31, 0.99)] == ["b", "c", "c", "a", "a"]


def test_a_key_has_one_place():
    """The same key lands in the same place for one system, elsewhere for another."""
    assert bucket("flights", "k") == 0.40362288733012974
    assert bucket("flights", "k") != bucket("loans", "k")
    assert bucket("ab", "c") != bucket("a", "bc")


@given(st.text(), st.text())
def test_places_lie_in_the_unit_interval(salt, key):
    """Every key has an arm."""
    assert 0 <= bucket(salt, key) < 1


def test_places_are_even():
    """A tenth of the keys lands in the lowest tenth."""
    low = sum(bucket("flights", str(key)) < 0.1 for key in range(10_000))
    assert 900 < low < 1100


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_growing_canary_only_adds_keys(place, share, more):
    """No key goes back and forth while a rollout advances."""

    def arm(part: float) -> str:
        champion = replace(CHAMPION, share=1 - part)
        return choose(_route(champion, replace(CHALLENGER, share=part)), place).release

    if arm(share) == "b":
        assert arm(share + more) == "b"


VERDICT = Verdict(
    gate="latency",
    candidate="c",
    policy="p",
    state=VerdictState.FAIL,
    reason="too slow",
    evidence={"p99": 99},
    at=10,
    expires_at=100,
)
WAIVER = Waiver(id="w", system="flights", gate="latency", by="ana", why="slow disk", until=50, at=0)


def test_a_waiver_turns_a_failure_into_an_exception_with_a_name():
    """What was waived says by whom and why, keeps its evidence, and ends with the waiver."""
    found = under_waivers(VERDICT, [WAIVER], now=20)
    assert found == replace(
        VERDICT,
        state=VerdictState.WAIVED,
        reason="too slow — waived by ana: slow disk",
        expires_at=50,
        waiver="w",
    )
    assert under_waivers(VERDICT, [replace(WAIVER, until=500)], now=20).expires_at == 100


@pytest.mark.parametrize("state", [VerdictState.PASS, VerdictState.WAIVED])
def test_a_waiver_leaves_alone_what_needs_none(state):
    """A pass stays a pass."""
    verdict = replace(VERDICT, state=state)
    assert under_waivers(verdict, [WAIVER], now=20) is verdict


def test_a_waiver_counts_for_its_gate_until_its_end():
    """Another gate's waiver, or one that ended, excuses nothing; the next one may."""
    assert under_waivers(VERDICT, [replace(WAIVER, gate="skew")], now=20) is VERDICT
    assert under_waivers(VERDICT, [WAIVER], now=50) is VERDICT
    assert under_waivers(VERDICT, [], now=20) is VERDICT
    both = [replace(WAIVER, gate="skew"), replace(WAIVER, until=20), replace(WAIVER, id="w2")]
    assert under_waivers(VERDICT, both, now=20).waiver == "w2"
    inconclusive = replace(VERDICT, state=VerdictState.INCONCLUSIVE)
    assert under_waivers(inconclusive, [WAIVER], now=49).state is VerdictState.WAIVED


PASSED = replace(VERDICT, state=VerdictState.PASS)


@pytest.mark.parametrize(
    ("verdicts", "obstacle"),
    [
        ([PASSED], ()),
        ([replace(VERDICT, state=VerdictState.WAIVED)], ()),
        ([], ("latency: not judged yet",)),
        ([VERDICT], ("latency: fail (too slow)",)),
        ([replace(VERDICT, state=VerdictState.INCONCLUSIVE)], ("latency: inconclusive (too slow)",)),
        ([replace(PASSED, candidate="other")], ("latency: not judged yet",)),
        ([replace(PASSED, policy="other")], ("latency: not judged yet",)),
        ([replace(PASSED, gate="skew")], ("latency: not judged yet",)),
        ([replace(PASSED, expires_at=20)], ("latency: its verdict has expired",)),
        ([replace(PASSED, at=11), VERDICT], ()),
        ([VERDICT, replace(PASSED, at=9)], ("latency: fail (too slow)",)),
    ],
)
def test_a_verdict_counts_for_this_candidate_under_this_policy_until_it_expires(verdicts, obstacle):
    """The newest verdict that counts decides; inconclusive is never a pass."""
    assert standing_in_the_way(["latency"], verdicts, "c", "p", now=20) == obstacle


def test_every_gate_in_the_way_is_named():
    """An owner sees all obstacles at once."""
    found = standing_in_the_way(
        ["skew", "latency", "tests"], [VERDICT, replace(PASSED, gate="tests")], "c", "p", now=20
    )
    assert found == ("skew: not judged yet", "latency: fail (too slow)")
    assert standing_in_the_way([], [], "c", "p", now=20) == ()


def test_an_approval_counts_when_proven_and_for_this_candidate():
    """A yes to other bytes, or by nobody proven, does not admit."""
    approval = Approval(system="flights", candidate="c", by="ana", assurance="authenticated", at=0)
    asserted = replace(approval, assurance="asserted")
    assert missing_approval([approval], "c") == ""
    assert missing_approval([asserted, approval], "c") == ""
    assert missing_approval([], "c") == "approval: nobody has approved this candidate yet"
    assert missing_approval([approval], "d") == "approval: nobody has approved this candidate yet"
    both = [asserted, replace(asserted, by="ben"), asserted]
    assert missing_approval(both, "c") == "approval: ana, ben approved without proving who they are"
