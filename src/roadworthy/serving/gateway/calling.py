"""One model asked: within its class rules, its budget, its cap and the time that is left."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, Final

from roadworthy.domain.pin import Usage
from roadworthy.domain.record import Flag
from roadworthy.guards.masking import CLASSES
from roadworthy.ports.chat import AGAIN, Chunk, Completion, Embedded, ProviderTrouble, Trouble
from roadworthy.runtimes.llm.counting import estimate_input, estimate_tokens
from roadworthy.serving.gateway.cleaning import classes_of
from roadworthy.serving.gateway.paying import Cashier, Passed
from roadworthy.serving.gateway.place import Held
from roadworthy.serving.gateway.turn import Payment, Turn

_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 2.0
_LONGEST_REST_S: Final = 60.0
_SHARE: Final = 2 / 3
"""Of the time that is left, what a pin may take when another model stands behind it."""
_OF_THE_REQUEST: Final = frozenset((400, 413, 422))
"""Statuses by which a provider finds fault with a request; others, such as 404, with what the release asks for."""
_BLAMELESS: Final = frozenset((Trouble.REFUSED, Trouble.RATE_LIMITED))
"""Troubles that say nothing about the model's health: the breaker does not count them."""


class Caller:
    """Asks models on behalf of turns. One a worker."""

    def __init__(self, cashier: Cashier, chance: random.Random) -> None:
        self.cashier = cashier
        self._chance = chance

    async def complete(
        self, turn: Turn, held: Held, body: Mapping[str, Any], deadline: float, *, has_rival: bool = False
    ) -> Completion:
        """Ask for a whole answer, again where another try may help; a rival behind the pin is left its time.

        Raises:
            Passed: the pin may not be asked, or cannot be paid.
            ProviderTrouble: it was asked and did not answer; what that cost is booked.
        """
        body = self._allowed(turn, held, body)
        until = _patience(deadline, has_rival=has_rival)
        tries = turn.place.serve.tries
        for attempt in range(1, tries + 1):
            sent, payment = await self.cashier.open(turn, held, body)
            began = time.perf_counter()
            try:
                held.in_flight += 1
                found = await held.model.complete(sent, max(0.001, until - began))
            except ProviderTrouble as trouble:
                self._failed(turn, payment, trouble, began)
                if not await self._again(trouble, attempt, tries, until):
                    _gave_up(turn, trouble)
                    raise
            except BaseException:
                self.cashier.end(turn, payment, None)
                raise
            else:
                self.cashier.end(turn, payment, found.usage)
                held.breaker.note(ok=True, now=time.perf_counter())
                turn.step("attempt", held.pin.name, "ok", _since(began))
                turn.model, turn.fingerprint = found.model, found.fingerprint
                return found
            finally:
                held.in_flight -= 1
        raise AssertionError("the last try returns or raises")

    async def stream(
        self, turn: Turn, held: Held, body: Mapping[str, Any], deadline: float, *, has_rival: bool = False
    ) -> AsyncGenerator[Chunk]:
        """Ask for an answer piece by piece; asked again only while nothing has come.

        With a rival behind the pin, silence may not take the time that is left to the rival; an answer that comes may.

        Raises:
            Passed: the pin may not be asked, or cannot be paid.
            ProviderTrouble: it did not answer, or broke off; what that cost is booked.
        """
        body = self._allowed(turn, held, body)
        until = _patience(deadline, has_rival=has_rival)
        tries = turn.place.serve.tries
        for attempt in range(1, tries + 1):
            sent, payment = await self.cashier.open(turn, held, body)
            began, usage, has_begun, characters = time.perf_counter(), None, False, 0
            held.in_flight += 1
            pieces = held.model.stream(sent, max(0.001, deadline - began))
            try:
                while chunk := await (_in_time(pieces, held, deadline) if has_rival else anext(pieces, None)):
                    if not has_begun:
                        has_begun = True
                        turn.model = str(chunk.document.get("model") or "")
                        turn.fingerprint = str(chunk.document.get("system_fingerprint") or "")
                    usage = chunk.usage or usage
                    characters += len(chunk.text)
                    yield chunk
            except ProviderTrouble as trouble:
                if has_begun and trouble.usage is None:
                    trouble.usage = usage or _so_far(body, characters)
                self._failed(turn, payment, trouble, began)
                if has_begun or not await self._again(trouble, attempt, tries, until):
                    _gave_up(turn, trouble)
                    raise
            except BaseException:
                # Whoever stopped us midway leaves a call whose bill we do not know: it is booked at its most.
                self.cashier.end(turn, payment, usage)
                raise
            else:
                self.cashier.end(turn, payment, usage)
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
        sent, payment = await self.cashier.open(turn, held, {**body, "max_tokens": 1})
        began = time.perf_counter()
        try:
            found = await held.model.embed([one["content"] for one in sent["messages"]], seconds)
        except ProviderTrouble as trouble:
            self._failed(turn, payment, trouble, began)
            _gave_up(turn, trouble)
            raise
        self.cashier.end(turn, payment, found.usage)
        turn.step("attempt", held.pin.name, "ok", _since(began))
        turn.model = found.model
        return found

    def _allowed(self, turn: Turn, held: Held, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the body as this pin may see it, if it may be asked at all.

        Raises:
            Passed: a class of the request may not go there and cannot be masked; or the pin is given a rest.
        """
        body = self._for_pin(turn, held, body)
        now = time.perf_counter()
        if now < held.rests_until:
            raise Passed("resting", Trouble.RATE_LIMITED)
        if not held.breaker.allows(now):
            raise Passed("open")
        return body

    def _for_pin(self, turn: Turn, held: Held, body: Mapping[str, Any]) -> Mapping[str, Any]:
        pin = held.pin
        if pin.is_local:
            return body
        stated = classes_of(turn.classes) - held.allowed
        if stated - CLASSES or (stated and not pin.masks):
            raise Passed("class", ", ".join(sorted(stated)))
        if not held.forbidden:
            return body
        clean, found = turn.cleaner.request(body, held.forbidden, turn.known_clean)
        if not found:
            return body
        if not pin.masks:
            raise Passed("class", "the question holds what may not go there")
        turn.is_masked = True
        turn.step("guard", f"mask/{pin.name}", "altered")
        return clean

    def _failed(self, turn: Turn, payment: Payment, trouble: ProviderTrouble, began: float) -> None:
        held = payment.held
        late = trouble.trouble is Trouble.SLOW
        turn.step("attempt", held.pin.name, "timeout" if late else "error", _since(began), trouble.trouble.value)
        if trouble.trouble not in _BLAMELESS:
            held.breaker.note(ok=False, now=time.perf_counter())
        if trouble.trouble is Trouble.RATE_LIMITED and trouble.retry_after_s:
            held.rests_until = time.perf_counter() + min(trouble.retry_after_s, _LONGEST_REST_S)
        self.cashier.failed(turn, payment, trouble)

    async def _again(self, trouble: ProviderTrouble, attempt: int, tries: int, deadline: float) -> bool:
        """Tell whether to try once more, after a wait with full jitter (or as long as the provider says)."""
        if attempt >= tries or trouble.trouble not in AGAIN:
            return False
        most = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (attempt - 1))
        wait = self._chance.uniform(0, most) if trouble.retry_after_s is None else trouble.retry_after_s
        if wait > _LONGEST_WAIT_S or time.perf_counter() + wait >= deadline:
            return False
        await asyncio.sleep(wait)
        return True


def _gave_up(turn: Turn, trouble: ProviderTrouble) -> None:
    """Note that a pin did not answer, however often it was asked.

    A provider that says 400 to what the caller added to the question speaks of the caller, not of the release.
    """
    if trouble.trouble is Trouble.REFUSED and trouble.status in _OF_THE_REQUEST and turn.request.adds:
        turn.refused = turn.refused or trouble
        turn.error = turn.error or trouble.trouble.value
        return
    turn.flags |= Flag.TIMED_OUT if trouble.trouble is Trouble.SLOW else Flag.FAILED
    turn.error = turn.error or trouble.trouble.value


def _so_far(body: Mapping[str, Any], characters: int) -> Usage:
    return Usage(input=estimate_input(body), output=estimate_tokens(characters), is_estimate=True)


async def _in_time(pieces: AsyncIterator[Chunk], held: Held, deadline: float) -> Chunk | None:
    """Return the next chunk, or None after the last; silence may take its share of the time that is left.

    Raises:
        ProviderTrouble: slow, when none comes in time.
    """
    try:
        async with asyncio.timeout(max(0.001, (deadline - time.perf_counter()) * _SHARE)):
            return await anext(pieces, None)
    except TimeoutError:
        raise ProviderTrouble(Trouble.SLOW, f"{held.pin.name} said nothing for too long") from None


def _patience(deadline: float, *, has_rival: bool) -> float:
    now = time.perf_counter()
    return now + (deadline - now) * _SHARE if has_rival else deadline


def _since(began: float) -> int:
    return int((time.perf_counter() - began) * 1e6)
