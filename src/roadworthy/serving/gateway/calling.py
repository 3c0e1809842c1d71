"""One model asked: within its class rules, its budget, its cap and the time that is left."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from roadworthy.domain.pin import Pin, Usage
from roadworthy.domain.record import Flag
from roadworthy.guards.masking import CLASSES, mask
from roadworthy.guards.questions import rewritten
from roadworthy.ports.chat import AGAIN, Chunk, Completion, Embedded, ProviderTrouble, Trouble
from roadworthy.ports.wallet import Reservation, Spender, Wallet
from roadworthy.serving.gateway.place import Held
from roadworthy.serving.gateway.turn import Turn

_PERSONAL: Final = CLASSES - {"key"}
_FOUND: Final[Mapping[str, frozenset[str]]] = {"secrets": frozenset({"key"}), "pii": _PERSONAL}
_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 2.0
_PAID_WITHIN_S: Final = 0.5
_MESSAGE_TOKENS: Final = 8
_BLAMELESS: Final = frozenset((Trouble.REFUSED, Trouble.RATE_LIMITED))
"""Troubles that say nothing about the model's health: the breaker does not count them."""


class Passed(Exception):
    """This pin was passed over; `outcome` says why: open, class, budget, cap."""

    def __init__(self, outcome: str, detail: str = "") -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.detail = detail


def classes_of(names: frozenset[str]) -> frozenset[str]:
    """Spell out the groups: `pii` is every personal class that rules can find, `secrets` keys and tokens."""
    found: set[str] = set()
    for name in names:
        found |= _FOUND.get(name, {name})
    return frozenset(found)


class Caller:
    """Asks models on behalf of turns. One a worker."""

    def __init__(self, wallet: Wallet | None, chance: random.Random) -> None:
        self._wallet = wallet
        self._chance = chance

    async def complete(self, turn: Turn, held: Held, body: Mapping[str, Any], deadline: float) -> Completion:
        """Ask for a whole answer, again where another try may help.

        Raises:
            Passed: the pin may not be asked, or cannot be paid.
            ProviderTrouble: it was asked and did not answer; what that cost is booked.
        """
        body = self._allowed(turn, held, body)
        tries = turn.place.serve.tries
        for attempt in range(1, tries + 1):
            body, reservation = await self._reserve(turn, held, body)
            began = time.perf_counter()
            try:
                held.in_flight += 1
                found = await held.model.complete(body, max(0.001, deadline - began))
            except ProviderTrouble as trouble:
                self._failed(turn, held, reservation, trouble, began)
                if not await self._again(trouble, attempt, tries, deadline):
                    raise
            except BaseException:
                self._settle(turn, held.pin, reservation, self._most(held.pin, body))
                raise
            else:
                self._settle(turn, held.pin, reservation, found.usage)
                held.breaker.note(ok=True, now=time.perf_counter())
                turn.step("attempt", held.pin.name, "ok", _since(began))
                turn.model, turn.fingerprint = found.model, found.fingerprint
                return found
            finally:
                held.in_flight -= 1
        raise AssertionError("the last try returns or raises")

    async def stream(self, turn: Turn, held: Held, body: Mapping[str, Any], deadline: float) -> AsyncGenerator[Chunk]:
        """Ask for an answer piece by piece; asked again only while nothing has come.

        Raises:
            Passed: the pin may not be asked, or cannot be paid.
            ProviderTrouble: it did not answer, or broke off; what that cost is booked.
        """
        body = self._allowed(turn, held, body)
        tries = turn.place.serve.tries
        for attempt in range(1, tries + 1):
            body, reservation = await self._reserve(turn, held, body)
            began, usage, has_begun = time.perf_counter(), None, False
            held.in_flight += 1
            pieces = held.model.stream(body, max(0.001, deadline - began))
            try:
                async for chunk in pieces:
                    if not has_begun:
                        has_begun = True
                        turn.model = turn.model or str(chunk.document.get("model") or "")
                        turn.fingerprint = str(chunk.document.get("system_fingerprint") or "")
                    usage = chunk.usage or usage
                    yield chunk
            except ProviderTrouble as trouble:
                self._failed(turn, held, reservation, trouble, began)
                if has_begun or not await self._again(trouble, attempt, tries, deadline):
                    raise
            except BaseException:
                # Whoever stopped us midway leaves a call whose bill we do not know: it is booked at its most.
                self._settle(turn, held.pin, reservation, usage or self._most(held.pin, body))
                raise
            else:
                self._settle(turn, held.pin, reservation, usage or self._most(held.pin, body))
                held.breaker.note(ok=True, now=time.perf_counter())
                turn.step("attempt", held.pin.name, "ok", _since(began))
                return
            finally:
                held.in_flight -= 1

    async def embed(self, turn: Turn, held: Held, texts: Sequence[str], seconds: float) -> Embedded:
        """Ask for vectors, once.

        Raises:
            Passed: the pin may not be asked, or cannot be paid.
            ProviderTrouble: it did not answer.
        """
        body = self._allowed(turn, held, {"messages": [{"role": "user", "content": text} for text in texts]})
        body, reservation = await self._reserve(turn, held, {**body, "max_tokens": 1})
        began = time.perf_counter()
        try:
            found = await held.model.embed([one["content"] for one in body["messages"]], seconds)
        except ProviderTrouble as trouble:
            self._failed(turn, held, reservation, trouble, began)
            raise
        self._settle(turn, held.pin, reservation, found.usage)
        turn.step("attempt", held.pin.name, "ok", _since(began))
        turn.model = found.model
        return found

    def _allowed(self, turn: Turn, held: Held, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the body as this pin may see it.

        Raises:
            Passed: a class of the request may not go there and cannot be masked.
        """
        if not held.breaker.allows(time.perf_counter()):
            raise Passed("open")
        pin = held.pin
        if pin.is_local:
            return body
        allowed = classes_of(frozenset(pin.allows))
        stated = classes_of(turn.classes) - allowed
        if stated - CLASSES or (stated and not pin.masks):
            raise Passed("class", ", ".join(sorted(stated)))
        forbidden = CLASSES - allowed
        if not forbidden:
            return body
        found = 0

        def masked(text: str) -> str:
            nonlocal found
            done = mask(text, forbidden)
            found += len(done.counts)
            return done.text

        clean = rewritten(body, masked)
        if not found:
            return body
        if not pin.masks:
            raise Passed("class", "the question holds what may not go there")
        turn.step("guard", f"mask/{pin.name}", "altered")
        return clean

    async def _reserve(
        self, turn: Turn, held: Held, body: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Reservation | None]:
        """Set aside the most that the call can cost.

        Raises:
            Passed: it costs more than one call may, or no budget is left.
        """
        pin, serve = held.pin, turn.place.serve
        body = _capped(pin, body, serve.cap_per_call_micros * 1_000_000)
        if not serve.budgets or self._wallet is None:
            return body, None
        if pin.price is None:
            # Of unknown price: what one call may cost at most is what is set aside, and booked.
            picos = serve.cap_per_call_micros * 1_000_000
        else:
            most = self._most(pin, body)
            picos = pin.price.at_most(most.input, most.output)
        if not picos:
            return body, None
        place = turn.place.served
        spender = Spender(place.name, place.environment, turn.key.id, turn.key.team, serve.budgets)
        reservation = await self._wallet.paid(spender, picos, _PAID_WITHIN_S)
        if reservation is None:
            raise Passed("budget")
        return body, reservation

    def _most(self, pin: Pin, body: Mapping[str, Any]) -> Usage:
        """Return the most tokens a call can use: a token is at least a byte of the text, and output is bounded."""
        return Usage(input=most_input(body), output=_output_limit(pin, body), is_estimate=True)

    def _failed(
        self, turn: Turn, held: Held, reservation: Reservation | None, trouble: ProviderTrouble, began: float
    ) -> None:
        late = trouble.trouble is Trouble.SLOW
        turn.flags |= Flag.TIMED_OUT if late else Flag.FAILED
        turn.error = turn.error or trouble.trouble.value
        turn.step("attempt", held.pin.name, "timeout" if late else "error", _since(began), trouble.trouble.value)
        if trouble.trouble not in _BLAMELESS:
            held.breaker.note(ok=False, now=time.perf_counter())
        self._settle(turn, held.pin, reservation, trouble.usage or Usage())

    def _settle(self, turn: Turn, pin: Pin, reservation: Reservation | None, usage: Usage) -> None:
        turn.usage += usage
        if pin.price is not None:
            cost, turn.price = pin.price.cost(usage), pin.price.version
        elif reservation is not None and (usage.input or usage.output):
            cost, turn.price = reservation.picos, "cap"
        else:
            cost = 0
        turn.cost += cost
        if reservation is not None:
            reservation.settle(cost)

    async def _again(self, trouble: ProviderTrouble, attempt: int, tries: int, deadline: float) -> bool:
        """Tell whether to try once more, after a wait with full jitter (or as long as the provider says)."""
        if attempt >= tries or trouble.trouble not in AGAIN:
            return False
        most = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (attempt - 1))
        wait = self._chance.uniform(0, most) if trouble.retry_after_s is None else trouble.retry_after_s
        if time.perf_counter() + wait >= deadline:
            return False
        await asyncio.sleep(wait)
        return True


def most_input(body: Mapping[str, Any]) -> int:
    """Return the most tokens that messages, tools and schema can be: one a byte, and a few a message."""
    messages = body.get("messages") or ()
    size = sum(len(str(message).encode()) + _MESSAGE_TOKENS for message in messages)
    return size + sum(len(str(body[name]).encode()) for name in ("tools", "response_format") if body.get(name))


def _output_limit(pin: Pin, body: Mapping[str, Any]) -> int:
    asked = body.get("max_completion_tokens") or body.get("max_tokens")
    return min(int(asked), pin.max_output) if asked else pin.max_output


def _capped(pin: Pin, body: Mapping[str, Any], cap: int) -> Mapping[str, Any]:
    """Shorten the answer so that the call costs no more than one call may.

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


def _since(began: float) -> int:
    return int((time.perf_counter() - began) * 1e6)
