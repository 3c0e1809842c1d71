"""One suite, several providers: whoever calls a pin cannot tell them apart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from providers_kit import MockAnthropic, MockOpenAI, MockProvider
from roadworthy.ports.chat import ChatModel, Chunk
from roadworthy.runtimes.llm.anthropic import AnthropicModel
from roadworthy.runtimes.llm.openai import OpenAIModel

KEY = "sk-mock-0123456789abcdef"


class Spoken:
    """A mock provider and the adapter that speaks to it."""

    def __init__(self, provider: MockProvider, adapter: Callable[..., ChatModel]) -> None:
        self.provider = provider
        self._adapter = adapter

    def run(self, use: Callable[[ChatModel], Awaitable[Any]], **pin: Any) -> Any:
        """Open the pin in an event loop of its own, use it, close it."""

        async def go() -> Any:
            model = self._adapter(self.provider.pin(key="env:KEY", **pin), lambda _: KEY)
            try:
                return await use(model)
            finally:
                await model.close()

        return asyncio.run(go())

    def complete(self, text: str = "how are you", *, deadline_s: float = 20.0, pin: Any = None, **more: Any) -> Any:
        """Ask one question."""
        return self.run(lambda model: model.complete(question(text, **more), deadline_s), **(pin or {}))

    def stream(
        self, text: str = "how are you", *, deadline_s: float = 20.0, pin: Any = None, **more: Any
    ) -> list[Chunk]:
        """Ask one question and take the answer piece by piece."""

        async def use(model: ChatModel) -> list[Chunk]:
            return [chunk async for chunk in model.stream(question(text, **more), deadline_s)]

        return self.run(use, **(pin or {}))


def question(text: str, **more: Any) -> dict[str, Any]:
    """Write a request."""
    return {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}], **more}


SPOKEN = {"openai": (MockOpenAI, OpenAIModel), "anthropic": (MockAnthropic, AnthropicModel)}


@pytest.fixture(params=list(SPOKEN))
def spoken(request: pytest.FixtureRequest) -> Iterator[Spoken]:
    """A running mock provider with its adapter."""
    mock, adapter = SPOKEN[request.param]
    with mock(key=KEY) as provider:
        yield Spoken(provider, adapter)
