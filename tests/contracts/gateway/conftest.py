"""A served system of kind llm with a pin at each kind of provider, shared by the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llm_kit import House, chatting, pin_of
from providers_kit import MockAnthropic, MockOpenAI, obliging


@pytest.fixture(scope="module", params=["openai", "anthropic"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A running gateway; the providers differ by the one line `use:` of the manifest."""
    with MockOpenAI() as openai, MockAnthropic() as anthropic:
        pins = {"openai": pin_of(openai), "anthropic": pin_of(anthropic)}
        folder = tmp_path_factory.mktemp("gateway")
        with chatting(folder, pins, use=request.param, serve={"deadline": "20s", "fallback": []}) as chat:
            yield House(openai, anthropic, chat, {"openai": openai, "anthropic": anthropic}[request.param])


@pytest.fixture
def house(served: House) -> House:
    """The same, with providers that answer well again."""
    for provider in (served.openai, served.anthropic):
        provider.fault, provider.script, provider.token_gap_s = None, obliging, 0.0
        provider.requests.clear()
    return served
