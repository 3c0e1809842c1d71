"""Asking pins in their order: who is asked again, who is passed over, and what is noted of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from roadworthy.domain.pin import Pin, Provider, Usage
from roadworthy.ports.chat import Chunk, Completion, Document, Embedded, ProviderTrouble, Trouble
from roadworthy.runtimes.llm.asking import Asker, AskPolicy, Attempt, Step, next_step, pause_s, share_s

POLICY = AskPolicy(tries=3, first_pause_s=1.0, longest_pause_s=4.0)


class Scripted:
    """A pin that goes wrong as told, then answers; time is what it says it took."""

    def __init__(self, name: str, *troubles: ProviderTrouble | None, world: World) -> None:
        self.pin = Pin(name=name, provider=Provider.OPENAI, model=name)
        self.troubles = list(troubles)
        self.asked: list[Document] = []
        self.deadlines: list[float] = []
        self._world = world

    def _next(self, request: Document, deadline_s: float) -> None:
        self.asked.append(request)
        self.deadlines.append(deadline_s)
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is not None:
            self._world.time += deadline_s if trouble.trouble is Trouble.SLOW else 0.0
            raise trouble

    async def complete(self, request: Document, deadline_s: float) -> Completion:
        """Answer, or not."""
        self._next(request, deadline_s)
        return Completion(document={"from": self.pin.name}, usage=Usage(input=1, output=1), upstream_id="u")

    async def stream(self, request: Document, deadline_s: float) -> AsyncIterator[Chunk]:
        """Answer in two pieces, or not, or only in one."""
        self._next(request, deadline_s)
        yield Chunk(document={"id": "u"}, text=self.pin.name)
        self._next(request, deadline_s)
        yield Chunk(document={"id": "u"}, usage=Usage(input=1, output=2))

    async def embed(self, texts: Sequence[str], deadline_s: float) -> Embedded:
        """Embed nothing."""
        raise NotImplementedError

    async def usage_of(self, upstream_id: str) -> Usage | None:
        """Know nothing."""
        return None

    async def close(self) -> None:
        """Let go of nothing."""


class World:
    """A clock that moves only when something takes time."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.time += seconds

    def asker(self, *models: Scripted, policy: AskPolicy = POLICY) -> Asker:
        """Ask these pins in this world, with a random number that is always one half."""
        return Asker(models, policy, chance=lambda: 0.5, now=lambda: self.time, sleep=self.sleep)


def trouble(kind: Trouble, retry_after_s: float | None = None) -> ProviderTrouble:
    """Make a trouble."""
    return ProviderTrouble(kind, "it went wrong", retry_after_s=retry_after_s)


def ask(asker: Asker, deadline_s: float = 100.0, request: Any = None) -> tuple[str, list[Attempt]]:
    """Ask and tell who answered."""
    attempts: list[Attempt] = []
    answer = asyncio.run(asker.complete(request or {}, deadline_s, attempts))
    return answer.document["from"], attempts


def test_the_first_pin_answers_while_it_is_well() -> None:
    """No second provider is asked, or paid, without need."""
    world = World()
    first, second = Scripted("a", world=world), Scripted("b", world=world)
    name, attempts = ask(world.asker(first, second))
    assert name == "a"
    assert second.asked == []
    assert [(one.pin, one.trouble, one.usage) for one in attempts] == [("a", None, Usage(input=1, output=1))]


def test_a_passing_trouble_is_tried_again_after_a_growing_random_pause() -> None:
    """A hiccup costs a pause, not the answer; pauses are random so that callers do not come back together."""
    world = World()
    model = Scripted("a", trouble(Trouble.DOWN), trouble(Trouble.BROKEN), world=world)
    name, attempts = ask(world.asker(model))
    assert name == "a"
    assert world.slept == [0.5, 1.0]
    assert [one.trouble for one in attempts] == [Trouble.DOWN, Trouble.BROKEN, None]


@pytest.mark.parametrize("kind", [Trouble.REFUSED, Trouble.UNAUTHORISED, Trouble.WRONG_MODEL, Trouble.NO_SECRET])
def test_a_lasting_trouble_goes_to_the_next_pin_at_once(kind: Trouble) -> None:
    """What would fail again is not tried again."""
    world = World()
    name, attempts = ask(world.asker(Scripted("a", trouble(kind), world=world), Scripted("b", world=world)))
    assert name == "b"
    assert world.slept == []
    assert [one.trouble for one in attempts] == [kind, None]


def test_a_provider_that_asks_to_be_left_alone_is() -> None:
    """Retry-After is the least that is waited; a wait no caller should see goes to the next pin instead."""
    world = World()
    ask(world.asker(Scripted("a", trouble(Trouble.RATE_LIMITED, 3.0), world=world)))
    assert world.slept == [3.5]
    world = World()
    patient = Scripted("a", trouble(Trouble.RATE_LIMITED, 30.0), world=world)
    assert ask(world.asker(patient, Scripted("b", world=world)))[0] == "b"
    assert world.slept == []


def test_nobody_waits_beyond_the_deadline() -> None:
    """A pause that would outlast the caller's patience is not begun; the trouble is told instead."""
    world = World()
    model = Scripted("a", trouble(Trouble.RATE_LIMITED, 60.0), world=world)
    with pytest.raises(ProviderTrouble) as caught:
        ask(world.asker(model), deadline_s=10)
    assert caught.value.trouble is Trouble.RATE_LIMITED
    assert world.time == 0


def test_a_slow_pin_leaves_time_for_the_next() -> None:
    """The first provider's silence does not use up the whole deadline."""
    world = World()
    first = Scripted("a", *[trouble(Trouble.SLOW)] * 3, world=world)
    second = Scripted("b", world=world)
    name, _ = ask(world.asker(first, second), deadline_s=16)
    assert name == "b"
    assert first.deadlines[0] == 8
    assert world.time < 16


def test_a_failing_pin_is_left_alone_and_tried_again_later() -> None:
    """An open breaker spares callers the wait for a provider that is down, and closes when it is back."""
    world = World()
    policy = AskPolicy(tries=1, breaker_errors=0.5, breaker_window=4, breaker_cool_down_s=10)
    first = Scripted("a", *[trouble(Trouble.DOWN)] * 2, world=world)
    asker = world.asker(first, Scripted("b", world=world), policy=policy)
    for _ in range(4):
        assert ask(asker)[0] == "b"
    assert len(first.asked) == 2
    assert asker.open_breakers == ("a",)
    world.time += 11
    assert ask(asker)[0] == "a"
    assert asker.open_breakers == ()


def test_a_callers_mistake_opens_no_breaker() -> None:
    """One caller's nonsense does not take a provider away from the others."""
    world = World()
    policy = AskPolicy(tries=1, breaker_errors=0.5, breaker_window=2)
    asker = world.asker(Scripted("a", *[trouble(Trouble.REFUSED)] * 5, world=world), policy=policy)
    for _ in range(5):
        with pytest.raises(ProviderTrouble):
            ask(asker)
    assert asker.open_breakers == ()


def test_where_every_pin_is_left_alone_that_is_the_trouble() -> None:
    """A caller is told at once, so that the baseline can answer."""
    world = World()
    policy = AskPolicy(tries=1, breaker_errors=0.5, breaker_window=2)
    model = Scripted("a", *[trouble(Trouble.DOWN)] * 9, world=world)
    asker = world.asker(model, policy=policy)
    for _ in range(3):
        with pytest.raises(ProviderTrouble) as caught:
            ask(asker)
    assert caught.value.trouble is Trouble.DOWN
    assert len(model.asked) == 1


def test_each_pin_gets_what_it_may_see() -> None:
    """A request can differ by pin, masked for one and withheld from another."""
    world = World()
    first, second = Scripted("a", world=world), Scripted("b", world=world)
    per_pin: Callable[[Pin], Any] = lambda pin: None if pin.name == "a" else {"masked": True}  # noqa: E731
    assert ask(world.asker(first, second), request=per_pin)[0] == "b"
    assert first.asked == []
    assert second.asked == [{"masked": True}]


def take(asker: Asker, attempts: list[Attempt], most: int = 9) -> list[Chunk]:
    """Take so many chunks, then close the stream."""

    async def go() -> list[Chunk]:
        taken: list[Chunk] = []
        stream: Any = asker.stream({}, 100, attempts)
        async for chunk in stream:
            taken.append(chunk)
            if len(taken) == most:
                break
        await stream.aclose()
        return taken

    return asyncio.run(go())


def test_a_stream_moves_to_another_pin_only_before_its_first_piece() -> None:
    """Half an answer of one model is never joined to half of another's."""
    world = World()
    attempts: list[Attempt] = []
    first = Scripted("a", trouble(Trouble.REFUSED), world=world)
    chunks = take(world.asker(first, Scripted("b", world=world)), attempts)
    assert [chunk.text for chunk in chunks] == ["b", ""]
    assert [(one.pin, one.trouble) for one in attempts] == [("a", Trouble.REFUSED), ("b", None)]
    assert attempts[-1].usage == Usage(input=1, output=2)

    attempts = []
    broken = Scripted("a", None, trouble(Trouble.TRUNCATED), world=world)
    other = Scripted("b", world=world)
    with pytest.raises(ProviderTrouble):
        take(world.asker(broken, other), attempts)
    assert other.asked == []
    assert [(one.pin, one.trouble) for one in attempts] == [("a", Trouble.TRUNCATED)]


def test_a_stream_that_a_caller_leaves_is_noted() -> None:
    """A disconnect leaves an attempt with the name of the call, so that its cost can be settled."""
    world = World()
    attempts: list[Attempt] = []
    take(world.asker(Scripted("a", world=world)), attempts, most=1)
    assert [(one.pin, one.is_left, one.usage, one.upstream_id) for one in attempts] == [("a", True, None, "u")]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_call_that_is_cancelled_before_it_answered_is_noted(is_stream: bool) -> None:
    """A provider may bill what nobody waited for, so the attempt is not forgotten."""

    class Silent(Scripted):
        async def complete(self, request: Document, deadline_s: float) -> Completion:
            """Never answer."""
            await asyncio.Event().wait()
            raise AssertionError

        async def stream(self, request: Document, deadline_s: float) -> AsyncIterator[Chunk]:
            """Never begin."""
            await asyncio.Event().wait()
            yield Chunk(document={})

    attempts: list[Attempt] = []

    async def go() -> None:
        world = World()
        asker = world.asker(Silent("a", world=world))
        call = anext(asker.stream({}, 100, attempts)) if is_stream else asker.complete({}, 100, attempts)
        task = asyncio.ensure_future(call)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(go())
    assert [(one.pin, one.is_left) for one in attempts] == [("a", True)]


def test_pauses_are_a_share_of_a_doubling_cap() -> None:
    """The rule is pure: the same chance gives the same pause."""
    assert [pause_s(POLICY, tries, None, 1.0) for tries in (1, 2, 3, 4, 9)] == [1, 2, 4, 4, 4]
    assert pause_s(POLICY, 2, None, 0.0) == 0
    assert pause_s(POLICY, 1, 5.0, 0.5) == 5.5


def test_the_rule_stops_at_the_limits() -> None:
    """Tries and deadline end a pin's turn."""
    assert next_step(POLICY, Trouble.DOWN, 3, 0.1, 100, is_last=True) is Step.NEXT
    assert next_step(POLICY, Trouble.DOWN, 1, 5, 5, is_last=True) is Step.NEXT
    assert next_step(POLICY, Trouble.DOWN, 1, 9, 100, is_last=False) is Step.NEXT
    assert next_step(POLICY, Trouble.DOWN, 1, 9, 100, is_last=True) is Step.AGAIN
    assert share_s(10, is_last=False) == 5
    assert share_s(10, is_last=True) == 10
