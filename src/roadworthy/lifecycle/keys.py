"""Principals and keys: who may act, and the secret that proves it, shown once."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import Micros
from roadworthy.domain.principal import (
    Actor,
    Assurance,
    Key,
    Principal,
    PrincipalKind,
    Scope,
    hash_secret,
    spell_key,
    split_key,
)
from roadworthy.errors import InputError, NotFoundError, NotPermitted
from roadworthy.lifecycle.publish import publish
from roadworthy.ports.people import Person
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc, to_doc

_ID_BYTES = 5
_SECRET_BYTES = 32
_TEAM_LENGTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key and its only spelling with the secret; nothing keeps the secret, so show it now or never."""

    key: Key
    text: str


def create_key(
    plane: Plane,
    principal: str,
    scopes: Sequence[Scope],
    actor: Actor,
    *,
    systems: Sequence[str] = (),
    expires_at: Micros | None = None,
    team: str = "",
    reason: str = "",
) -> NewKey:
    """Make a key for a principal and hand it to the workers; `text` is what its holder sends.

    `team` is whose budget the holder spends from.

    Raises:
        InputError: no scope, an end in the past, or a team's name of more than 64 characters.
        NotPermitted: the principal is not active.
    """
    now = plane.clock.now()
    if not scopes:
        raise InputError("a key needs at least one scope", hint=f"one of: {', '.join(Scope)}")
    if expires_at is not None and expires_at <= now:
        raise InputError("the key would be expired already", hint="choose a later end")
    if len(team) > _TEAM_LENGTH:
        raise InputError(f"a team's name has at most {_TEAM_LENGTH} characters", hint="choose a shorter one")
    holder = principal_of(plane, principal)
    if holder is not None and not holder.active:
        raise NotPermitted(f"{principal} is not active", hint=f"roadworthy people back {principal}")
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    key = Key(
        id=secrets.token_hex(_ID_BYTES),
        principal=principal,
        secret_sha256=hash_secret(secret),
        scopes=tuple(dict.fromkeys(scopes)),
        systems=tuple(systems),
        created_at=now,
        expires_at=expires_at,
        team=team,
    )
    decisions = [_decide("key.created", key, actor, reason)]
    if holder is None:
        decisions.insert(0, _principal_changed(Principal(id=principal), actor, reason, expected=0))
    plane.ledger.commit(decisions)
    publish(plane)
    return NewKey(key=key, text=spell_key(key.id, secret))


def revoke_key(plane: Plane, key_id: str, actor: Actor, *, reason: str = "") -> Key:
    """End a key now; workers refuse it once they have the snapshot. Revoking twice is a no-op.

    Raises:
        NotFoundError: there is no such key.
    """
    seq = plane.ledger.seq_of(Noun.KEY, key_id)
    document = plane.ledger.state(Noun.KEY, key_id)
    if document is None:
        raise NotFoundError.among("key", key_id, plane.ledger.states(Noun.KEY), hint="roadworthy keys list")
    key = from_doc(Key, document)
    if key.revoked:
        return key
    revoked = replace(key, revoked=True)
    plane.ledger.commit([_decide("key.revoked", revoked, actor, reason, expected=seq)])
    publish(plane)
    return revoked


def keys(plane: Plane) -> tuple[Key, ...]:
    """Return every key ever made, oldest change first; no secrets, since none are kept."""
    return tuple(from_doc(Key, document) for document in plane.ledger.states(Noun.KEY).values())


def authenticate(plane: Plane, text: str, scope: Scope, system: str = "") -> Actor:
    """Return who sends this key, if it carries the scope for the system (empty: for the home as a whole).

    Raises:
        NotPermitted: the key is unknown, expired, revoked, of someone who left, or lacks the scope.
    """
    parts = split_key(text)
    document = plane.ledger.state(Noun.KEY, parts[0]) if parts else None
    if parts is None or document is None:
        raise NotPermitted("the key is unknown", hint="send it as 'Authorization: Bearer rw_…'")
    key = from_doc(Key, document)
    holder = principal_of(plane, key.principal)
    if not key.admits(parts[1], plane.clock.now()) or (holder is not None and not holder.active):
        raise NotPermitted(
            f"key {key.id} is not valid: its secret is wrong, or it is expired, revoked or its holder left",
            hint=f"roadworthy keys create {key.principal}",
        )
    if not key.may(scope, system):
        what = f"'{scope}' for {system}" if system else f"'{scope}'"
        raise NotPermitted(
            f"key {key.id} does not carry the scope {what}",
            hint=f"roadworthy keys create {key.principal} --scopes {scope}",
        )
    return Actor(principal=key.principal, assurance=Assurance.AUTHENTICATED)


def principal_of(plane: Plane, principal: str) -> Principal | None:
    """Return what the ledger knows of a principal, or None."""
    document = plane.ledger.state(Noun.PRINCIPAL, principal)
    return None if document is None else from_doc(Principal, document)


def principals(plane: Plane) -> tuple[Principal, ...]:
    """Return everyone the ledger knows, also those who left."""
    return tuple(from_doc(Principal, document) for document in plane.ledger.states(Noun.PRINCIPAL).values())


def put_principal(
    plane: Plane,
    principal: str,
    actor: Actor,
    *,
    kind: PrincipalKind = PrincipalKind.PERSON,
    active: bool = True,
    name: str | None = None,
    contact: str | None = None,
    reason: str = "",
) -> Principal:
    """Say who a principal is and whether they are still here; name and contact go to the erasable table only.

    Putting the same again writes no entry. One who left (`active=False`) can use none of their keys.
    """
    seq = plane.ledger.seq_of(Noun.PRINCIPAL, principal)
    wanted = Principal(id=principal, kind=kind, active=active)
    if name is not None or contact is not None:
        known = plane.people.get(principal) or Person(principal=principal)
        plane.people.put(
            Person(
                principal=principal,
                name=known.name if name is None else name,
                contact=known.contact if contact is None else contact,
            )
        )
    if principal_of(plane, principal) != wanted:
        plane.ledger.commit([_principal_changed(wanted, actor, reason, expected=seq)])
        publish(plane)
    return wanted


def _decide(kind: str, key: Key, actor: Actor, reason: str, *, expected: int = 0) -> Decide:
    return Decide(
        kind=kind,
        system=key.systems[0] if len(key.systems) == 1 else "",
        noun=Noun.KEY,
        subject=key.id,
        after=to_doc(key),
        actor=actor,
        reason=reason,
        expected=expected,
    )


def _principal_changed(principal: Principal, actor: Actor, reason: str, *, expected: int) -> Decide:
    return Decide(
        kind="principal.changed",
        system="",
        noun=Noun.PRINCIPAL,
        subject=principal.id,
        after=to_doc(principal),
        actor=actor,
        reason=reason,
        expected=expected,
    )
