"""The fallback action: something simpler answers while the champion is unwell."""

from __future__ import annotations

from roadworthy.domain.digest import short
from roadworthy.domain.failure_plan import ActionKind
from roadworthy.domain.incident import Incident
from roadworthy.domain.route import Route


class FallbackAction:
    """Puts the first usable fallback in front of the champion until a person restores it."""

    kind = ActionKind.FALLBACK

    def describe(self, incident: Incident, route: Route) -> str:
        """Say what would answer instead of the champion now."""
        first = f"release {short(route.fallback[0])}" if route.fallback else "the stated default"
        return f"{first} answers in place of release {short(route.champion)}, because of {incident.objective}"
