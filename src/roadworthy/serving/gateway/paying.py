"""Paying for calls, in the order that loses nothing: set aside, write down, ask, note the cost, record, settle.

Whoever is killed in between, control finds the call written down and settles it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from roadworthy.domain.open_call import OURS, OpenCall
from roadworthy.domain.pin import PICO, Pin, Price, Usage
from roadworthy.ports.chat import ProviderTrouble, Trouble
from roadworthy.ports.wallet import Spender, Wallet
from roadworthy.runtimes.llm.openai import tagged
from roadworthy.serving.gateway.place import Held
from roadworthy.serving.gateway.turn import Payment, Turn

_PAID_WITHIN_S: Final = 0.5
_MESSAGE_TOKENS: Final = 8
_PART_TOKENS: Final = 50_000
"""An image in full detail is 48,169 tokens to gpt-4o-mini (2,833 and 5,667 a tile, at most 8 tiles)."""
_LOOK_S: Final = 0.2
PATIENCE_S: Final = 30.0
UNBILLED: Final = frozenset(
    (Trouble.REFUSED, Trouble.RATE_LIMITED, Trouble.UNAUTHORISED, Trouble.NO_SECRET, Trouble.DOWN)
)
"""Troubles after which a provider that counted nothing bills nothing."""


class Passed(Exception):
    """This pin was passed over; `outcome` says why: open, resting, class, budget, cap."""

    def __init__(self, outcome: str, detail: str = "") -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.detail = detail


class Cashier:
    """Pays for the attempts of turns. One a worker."""

    def __init__(self, wallet: Wallet | None) -> None:
        self._wallet = wallet

    async def open(self, turn: Turn, held: Held, body: Mapping[str, Any]) -> tuple[Mapping[str, Any], Payment]:
        """Set aside the most that the call can cost, and write down which call it is.

        Returns the body as it is to be sent, and the payment.

        Raises:
            Passed: it costs more than one call may, or no budget is left.
        """
        pin, serve = held.pin, turn.place.serve
        cap = serve.cap_per_call_micros * PICO
        body = capped(pin, body, cap)
        payment = Payment(held, body)
        if not serve.budgets or self._wallet is None:
            return body, payment
        # Of unknown price: what one call may cost at most is what is set aside, and booked.
        most = most_of(pin, body)
        picos = cap if pin.price is None else pin.price.at_most(most.input, most.output)
        if not picos:
            return body, payment
        served = turn.place.served
        spender = Spender(served.name, served.environment, turn.key.id, turn.key.team, serve.budgets)
        payment.reservation = await self._wallet.paid(spender, picos, _PAID_WITHIN_S)
        if payment.reservation is None:
            raise Passed("budget")
        payment.call = _call(turn, pin)
        payment.reservation.open(payment.call)
        return tagged(pin, body, payment.call.id), payment

    def end(self, turn: Turn, payment: Payment, usage: Usage | None) -> None:
        """Note what an attempt cost; None where nobody knows: its provider's books are asked, or its most is booked."""
        if usage is None and payment.call is not None and payment.held.pin.lookup:
            turn.unknown.append(payment)
            return
        self._book(turn, payment, _most(payment) if usage is None else usage)

    def failed(self, turn: Turn, payment: Payment, trouble: ProviderTrouble) -> None:
        """Note what an attempt cost that went wrong."""
        self.end(turn, payment, Usage() if trouble.usage is None and trouble.trouble in UNBILLED else trouble.usage)

    def settle(self, turn: Turn) -> None:
        """Book everything that was paid for a turn, whose record is written or counted as lost."""
        for reservation in turn.paid:
            reservation.settle()
        turn.paid.clear()

    async def learn(self, turn: Turn) -> None:
        """Ask the providers' books for what nobody knows; a call that they do not know after a while cost nothing."""
        until = time.monotonic() + PATIENCE_S
        for payment in turn.unknown:
            assert payment.call is not None, "only a call that was written down can be looked up"
            self._book(turn, payment, await _books_say(payment, payment.call, until))
        turn.unknown.clear()

    def _book(self, turn: Turn, payment: Payment, usage: Usage) -> None:
        turn.usage += usage
        price, reservation = payment.held.pin.price, payment.reservation
        if price is not None:
            cost, turn.price = price.cost(usage), price.version
        elif reservation is not None and (usage.input or usage.output):
            cost, turn.price = reservation.picos, "cap"
        else:
            cost = 0
        turn.cost += cost
        if reservation is not None:
            reservation.ended(cost)
            turn.paid.append(reservation)


async def _books_say(payment: Payment, call: OpenCall, until: float) -> Usage:
    answered = False
    while True:
        try:
            found = await payment.held.model.usage_of(f"{OURS}{call.id}")
            answered = True
        except ProviderTrouble:
            found = None
        if found is not None:
            return found
        if time.monotonic() >= until:
            return Usage() if answered else _most(payment)
        await asyncio.sleep(_LOOK_S)


def _call(turn: Turn, pin: Pin) -> OpenCall:
    turn.attempts += 1
    place, ready = turn.place, turn.ready
    return OpenCall(
        record=turn.record, attempt=turn.attempts, system=place.served.name, environment=place.served.environment,
        release=ready.id if ready else turn.intended, pin=pin.name, provider=pin.provider.value, model=pin.model,
        price=pin.price or Price(input=0, output=0, version="cap"), opened_at=turn.intake.now, url=pin.url,
        secret=pin.key, lookup=pin.lookup, key=turn.key.id, team=turn.key.team, intended=turn.intended, arm=turn.arm,
        route_version=place.route.version, interface=place.interface_id,
    )  # fmt: skip


def _most(payment: Payment) -> Usage:
    return most_of(payment.held.pin, payment.body)


def most_of(pin: Pin, body: Mapping[str, Any]) -> Usage:
    """Return the most tokens a call can use: a token is at least a byte of the text, and output is bounded."""
    return Usage(input=most_input(body), output=_output_limit(pin, body), is_estimate=True)


def most_input(body: Mapping[str, Any]) -> int:
    """Return the most tokens that messages, tools and schema can be: one a byte, and a few a message.

    An image may be an address of a few bytes, so each part that is no text counts as the dearest that is known.
    """
    messages = body.get("messages") or ()
    size = sum(len(str(message).encode()) + _MESSAGE_TOKENS for message in messages)
    for message in messages:
        if message.get("content").__class__ is list:
            size += _PART_TOKENS * sum(part.get("type") != "text" for part in message["content"])
    return size + sum(len(str(body[name]).encode()) for name in ("tools", "response_format") if body.get(name))


def _output_limit(pin: Pin, body: Mapping[str, Any]) -> int:
    asked = body.get("max_completion_tokens") or body.get("max_tokens")
    return min(int(asked), pin.max_output) if asked else pin.max_output


def capped(pin: Pin, body: Mapping[str, Any], cap: int) -> Mapping[str, Any]:
    """Shorten the answer so that the call costs no more than one call may, in picounits; 0 is no cap.

    Raises:
        Passed: the question alone costs more.
    """
    if not cap or pin.price is None or not pin.price.output:
        return body
    limit = _output_limit(pin, body)
    left = cap - pin.price.at_most(most_input(body), 0)
    if left < pin.price.output:
        raise Passed("cap")
    fits = min(limit, left // pin.price.output)
    if fits == limit:
        return body
    return {**{name: value for name, value in body.items() if name != "max_completion_tokens"}, "max_tokens": fits}
