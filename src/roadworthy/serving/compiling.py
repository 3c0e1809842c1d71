"""Interfaces by name, each compiled once in a worker, however many releases have it."""

from __future__ import annotations

from roadworthy.domain.digest import Digest, digest
from roadworthy.domain.interface import Interface
from roadworthy.domain.system import ServePlan
from roadworthy.serving.compiled import Compiled

_COMPILED: dict[tuple[Digest, str], Compiled] = {}
_IDS: dict[int, tuple[Interface, Digest]] = {}


def interface_id(interface: Interface) -> Digest:
    """Name an interface; records carry it, so that their columns can be read later."""
    known = _IDS.get(id(interface))
    if known is None or known[0] is not interface:
        if len(_IDS) > 1000:  # noqa: PLR2004 (a bound, no meaning)
            _IDS.clear()
        known = _IDS[id(interface)] = (interface, digest(interface))
    return known[1]


def compiled(interface: Interface, plan: ServePlan) -> Compiled:
    """Return an interface compiled under a policy for violations; the same one is compiled once."""
    name = (interface_id(interface), plan.on_violation)
    made = _COMPILED.get(name)
    if made is None:
        made = _COMPILED[name] = Compiled(interface, plan.on_violation)
    return made
