"""The rollback action: the champion becomes the previous release."""

from __future__ import annotations

from roadworthy.domain.digest import short
from roadworthy.domain.failure_plan import ActionKind
from roadworthy.domain.incident import Incident
from roadworthy.domain.route import Route


class RollbackAction:
    """Makes `last_good` champion again; the release that broke the objective leaves the route."""

    kind = ActionKind.ROLLBACK

    def describe(self, incident: Incident, route: Route) -> str:
        """Say which release would serve now."""
        if route.last_good in ("", route.champion):
            return (
                f"there is no earlier release than {short(route.champion)}: its fallback answers and a person is paged"
            )
        return f"release {short(route.last_good)} replaces {short(route.champion)}, because of {incident.objective}"
