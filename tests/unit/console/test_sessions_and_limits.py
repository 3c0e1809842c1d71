"""Sessions: signed, short, and ended at once where they must be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.console.sessions import IDLE, LONGEST, RENEW_AFTER, Sessions, SignInLimit

NOW = 1_700_000_000_000_000


@pytest.fixture
def sessions() -> Sessions:
    """Give sessions of one home."""
    return Sessions(b"s" * 32)


def test_a_cookie_reads_back_to_its_session(sessions: Sessions) -> None:
    """What was signed is what is read."""
    begun = sessions.begin("abc", NOW)
    assert sessions.read(sessions.write(begun), NOW + 1) == begun


@given(place=st.integers(0, 400), letter=st.characters(codec="utf-8"))
def test_no_changed_cookie_is_read(place: int, letter: str) -> None:
    """Whoever changes a letter of a cookie is signed out."""
    sessions = Sessions(b"s" * 32)
    cookie = sessions.write(sessions.begin("abc", NOW))
    place %= len(cookie)
    changed = cookie[:place] + letter + cookie[place + 1 :]
    assert changed == cookie or sessions.read(changed, NOW) is None


def test_another_home_reads_no_cookie_of_this_one(sessions: Sessions) -> None:
    """Sessions are signed with the home's own secret."""
    cookie = sessions.write(sessions.begin("abc", NOW))
    assert Sessions(b"t" * 32).read(cookie, NOW) is None


@pytest.mark.parametrize("cookie", ["", ".", "a.b", "é", "a.1.2.3.4", "…." * 4])
def test_nonsense_is_no_session(sessions: Sessions, cookie: str) -> None:
    """Any text may stand in a cookie."""
    assert sessions.read(cookie, NOW) is None


def test_a_session_ends_when_idle_and_after_the_longest_time(sessions: Sessions) -> None:
    """A session nobody uses ends within the hour; one in use ends within the day."""
    begun = sessions.begin("abc", NOW)
    assert sessions.read(sessions.write(begun), NOW + IDLE) is not None
    assert sessions.read(sessions.write(begun), NOW + IDLE + 1) is None
    late, at = begun, NOW
    while at < NOW + LONGEST:
        at += IDLE - 1
        renewed = sessions.renew(late, at)
        assert renewed is not None
        late = renewed
    assert sessions.read(sessions.write(late), NOW + LONGEST + 1) is None


def test_renewing_waits_a_few_minutes(sessions: Sessions) -> None:
    """Not every page costs a new cookie."""
    begun = sessions.begin("abc", NOW)
    assert sessions.renew(begun, NOW + RENEW_AFTER - 1) is None
    assert sessions.renew(begun, NOW + RENEW_AFTER) is not None


def test_an_ended_session_stays_ended_in_every_copy(sessions: Sessions) -> None:
    """Signing out ends copies of the cookie too, renewed ones included."""
    begun = sessions.begin("abc", NOW)
    copy = sessions.write(sessions.renew(begun, NOW + RENEW_AFTER) or begun)
    sessions.end(begun, NOW + RENEW_AFTER)
    assert sessions.read(copy, NOW + RENEW_AFTER) is None


def test_a_form_token_is_of_one_session_only(sessions: Sessions) -> None:
    """A token from another session, or none at all, is refused; a cookie's signature is no token."""
    one, other = sessions.begin("abc", NOW), sessions.begin("abc", NOW)
    assert sessions.is_token(one.nonce, sessions.token(one.nonce))
    assert not sessions.is_token(one.nonce, sessions.token(other.nonce))
    assert not sessions.is_token(one.nonce, "")
    assert not sessions.is_token("", sessions.token(""))
    assert not sessions.is_token(one.nonce, "…")
    assert not sessions.is_token(one.nonce, sessions.write(one).rpartition(".")[2])


def test_failed_sign_ins_are_slowed_down_per_address() -> None:
    """Five failures are forgiven at once, then one every ten seconds; others are not held up."""
    limit = SignInLimit(burst=5, refill_s=10.0)
    for _ in range(5):
        assert limit.wait_s("a", 0.0) == 0.0
        limit.failed("a", 0.0)
    assert limit.wait_s("a", 0.0) == 10.0
    assert limit.wait_s("b", 0.0) == 0.0
    assert limit.wait_s("a", 10.0) == 0.0
    limit.failed("a", 10.0)
    assert limit.wait_s("a", 10.0) == 10.0


def test_the_limit_remembers_a_bounded_number_of_addresses() -> None:
    """A flood of addresses fills no memory."""
    limit = SignInLimit(burst=1, most_addresses=10)
    for place in range(100):
        limit.failed(f"address {place}", float(place))
    assert len(limit._left) == 10
    assert limit.wait_s("address 99", 99.0) > 0
