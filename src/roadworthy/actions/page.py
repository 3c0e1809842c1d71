"""The page action: a person is told."""

from __future__ import annotations

from roadworthy.domain.failure_plan import ActionKind
from roadworthy.domain.incident import Incident
from roadworthy.domain.route import Route


class PageAction:
    """Tells the owner what broke, what was done already and what to do next; retried until it arrived."""

    kind = ActionKind.PAGE

    def describe(self, incident: Incident, route: Route) -> str:
        """Say who would be told."""
        return f"{incident.owner} is paged about {incident.objective} of {route.system}"
