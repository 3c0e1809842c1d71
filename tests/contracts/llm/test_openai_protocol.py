"""What only OpenAI's protocol offers, and how odd servers are met."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from providers_kit import Fault, MockAnthropic, MockOpenAI, vector_of
from roadworthy.domain.pin import Pin, Provider, Usage
from roadworthy.ports.chat import ChatModel, Chunk, ProviderTrouble, Trouble
from roadworthy.runtimes.llm import connection
from roadworthy.runtimes.llm.anthropic import AnthropicModel
from roadworthy.runtimes.llm.openai import OpenAIModel

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "one two three four"}]}


def run(model_of: Callable[[], ChatModel], use: Callable[[ChatModel], Any]) -> Any:
    """Use a model in an event loop of its own."""

    async def go() -> Any:
        model = model_of()
        try:
            return await use(model)
        finally:
            await model.close()

    return asyncio.run(go())


@pytest.fixture
def mock() -> Iterator[MockOpenAI]:
    """A running mock provider."""
    with MockOpenAI() as provider:
        yield provider


def test_texts_are_embedded_in_their_order(mock: MockOpenAI) -> None:
    """One vector a text, counted as the provider bills it."""
    texts = ["one two", "three"]
    found = run(lambda: OpenAIModel(mock.pin(), str), lambda model: model.embed(texts, 20))
    assert [list(vector) for vector in found.vectors] == [vector_of(text) for text in texts]
    assert found.usage == mock.usage() == Usage(input=3)


def test_a_provider_without_embeddings_refuses_them() -> None:
    """Whoever asks is told that there are none, not given nonsense."""
    with MockAnthropic() as provider, pytest.raises(ProviderTrouble) as caught:
        run(lambda: AnthropicModel(provider.pin(), str), lambda model: model.embed(["a"], 20))
    assert caught.value.trouble is Trouble.REFUSED


def test_the_books_tell_what_a_lost_stream_cost(mock: MockOpenAI) -> None:
    """A stream that was hung up on is settled by the provider's own count."""
    mock.fault = Fault.HANG
    pin = mock.pin(lookup=True)

    async def use(model: ChatModel) -> tuple[str, Usage | None]:
        stream: Any = model.stream(ASK, 20)
        name = ""
        async for chunk in stream:
            name = chunk.document["id"]
            if chunk.text:
                break
        await stream.aclose()
        ends = time.monotonic() + 20
        while (usage := await model.usage_of(name)) is None:
            assert time.monotonic() < ends
            await asyncio.sleep(0.005)
        return name, usage

    name, usage = run(lambda: OpenAIModel(pin, str), use)
    assert usage == mock.invoice[name].usage
    assert usage.output == 3


@pytest.mark.parametrize("name", ["chatcmpl-999", "../models", "a/b", ""])
def test_a_call_the_books_do_not_know_has_no_usage(mock: MockOpenAI, name: str) -> None:
    """An unknown or odd name is no usage, and reaches no other address."""
    assert run(lambda: OpenAIModel(mock.pin(lookup=True), str), lambda model: model.usage_of(name)) is None


def test_chunks_carry_the_bytes_to_pass_on(mock: MockOpenAI) -> None:
    """What the provider sent can be given on without writing it anew."""

    async def use(model: ChatModel) -> list[Chunk]:
        return [chunk async for chunk in model.stream(ASK, 20)]

    for chunk in run(lambda: OpenAIModel(mock.pin(), str), use):
        assert json.loads(chunk.raw) == chunk.document


def test_a_pin_can_fix_a_fingerprint(mock: MockOpenAI) -> None:
    """A model that changes behind its name is refused where the pin fixes its fingerprint."""
    pin = mock.pin(version="fp_mock")
    assert run(lambda: OpenAIModel(pin, str), lambda model: model.complete(ASK, 20)).fingerprint == "fp_mock"
    mock.fingerprint = "fp_other"
    with pytest.raises(ProviderTrouble) as caught:
        run(lambda: OpenAIModel(pin, str), lambda model: model.complete(ASK, 20))
    assert caught.value.trouble is Trouble.WRONG_MODEL


def test_the_caller_may_not_choose_a_dearer_tier(mock: MockOpenAI) -> None:
    """Processing that costs more than the pin's price is not a caller's to ask for."""
    run(lambda: OpenAIModel(mock.pin(), str), lambda model: model.complete({**ASK, "service_tier": "priority"}, 20))
    assert "service_tier" not in mock.requests[0]


class Odd:
    """A server that answers every request with the same bytes."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.paths: list[str] = []
        odd = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Answer."""
                odd.paths.append(self.path)
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def complete(self) -> Any:
        """Ask it once."""
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        pin = Pin(name="odd", provider=Provider.OPENAI, model="m", url=f"http://127.0.0.1:{self.server.server_port}")
        try:
            return run(lambda: OpenAIModel(pin, str), lambda model: model.complete(ASK, 20))
        finally:
            self.server.shutdown()
            self.server.server_close()


def test_a_redirect_is_not_followed() -> None:
    """A provider cannot send a question and its key elsewhere."""
    odd = Odd(307, {"location": "/elsewhere"}, b"")
    with pytest.raises(ProviderTrouble) as caught:
        odd.complete()
    assert caught.value.trouble is Trouble.REFUSED
    assert odd.paths == ["/chat/completions"]


def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server cannot fill the memory of whoever asks it."""
    monkeypatch.setattr(connection, "MAX_ANSWER_BYTES", 1000)
    with pytest.raises(ProviderTrouble) as caught:
        Odd(200, {}, b"x" * 2000).complete()
    assert caught.value.trouble is Trouble.BROKEN


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"choices": []}', b'{"choices": [{}]}', b"\xff", b'{"error": {"message": "no"}}']
)
def test_json_that_is_no_answer_is_broken(body: bytes) -> None:
    """An answer of no known shape reaches nobody."""
    with pytest.raises(ProviderTrouble) as caught:
        Odd(200, {}, body).complete()
    assert caught.value.trouble is Trouble.BROKEN


def test_without_a_count_of_the_providers_ours_is_an_estimate() -> None:
    """A provider that does not count is counted for, and the count says so."""
    document = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 41}}]}
    answer = Odd(200, {}, json.dumps(document).encode()).complete()
    assert answer.usage.is_estimate
    assert answer.usage.output == 11
    assert answer.usage.input > 4


DATES = {"date": "Mon, 23 Nov 2026 10:00:00 GMT", "retry-after": "Mon, 23 Nov 2026 10:00:09 GMT"}


SPELLINGS: list[tuple[dict[str, str], float | None]] = [
    ({"retry-after": "3"}, 3),
    ({"retry-after-ms": "1500"}, 1.5),
    (DATES, 9),
    ({"retry-after": "soon"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "seconds"), SPELLINGS)
def test_every_spelling_of_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates say the same thing."""
    assert connection.retry_after(headers) == seconds
