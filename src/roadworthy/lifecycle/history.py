"""Which release was in force at a moment, and what changed around it."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.domain.ledger import Event, Noun
from roadworthy.domain.moment import Micros, iso
from roadworthy.domain.release import Release
from roadworthy.domain.route import Route
from roadworthy.errors import NotFoundError
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One release's part of a route, named for people: `flights@v2`, champion, 0.95."""

    release: str
    name: str
    role: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What answered for a system at a moment, since when, and by whose decision."""

    system: str
    environment: str
    at: Micros
    route: Route
    parts: tuple[Part, ...]
    since: Micros
    seq: int
    actor: str
    reason: str

    @property
    def champion(self) -> str:
        """Name the release that served."""
        return next(part.name for part in self.parts if part.role == "champion")


def in_force_at(plane: Plane, system: str, moment: Micros, environment: str = "live") -> InForce:
    """Say which release was in force at a moment, from the ledger alone.

    Raises:
        NotFoundError: nothing was in force for this system then.
    """
    newest: Event | None = None
    releases: dict[str, Release] = {}
    for event in plane.ledger.events(system=system, until=moment):
        if event.noun == Noun.ROUTE and event.environment == environment:
            newest = event
        elif event.noun == Noun.RELEASE and event.after is not None:
            releases[event.subject] = from_doc(Release, event.after)
    if newest is None or newest.after is None:
        raise NotFoundError(
            f"nothing was in force for {system} in {environment} at {iso(moment)}",
            hint=f"roadworthy ledger show --system {system}",
        )
    route = from_doc(Route, newest.after)
    return InForce(
        system=system,
        environment=environment,
        at=moment,
        route=route,
        parts=_parts(route, releases),
        since=newest.at,
        seq=newest.seq,
        actor=newest.actor,
        reason=newest.reason,
    )


def changes(plane: Plane, system: str, *, until: Micros | None = None, limit: int = 50) -> tuple[Event, ...]:
    """Return a system's newest decisions, newest first, at or before a moment."""
    events = list(plane.ledger.events(system=system, until=until))
    return tuple(reversed(events[-limit:]))


def _parts(route: Route, releases: dict[str, Release]) -> tuple[Part, ...]:
    def named(release: str, role: str, share: float) -> Part:
        name = releases[release].name if release in releases else release
        return Part(release=release, name=name, role=role, share=share)

    parts = [named(arm.release, arm.role.value, arm.share) for arm in route.arms]
    if route.shadow is not None:
        parts.append(named(route.shadow.release, "shadow", route.shadow.rate))
    return tuple(parts)
