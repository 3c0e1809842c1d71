"""Keys and principals: shown once, revocable, and only as strong as their holder."""

import pytest

from roadworthy.domain.moment import HOUR
from roadworthy.domain.principal import Actor, Assurance, PrincipalKind, Scope, spell_key
from roadworthy.errors import InputError, NotFoundError, NotPermitted
from roadworthy.lifecycle.keys import authenticate, create_key, keys, principal_of, put_principal, revoke_key
from roadworthy.ports.people import Person
from roadworthy.testing import memory_plane

ADA = Actor(principal="ada")


@pytest.fixture
def plane():
    """An empty home in memory."""
    return memory_plane()


def test_a_key_opens_what_its_scopes_say_and_proves_its_holder(plane):
    """The text that is printed once is the one that works."""
    made = create_key(plane, "svc", [Scope.PREDICT, Scope.PREDICT], ADA, systems=["flights"])
    actor = authenticate(plane, made.text, Scope.PREDICT, "flights")
    assert actor == Actor(principal="svc", assurance=Assurance.AUTHENTICATED)
    assert made.key.scopes == (Scope.PREDICT,)
    for scope, system in ((Scope.PREDICT, "loans"), (Scope.APPROVE, "flights"), (Scope.PREDICT, "")):
        with pytest.raises(NotPermitted, match="does not carry"):
            authenticate(plane, made.text, scope, system)


def test_the_secret_is_nowhere_but_in_the_text(plane):
    """Neither ledger nor snapshot can give a key away."""
    made = create_key(plane, "svc", [Scope.ADMIN], ADA)
    secret = made.text.split("_", 2)[2]
    assert secret not in repr(list(plane.ledger.events()))
    assert secret not in repr(plane.snapshots.read())
    assert len(secret) >= 43


def test_a_wrong_or_unknown_key_is_refused(plane):
    """Guessing does not tell which part was wrong beyond the id."""
    made = create_key(plane, "svc", [Scope.ADMIN], ADA)
    for text in ("", "rw_x", "rw_none_x", "Bearer", spell_key("none", "x")):
        with pytest.raises(NotPermitted, match="unknown"):
            authenticate(plane, text, Scope.READ)
    with pytest.raises(NotPermitted, match="not valid"):
        authenticate(plane, spell_key(made.key.id, "guess"), Scope.READ)


def test_an_expired_key_is_refused(plane):
    """A key ends when it was said to end."""
    made = create_key(plane, "svc", [Scope.READ], ADA, expires_at=plane.clock.now() + HOUR)
    assert authenticate(plane, made.text, Scope.READ)
    plane.clock.pass_by(HOUR)
    with pytest.raises(NotPermitted, match="expired"):
        authenticate(plane, made.text, Scope.READ)
    with pytest.raises(InputError, match="expired already"):
        create_key(plane, "svc", [Scope.READ], ADA, expires_at=plane.clock.now())


def test_a_revoked_key_is_refused_and_revoking_twice_writes_once(plane):
    """Revoking is final and idempotent."""
    made = create_key(plane, "svc", [Scope.READ], ADA)
    assert revoke_key(plane, made.key.id, ADA, reason="leaked").revoked
    head = plane.ledger.head()
    assert revoke_key(plane, made.key.id, ADA).revoked
    assert plane.ledger.head() == head
    with pytest.raises(NotPermitted):
        authenticate(plane, made.text, Scope.READ)
    assert [key.revoked for key in keys(plane)] == [True]


def test_revoking_an_unknown_key_names_the_nearest(plane):
    """A typo ends in a suggestion."""
    made = create_key(plane, "svc", [Scope.READ], ADA)
    with pytest.raises(NotFoundError, match=made.key.id):
        revoke_key(plane, made.key.id[:-1] + "x", ADA)


def test_a_key_needs_a_scope_and_an_active_holder(plane):
    """A key that may do nothing, or belongs to someone who left, is not made."""
    with pytest.raises(InputError, match="scope"):
        create_key(plane, "svc", [], ADA)
    put_principal(plane, "bo", ADA, active=False)
    with pytest.raises(NotPermitted, match="not active"):
        create_key(plane, "bo", [Scope.READ], ADA)


def test_a_key_names_a_team_of_at_most_64_characters(plane):
    """The team is whose budget the holder spends from; a longer name is refused."""
    assert create_key(plane, "svc", [Scope.PREDICT], ADA, team="t" * 64).key.team == "t" * 64
    with pytest.raises(InputError, match="at most 64 characters"):
        create_key(plane, "svc", [Scope.PREDICT], ADA, team="t" * 65)


def test_who_left_can_use_none_of_their_keys(plane):
    """Deactivating a person closes every door at once."""
    made = create_key(plane, "bo", [Scope.ADMIN], ADA)
    put_principal(plane, "bo", ADA, active=False, reason="left")
    with pytest.raises(NotPermitted, match="holder left"):
        authenticate(plane, made.text, Scope.READ)


def test_names_and_contacts_stay_out_of_the_ledger(plane):
    """A person can be forgotten without breaking the chain."""
    put_principal(plane, "bo", ADA, name="Bo Bright", contact="bo@example.org")
    put_principal(plane, "bo", ADA, contact="file:bo")
    assert plane.people.get("bo") == Person(principal="bo", name="Bo Bright", contact="file:bo")
    assert "Bright" not in repr(list(plane.ledger.events()))
    assert plane.people.erase("bo")
    assert principal_of(plane, "bo").active


def test_a_principal_may_hold_several_keys(plane):
    """Keys are changed without a gap: the new one works before the old one is revoked."""
    old, new = (create_key(plane, "svc", [Scope.READ], ADA) for _ in range(2))
    revoke_key(plane, old.key.id, ADA)
    assert authenticate(plane, new.text, Scope.READ).principal == "svc"
    assert len(keys(plane)) == 2


def test_saying_the_same_of_a_principal_again_writes_nothing(plane):
    """Repeating a command leaves the ledger as it is."""
    put_principal(plane, "ci", ADA, kind=PrincipalKind.SERVICE)
    put_principal(plane, "ci", ADA, kind=PrincipalKind.SERVICE)
    assert plane.ledger.head().seq == 1
    assert principal_of(plane, "nobody") is None
