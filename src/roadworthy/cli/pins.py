"""Commands about pins: what the watch on their models found, and accepting a change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from roadworthy.cli import context
from roadworthy.cli.app import LOOK, app
from roadworthy.cli.reply import Reply, lines, table
from roadworthy.domain.moment import iso
from roadworthy.domain.principal import Scope

if TYPE_CHECKING:
    from roadworthy.lifecycle.accept_pin import PinStatus

pins = App(name="pins", help="Show the watch on the pins of a system; accept a changed model.", group=LOOK)
app.command(pins)
_HEADERS = ("pin", "model", "state", "distance", "p", "last probe", "today", "answers as", "why")


@pins.default
def show_pins(system: str = "") -> Reply:
    """Show each pin of what is routed: what its model says it is, what the newest probes found, what they cost today.

    Args:
        system: its name; default the project's.
    """
    from roadworthy.lifecycle.accept_pin import pins_of

    name = context.system_name(system)
    found = pins_of(context.plane(), name, wall=time.time_ns() // 1_000)
    rows = [tuple(_told(one).values()) for one in found]
    data = [_told(one) | {"id": one.pin.id, "releases": one.releases} for one in found]
    return Reply(data=data, show=table(_HEADERS, rows, "no release with pins is routed"))


@pins.command
def accept(system: str, pin: str, *, why: Annotated[str, Parameter(help="why; it is kept in the ledger")]) -> Reply:
    """Take a pin's model as it answers now: its alarm ends, and new reference rounds begin.

    Args:
        system: whose pin.
        pin: its name in the manifest.
    """
    from roadworthy.lifecycle.accept_pin import accept_pin, pins_of

    plane, actor = context.plane(), context.actor(Scope.OPERATE, system)
    accept_pin(plane, system, pin, actor=actor, why=why)
    one = next(one for one in pins_of(plane, system) if one.pin.name == pin)
    told = f"{pin} is accepted as it answers now; new reference rounds begin"
    return Reply(data=_told(one), show=lines(told, "next, where the fallback answers: roadworthy start"))


def _told(one: PinStatus) -> dict[str, Any]:
    watch, finding = one.watch, one.watch.finding
    names = [f"{said.model} {said.fingerprint}".strip() for said in sorted({*watch.said, *one.live})]
    cost = f"{one.spent_picos / 1e12:.6f} {one.pin.price.currency}" if one.pin.price else "price not known"
    return {
        "pin": one.pin.name,
        "model": one.pin.model,
        "state": _state(one),
        "distance": "-" if finding is None or finding.distance is None else f"{finding.distance:.4f}",
        "p": "-" if finding is None else f"{finding.p_value:.4f}",
        "last_probe": iso(watch.asked_at) if watch.asked_at else "never",
        "today": f"{one.calls} calls, {cost}",
        "answers_as": "; ".join(names) or "-",
        "why": watch.problem or watch.choosing or (finding.reason if finding else ""),
    }


def _state(one: PinStatus) -> str:
    if one.pin.is_local:
        return "local"
    if one.watch.problem:
        return "no data"
    if one.watch.choosing:
        return "choosing probes"
    if one.watch.finding is None:
        return f"{one.watch.rounds} reference rounds"
    return "changed" if one.watch.finding.alarm else "as it was"
