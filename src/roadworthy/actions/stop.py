"""The stop action: no answer is better than this one."""

from __future__ import annotations

from roadworthy.domain.failure_plan import ActionKind
from roadworthy.domain.incident import Incident
from roadworthy.domain.route import Route


class StopAction:
    """Answers 503 with the reason until a person restores the system."""

    kind = ActionKind.STOP

    def describe(self, incident: Incident, route: Route) -> str:
        """Say what callers would get now."""
        return f"{route.system} answers 503 in {route.environment} on purpose, because of {incident.objective}"
