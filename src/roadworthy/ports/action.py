"""Actions of the failure plan. They change no state: they say what should be, lifecycle does it."""

from typing import Protocol

from roadworthy.domain.failure_plan import ActionKind
from roadworthy.domain.incident import Incident
from roadworthy.domain.route import Route


class Action(Protocol):
    """One kind of action."""

    kind: ActionKind

    def describe(self, incident: Incident, route: Route) -> str:
        """Say in one sentence what carrying it out would do now; shown by `plan` and in pages."""
        ...
