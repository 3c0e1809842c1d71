"""Cache: how often a question was answered from what was kept of an earlier answer."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.domain.objective import Light, Signal
from roadworthy.monitors.chats import is_chat, part, total
from roadworthy.ports.monitor import View


class CacheMonitor:
    """The share of look-ups in the gateway's cache that found an answer."""

    name = "cache"
    light = Light.OPERATIONS

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `cache`; no data where no cache is in force."""
        if not is_chat(view):
            return ()
        looked_up = total(view.chats, "looked_up")
        hits = total(view.chats, "cache_hits")
        return (part(view, self.name, hits, looked_up, light=self.light, why="nothing was looked up in the window"),)
