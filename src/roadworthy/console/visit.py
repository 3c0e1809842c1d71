"""One request as a handler sees it: who asks, with what, and the desk that serves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jinja2
from starlette.requests import Request

from roadworthy.console.access import opens
from roadworthy.console.assets import Assets
from roadworthy.console.sessions import Session, Sessions, SignInLimit
from roadworthy.domain.moment import Micros
from roadworthy.domain.principal import Actor, Assurance, Key
from roadworthy.lifecycle.control import Health
from roadworthy.lifecycle.promote import ProveLoads
from roadworthy.ports.plane import Plane


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What every handler shares. `wall` is wall time in µs: sessions do not follow a replayed clock."""

    plane: Plane
    sessions: Sessions
    limit: SignInLimit
    assets: Assets
    templates: jinja2.Environment
    prove_loads: ProveLoads
    wall: Callable[[], Micros]
    seconds: Callable[[], float]
    health: Callable[[], Health]


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """A caller who proved to hold a key; `session` is there when they signed in with a browser."""

    key: Key
    session: Session | None = None

    @property
    def actor(self) -> Actor:
        """Return the caller as the actor of an event."""
        return Actor(principal=self.key.principal, assurance=Assurance.AUTHENTICATED)

    def sees(self, system: str) -> bool:
        """Tell whether the caller's key opens a system (empty: what belongs to the whole home)."""
        return opens(self.key, system)


@dataclass(slots=True, kw_only=True)
class Visit:
    """A request that was admitted. `form` holds a form's fields, `body` a JSON object; one of them is empty."""

    desk: Desk
    request: Request
    who: Who | None = None
    form: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def plane(self) -> Plane:
        """Return the home's adapters."""
        return self.desk.plane

    @property
    def caller(self) -> Who:
        """Return who asks, where the rule of the route has made sure that somebody does."""
        assert self.who is not None
        return self.who

    @property
    def actor(self) -> Actor:
        """Return the caller as the actor of an event."""
        return self.caller.actor

    def path(self, name: str) -> str:
        """Return a part of the path by its name in the route."""
        return str(self.request.path_params[name])

    def asks(self, name: str, default: str = "") -> str:
        """Return a query parameter."""
        return self.request.query_params.get(name, default)

    @property
    def token(self) -> str:
        """Return the form token of this session; empty for callers with a bare key, who get no forms."""
        session = self.who.session if self.who else None
        return self.desk.sessions.token(session.nonce) if session else ""
