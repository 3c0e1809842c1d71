"""Tokens: how much an answer reads and writes."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.chats import NO_ANSWERS, is_chat, nothing, part, rate, total
from roadworthy.ports.monitor import View

_UNIT = "tokens"


class TokensMonitor:
    """Tokens for each answer, those of attempts that failed included: they are paid for as well."""

    name = "tokens"
    light = Light.OPERATIONS

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `tokens` (in and out), `tokens(in)`, `tokens(out)` and `tokens(cached)`: the share read from cache."""
        if not is_chat(view):
            return ()
        answers = total(view.chats, "answers")
        if not answers:
            return (nothing(view, self.name, NO_ANSWERS, light=self.light),)
        read, written = total(view.chats, "input_tokens"), total(view.chats, "output_tokens")
        kept = total(view.chats, "cached_tokens")
        return (
            rate(view, self.name, (read + written) / answers, answers, light=self.light, unit=_UNIT),
            rate(view, "tokens(in)", read / answers, answers, light=self.light, unit=_UNIT),
            rate(view, "tokens(out)", written / answers, answers, light=self.light, unit=_UNIT),
            part(view, "tokens(cached)", kept, read, light=self.light, why="nothing was read in the window"),
        )
