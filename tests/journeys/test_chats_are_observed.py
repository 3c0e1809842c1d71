"""A system of kind llm that answers for real is observed for real: signals, explanation and traces of its answers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llm_kit import SYSTEM, Chat, make_chat, pin_of
from providers_kit import MockOpenAI
from roadworthy.lifecycle.explain import explain
from roadworthy.lifecycle.status import status
from serving_kit import until

pytestmark = pytest.mark.slow
SECRET = "my mail is grace.hopper@example.org"


def values(chat: Chat) -> dict[str, float | None]:
    """Return the newest signals of the whole system."""
    return {one.name: one.value for one in status(chat.plane, SYSTEM).signals if not one.release}


def test_answers_become_signals_an_explanation_and_a_trace(tmp_path: Path) -> None:
    """Four questions, one of them streamed: what they cost and took is known seconds later, and leads back to each."""
    spans: list[dict[str, Any]] = []
    sent: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(self.rfile.read(int(self.headers["content-length"])))
            for one in json.loads(sent[-1])["resourceSpans"]:
                spans.extend(span for scope in one["scopeSpans"] for span in scope["spans"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    collector = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    with MockOpenAI() as mock:
        chat = make_chat(tmp_path, {"main": pin_of(mock)})
        chat.environment = {
            "ROADWORTHY_TRACES_URL": f"http://127.0.0.1:{collector.server_port}", "ROADWORTHY_TRACES_SHARE": "1",
        }  # fmt: skip
        try:
            chat.start(up=True)
            for _ in range(3):
                assert chat.ask(SECRET).status == 200
            messages: Any = [{"role": "user", "content": "Say it bit by bit."}]
            assert list(chat.client().chat.completions.create(model=SYSTEM, messages=messages, stream=True))
            until(lambda: (values(chat).get("first_token") or 0) > 0, "the stream is observed")
            found = values(chat)
            assert found["tokens(out)"]
            assert found["cost"]
            assert found["refusals"] == 0
            assert found["guards(limits)"] == 0
            until(lambda: len([one for one in spans if "parentSpanId" not in one]) >= 4, "four traces came")
            record = chat.records(4)[0]
            told = explain(chat.plane, record.id)
            assert told.chat is not None
            assert (told.chat.pin, told.chat.currency) == ("main", "USD")
            assert told.chat.cost > 0
            assert told.release is not None
            assert told.release.assistant is not None
            assert "You are helpful." in told.release.assistant.prompt
            assert b"hopper" not in b"".join(sent)
        finally:
            chat.stop()
            chat.plane.close()
            collector.shutdown()
            thread.join()
            collector.server_close()
