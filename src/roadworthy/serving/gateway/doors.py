"""The gateway's doors: OpenAI's paths, its bodies and its errors, over RSGI."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from granian.rsgi import (
    ProtocolClosed,  # pyright: ignore[reportPrivateImportUsage]
    ProtocolError,  # pyright: ignore[reportPrivateImportUsage]
)

from roadworthy.domain.principal import Key, Scope
from roadworthy.errors import NotFoundError
from roadworthy.serving.admit import Guarded, Parts, read_body, too_large
from roadworthy.serving.attempt import Intake
from roadworthy.serving.gateway.answer import ChatAnswerer
from roadworthy.serving.gateway.embedding import embed
from roadworthy.serving.gateway.outlet import Gone
from roadworthy.serving.gateway.place import ChatPlace
from roadworthy.serving.gateway.plain import outputs_body, read_inputs
from roadworthy.serving.gateway.request import ChatRequest, decode_body, read_chat, system_named
from roadworthy.serving.gateway.streaming import Streamer
from roadworthy.serving.gateway.told import answer_body, encode, error_document, headers_of
from roadworthy.serving.gateway.turn import Turn
from roadworthy.serving.problem import Problem, not_found, unavailable
from roadworthy.serving.responding import respond, wrong_method
from roadworthy.serving.table import Table

LARGEST_BODY: Final = 32 << 20
_MOST_SHADOWS: Final = 64
_MODELS: Final = "/v1/models"
_STREAM: Final = [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache")]
_log: Final = logging.getLogger("roadworthy.serving")


class House(Protocol):
    """What the gateway needs of the app it is a part of."""

    parts: Parts
    environment: str

    def need_table(self) -> Table:
        """Return the table in place.

        Raises:
            Problem: 503 before the first snapshot.
        """
        ...

    def guard(self, place: Guarded, headers: Any) -> None:
        """Refuse what is too much, and what the system must not be used for.

        Raises:
            Problem: 429, 403.
        """
        ...


class Gateway:
    """Answers the paths of OpenAI's API from the app's table."""

    def __init__(self, app: House, answerer: ChatAnswerer) -> None:
        self._app = app
        self.answerer = answerer
        self._streamer = Streamer(answerer)
        self._shadows: set[asyncio.Task[None]] = set()
        self._doors = {
            "/v1/chat/completions": ("POST", self._chat),
            "/v1/embeddings": ("POST", self._embeddings),
            _MODELS: ("GET", self._models),
        }

    def serves(self, path: str) -> bool:
        """Claim that a path is one of OpenAI's API."""
        return path in self._doors or path.startswith(_MODELS + "/")

    async def answer(self, scope: Any, proto: Any, path: str) -> None:
        """Answer one request; what is wrong is told as OpenAI's API would."""
        try:
            method, door = self._doors.get(path) or ("GET", self._model)
            if scope.method != method:
                raise wrong_method(method)
            await door(scope, proto, path)
        except Problem as problem:
            if problem.status == 401:  # noqa: PLR2004 (unauthenticated)
                self._app.parts.count_stranger()
            respond(proto, problem.status, problem.headers, encode(error_document(problem)))

    async def close(self) -> None:
        """Let shadows end, and what else is done after answers."""
        for task in self._shadows:
            task.cancel()
        await self.answerer.recorder.close()

    async def _chat(self, scope: Any, proto: Any, path: str) -> None:
        """`POST /v1/chat/completions`."""
        del path
        started = time.perf_counter()
        headers = scope.headers
        body = await self._body(proto, headers)
        document = decode_body(body)
        place, intake, key = self._admit(headers, system_named(document), started)
        _fits(body, place)
        gate = place.gate
        gate.inside += 1
        try:
            self._app.guard(place, headers)
            turn = self._begin(place, intake, key, read_chat(document), headers)
            with self._recorded_whatever(turn):
                self.answerer.must_run(turn)
                await self._say(turn, proto)
        finally:
            gate.inside -= 1
        self._shadow(turn)

    async def predict(self, scope: Any, proto: Any, system: str) -> None:
        """Answer `POST /v1/systems/{system}/predict` for a system of this kind, in the words of every kind.

        Raises:
            Problem: whatever is wrong.
        """
        started = time.perf_counter()
        headers = scope.headers
        place, intake, key = self._admit(headers, system, started)
        gate = place.gate
        gate.inside += 1
        try:
            self._app.guard(place, headers)
            body = await read_body(proto, headers, place.serve.max_body_bytes)
            turn = self._begin(place, intake, key, read_inputs(place, body), headers)
            with self._recorded_whatever(turn):
                self.answerer.must_run(turn)
                await self.answerer.answer(turn)
                if turn.said is None:
                    raise self.answerer.none_left(turn)
        finally:
            gate.inside -= 1
        recorded = self.answerer.recorder.finish(turn, 200)
        respond(proto, 200, headers_of(turn, recorded=recorded), outputs_body(turn))
        self._shadow(turn)

    def _begin(self, place: ChatPlace, intake: Intake, key: Key, request: ChatRequest, headers: Any) -> Turn:
        stated = headers.get("x-roadworthy-classes") or ""
        classes = frozenset(name.strip().lower() for name in stated.split(",") if name.strip())
        fresh = "no-cache" in (headers.get("cache-control") or "")
        return self.answerer.begin(place, intake, key, request, classes, use_cache=not fresh)

    async def _say(self, turn: Turn, proto: Any) -> None:
        if turn.request.stream:
            await self._streamer.answer(turn, _Line(proto))
            return
        await self.answerer.answer(turn)
        if turn.said is None:
            raise self.answerer.none_left(turn)
        recorded = self.answerer.recorder.finish(turn, 200)
        try:
            respond(proto, 200, headers_of(turn, recorded=recorded), answer_body(turn, recorded=recorded))
        except (ProtocolClosed, ProtocolError):
            _log.info("the caller of record %s hung up before its answer", turn.record)

    @contextmanager
    def _recorded_whatever(self, turn: Turn) -> Generator[None]:
        """Record a turn that ends without an answer, and book what it cost, also where the fault is ours."""
        try:
            yield
        except Problem as problem:
            raise self._recorded(turn, problem) from None
        except Exception:
            if not turn.is_recorded:
                self.answerer.recorder.refuse(turn, Problem(500, "RW000", "the server failed on this request"))
            raise

    def _recorded(self, turn: Turn, problem: Problem) -> Problem:
        kept = self.answerer.recorder.refuse(turn, problem)
        marks = [("x-roadworthy-record", turn.record)] + ([] if kept else [("x-roadworthy-unrecorded", "1")])
        problem.headers = (*problem.headers, *marks)
        return problem

    def _shadow(self, turn: Turn) -> None:
        if turn.from_cache or not self.answerer.is_sampled(turn):
            return
        if len(self._shadows) >= _MOST_SHADOWS:
            turn.place.meter.count("shadows_dropped")
            return
        task = asyncio.get_running_loop().create_task(self.answerer.shadow(turn))
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    async def _embeddings(self, scope: Any, proto: Any, path: str) -> None:
        """`POST /v1/embeddings`."""
        del path
        started = time.perf_counter()
        body = await self._body(proto, scope.headers)
        document = decode_body(body)
        place, intake, key = self._admit(scope.headers, system_named(document), started)
        _fits(body, place)
        self._app.guard(place, scope.headers)
        turn, answer = await embed(self.answerer, place, intake, key, document)
        recorded = self.answerer.recorder.finish(turn, 200)
        respond(proto, 200, headers_of(turn, recorded=recorded), encode(answer))

    async def _models(self, scope: Any, proto: Any, path: str) -> None:
        """`GET /v1/models`: the systems of kind llm that the key may ask."""
        del path
        key = self._app.need_table().keys.require(scope.headers, Scope.PREDICT, "", self._app.parts.now())
        found = [_model(place) for place in self._seen(scope.headers) if key.may(Scope.PREDICT, place.name)]
        respond(proto, 200, (), encode({"object": "list", "data": found}))

    async def _model(self, scope: Any, proto: Any, path: str) -> None:
        """`GET /v1/models/{model}`."""
        place, _, _ = self._admit(scope.headers, path[len(_MODELS) + 1 :], time.perf_counter())
        respond(proto, 200, (), encode(_model(place)))

    def _seen(self, headers: Any) -> list[ChatPlace]:
        environment = headers.get("x-roadworthy-environment") or self._app.environment
        return [place for (_, where), place in self._app.need_table().chats.items() if where == environment]

    async def _body(self, proto: Any, headers: Any) -> bytes:
        """Read a body for whoever has a key; the system's own limit holds once its name is known."""
        self._app.need_table().keys.require(headers, Scope.PREDICT, "", self._app.parts.now())
        return await read_body(proto, headers, LARGEST_BODY)

    def _admit(self, headers: Any, system: str, started: float) -> tuple[ChatPlace, Intake, Key]:
        """Find the system and the caller's right to it.

        Raises:
            Problem: 503 not ready, 401, 403, 404.
        """
        table, now = self._app.need_table(), self._app.parts.now()
        key = table.keys.require(headers, Scope.PREDICT, system, now)
        environment = headers.get("x-roadworthy-environment") or self._app.environment
        place = table.chats.get((system, environment))
        if place is None:
            if (system, environment) in table.unserved:
                message = f"none of the releases of '{system}' could be loaded"
                raise unavailable(message, f"roadworthy status --system {system}")
            known = [name for name, where in table.chats if where == environment]
            raise not_found(NotFoundError.among("model", system[:80], known).message, "GET /v1/models lists them")
        trace = headers.get("traceparent")
        return place, Intake(key.id, trace[3:35] if trace else "", started, now), key


class _Line:
    """A stream of server-sent events over RSGI."""

    def __init__(self, proto: Any) -> None:
        self._proto = proto
        self._transport: Any = None

    def start(self, turn: Turn) -> None:
        """Send status and headers.

        Raises:
            Gone: the caller hung up.
        """
        try:
            self._transport = self._proto.response_stream(200, [*_STREAM, *headers_of(turn)])
        except (ProtocolClosed, ProtocolError):
            raise Gone from None

    async def send(self, data: bytes) -> None:
        """Send events.

        Raises:
            Gone: the caller hung up.
        """
        try:
            await self._transport.send_bytes(data)
        except (ProtocolClosed, ProtocolError):
            raise Gone from None


def _fits(body: bytes, place: ChatPlace) -> None:
    """Hold a body to the limit of the system that it turned out to be for.

    Raises:
        Problem: 413.
    """
    if len(body) > place.serve.max_body_bytes:
        raise too_large(place.serve.max_body_bytes, "shorten the conversation, or raise serve.max_body")


def _model(place: ChatPlace) -> dict[str, Any]:
    return {"id": place.name, "object": "model", "created": 0, "owned_by": "roadworthy"}
