"""Recognise a caller and admit them by the rule of the route; everything a handler may assume is proven here."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request

from roadworthy.console.access import Kind, Rule, Where, carries, opens
from roadworthy.console.sessions import COOKIE
from roadworthy.console.visit import Desk, Who
from roadworthy.domain.ledger import Noun
from roadworthy.domain.principal import Key, split_key
from roadworthy.errors import NotFoundError, NotPermitted
from roadworthy.lifecycle import present
from roadworthy.lifecycle.keys import principal_of
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc

_RECORD_ID: Final = re.compile(r"[0-9a-f]{32}")


class SignInNeeded(NotPermitted):
    """Nobody proved who they are; a page sends them to the sign-in, everything else answers 401."""


def recognise(desk: Desk, request: Request, rule: Rule) -> Who | None:
    """Return who asks, or None. A form counts only with a session, a verb only with a key in a header.

    Raises:
        SignInNeeded: a key was sent and is not valid.
    """
    if rule.kind is not Kind.FORM:
        sent = _sent_key(request)
        if sent:
            key = key_of(desk.plane, sent)
            if key is None:
                raise SignInNeeded("the key is unknown, expired, revoked or of someone who left")
            return Who(key=key)
    if rule.kind in (Kind.VERB, Kind.OPEN):
        return None
    session = desk.sessions.read(request.cookies.get(COOKIE, ""), desk.wall())
    key = _standing_key(desk.plane, session.key) if session else None
    return Who(key=key, session=session) if key else None


def admit(desk: Desk, request: Request, rule: Rule, who: Who | None) -> None:
    """Let a caller through, or say why not.

    A system, incident or record that the caller's key does not open is *not found*: its name is not confirmed.

    Raises:
        SignInNeeded: the route needs somebody, and nobody proved who they are.
        NotPermitted: the key lacks the scope.
        NotFoundError: there is no such thing, or none this key opens.
    """
    if rule.kind is Kind.OPEN:
        return
    if who is None:
        raise SignInNeeded("sign in first, or send a key as 'Authorization: Bearer rw_…'", hint="/sign-in")
    if rule.scope is not None and not carries(who.key, rule.scope):
        raise NotPermitted(
            f"key {who.key.id} does not carry the scope '{rule.scope}'",
            hint=f"roadworthy keys create {who.key.principal} --scopes {rule.scope}",
        )
    if rule.where is Where.HOME and who.key.systems:
        raise NotPermitted(
            f"key {who.key.id} is for {', '.join(who.key.systems)} only, and this is about the whole home",
            hint="use a key without --systems",
        )
    _must_open(desk.plane, request, rule.where, who.key)


def key_of(plane: Plane, text: str) -> Key | None:
    """Return the key that a text opens now, or None."""
    parts = split_key(text)
    if parts is None:
        return None
    document = plane.ledger.state(Noun.KEY, parts[0])
    key = from_doc(Key, document) if document is not None else None
    if key is None or not key.admits(parts[1], plane.clock.now()) or not _holder_is_here(plane, key):
        return None
    return key


def _standing_key(plane: Plane, key_id: str) -> Key | None:
    """Return a key by its id if it would still open something now."""
    document = plane.ledger.state(Noun.KEY, key_id)
    if document is None:
        return None
    key = from_doc(Key, document)
    is_over = key.revoked or (key.expires_at is not None and key.expires_at <= plane.clock.now())
    return None if is_over or not _holder_is_here(plane, key) else key


def _holder_is_here(plane: Plane, key: Key) -> bool:
    holder = principal_of(plane, key.principal)
    return holder is None or holder.active


def _sent_key(request: Request) -> str:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return text.strip()
    return request.headers.get("x-api-key", "")


def _must_open(plane: Plane, request: Request, where: Where, key: Key) -> None:
    if where is Where.SYSTEM:
        _known("system", str(request.path_params["system"]), present.systems(plane), key)
    elif where is Where.INCIDENT:
        name = str(request.path_params["incident"])
        found = plane.ledger.state(Noun.INCIDENT, name)
        if found is None or not opens(key, str(found["system"])):
            known = plane.ledger.states(Noun.INCIDENT)
            seen = [one for one, document in known.items() if opens(key, str(document["system"]))]
            raise NotFoundError.among("incident", name, seen)
    elif where is Where.RECORD:
        name = str(request.path_params["record"])
        record = plane.records.find(name) if _RECORD_ID.fullmatch(name) else None
        if record is None or not opens(key, record.system):
            raise NotFoundError(
                f"no record has the id '{name[:80]}'", hint="the id is in the header x-roadworthy-record of the answer"
            )


def _known(noun: str, name: str, known: tuple[str, ...], key: Key) -> None:
    seen = [one for one in known if opens(key, one)]
    if name not in seen:
        raise NotFoundError.among(noun, name, seen)
