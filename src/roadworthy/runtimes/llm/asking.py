"""Asking several pins in order: what to do after a trouble is a pure rule; the asker carries it out.

Pauses use full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015): a random share of a
cap that doubles, so that callers who failed together do not come back together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias, cast

from roadworthy.domain.pin import Pin, Usage
from roadworthy.ports.chat import AGAIN, ChatModel, Chunk, Completion, Document, ProviderTrouble, Trouble
from roadworthy.runtimes.breaker import Breaker

Request: TypeAlias = "Document | Callable[[Pin], Document | None]"
"""What to ask: one document for every pin, or what to ask a given pin, None where it may not be asked."""
_WELL: Final = frozenset((Trouble.REFUSED, Trouble.NO_SECRET))
"""Troubles that say nothing about the provider's health."""


class Step(Enum):
    """What follows a trouble."""

    AGAIN = "again"
    NEXT = "next"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPolicy:
    """How long to try. `tries` and the breaker's limits are for each pin, times in seconds."""

    tries: int = 3
    first_pause_s: float = 0.2
    longest_pause_s: float = 4.0
    breaker_errors: float = 0.5
    breaker_window: int = 20
    breaker_cool_down_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call of one pin, for the record. `trouble` is None where it answered; `usage` is what it cost either way.

    `is_left` says that the caller went away first: what the call cost is then known to the provider's books only.
    """

    pin: str
    took_s: float
    trouble: Trouble | None = None
    message: str = ""
    status: int = 0
    usage: Usage | None = None
    upstream_id: str = ""
    is_left: bool = False


def pause_s(policy: AskPolicy, tries: int, retry_after_s: float | None, chance: float) -> float:
    """Return how long to wait before the next try of a pin.

    Args:
        policy: the limits.
        tries: how often this pin was asked by now, at least 1.
        retry_after_s: what the provider asked for, which is the least.
        chance: a random number in [0, 1).
    """
    cap = min(policy.longest_pause_s, policy.first_pause_s * 2 ** (tries - 1))
    return (retry_after_s or 0.0) + chance * cap


def next_step(policy: AskPolicy, trouble: Trouble, tries: int, pause: float, left_s: float, *, is_last: bool) -> Step:
    """Decide whether to ask the same pin again or go on to the next.

    A pin that asks for a longer wait than a caller should see is passed over while there is another one; so is one
    whose pause would outlast the deadline.
    """
    if trouble not in AGAIN or tries >= policy.tries or pause >= left_s:
        return Step.NEXT
    return Step.AGAIN if is_last or pause <= 2 * policy.longest_pause_s else Step.NEXT


def share_s(left_s: float, *, is_last: bool) -> float:
    """Return the longest that one attempt may take: half of what is left while another pin could still answer."""
    return left_s if is_last else left_s / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """One pin's turn, and what to ask it."""

    model: ChatModel
    breaker: Breaker
    document: Document
    is_last: bool


class _Seen:
    """What a caller has seen of a stream."""

    __slots__ = ("has_begun", "upstream_id", "usage")

    def __init__(self) -> None:
        self.has_begun = False
        self.upstream_id = ""
        self.usage: Usage | None = None

    def take(self, chunk: Chunk) -> Chunk:
        """Note a chunk on its way out."""
        if not self.has_begun:
            self.has_begun, self.upstream_id = True, str(chunk.document.get("id") or "")
        self.usage = chunk.usage or self.usage
        return chunk


async def _first(chunks: AsyncIterator[Chunk], patience_s: float, name: str) -> Chunk:
    """Wait for a stream's first piece no longer than its share: another pin could still answer."""
    try:
        async with asyncio.timeout(patience_s):
            return await anext(chunks)
    except (TimeoutError, StopAsyncIteration):
        raise ProviderTrouble(Trouble.SLOW, f"{name} did not begin within {patience_s * 1000:.0f} ms") from None


class Asker:
    """Asks pins in their order until one answers. Keeps a circuit breaker for each.

    Args:
        models: the pins in the order they are asked.
        policy: how long to try.
        chance: gives random numbers in [0, 1).
        now: gives seconds of a monotonic clock.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        models: Sequence[ChatModel],
        policy: AskPolicy,
        *,
        chance: Callable[[], float],
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._models = tuple(models)
        self._policy = policy
        self._chance, self._now, self._sleep = chance, now, sleep
        limits: Mapping[str, Any] = {
            "errors": policy.breaker_errors,
            "window": policy.breaker_window,
            "cool_down_s": policy.breaker_cool_down_s,
        }
        self._breakers = [Breaker(**limits) for _ in self._models]

    @property
    def open_breakers(self) -> tuple[str, ...]:
        """The names of pins that are left alone for now."""
        pairs = zip(self._models, self._breakers, strict=True)
        return tuple(model.pin.name for model, breaker in pairs if breaker.is_open)

    async def complete(self, request: Request, deadline_s: float, attempts: list[Attempt]) -> Completion:
        """Answer at once. Each call made is added to `attempts`, the one that answered last.

        Raises:
            ProviderTrouble: none of the pins answered; it is the trouble of the last one that was asked.
        """
        ends = self._now() + deadline_s
        last: ProviderTrouble | None = None
        for turn in self._turns(request):
            tries = 0
            while (left := ends - self._now()) > 0 and turn.breaker.allows(self._now()):
                tries += 1
                began = self._now()
                try:
                    answer = await turn.model.complete(turn.document, share_s(left, is_last=turn.is_last))
                except ProviderTrouble as trouble:
                    last = trouble
                    if not await self._goes_on(turn, trouble, tries, began, ends, attempts):
                        break
                except asyncio.CancelledError:
                    self._left(turn, began, attempts, _Seen())
                    raise
                else:
                    self._answered(turn, began, attempts, answer.usage, answer.upstream_id)
                    return answer
        raise last or self._nobody()

    async def stream(self, request: Request, deadline_s: float, attempts: list[Attempt]) -> AsyncIterator[Chunk]:
        """Answer piece by piece. Another pin is asked only while nothing has been given away.

        The attempt that answers is added when its stream ends, breaks off or is closed by the caller; its usage is the
        last chunk's.

        Raises:
            ProviderTrouble: none of the pins began to answer, or the one that did broke off.
        """
        ends = self._now() + deadline_s
        last: ProviderTrouble | None = None
        for turn in self._turns(request):
            tries = 0
            while (left := ends - self._now()) > 0 and turn.breaker.allows(self._now()):
                tries += 1
                began = self._now()
                seen = _Seen()
                try:
                    chunks = cast("AsyncGenerator[Chunk]", turn.model.stream(turn.document, left))
                    async with aclosing(chunks):
                        yield seen.take(await _first(chunks, share_s(left, is_last=turn.is_last), turn.model.pin.name))
                        async for chunk in chunks:
                            yield seen.take(chunk)
                except ProviderTrouble as trouble:
                    last = trouble
                    if seen.has_begun:
                        self._failed(turn, trouble, began, attempts)
                        raise
                    if not await self._goes_on(turn, trouble, tries, began, ends, attempts):
                        break
                except (GeneratorExit, asyncio.CancelledError):
                    self._left(turn, began, attempts, seen)
                    raise
                else:
                    self._answered(turn, began, attempts, seen.usage, seen.upstream_id)
                    return
        raise last or self._nobody()

    def _turns(self, request: Request) -> list[_Turn]:
        pairs = list(zip(self._models, self._breakers, strict=True))
        asks = [request(model.pin) if callable(request) else request for model, _ in pairs]
        able = [(model, breaker, ask) for (model, breaker), ask in zip(pairs, asks, strict=True) if ask is not None]
        return [
            _Turn(model=model, breaker=breaker, document=ask, is_last=number == len(able))
            for number, (model, breaker, ask) in enumerate(able, 1)
        ]

    async def _goes_on(
        self, turn: _Turn, trouble: ProviderTrouble, tries: int, began: float, ends: float, attempts: list[Attempt]
    ) -> bool:
        """Note a failed attempt and wait, if the same pin is to be asked again."""
        self._failed(turn, trouble, began, attempts)
        pause = pause_s(self._policy, tries, trouble.retry_after_s, self._chance())
        left = ends - self._now()
        if next_step(self._policy, trouble.trouble, tries, pause, left, is_last=turn.is_last) is Step.NEXT:
            return False
        await self._sleep(pause)
        return True

    def _failed(self, turn: _Turn, trouble: ProviderTrouble, began: float, attempts: list[Attempt]) -> None:
        now = self._now()
        turn.breaker.note(ok=trouble.trouble in _WELL, now=now)
        attempts.append(
            Attempt(
                pin=turn.model.pin.name,
                took_s=now - began,
                trouble=trouble.trouble,
                message=trouble.message,
                status=trouble.status,
                usage=trouble.usage,
                upstream_id=trouble.upstream_id,
            )
        )

    def _answered(
        self, turn: _Turn, began: float, attempts: list[Attempt], usage: Usage | None, upstream_id: str
    ) -> None:
        now = self._now()
        turn.breaker.note(ok=True, now=now)
        attempts.append(Attempt(pin=turn.model.pin.name, took_s=now - began, usage=usage, upstream_id=upstream_id))

    def _left(self, turn: _Turn, began: float, attempts: list[Attempt], seen: _Seen) -> None:
        now = self._now()
        if seen.has_begun:
            turn.breaker.note(ok=True, now=now)
        left = Attempt(
            pin=turn.model.pin.name,
            took_s=now - began,
            usage=seen.usage,
            upstream_id=seen.upstream_id,
            is_left=True,
        )
        attempts.append(left)

    def _nobody(self) -> ProviderTrouble:
        names = ", ".join(model.pin.name for model in self._models)
        return ProviderTrouble(Trouble.DOWN, f"none of {names} may be asked now")
