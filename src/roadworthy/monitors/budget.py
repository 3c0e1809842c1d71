"""Budget: how much of a system's budgets is spent, before it is spent to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.signals import no_data, signal
from roadworthy.ports.monitor import View


class BudgetMonitor:
    """The largest share spent of any purse of the present period. A budget may have a purse for each key or team."""

    name = "budget"
    light = Light.OPERATIONS

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `budget`, and `budget(system/day)` for each budget; nothing where the system has none."""
        caps = view.policy.serve.budgets
        if view.release is not None or not caps:
            return ()
        if not view.budgets:
            return (no_data(view, self.name, "nothing was spent in this period yet", light=self.light),)
        each = [
            replace(
                signal(view, f"{self.name}({name})", share, n=purses, light=self.light, unit="share"),
                reason=f"the fullest of {purses} purses" if purses > 1 else "",
            )
            for name, (share, purses) in sorted(view.budgets.items())
        ]
        fullest = max(each, key=lambda one: one.value or 0.0)
        return (replace(fullest, name=self.name, reason=fullest.name), *each)
