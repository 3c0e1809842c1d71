"""The adapter process of a GGUF model: OpenAI's protocol on a unix socket, one generation at a time.

`python -m roadworthy.runtimes.llm.gguf_child --file F --socket S`. The socket appears once the model is loaded. The
process ends with whoever started it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from aiohttp import web

from roadworthy.domain.pin import Usage
from roadworthy.runtimes.llm.counting import usage_document
from roadworthy.runtimes.llm.gguf_engine import MAX_TOP_LOGPROBS, ContextFull, Engine, Token, Wish
from roadworthy.runtimes.llm.gguf_grammar import NotInGrammar, grammar_of
from roadworthy.runtimes.parent import end_with_parent

MAX_REQUEST_BYTES: Final = 16 << 20
DEFAULT_MAX_TOKENS: Final = 512
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE: Final = msgspec.json.Decoder().decode
_REFUSED: Final = ("tools", "functions", "logit_bias", "audio", "frequency_penalty", "presence_penalty")
_END: Final = object()


class Refused(Exception):
    """A request that this model cannot answer; `field` is what is wrong with it."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class Ask:
    """A request, read and found possible."""

    __slots__ = ("messages", "stops", "stream", "wish", "with_usage")

    def __init__(self, body: Mapping[str, Any]) -> None:
        for name in _REFUSED:
            if body.get(name):
                raise Refused(f"this model has no {name}", name)
        if body.get("n", 1) not in {None, 1}:
            raise Refused("this model gives one answer a request", "n")
        self.messages = _messages(body.get("messages"))
        self.stream = bool(body.get("stream"))
        options: dict[str, Any] = body.get("stream_options") or {}
        self.with_usage = bool(options.get("include_usage"))
        stop = body.get("stop") or ()
        self.stops = (stop,) if isinstance(stop, str) else tuple(cast("list[str]", stop))
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_MAX_TOKENS
        self.wish = Wish(
            max_tokens=_number(int(limit), 1, 1 << 20, "max_tokens"),
            temperature=_number(_given(body, "temperature", 1.0), 0.0, 2.0, "temperature"),
            top_p=_number(_given(body, "top_p", 1.0), 0.0, 1.0, "top_p"),
            seed=None if body.get("seed") is None else abs(int(body["seed"])),
            logprobs=bool(body.get("logprobs")),
            top=_number(int(body.get("top_logprobs") or 0), 0, MAX_TOP_LOGPROBS, "top_logprobs"),
            grammar=_grammar(body.get("response_format") or {}),
        )


class Generation:
    """One answer under way in the model's thread. `stopped` ends it after the token in work."""

    __slots__ = ("finish", "held", "made", "pending", "prompt_tokens", "stopped")

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.finish = "length"
        self.made = 0
        self.prompt_tokens = 0
        self.held = ""
        self.pending: list[Token] = []

    def tokens(self, engine: Engine, ask: Ask) -> Iterator[tuple[str, list[Token]]]:
        """Give texts that can be sent with the tokens they came from, holding back what may begin a stop sequence."""
        prompt = engine.prompt(ask.messages)
        self.prompt_tokens = len(prompt)
        limit = min(ask.wish.max_tokens, max(engine.context - len(prompt), 0))
        for token in engine.generate(prompt, ask.wish):
            if self.stopped.is_set():
                return
            self.made += bool(token.raw)
            self.held += token.text
            self.pending.append(token)
            at = min((place for stop in ask.stops if (place := self.held.find(stop)) >= 0), default=-1)
            if at >= 0:
                self.finish = "stop"
                yield self.held[:at], self.pending
                return
            ready = len(self.held) - _overlap(self.held, ask.stops)
            if ready:
                yield self.held[:ready], self.pending
                self.held, self.pending = self.held[ready:], []
        if self.made < limit:
            self.finish = "stop"
        if self.held or self.pending:
            yield self.held, self.pending

    @property
    def usage(self) -> Usage:
        """What the answer took so far."""
        return Usage(input=self.prompt_tokens, output=self.made)


class Server:
    """The protocol around an engine. Requests wait for one another in the order they came."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gguf")
        self._numbers = itertools.count(1)

    def app(self) -> web.Application:
        """Build the application."""
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/embeddings", self._embed),
                web.get("/v1/models", self._models),
            ]
        )
        return app

    async def _models(self, _: web.Request) -> web.Response:
        model = {"id": self._engine.name, "object": "model", "created": 0, "owned_by": self._engine.digest}
        return _json({"object": "list", "data": [model]})

    async def _embed(self, _: web.Request) -> web.Response:
        return _error(400, "this process serves chat; embeddings come from an index's own model", "model")

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        try:
            body = _DECODE(await request.read())
            ask = Ask(body)
        except Refused as refused:
            return _error(400, refused.message, refused.field)
        except (msgspec.DecodeError, TypeError, ValueError, AttributeError) as wrong:
            return _error(400, f"the request has a part of a wrong kind ({type(wrong).__name__})", "")
        head = {
            "id": f"chatcmpl-{os.getpid()}-{next(self._numbers)}",
            "object": "chat.completion.chunk" if ask.stream else "chat.completion",
            "created": int(time.time()),
            "model": body.get("model") or self._engine.name,
            "system_fingerprint": self._engine.digest,
        }
        generation = Generation()
        try:
            if ask.stream:
                return await self._stream(request, ask, generation, head)
            return await self._whole(ask, generation, head)
        except ContextFull as full:
            return _error(400, str(full), "messages", "context_length_exceeded")
        finally:
            # Whoever hung up waits for nothing: the thread ends after the token in work.
            generation.stopped.set()

    async def _whole(self, ask: Ask, generation: Generation, head: dict[str, Any]) -> web.Response:
        loop = asyncio.get_running_loop()
        pieces = await loop.run_in_executor(
            self._thread, lambda: [] if generation.stopped.is_set() else list(generation.tokens(self._engine, ask))
        )
        message = {"role": "assistant", "content": "".join(text for text, _ in pieces)}
        tokens = [token for _, some in pieces for token in some]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": _logprobs(tokens, ask),
            "finish_reason": generation.finish,
        }
        return _json({**head, "choices": [choice], "usage": usage_document(generation.usage)})

    async def _stream(
        self, request: web.Request, ask: Ask, generation: Generation, head: dict[str, Any]
    ) -> web.StreamResponse:
        pieces = self._begin(ask, generation)
        first = await pieces.get()
        if isinstance(first, ContextFull):
            raise first
        answer = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
        await answer.prepare(request)
        await answer.write(_chunk(head, {"role": "assistant", "content": ""}))
        piece: Any = first
        while piece is not _END:
            if isinstance(piece, Exception):
                error = {"message": "the model failed", "type": "server_error", "param": None, "code": None}
                await answer.write(b"data: " + _ENCODE({"error": error}) + b"\n\n")
                return answer
            text, tokens = piece
            await answer.write(_chunk(head, {"content": text}, logprobs=_logprobs(tokens, ask)))
            piece = await pieces.get()
        await answer.write(_chunk(head, {}, finish=generation.finish))
        if ask.with_usage:
            usage: dict[str, Any] = {**head, "choices": [], "usage": usage_document(generation.usage)}
            await answer.write(b"data: " + _ENCODE(usage) + b"\n\n")
        await answer.write(b"data: [DONE]\n\n")
        await answer.write_eof()
        return answer

    def _begin(self, ask: Ask, generation: Generation) -> asyncio.Queue[Any]:
        """Generate in the model's thread; the queue gets each piece, then the end or what went wrong."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Any] = asyncio.Queue()

        def put(piece: object) -> None:
            with suppress(RuntimeError):  # the loop has closed: nobody listens
                loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def work() -> None:
            try:
                if not generation.stopped.is_set():
                    for piece in generation.tokens(self._engine, ask):
                        put(piece)
                put(_END)
            except Exception as wrong:  # noqa: BLE001 (whatever it is, the one who waits must hear of it)
                put(wrong)

        self._thread.submit(work)
        return pieces


async def serve(engine: Engine, path: Path) -> None:
    """Serve on a unix socket, which appears when all is ready, until the process is told to end."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    runner = web.AppRunner(Server(engine).app(), access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    opening = f"{path}.{os.getpid()}"
    os.umask(0o177)
    await web.UnixSite(runner, opening).start()
    os.rename(opening, path)  # noqa: PTH104 (once, at start)
    await ended.wait()
    await runner.cleanup()


def main() -> None:
    """Load the model file and serve it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parent", type=int, default=0)
    parser.add_argument("--digest", default="", help="refuse a file with another digest")
    given = parser.parse_args()
    end_with_parent(given.parent)
    engine = Engine(given.file, context=given.context, threads=given.threads)
    if given.digest and given.digest != engine.digest:
        raise SystemExit(f"{given.file} has the digest {engine.digest}, not {given.digest}")
    asyncio.run(serve(engine, given.socket))


def _messages(stated: object) -> list[dict[str, str]]:
    if not isinstance(stated, list) or not stated:
        raise Refused("messages must hold at least one message", "messages")
    found: list[dict[str, str]] = []
    for message in cast("list[dict[str, Any]]", stated):
        role = {"developer": "system"}.get(message["role"], message["role"])
        if role not in {"system", "user", "assistant"}:
            raise Refused(f"this model knows no messages of role {role!r}", "messages")
        found.append({"role": role, "content": _text(message.get("content"))})
    return found


def _grammar(form: Mapping[str, Any]) -> str:
    kind = form.get("type", "text")
    if kind == "text":
        return ""
    if kind not in {"json_object", "json_schema"}:
        raise Refused("this model writes text or JSON", "response_format")
    named: dict[str, Any] = form.get("json_schema") or {}
    try:
        return grammar_of(named.get("schema"))
    except NotInGrammar as wrong:
        raise Refused(str(wrong), "response_format") from None


def _text(content: object) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    parts = cast("list[dict[str, Any]]", content)
    if any(part.get("type") != "text" for part in parts):
        raise Refused("this model reads text only", "messages")
    return "".join(part["text"] for part in parts)


def _given(body: Mapping[str, Any], name: str, default: float) -> float:
    value = body.get(name)
    return default if value is None else float(value)


def _number(value: Any, low: float, high: float, name: str) -> Any:
    if not low <= value <= high:
        raise Refused(f"{name} must be between {low} and {high}", name)
    return value


def _overlap(text: str, stops: tuple[str, ...]) -> int:
    """Return how many characters at the end of a text may be the beginning of a stop sequence."""
    longest = 0
    for stop in stops:
        for size in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:size]):
                longest = size
                break
    return longest


def _logprobs(tokens: list[Token], ask: Ask) -> dict[str, Any] | None:
    if not ask.wish.logprobs:
        return None
    content = [
        {**_said(token.raw, token.logprob), "top_logprobs": [_said(raw, value) for raw, value in token.top]}
        for token in tokens
        if token.raw
    ]
    return {"content": content}


def _said(raw: bytes, logprob: float) -> dict[str, Any]:
    return {"token": raw.decode("utf-8", errors="replace"), "logprob": logprob, "bytes": list(raw)}


def _chunk(head: dict[str, Any], delta: dict[str, Any], *, finish: str | None = None, logprobs: Any = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return b"data: " + _ENCODE({**head, "choices": [choice]}) + b"\n\n"


def _json(document: object, status: int = 200) -> web.Response:
    return web.Response(body=_ENCODE(document), status=status, content_type="application/json")


def _error(status: int, message: str, field: str, code: str = "unsupported_value") -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": field, "code": code}
    return _json({"error": error}, status)


if __name__ == "__main__":
    main()
