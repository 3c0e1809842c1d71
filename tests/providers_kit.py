"""Mock providers: real HTTP servers on 127.0.0.1 that speak OpenAI's and Anthropic's public protocols and keep books.

`with MockOpenAI() as provider:` serves in a thread of its own. `provider.script` decides the answers, `provider.fault`
what goes wrong (or `provider.fail(Fault.DOWN, times=2)`), `provider.invoice` is what it bills, call by call, to the
token; `requests` and `clients` (their ports) tell who asked what. A token is a word with the blanks before it. Run as a
program it serves one provider in a process of its own: `python tests/providers_kit.py openai` prints the URL.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import msgspec
from aiohttp import web

from roadworthy.domain.pin import Pin, Price, Provider, Usage

_TOKEN = re.compile(r"\s*\S+")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
VECTOR_SIZE = 16


class Fault(StrEnum):
    """What a provider does instead of answering well."""

    DOWN = "down"  # hangs up without a word
    SLOW = "slow"  # holds the answer until `release()`
    RATE_LIMITED = "rate_limited"  # 429 with Retry-After
    BROKEN_JSON = "broken_json"
    TRUNCATED = "truncated"  # ends its answer in the middle, as if it were whole
    CUT = "cut"  # the connection breaks in the middle of the answer
    WRONG_MODEL = "wrong_model"  # answers as another model
    FAILING = "failing"  # 500
    HANG = "hang"  # sends half of a stream, then nothing until `release()`
    UNAUTHORISED = "unauthorised"
    REFUSED = "refused"  # 400
    ERROR_IN_STREAM = "error_in_stream"


@dataclass(slots=True, kw_only=True)
class Ask:
    """A request as a script sees it, whatever its protocol. `choice` is a tool's name, `any`, `none` or empty."""

    system: str
    messages: list[tuple[str, str]]
    tools: dict[str, dict[str, Any]]
    choice: str
    schema: dict[str, Any] | None
    max_tokens: int
    stop: tuple[str, ...]
    raw: dict[str, Any]

    @property
    def last(self) -> str:
        """The newest message's text."""
        return self.messages[-1][1] if self.messages else ""


@dataclass(slots=True, kw_only=True)
class Reply:
    """What a script answers: text, tool calls as (name, arguments), or both.

    `cached` is how many input tokens are billed as read from a cache. `logprobs` gives (token, log-probability) of the
    likeliest tokens at each position. `refuses`: the text is said in OpenAI's field for refusals.
    """

    text: str = ""
    calls: Sequence[tuple[str, Mapping[str, Any]]] = ()
    cached: int = 0
    logprobs: Sequence[Sequence[tuple[str, float]]] | None = None
    refuses: bool = False


@dataclass(slots=True, kw_only=True)
class Line:
    """One line of the invoice. `is_settled` once the call has ended, however it ended."""

    id: str
    model: str
    input: int
    output: int = 0
    cached: int = 0
    is_stream: bool = False
    hung_up: bool = False
    is_settled: bool = False
    stored: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def usage(self) -> Usage:
        """The line as a usage."""
        return Usage(input=self.input, output=self.output, cached_input=self.cached)


Script = Callable[[Ask], Reply]


def tokens_of(text: str) -> list[str]:
    """Cut a text into the mock's tokens; joined they give the text back, but for blanks at its end."""
    return _TOKEN.findall(text)


def obliging(ask: Ask) -> Reply:
    """Answer as the request's shape demands: a forced tool is called, a schema is filled, else the question comes back.

    Without a forced tool, one is called when the question says `call <name>`.
    """
    if ask.tools and ask.choice != "none":
        named = ask.choice if ask.choice in ask.tools else next((t for t in ask.tools if f"call {t}" in ask.last), "")
        name = named or (next(iter(ask.tools)) if ask.choice == "any" else "")
        if name:
            return Reply(calls=[(name, instance_of(ask.tools[name]))])
    if ask.schema is not None:
        return Reply(text=_encode(instance_of(ask.schema)).decode())
    return Reply(text=f"You said: {ask.last}")


def instance_of(schema: Mapping[str, Any]) -> Any:
    """Make the plainest value that a JSON schema allows."""
    kind = schema.get("type", "object")
    if "enum" in schema:
        return schema["enum"][0]
    if kind == "object":
        return {name: instance_of(part) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance_of(schema.get("items", {"type": "string"}))]
    return {"integer": schema.get("minimum", 1), "number": schema.get("minimum", 1), "boolean": True}.get(kind, "word")


def vector_of(text: str) -> list[float]:
    """Make a unit vector that depends on the text alone."""
    numbers = [byte - 127.5 for byte in hashlib.sha256(text.encode()).digest()[:VECTOR_SIZE]]
    length = sum(number * number for number in numbers) ** 0.5
    return [number / length for number in numbers]


class Declined(Exception):
    """The mock answers with an error."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Hangup(Exception):
    """The mock breaks the connection."""


@dataclass
class MockProvider:
    """What both protocols share: the server, its faults and its books. Attributes may be changed at any time."""

    script: Script = obliging
    fault: Fault | None = None
    key: str = ""
    fingerprint: str = "fp_mock"
    retry_after: str = "1"
    token_gap_s: float = 0.0
    bill_all: bool = False
    invoice: dict[str, Line] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    clients: set[int] = field(default_factory=set)
    port: int = 0
    _planned: deque[Fault | None] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name=type(self).__name__)
        self._released = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The base address that a pin names."""
        raise NotImplementedError

    def routes(self) -> list[web.RouteDef]:
        """The protocol's addresses."""
        raise NotImplementedError

    def fail(self, fault: Fault, times: int = 1) -> None:
        """Let the next calls go wrong, then answer well again."""
        self._planned.extend([fault] * times)

    def release(self) -> None:
        """Let calls go on that a fault holds."""
        self._loop.call_soon_threadsafe(self._released.set)

    def stop(self) -> None:
        """Stop listening: connections are refused from now on."""
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()

    def usage(self) -> Usage:
        """Add up the invoice."""
        return sum((line.usage for line in list(self.invoice.values())), Usage())

    def cost(self, price: Price) -> int:
        """Add up the invoice at a price, in picounits."""
        return sum(price.cost(line.usage) for line in list(self.invoice.values()))

    async def _start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    # What happens to every call.

    async def _admit(self, request: web.Request, key: str) -> tuple[dict[str, Any], Fault | None]:
        body = _decode(await request.read())
        self.requests.append(body)
        assert request.transport is not None
        self.clients.add(request.transport.get_extra_info("peername")[1])
        fault = self._planned.popleft() if self._planned else self.fault
        if (self.key and key != self.key) or fault is Fault.UNAUTHORISED:
            raise self.error(401, "authentication_error", f"the key {key} is wrong")
        if fault is Fault.DOWN:
            request.transport.abort()
            raise Hangup
        if fault is Fault.SLOW:
            await self._released.wait()
        if fault is Fault.RATE_LIMITED:
            raise self.error(429, "rate_limit_error", "too many requests", {"retry-after": self.retry_after})
        if fault is Fault.FAILING:
            raise self.error(500, "server_error", "it went wrong here")
        if fault is Fault.REFUSED:
            raise self.error(400, "invalid_request_error", f"not with the key {key}")
        return body, fault

    def _understood(self, body: dict[str, Any]) -> Ask:
        try:
            ask = self._asked(body)
        except (TypeError, KeyError, AttributeError, IndexError, ValueError):
            ask = None
        if ask is None or not all(isinstance(one, str) for one in ask.stop):
            raise self.error(400, "invalid_request_error", "this is no request of the protocol")
        return ask

    def _asked(self, body: dict[str, Any]) -> Ask:
        """Read a request of the protocol."""
        raise NotImplementedError

    def error(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> Declined:
        """Make the protocol's error answer."""
        body = self.error_body(kind, message)
        return Declined(web.Response(status=status, body=body, content_type="application/json", headers=headers))

    def error_body(self, kind: str, message: str) -> bytes:
        """Write the protocol's error document."""
        raise NotImplementedError

    def _open(self, prefix: str, model: str, given: int, reply: Reply, *, is_stream: bool, stored: bool) -> Line:
        line = Line(
            id=f"{prefix}{next(self._numbers)}",
            model=model,
            input=given,
            cached=min(reply.cached, given),
            is_stream=is_stream,
            stored=stored,
        )
        self.invoice[line.id] = line
        return line

    def _plan(self, ask: Ask) -> tuple[Reply, list[str], str]:
        """Return the reply, its text's tokens within the limits, and how it ends: stop, length or calls."""
        reply = self.script(ask)
        text = reply.text
        for stop in ask.stop:
            text = text.partition(stop)[0]
        words = tokens_of(text)
        if len(words) > ask.max_tokens:
            return reply, words[: ask.max_tokens], "length"
        return reply, words, "calls" if reply.calls else "stop"

    @asynccontextmanager
    async def _streaming(
        self, request: web.Request, line: Line, fault: Fault | None, total: int
    ) -> AsyncIterator[tuple[web.StreamResponse, Callable[..., Any]]]:
        """Give the answer and what sends an event worth so many tokens, minding the fault and the books."""
        answer = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
        cut_at = max(total // 2, 1)

        async def send(event: bytes, tokens: int = 0) -> None:
            if tokens and line.output >= cut_at:
                await self._spoil(request, answer, fault)
            await answer.write(event)
            line.output += tokens
            if tokens and self.token_gap_s:
                await asyncio.sleep(self.token_gap_s)

        try:
            # Whoever hung up before the first byte is billed for the question all the same.
            await answer.prepare(request)
            yield answer, send
            await answer.write_eof()
        except (ConnectionError, asyncio.CancelledError):
            line.hung_up = True
            raise
        except Hangup:
            if fault is Fault.CUT:
                assert request.transport is not None
                request.transport.abort()
            else:
                await answer.write_eof()
        finally:
            if self.bill_all:
                line.output = total
            line.is_settled = True

    async def _spoil(self, request: web.Request, answer: web.StreamResponse, fault: Fault | None) -> None:
        if fault is Fault.HANG:
            await self._released.wait()
        elif fault is Fault.BROKEN_JSON:
            await answer.write(b'data: {"choices": [{\n\n')
        elif fault is Fault.ERROR_IN_STREAM:
            await answer.write(b"event: error\ndata: " + self.error_body("overloaded_error", "too much") + b"\n\n")
            raise Hangup
        elif fault in {Fault.TRUNCATED, Fault.CUT}:
            raise Hangup

    def _whole(self, request: web.Request, document: dict[str, Any], line: Line, fault: Fault | None) -> web.Response:
        body = _encode(document)
        line.is_settled = True
        if fault is Fault.BROKEN_JSON or fault is Fault.TRUNCATED:
            body = body[: len(body) // 2]
        if fault is Fault.CUT:
            assert request.transport is not None
            request.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + body[:20])
            request.transport.close()
            raise Hangup
        return web.Response(body=body, content_type="application/json")


def _guarded(handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Declined as declined:
            return declined.answer
        except (Hangup, ConnectionError):
            return web.Response(status=500)

    return guarded


class MockOpenAI(MockProvider):
    """OpenAI's chat completions, embeddings, models, and stored completions by id."""

    @property
    def url(self) -> str:
        """The base address that a pin names."""
        return f"http://127.0.0.1:{self.port}/v1"

    def pin(self, **changes: Any) -> Pin:
        """Make a pin of this provider."""
        stated: dict[str, Any] = {"name": "mock", "provider": Provider.OPENAI, "model": "mock-1", "url": self.url}
        return Pin(**(stated | changes))

    def routes(self) -> list[web.RouteDef]:
        """The protocol's addresses."""
        return [
            web.post("/v1/chat/completions", _guarded(self._chat)),
            web.get("/v1/chat/completions", _guarded(self._listed)),
            web.get("/v1/chat/completions/{id}", _guarded(self._stored)),
            web.post("/v1/embeddings", _guarded(self._embed)),
            web.get("/v1/models", _guarded(self._models)),
        ]

    def error_body(self, kind: str, message: str) -> bytes:
        """Write OpenAI's error document."""
        return _encode({"error": {"message": message, "type": kind, "param": None, "code": kind}})

    def _asked(self, body: dict[str, Any]) -> Ask:
        choice = body.get("tool_choice", "")
        form = body.get("response_format") or {}
        stop = body.get("stop") or ()
        messages = [(str(m["role"]), _plain(m.get("content"))) for m in body["messages"]]
        return Ask(
            system="\n".join(text for role, text in messages if role in {"system", "developer"}),
            messages=[(role, text) for role, text in messages if role not in {"system", "developer"}],
            tools={t["function"]["name"]: t["function"].get("parameters", {}) for t in body.get("tools") or ()},
            choice=choice["function"]["name"]
            if isinstance(choice, dict)
            else {"required": "any", "none": "none"}.get(choice, ""),
            schema=(form.get("json_schema") or {}).get("schema", {}) if form.get("type") == "json_schema" else None,
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens") or 1 << 30,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            raw=body,
        )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body, fault = await self._admit(request, request.headers.get("authorization", "").removeprefix("Bearer "))
        if not body.get("messages"):
            raise self.error(400, "invalid_request_error", "messages must not be empty")
        ask = self._understood(body)
        reply, words, end = self._plan(ask)
        model = "another-model" if fault is Fault.WRONG_MODEL else body["model"]
        given = sum(len(tokens_of(text)) for _, text in ask.messages) + len(tokens_of(ask.system))
        is_stream, stored = bool(body.get("stream")), bool(body.get("store"))
        if body.get("metadata") and not stored:
            raise self.error(400, "invalid_request_error", "metadata is only allowed when store is enabled")
        line = self._open("chatcmpl-", model, given, reply, is_stream=is_stream, stored=stored)
        line.metadata = body.get("metadata") or {}
        calls = [_call(n, line.id, name, arguments) for n, (name, arguments) in enumerate(reply.calls)]
        finish = "tool_calls" if end == "calls" else end
        if is_stream:
            said = "refusal" if reply.refuses else "content"
            return await self._stream(request, body, line, fault, words, calls, finish, said)
        line.output = len(words) + sum(len(tokens_of(call["function"]["arguments"])) for call in calls)
        message: dict[str, Any] = {"role": "assistant", "content": "".join(words) if words or not calls else None}
        if calls:
            message["tool_calls"] = calls
        if reply.refuses:
            message |= {"content": None, "refusal": "".join(words)}
        choice: dict[str, Any] = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        if body.get("logprobs") and reply.logprobs is not None:
            choice["logprobs"] = _logprobs(reply.logprobs)
        document = self._head(line, "chat.completion") | {"choices": [choice], "usage": _openai_usage(line)}
        return self._whole(request, document, line, fault)

    def _head(self, line: Line, kind: str) -> dict[str, Any]:
        return {
            "id": line.id,
            "object": kind,
            "created": 1_700_000_000,
            "model": line.model,
            "system_fingerprint": self.fingerprint,
        }

    async def _stream(
        self,
        request: web.Request,
        body: dict[str, Any],
        line: Line,
        fault: Fault | None,
        words: list[str],
        calls: list[dict[str, Any]],
        finish: str,
        said: str,
    ) -> web.StreamResponse:
        head = self._head(line, "chat.completion.chunk")
        with_usage = bool((body.get("stream_options") or {}).get("include_usage"))

        def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return b"data: " + _encode(head | {"choices": [choice]}) + b"\n\n"

        pieces = [(n, part) for n, call in enumerate(calls) for part in tokens_of(call["function"]["arguments"])]
        async with self._streaming(request, line, fault, len(words) + len(pieces)) as (answer, send):
            await send(event({"role": "assistant", "content": None if calls else ""}))
            for word in words:
                await send(event({said: word}), 1)
            for n, call in enumerate(calls):
                opening = {**call, "index": n, "function": {**call["function"], "arguments": ""}}
                await send(event({"tool_calls": [opening]}))
                for _, part in (piece for piece in pieces if piece[0] == n):
                    await send(event({"tool_calls": [{"index": n, "function": {"arguments": part}}]}), 1)
            await send(event({}, finish))
            if with_usage:
                await send(b"data: " + _encode(head | {"choices": [], "usage": _openai_usage(line)}) + b"\n\n")
            await send(b"data: [DONE]\n\n")
        return answer

    async def _stored(self, request: web.Request) -> web.Response:
        line = self.invoice.get(request.match_info["id"])
        if line is None or not line.stored or not line.is_settled:
            raise self.error(404, "not_found_error", "no such completion")
        document = self._head(line, "chat.completion") | {"choices": [], "usage": _openai_usage(line)}
        return web.Response(body=_encode(document), content_type="application/json")

    async def _listed(self, request: web.Request) -> web.Response:
        wanted = {key[9:-1]: value for key, value in request.query.items() if key.startswith("metadata[")}
        found = [
            self._head(line, "chat.completion")
            | {"choices": [], "usage": _openai_usage(line), "metadata": dict(line.metadata)}
            for line in list(self.invoice.values())
            if line.stored and line.is_settled and wanted.items() <= line.metadata.items()
        ]
        limit = int(request.query.get("limit", "20"))
        body = {"object": "list", "data": found[:limit], "has_more": len(found) > limit}
        return web.Response(body=_encode(body), content_type="application/json")

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        body, fault = await self._admit(request, request.headers.get("authorization", "").removeprefix("Bearer "))
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        given = sum(len(tokens_of(text)) for text in texts)
        model = "another-model" if fault is Fault.WRONG_MODEL else body["model"]
        line = self._open("embd-", model, given, Reply(), is_stream=False, stored=False)
        data = [{"object": "embedding", "index": n, "embedding": vector_of(text)} for n, text in enumerate(texts)]
        usage = {"prompt_tokens": given, "total_tokens": given}
        return self._whole(request, {"object": "list", "data": data, "model": model, "usage": usage}, line, fault)

    async def _models(self, _: web.Request) -> web.Response:
        models = [{"id": "mock-1", "object": "model", "created": 1_700_000_000, "owned_by": "mock"}]
        return web.Response(body=_encode({"object": "list", "data": models}), content_type="application/json")


class MockAnthropic(MockProvider):
    """Anthropic's Messages API, as strict about requests as the public schema."""

    @property
    def url(self) -> str:
        """The base address that a pin names."""
        return f"http://127.0.0.1:{self.port}"

    def pin(self, **changes: Any) -> Pin:
        """Make a pin of this provider."""
        stated: dict[str, Any] = {"name": "mock", "provider": Provider.ANTHROPIC, "model": "mock-1", "url": self.url}
        return Pin(**(stated | changes))

    def routes(self) -> list[web.RouteDef]:
        """The protocol's addresses."""
        return [web.post("/v1/messages", _guarded(self._messages))]

    def error_body(self, kind: str, message: str) -> bytes:
        """Write Anthropic's error document."""
        return _encode({"type": "error", "error": {"type": kind, "message": message}})

    def _asked(self, body: dict[str, Any]) -> Ask:
        choice = body.get("tool_choice") or {}
        system = body.get("system", "")
        named = choice.get("name") if choice.get("type") == "tool" else choice.get("type")
        return Ask(
            system=system if isinstance(system, str) else "".join(block["text"] for block in system),
            messages=[(m["role"], _blocks_text(m["content"])) for m in body["messages"]],
            tools={tool["name"]: tool["input_schema"] for tool in body.get("tools") or ()},
            choice="" if named in {None, "auto"} else named,
            schema=None,
            max_tokens=body["max_tokens"],
            stop=tuple(body.get("stop_sequences") or ()),
            raw=body,
        )

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body, fault = await self._admit(request, request.headers.get("x-api-key", ""))
        if request.headers.get("anthropic-version") != "2023-06-01":
            raise self.error(400, "invalid_request_error", "anthropic-version: header is required")
        if (wrong := _anthropic_mistake(body)) is not None:
            raise self.error(400, "invalid_request_error", wrong)
        ask = self._understood(body)
        reply, words, end = self._plan(ask)
        model = "another-model" if fault is Fault.WRONG_MODEL else body["model"]
        given = sum(len(tokens_of(text)) for _, text in ask.messages) + len(tokens_of(ask.system))
        line = self._open("msg_", model, given, reply, is_stream=bool(body.get("stream")), stored=False)
        blocks: list[dict[str, Any]] = [{"type": "text", "text": "".join(words)}] if words else []
        blocks += [
            {"type": "tool_use", "id": f"toolu_{line.id}_{n}", "name": name, "input": dict(arguments)}
            for n, (name, arguments) in enumerate(reply.calls)
        ]
        stopped = any(stop in reply.text for stop in ask.stop)
        reason = {"calls": "tool_use", "length": "max_tokens"}.get(end, "stop_sequence" if stopped else "end_turn")
        if line.is_stream:
            return await self._stream(request, line, fault, words, blocks, reason)
        line.output = len(words) + sum(len(tokens_of(_spread(b["input"]))) for b in blocks if b["type"] == "tool_use")
        document = self._message(line, blocks, reason) | {"usage": _anthropic_usage(line)}
        return self._whole(request, document, line, fault)

    def _message(self, line: Line, blocks: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
        return {
            "id": line.id,
            "type": "message",
            "role": "assistant",
            "model": line.model,
            "content": blocks,
            "stop_reason": reason,
            "stop_sequence": None,
        }

    async def _stream(
        self,
        request: web.Request,
        line: Line,
        fault: Fault | None,
        words: list[str],
        blocks: list[dict[str, Any]],
        reason: str,
    ) -> web.StreamResponse:
        parts = [words if b["type"] == "text" else tokens_of(_spread(b["input"])) for b in blocks]
        async with self._streaming(request, line, fault, sum(map(len, parts))) as (answer, send):
            opening = self._message(line, [], None) | {"usage": _anthropic_usage(line) | {"output_tokens": 1}}
            await send(_event("message_start", message=opening))
            await send(_event("ping"))
            for n, block in enumerate(blocks):
                is_text = block["type"] == "text"
                empty = {**block, "text": ""} if is_text else {**block, "input": {}}
                await send(_event("content_block_start", index=n, content_block=empty))
                for part in parts[n]:
                    text = {"type": "text_delta", "text": part}
                    delta = text if is_text else {"type": "input_json_delta", "partial_json": part}
                    await send(_event("content_block_delta", index=n, delta=delta), 1)
                await send(_event("content_block_stop", index=n))
            usage = {"output_tokens": line.output}
            await send(_event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage))
            await send(_event("message_stop"))
        return answer


def _event(kind: str, **more: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + _encode({"type": kind, **more}) + b"\n\n"


def _anthropic_usage(line: Line) -> dict[str, Any]:
    return {
        "input_tokens": line.input - line.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": line.cached,
        "output_tokens": line.output,
    }


def _blocks_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for block in content:
        if block["type"] == "tool_result":
            texts.append(_blocks_text(block.get("content", "")))
        elif block["type"] == "tool_use":
            texts.append(_spread(block["input"]))
        else:
            texts.append(block["text"])
    return "".join(texts)


_TOP_LEVEL = {
    "model", "messages", "max_tokens", "system", "metadata", "stop_sequences", "stream", "temperature", "top_p",
    "top_k", "tools", "tool_choice", "service_tier", "thinking",
}  # fmt: skip
_BLOCKS = {
    "user": {"text": ("text",), "tool_result": ("tool_use_id",), "image": ("source",)},
    "assistant": {"text": ("text",), "tool_use": ("id", "name", "input")},
}


def _anthropic_mistake(body: dict[str, Any]) -> str | None:
    """Tell what the API would refuse in a request, from its public schema."""
    messages = body.get("messages") or [{"role": "none", "content": ""}]
    roles = [message["role"] for message in messages]
    tools = body.get("tools", ())
    rules = (
        (not set(body) - _TOP_LEVEL, "Extra inputs are not permitted"),
        (isinstance(body.get("max_tokens"), int) and body["max_tokens"] > 0, "max_tokens: Field required"),
        (0 <= body.get("temperature", 1) <= 1, "temperature: range: 0..1"),
        (roles[0] == "user", "messages: first message must use the user role"),
        (not set(roles) - {"user", "assistant"}, "messages: Input should be 'user' or 'assistant'"),
        (all(one != other for one, other in itertools.pairwise(roles)), "messages: roles must alternate"),
        (all(t.get("input_schema", {}).get("type") == "object" for t in tools), "tools: input_schema: Field required"),
        ("tool_choice" not in body or tools, "tool_choice: may only be specified while providing tools"),
    )
    broken = next((told for holds, told in rules if not holds), None)
    return broken or next((wrong for message in messages if (wrong := _message_mistake(message))), None)


def _message_mistake(message: dict[str, Any]) -> str | None:
    content = message["content"]
    if isinstance(content, str):
        return None if content else "messages: content must not be empty"
    for block in content:
        needed = _BLOCKS[message["role"]].get(block.get("type"))
        if needed is None or any(name not in block for name in needed):
            return f"messages: content: a {block.get('type')} block is not right here"
        if block["type"] == "text" and not block["text"].strip():
            return "messages: text content blocks must be non-empty"
        if block["type"] == "tool_use" and not isinstance(block["input"], dict):
            return "messages: tool_use: input: Input should be an object"
    return None if content else "messages: content must not be empty"


def _plain(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or () if part.get("type") == "text")


def _call(n: int, id_: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": f"call_{id_}_{n}", "type": "function", "function": {"name": name, "arguments": _spread(arguments)}}


def _spread(arguments: Mapping[str, Any]) -> str:
    """Write arguments with blanks between them, so that they are several tokens."""
    return msgspec.json.format(_encode(arguments), indent=0).decode()


def _openai_usage(line: Line) -> dict[str, Any]:
    return {
        "prompt_tokens": line.input,
        "completion_tokens": line.output,
        "total_tokens": line.input + line.output,
        "prompt_tokens_details": {"cached_tokens": line.cached},
    }


def _logprobs(positions: Sequence[Sequence[tuple[str, float]]]) -> dict[str, Any]:
    content = []
    for top in positions:
        listed = [{"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in top]
        content.append({**listed[0], "top_logprobs": listed})
    return {"content": content}


def serve_for_ever(provider: MockProvider) -> None:
    """Serve until standard input closes; the first line of output is the URL."""
    with provider:
        sys.stdout.write(f"{provider.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    serve_for_ever({"openai": MockOpenAI, "anthropic": MockAnthropic}[sys.argv[1]]())
