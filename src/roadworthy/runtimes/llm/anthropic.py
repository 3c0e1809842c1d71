"""Anthropic's Messages API behind the same face as the others: OpenAI's documents come in and go out."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

import msgspec
from yarl import URL

from roadworthy.domain.pin import Pin, Usage
from roadworthy.ports.chat import Chunk, Completion, Document, Embedded, ProviderTrouble, Trouble
from roadworthy.runtimes.llm.anthropic_request import WRAPPED, Translated, refused, translate
from roadworthy.runtimes.llm.connection import Connect, Connection, connect_tcp, decode_object
from roadworthy.runtimes.llm.counting import estimate_answer, estimate_input, estimate_tokens, usage_document
from roadworthy.runtimes.llm.openai import bounded
from roadworthy.runtimes.llm.pinned import check_model, text_in
from roadworthy.runtimes.llm.reading import Reading, read_stream

ANTHROPIC_URL: Final = "https://api.anthropic.com"
API_VERSION: Final = "2023-06-01"
_ENCODE: Final = msgspec.json.Encoder().encode
_FINISHES: Final = {
    "end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls",
    "refusal": "content_filter", "model_context_window_exceeded": "length",
}  # fmt: skip
_ERROR_KINDS: Final = {
    "overloaded_error": Trouble.DOWN,
    "api_error": Trouble.DOWN,
    "timeout_error": Trouble.SLOW,
    "rate_limit_error": Trouble.RATE_LIMITED,
    "invalid_request_error": Trouble.REFUSED,
}


class AnthropicModel:
    """A pin at Anthropic, or at whoever else serves its Messages API. `secret` reads the pin's key when needed."""

    def __init__(self, pin: Pin, secret: Callable[[str], str], connect: Connect = connect_tcp) -> None:
        self.pin = pin
        self._secret = secret
        self._connection = Connection(pin.name, connect)
        place = (pin.url or ANTHROPIC_URL).rstrip("/").removesuffix("/v1")
        self._url = URL(f"{place}/v1/messages")

    async def complete(self, request: Document, deadline_s: float) -> Completion:
        """Answer at once.

        Raises:
            ProviderTrouble: no usable answer within the deadline.
        """
        asked = translate(bounded(self.pin, self.pin.parameters, request))
        headers, body = self._headers(), _ENCODE(asked.body)
        try:
            text = await self._connection.call("POST", self._url, headers, body, deadline_s)
        except ProviderTrouble as trouble:
            raise _alike(trouble) from None
        message = decode_object(text, self.pin.name)
        document = _answer(message, asked)
        if document is None:
            raise ProviderTrouble(Trouble.BROKEN, f"{self.pin.name} sent no answer")
        usage = _usage(message.get("usage"))
        if usage is None:
            usage = Usage(input=estimate_input(request), output=estimate_answer(document), is_estimate=True)
        document["usage"] = usage_document(usage)
        check_model(self.pin, document, usage)
        return Completion(
            document=document, usage=usage, model=document["model"], fingerprint="", upstream_id=document["id"]
        )

    def stream(self, request: Document, deadline_s: float) -> AsyncIterator[Chunk]:
        """Answer piece by piece; the last piece carries the usage. Closing the iterator hangs up on the provider.

        Raises:
            ProviderTrouble: before the first piece, or between two.
        """
        asked = translate(bounded(self.pin, self.pin.parameters, request))
        asked.body["stream"] = True

        def pieces() -> AsyncGenerator[bytes]:
            return self._connection.pieces(self._url, self._headers(), _ENCODE(asked.body), deadline_s)

        return read_stream(_Reading(self.pin, request, asked), pieces)

    async def embed(self, texts: Sequence[str], deadline_s: float) -> Embedded:  # noqa: ARG002 (the port's shape)
        """Refuse: the provider has no embeddings.

        Raises:
            ProviderTrouble: always.
        """
        raise refused(f"{self.pin.name} has no embeddings", "model")

    async def usage_of(self, upstream_id: str) -> Usage | None:  # noqa: ARG002 (the port's shape)
        """Return None: the provider keeps no books that can be asked about one call."""
        return None

    async def close(self) -> None:
        """Let go of connections."""
        await self._connection.close()

    def _headers(self) -> Mapping[str, str]:
        key = self._secret(self.pin.key) if self.pin.key else ""
        stated = {"content-type": "application/json", "anthropic-version": API_VERSION}
        return {**stated, "x-api-key": key} if key else stated


class _Reading(Reading):
    """Anthropic's events, told as OpenAI's chunks."""

    __slots__ = ("_answers", "_asked", "_counts", "_created", "_tools", "_wrapped")

    def __init__(self, pin: Pin, request: Document, asked: Translated) -> None:
        super().__init__(pin, request)
        self._asked = asked
        self._created = int(time.time())
        self._counts: dict[str, Any] = {}
        self._tools: dict[int, int] = {}
        self._answers: set[int] = set()
        self._wrapped: dict[int, str] = {}

    def understand(self, name: str, data: bytes) -> Iterable[Chunk]:  # noqa: ARG002 (each event repeats its name)
        """Read one event into the chunks it stands for."""
        event = decode_object(data, self.pin.name)
        read = _EVENTS.get(text_in(event.get("type")))
        if read is None:
            return ()
        try:
            return read(self, event)
        except (KeyError, TypeError, AttributeError):
            raise ProviderTrouble(Trouble.BROKEN, f"{self.pin.name} sent an event of no known shape") from None

    def start(self, event: dict[str, Any]) -> Iterable[Chunk]:
        """Take the message's head."""
        message = event["message"]
        self._counts.update(message.get("usage") or {})
        head = {
            "id": message["id"],
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": message["model"],
        }
        self.begin(head)
        return (self._chunk({"role": "assistant", "content": ""}),)

    def open_block(self, event: dict[str, Any]) -> Iterable[Chunk]:
        """Begin a text, a tool call, or the answer that a tool stands for."""
        block, index = event["content_block"], event["index"]
        if block["type"] == "text" and block.get("text"):
            return (self._text(block["text"]),)
        if block["type"] != "tool_use":
            return ()
        if block["name"] == self._asked.answer_tool:
            self._answers.add(index)
            self._wrapped[index] = ""
            return ()
        self._tools[index] = len(self._tools)
        self._wrapped[index] = ""
        call = {"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": ""}}
        return (self._chunk({"tool_calls": [{"index": self._tools[index], **call}]}),)

    def delta(self, event: dict[str, Any]) -> Iterable[Chunk]:
        """Pass a piece of a block on."""
        delta, index = event["delta"], event["index"]
        if delta["type"] == "text_delta":
            # A model that must answer in JSON may talk before it does; OpenAI's would not.
            return () if self._asked.answer_tool else (self._text(delta["text"]),)
        if delta["type"] != "input_json_delta" or not delta["partial_json"]:
            return ()
        part = delta["partial_json"]
        self._wrapped[index] += part
        if index not in self._answers:
            return (self._arguments(index, part),)
        return () if self._asked.is_wrapped else (self._text(part),)

    def close_block(self, event: dict[str, Any]) -> Iterable[Chunk]:
        """End a block."""
        index = event["index"]
        written = self._wrapped.get(index)
        if written is None:
            return ()
        if index not in self._answers:
            return () if written else (self._arguments(index, "{}"),)
        if self._asked.is_wrapped:
            inner = decode_object(written.encode(), self.pin.name)[WRAPPED]
            return (self._text(_ENCODE(inner).decode()),)
        return () if written else (self._text("{}"),)

    def end(self, event: dict[str, Any]) -> Iterable[Chunk]:
        """Take the reason why the message ended, and the counts."""
        self._counts.update(event.get("usage") or {})
        reason = event["delta"].get("stop_reason")
        if not reason:
            return ()
        self.is_finished = True
        self.usage = _usage(self._counts)
        finish = _finish(reason, answered=bool(self._answers))
        return (self._chunk({}, finish),)

    def stop(self, _: dict[str, Any]) -> Iterable[Chunk]:
        """End the message."""
        self.is_done = True
        return (self.counted(),)

    def fail(self, event: dict[str, Any]) -> Iterable[Chunk]:
        """Raise the trouble that the provider speaks of."""
        error = event["error"]
        trouble = _ERROR_KINDS.get(error.get("type", ""), Trouble.BROKEN)
        raise _alike(ProviderTrouble(trouble, f"{self.pin.name} sent an error within its answer", body=event))

    def so_far(self) -> Usage:
        """Return what the provider has counted: the input is known from the first event on."""
        known = None if self.usage else _usage(self._counts)
        if known is None:
            return super().so_far()
        return replace(known, output=max(known.output, estimate_tokens(self.characters)), is_estimate=True)

    def _text(self, text: str) -> Chunk:
        self.characters += len(text)
        return self._chunk({"content": text}, text=text)

    def _arguments(self, index: int, part: str) -> Chunk:
        self.characters += len(part)
        return self._chunk({"tool_calls": [{"index": self._tools[index], "function": {"arguments": part}}]})

    def _chunk(self, delta: dict[str, Any], finish: str = "", text: str = "") -> Chunk:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish or None}
        return Chunk(document={**self.head, "choices": [choice]}, text=text, finish=finish)


_EVENTS: Final[Mapping[str, Callable[[_Reading, dict[str, Any]], Iterable[Chunk]]]] = {
    "message_start": _Reading.start,
    "content_block_start": _Reading.open_block,
    "content_block_delta": _Reading.delta,
    "content_block_stop": _Reading.close_block,
    "message_delta": _Reading.end,
    "message_stop": _Reading.stop,
    "error": _Reading.fail,
}


def _answer(message: Mapping[str, Any], asked: Translated) -> dict[str, Any] | None:
    """Write a message as a `chat.completion`; None where it is no message."""
    try:
        texts, calls, given = _contents(message["content"], asked)
        finish = _finish(message["stop_reason"], answered=given is not None)
        answer: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
        if given is not None:
            answer["content"] = given
        if calls:
            answer["tool_calls"] = calls
        choice = {"index": 0, "message": answer, "logprobs": None, "finish_reason": finish}
        return {
            "id": text_in(message["id"]),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": text_in(message["model"]),
            "choices": [choice],
        }
    except (KeyError, TypeError):
        return None


def _contents(
    blocks: Iterable[Mapping[str, Any]], asked: Translated
) -> tuple[list[str], list[dict[str, Any]], str | None]:
    """Return a message's texts, its tool calls, and the JSON answer where one was asked for."""
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    given: str | None = None
    for block in blocks:
        if block["type"] == "text":
            texts.append(block["text"])
        elif block["type"] == "tool_use" and block["name"] == asked.answer_tool:
            given = _ENCODE(block["input"][WRAPPED] if asked.is_wrapped else block["input"]).decode()
        elif block["type"] == "tool_use":
            function = {"name": block["name"], "arguments": _ENCODE(block["input"]).decode()}
            calls.append({"id": block["id"], "type": "function", "function": function})
    return texts, calls, given


def _finish(reason: str | None, *, answered: bool) -> str:
    if reason == "tool_use" and answered:
        return "stop"
    return _FINISHES.get(reason or "", "stop")


def _usage(stated: object) -> Usage | None:
    """Read Anthropic's counts, where what was read from and written to a cache is beside the input, not part of it."""
    if not isinstance(stated, dict):
        return None
    counts = cast("dict[str, Any]", stated)
    fresh, made = counts.get("input_tokens"), counts.get("output_tokens")
    if not isinstance(fresh, int) or not isinstance(made, int):
        return None
    read = counts.get("cache_read_input_tokens") or 0
    written = counts.get("cache_creation_input_tokens") or 0
    return Usage(input=fresh + written + read, output=made, cached_input=read)


def _alike(trouble: ProviderTrouble) -> ProviderTrouble:
    """Write the provider's error as OpenAI would have."""
    error = (trouble.body or {}).get("error")
    if isinstance(error, dict):
        stated = cast("dict[str, Any]", error)
        kind = stated.get("type", "")
        trouble.body = {"error": {"message": stated.get("message", ""), "type": kind, "param": None, "code": kind}}
    return trouble
