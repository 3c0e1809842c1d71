"""The ASGI twin streams, images go to providers that take them, and odd bodies never fail inside the server."""

from __future__ import annotations

import asyncio
import http.client
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_kit import SYSTEM, House, chatting, make_chat, pin_of, text_of
from providers_kit import MockAnthropic, MockOpenAI
from roadworthy.serving.asgi import Asgi
from roadworthy.serving.worker import Start

IMAGE = {
    "type": "image_url",
    "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAf"},
}


def test_the_asgi_twin_streams_and_hears_who_hangs_up(tmp_path: Path) -> None:
    """Pieces leave one by one; a caller who left is noticed, and the answer is read to its end."""
    with MockOpenAI(token_gap_s=0.002) as provider:
        off = {"canary": "off", "limits": "off"}
        chat = make_chat(tmp_path, {"main": pin_of(provider)}, guards=off)
        body = {"model": SYSTEM, "messages": [{"role": "user", "content": "a b c d"}], "stream": True}
        headers = [(b"authorization", f"Bearer {chat.key}".encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}

        async def ask(asgi: Asgi, *, leaves_after: int) -> list[Any]:
            sent: list[Any] = []
            left = asyncio.Event()
            given = iter([{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}])

            async def receive() -> Any:
                message = next(given, None)
                if message is None:
                    await left.wait()
                return message or {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                sent.append(message)
                if len(sent) >= leaves_after:
                    left.set()

            await asgi(dict(scope), receive, send)
            return sent

        async def live() -> tuple[list[Any], list[Any]]:
            asgi, words = Asgi(Start(home=chat.plane.home.root)), asyncio.Queue[Any]()
            started = asyncio.Event()

            async def told(_: Any) -> None:
                started.set()

            life = asyncio.create_task(asgi({"type": "lifespan"}, words.get, told))
            words.put_nowait({"type": "lifespan.startup"})
            await started.wait()
            whole, left = await ask(asgi, leaves_after=10_000), await ask(asgi, leaves_after=3)
            words.put_nowait({"type": "lifespan.shutdown"})
            await life
            return whole, left

        whole, left = asyncio.run(live())
        assert whole[0]["status"] == 200
        assert dict(whole[0]["headers"])[b"content-type"].startswith(b"text/event-stream")
        assert len(whole) > 5
        assert b"".join(one["body"] for one in whole[1:]).endswith(b"data: [DONE]\n\n")
        assert not any(one.get("body", b"").endswith(b"[DONE]\n\n") for one in left)
        assert all(line.is_settled and not line.hung_up for line in provider.invoice.values())
        chat.plane.close()


def test_images_go_to_who_takes_them(tmp_path: Path) -> None:
    """An image reaches the provider as it came; a provider that takes none is passed over."""
    with MockAnthropic() as blind, MockOpenAI() as seeing:
        pins = {"blind": pin_of(blind), "seeing": pin_of(seeing, allows=None)}
        with chatting(tmp_path, pins, serve={"deadline": "20s"}) as chat:
            parts = [{"type": "text", "text": "what is this?"}, IMAGE]
            answer = chat.ask([{"role": "user", "content": parts}])
            assert answer.headers["x-roadworthy-fallback"] == "seeing"
            assert seeing.requests[0]["messages"][-1]["content"] == parts
            assert text_of(answer) == "You said: what is this?"
            alone = chat.ask([{"role": "user", "content": [IMAGE]}])
            assert alone.status == 200
            assert seeing.requests[1]["messages"][-1]["content"] == [IMAGE]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=5) | st.floats(allow_nan=False, width=16),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = st.sampled_from(
    ["messages", "stream", "stream_options", "tools", "tool_choice", "response_format", "user", "metadata", "stop",
     "temperature", "max_tokens", "n", "logprobs", "functions", "model"]
)  # fmt: skip
_MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system", "developer", "function"])},
    optional={"content": _JSON, "tool_calls": _JSON, "tool_call_id": _JSON, "name": _JSON},
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(_FIELDS, _JSON, max_size=4), st.lists(_MESSAGE, min_size=1, max_size=3))
def test_odd_bodies_are_answered_or_refused(house: House, odd: dict[str, Any], messages: list[Any]) -> None:
    """Whatever JSON comes, the answer is one of the API's, never a failure of the server."""
    document = {"model": SYSTEM, "messages": messages, **odd}
    answer = house.chat.http("POST", "/v1/chat/completions", document)
    assert answer.status in {200, 400, 404, 503}, answer.body
    if answer.status == 503:
        steps = house.chat.record(answer.headers["x-roadworthy-record"]).steps
        assert all(step.detail == "refused" for step in steps if step.kind == "attempt" and step.outcome == "error"), (
            document, steps,
        )  # fmt: skip


def test_a_body_is_held_to_the_systems_limit_however_it_comes(tmp_path: Path) -> None:
    """A body without a length is counted as it comes; what to do is told, and the model is not asked."""
    with MockOpenAI() as provider:
        serve = {"deadline": "20s", "max_body": "4KiB"}
        with chatting(tmp_path, {"main": pin_of(provider)}, serve=serve) as chat:
            document = {"model": SYSTEM, "messages": [{"role": "user", "content": "word " * 2_000}]}
            body = json.dumps(document).encode()
            headers = {"authorization": f"Bearer {chat.key}", "content-type": "application/json"}
            for chunked in (False, True):
                line = http.client.HTTPConnection("127.0.0.1", chat.port, timeout=20)
                parts = (body[at : at + 1_000] for at in range(0, len(body), 1_000)) if chunked else body
                line.request("POST", "/v1/chat/completions", parts, headers, encode_chunked=chunked)
                answer = line.getresponse()
                told = answer.read().decode()
                line.close()
                assert (answer.status, "larger than 4096 bytes" in told) == (413, True), told
                assert "serve.max_body" in told
            assert not provider.requests
            assert chat.ask("short").status == 200
