"""Who may ask for what: one table over every route of the control process. A route without a rule is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from roadworthy.domain.principal import Key, Scope


class Kind(StrEnum):
    """How a caller proves who they are: not at all, by session or key, by session and form token, by key alone."""

    OPEN = "open"
    PAGE = "page"
    FORM = "form"
    VERB = "verb"


class Where(StrEnum):
    """Which system a request is about, so that a key of one system opens nothing of another.

    `any`: the answer is filtered to what the key opens. `home`: only a key of the whole home. Else the system is named
    in the path, or is the one of the incident or record in the path.
    """

    ANY = "any"
    HOME = "home"
    SYSTEM = "system"
    INCIDENT = "incident"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one route asks of its caller. No scope: anybody, or anybody signed in for a form."""

    kind: Kind
    scope: Scope | None = None
    where: Where = Where.ANY


_SYSTEM_PAGE = Rule(Kind.PAGE, Scope.READ, Where.SYSTEM)
_SYSTEM_FORM = Rule(Kind.FORM, Scope.OPERATE, Where.SYSTEM)
_SYSTEM_VERB = Rule(Kind.VERB, Scope.OPERATE, Where.SYSTEM)
_LIST = Rule(Kind.PAGE, Scope.READ, Where.ANY)
_INCIDENT_FORM = Rule(Kind.FORM, Scope.OPERATE, Where.INCIDENT)
_INCIDENT_VERB = Rule(Kind.VERB, Scope.OPERATE, Where.INCIDENT)

ACCESS: Final[Mapping[str, Rule]] = {
    "GET /": Rule(Kind.OPEN),
    "GET /healthz": Rule(Kind.OPEN),
    "GET /static/{digest}/{name}": Rule(Kind.OPEN),
    "GET /sign-in": Rule(Kind.OPEN),
    "POST /sign-in": Rule(Kind.OPEN),
    "POST /sign-out": Rule(Kind.FORM),
    "GET /systems": _LIST,
    "GET /systems.json": _LIST,
    "GET /systems/{system}": _SYSTEM_PAGE,
    "GET /systems/{system}.json": _SYSTEM_PAGE,
    "GET /systems/{system}/releases/{release}": _SYSTEM_PAGE,
    "GET /systems/{system}/releases/{release}.json": _SYSTEM_PAGE,
    "GET /incidents": _LIST,
    "GET /incidents.json": _LIST,
    "GET /incidents/{incident}": Rule(Kind.PAGE, Scope.READ, Where.INCIDENT),
    "GET /incidents/{incident}.json": Rule(Kind.PAGE, Scope.READ, Where.INCIDENT),
    "GET /records": _LIST,
    "GET /records/{record}": Rule(Kind.PAGE, Scope.READ, Where.RECORD),
    "GET /records/{record}.json": Rule(Kind.PAGE, Scope.READ, Where.RECORD),
    "GET /ledger": _LIST,
    "GET /ledger.json": _LIST,
    "POST /ledger/verify": Rule(Kind.FORM, Scope.READ, Where.HOME),
    "POST /systems/{system}/pause": _SYSTEM_FORM,
    "POST /systems/{system}/resume": _SYSTEM_FORM,
    "POST /systems/{system}/rollback": _SYSTEM_FORM,
    "POST /systems/{system}/promote": _SYSTEM_FORM,
    "POST /systems/{system}/start": _SYSTEM_FORM,
    "POST /systems/{system}/approve": Rule(Kind.FORM, Scope.APPROVE, Where.SYSTEM),
    "POST /incidents/{incident}/ack": _INCIDENT_FORM,
    "POST /incidents/{incident}/close": _INCIDENT_FORM,
    "POST /incidents/{incident}/silence": _INCIDENT_FORM,
    # Only a home created for replay has a clock to drive, and there an owner's first key, which is for one system,
    # must be able to.
    "POST /v1/clock": Rule(Kind.VERB, Scope.OPERATE, Where.ANY),
    "POST /v1/ledger/verify": Rule(Kind.VERB, Scope.READ, Where.HOME),
    "POST /v1/systems/{system}/promote": _SYSTEM_VERB,
    "POST /v1/systems/{system}/rollback": _SYSTEM_VERB,
    "POST /v1/systems/{system}/pause": _SYSTEM_VERB,
    "POST /v1/systems/{system}/resume": _SYSTEM_VERB,
    "POST /v1/systems/{system}/stop": _SYSTEM_VERB,
    "POST /v1/systems/{system}/start": _SYSTEM_VERB,
    "POST /v1/systems/{system}/approve": Rule(Kind.VERB, Scope.APPROVE, Where.SYSTEM),
    "POST /v1/incidents/{incident}/ack": _INCIDENT_VERB,
    "POST /v1/incidents/{incident}/close": _INCIDENT_VERB,
    "POST /v1/incidents/{incident}/silence": _INCIDENT_VERB,
}
"""The one authorisation table: `METHOD path` → rule. HEAD follows GET."""

_SEES: Final = frozenset({Scope.READ, Scope.OPERATE, Scope.APPROVE, Scope.ADMIN})
"""Who may change something must see it; a key that only predicts or posts outcomes sees nothing here."""


def carries(key: Key, scope: Scope) -> bool:
    """Tell whether a key holds a scope, for whichever systems it opens."""
    if scope is Scope.READ:
        return bool(_SEES.intersection(key.scopes))
    return scope in key.scopes or Scope.ADMIN in key.scopes


def opens(key: Key, system: str) -> bool:
    """Tell whether a key opens a system. What belongs to no system is opened only by keys of the whole home."""
    return not key.systems or system in key.systems


def may_sign_in(key: Key) -> bool:
    """Tell whether a key is good for the console at all."""
    return bool(_SEES.intersection(key.scopes))
