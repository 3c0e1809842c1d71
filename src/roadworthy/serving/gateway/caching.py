"""Which questions may be answered from the cache, and which answers may be kept in it."""

from __future__ import annotations

import time
from typing import Final

from roadworthy.domain.record import Flag
from roadworthy.serving.gateway.cache import Cached, ExactCache
from roadworthy.serving.gateway.chain import Link
from roadworthy.serving.gateway.cleaning import classes_of
from roadworthy.serving.gateway.turn import Said, Turn

DAY_US: Final = 86_400_000_000
_SPOILED: Final = int(Flag.GUARDED | Flag.ABSTAINED | Flag.DEFAULTED | Flag.FAILED | Flag.TIMED_OUT)


def find_cached(cache: ExactCache, turn: Turn) -> bytes | None:
    """Look the question up; returns the name to keep its answer under, None where nothing is cached."""
    place = turn.place
    if not place.serve.cache_for or not turn.use_cache:
        return None
    if place.route.degraded_by or turn.request.options.get("logprobs"):
        return None
    tenant = (
        place.name, place.served.environment, turn.key.team, turn.key.principal, turn.key.id, turn.request.user,
        str(turn.intake.now // DAY_US), *sorted(turn.classes),
    )  # fmt: skip
    asked = {"messages": turn.request.messages, **turn.request.options, "metadata": turn.request.inputs}
    name = cache.name(turn.intended, tenant, asked)
    found = cache.get(name, time.monotonic())
    ready = place.ready.get(turn.intended)
    if found is not None and ready is not None:
        turn.answered_by = Link(ready, ready.assistant.use, "")
        turn.said = Said(text=found.text, finish=found.finish)
        turn.model, turn.from_cache = found.model, True
        turn.flags |= Flag.CACHED
        turn.step("cache", "exact", "hit")
        place.meter.count("cache_hits")
    else:
        turn.step("cache", "exact", "miss")
    return name


def keep_cached(cache: ExactCache, turn: Turn, name: bytes | None) -> None:
    """Keep an answer that the intended release itself gave whole, and that holds nothing to be masked."""
    said = turn.said
    if name is None or said is None or turn.from_cache or turn.is_masked or turn.mark or turn.flags & _SPOILED:
        return
    if said.outcome != "stop" or said.tool_calls or not said.text:
        return
    if turn.cleaner.clean(said.text, classes_of(frozenset(turn.place.served.mask))).counts:
        return
    until = time.monotonic() + turn.place.serve.cache_for / 1e6
    cache.put(name, Cached(said.text, said.finish, turn.intended, turn.model, until))
