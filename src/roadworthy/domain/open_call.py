"""A paid call under way: what is written down before a provider is asked, so that its cost is found whoever dies."""

from __future__ import annotations

from typing import NamedTuple

from roadworthy.domain.llm import TEXT_OUTPUTS
from roadworthy.domain.moment import Micros
from roadworthy.domain.pin import PICO, Price
from roadworthy.domain.record import Flag, Record

LOST_STATUS = 499
COST_AT = TEXT_OUTPUTS.index("cost_picos")
OURS = "roadworthy:"
"""Begins the name under which a provider's books are asked for a call by our name of it."""


class OpenCall(NamedTuple):
    """One attempt at a provider on behalf of a record.

    The price is the one in force now: a call that is settled later costs what it was made for. `secret` only refers to
    the provider's key. `lookup` says that the provider keeps books.
    """

    record: str
    attempt: int
    system: str
    environment: str
    release: str
    pin: str
    provider: str
    model: str
    price: Price
    opened_at: Micros
    url: str = ""
    secret: str = ""
    lookup: bool = False
    key: str = ""
    team: str = ""
    intended: str = ""
    arm: str = ""
    route_version: int = 0
    interface: str = ""

    @property
    def id(self) -> str:
        """Name the call in the provider's books, unique to this attempt."""
        return f"{self.record}.{self.attempt}"


class Settled(NamedTuple):
    """What a call turned out to cost, in picounits, and the tokens where they are known."""

    call: OpenCall
    picos: int
    is_estimate: bool = False
    input: int = 0
    output: int = 0
    cached: int = 0


def cost_of(record: Record) -> int:
    """Return what an answer cost in picounits: exact where its outputs say so, else its whole micro-units."""
    exact = record.outputs[COST_AT] if len(record.outputs) == len(TEXT_OUTPUTS) else None
    return exact if isinstance(exact, int) else record.cost_micros * PICO


def lost_record(attempts: tuple[Settled, ...]) -> Record:
    """Return the record of an answer whose worker died before it could write one: the cost of all its attempts.

    Args:
        attempts: every call that was made for the record, at least one.
    """
    last = attempts[-1].call
    picos = sum(one.picos for one in attempts)
    guess = any(one.is_estimate for one in attempts)
    why = "charged in full, as its provider cannot tell what it cost" if guess else "settled from the provider's books"
    return Record(
        id=last.record,
        system=last.system,
        environment=last.environment,
        release=last.release,
        intended=last.intended or last.release,
        arm=last.arm,
        route_version=last.route_version,
        answered_at=last.opened_at,
        event_time=last.opened_at,
        latency_us=0,
        status=LOST_STATUS,
        flags=int(Flag.FAILED | Flag.LOST),
        interface=last.interface,
        outputs=(
            "",
            "lost",
            sum(one.input for one in attempts),
            sum(one.output for one in attempts),
            sum(one.cached for one in attempts),
            picos,
            None,
            last.model,
            "",
            last.price.version,
        ),
        key=last.key,
        error=f"the worker died while {last.pin} was answering; {why}",
        cost_micros=-(-picos // PICO),
    )
