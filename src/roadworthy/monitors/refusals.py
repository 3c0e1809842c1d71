"""Refusals: answers that were given and still say nothing, or not all."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.chats import is_chat, part, total
from roadworthy.ports.monitor import View


class RefusalsMonitor:
    """Shares of the answers: refused by the model or withheld by a guard, abstained from, cut short, hung up on."""

    name = "refusals"
    light = Light.DECISION

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `refusals`, `refusals(abstained)`, `refusals(cut)` and `refusals(abandoned)`."""
        if not is_chat(view):
            return ()
        asked, answers = total(view.chats, "asked"), total(view.chats, "answers")
        counted = (
            (self.name, "refused", answers),
            ("refusals(abstained)", "abstained", answers),
            ("refusals(cut)", "cut", answers),
            ("refusals(abandoned)", "abandoned", asked),
        )
        return tuple(part(view, name, total(view.chats, field), n, light=self.light) for name, field, n in counted)
