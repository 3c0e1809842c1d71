"""Guards: how often they altered or withheld something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.chats import is_chat, part, total
from roadworthy.ports.monitor import View

_NONE = "no questions in the window"
_MOST_NAMED = 4


class GuardsMonitor:
    """The share of questions where a guard altered or withheld the question or its answer."""

    name = "guards"
    light = Light.OPERATIONS

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `guards`, with the rules that found most, and `guards(name)` for each guard in force."""
        if not is_chat(view):
            return ()
        asked = total(view.chats, "asked")
        acted, rules = _sum(view, "guards"), _sum(view, "rules")
        first = sorted(rules, key=lambda rule: (-rules[rule], rule))[:_MOST_NAMED]
        whole = part(view, self.name, total(view.chats, "guarded"), asked, light=self.light, why=_NONE)
        named = ", ".join(f"{rule} ({rules[rule]})" for rule in first)
        return (
            replace(whole, reason=whole.reason or named),
            *(part(view, f"guards({name})", acted[name], asked, light=self.light, why=_NONE) for name in sorted(acted)),
        )


def _sum(view: View, field: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for bucket in view.chats:
        for name, n in getattr(bucket, field).items():
            found[name] = found.get(name, 0) + n
    return found
