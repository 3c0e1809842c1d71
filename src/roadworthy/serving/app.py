"""The doors of the data plane: a path and a method lead to one function. Speaks RSGI; `asgi.py` is its twin."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec
from granian.rsgi import (
    ProtocolClosed,  # pyright: ignore[reportPrivateImportUsage]
    ProtocolError,  # pyright: ignore[reportPrivateImportUsage]
)

from roadworthy.domain.principal import Scope
from roadworthy.domain.record import Flag
from roadworthy.errors import NotFoundError
from roadworthy.serving import metrics, openapi, outcomes, v2
from roadworthy.serving.admit import Guarded, Parts, read_body
from roadworthy.serving.answer import Answerer
from roadworthy.serving.attempt import Intake, Reply, Spent
from roadworthy.serving.problem import Problem, not_found, unavailable
from roadworthy.serving.responding import no_such_path, reply_headers, respond, wrong_method
from roadworthy.serving.table import Place, Table

if TYPE_CHECKING:
    from roadworthy.serving.gateway.place import ChatPlace

Door: TypeAlias = Callable[[Any, Any, str], Awaitable[None]]
_encode = msgspec.json.Encoder().encode
_log = logging.getLogger("roadworthy.serving")
_UNAUTHENTICATED: Final = 401
_V1: Final = "/v1/systems/"


class Doors(Protocol):
    """Further paths, of systems of another kind."""

    def serves(self, path: str) -> bool:
        """Claim that a path is one of these."""
        ...

    async def answer(self, scope: Any, proto: Any, path: str) -> None:
        """Answer one request, whatever is wrong with it."""
        ...

    async def predict(self, scope: Any, proto: Any, system: str) -> None:
        """Answer `POST /v1/systems/{system}/predict`.

        Raises:
            Problem: whatever is wrong.
        """
        ...


class App:
    """Answers HTTP from whatever table is in place. `table` is None until the first snapshot is ready."""

    def __init__(self, answerer: Answerer, parts: Parts, environment: str) -> None:
        self.table: Table | None = None
        self.why_not_ready = "no snapshot has been published yet"
        self.answerer = answerer
        self.parts = parts
        self.environment = environment
        self.gateway: Doors | None = None
        self._doors: dict[tuple[str, str], Door] = {
            ("GET", "/healthz"): self._health,
            ("GET", "/v2/health/live"): self._live,
            ("GET", "/v2/health/ready"): self._ready,
            ("GET", "/v2"): self._v2_server,
            ("GET", "/openapi.json"): self._openapi,
            ("GET", "/metrics"): self._metrics,
        }

    async def __call__(self, scope: Any, proto: Any) -> None:
        """Answer one request. Never lets an exception out: a bug is a 500 with a sentence, and a line in the log."""
        path: str = scope.path
        try:
            if path.startswith(_V1) and path.endswith("/predict"):
                await self._predict(scope, proto, path[len(_V1) : -len("/predict")])
            elif self.gateway is not None and self.gateway.serves(path):
                await self.gateway.answer(scope, proto, path)
            else:
                await self._other(scope, proto, path)
        except Problem as problem:
            if problem.status == _UNAUTHENTICATED:
                self.parts.count_stranger()
            respond(proto, problem.status, problem.headers, problem.v2_body() if _is_v2(path) else problem.body())
        except (ProtocolClosed, ProtocolError) as gone:
            # The caller hung up or sent a torn body: nobody was answered, so nothing is recorded.
            _log.info("a request to %s was not finished by its caller: %s", path[:200], gone)
            with suppress(ProtocolClosed, ProtocolError):
                respond(proto, 400, (), Problem(400, "RW200", "the request was not finished").body())
        except Exception:  # noqa: BLE001 (the last door: nothing may leave it but an answer)
            _log.exception("a request to %s failed inside the server", path[:200])
            problem = Problem(500, "RW000", "the server failed on this request", hint="look into the worker's log")
            respond(proto, 500, (), problem.v2_body() if _is_v2(path) else problem.body())

    async def _predict(self, scope: Any, proto: Any, system: str) -> None:
        """`POST /v1/systems/{system}/predict`."""
        if scope.method != "POST":
            raise wrong_method("POST")
        started = time.perf_counter()
        headers = scope.headers
        if self.gateway is not None and self._is_chat(headers, system):
            await self.gateway.predict(scope, proto, system)
            return
        place, intake = self.admit(headers, Scope.PREDICT, system, started)
        gate = place.gate
        gate.inside += 1
        try:
            self.guard(place, headers)
            body = await read_body(proto, headers, place.served.serve.max_body_bytes)
            call = place.compiled.decode(body)
            reply = await self.answerer.answer(place, intake, call)
        except Problem as problem:
            raise self.recorded(place, intake, problem) from None
        finally:
            gate.inside -= 1
        respond(proto, 200, reply_headers(reply), _encode(_told(reply, single=call.single)))

    def admit(self, headers: Any, scope: Scope, system: str, started: float) -> tuple[Place, Intake]:
        """Find the system and the caller's right to it.

        Raises:
            Problem: 503 not ready, 401, 403, 404.
        """
        table = self.table
        if table is None:
            raise unavailable(f"this worker is not ready: {self.why_not_ready}", "roadworthy status")
        now = self.parts.now()
        key = table.keys.require(headers, scope, system, now)
        place = self.find(table, headers, system)
        trace = headers.get("traceparent")
        return place, Intake(key.id, trace[3:35] if trace else "", started, now)

    def find(self, table: Table, headers: Any, system: str) -> Place:
        """Find a system in the environment that the caller names.

        Raises:
            Problem: 404, 503 when none of its releases could be loaded.
        """
        environment = headers.get("x-roadworthy-environment") or self.environment
        place = table.places.get((system, environment))
        if place is not None:
            return place
        if (system, environment) in table.unserved:
            raise unavailable(
                f"none of the releases of '{system}' could be loaded", f"roadworthy status --system {system}"
            )
        if (system, environment) in table.chats:
            raise not_found(f"'{system}' is of kind llm", "POST /v1/chat/completions with it as the model")
        known = [name for name, where in table.places if where == environment]
        error = NotFoundError.among("system", system[:80], known)
        raise not_found(f"{error.message} in environment '{environment[:80]}'")

    def _is_chat(self, headers: Any, system: str) -> bool:
        table = self.table
        where = headers.get("x-roadworthy-environment") or self.environment
        return table is not None and (system, where) in table.chats

    def _known(self, headers: Any, system: str) -> tuple[Place | ChatPlace, Intake]:
        """Find a system of any kind for its outcomes.

        Raises:
            Problem: 503 not ready, 401, 403, 404.
        """
        chat = self.need_table().chats.get((system, headers.get("x-roadworthy-environment") or self.environment))
        if chat is None:
            return self.admit(headers, Scope.OUTCOME, system, time.perf_counter())
        now = self.parts.now()
        key = self.need_table().keys.require(headers, Scope.OUTCOME, system, now)
        return chat, Intake(key.id, "", time.perf_counter(), now)

    def guard(self, place: Guarded, headers: Any) -> None:
        """Refuse what is too much, and what the system must not be used for.

        Raises:
            Problem: 429, 403.
        """
        limit = place.served.serve.max_in_flight
        if place.gate.inside > limit:
            place.meter.count("shed")
            message = f"'{place.name}' has {limit} requests in flight, its limit"
            raise Flagged(429, "RW800", message, Flag.SHED, hint="try again shortly", headers=(("retry-after", "1"),))
        if place.forbidden:
            goal = place.forbidden.get(headers.get("x-roadworthy-purpose") or "")
            if goal is not None:
                message = f"'{place.name}' must not be used for this: {goal.text}"
                raise Flagged(403, "RW303", message, Flag.FORBIDDEN_USE, hint="ask its owner")

    def recorded(self, place: Place, intake: Intake, problem: Problem) -> Problem:
        """Record a refused request and put the record's id into the answer."""
        if isinstance(problem, Spent):
            return problem
        flags = problem.flags if isinstance(problem, Flagged) else 0
        record_id, kept = self.answerer.refuse(place, intake, problem, flags)
        marks = [("x-roadworthy-record", record_id)] + ([] if kept else [("x-roadworthy-unrecorded", "1")])
        problem.headers = (*problem.headers, *marks)
        return problem

    async def _other(self, scope: Any, proto: Any, path: str) -> None:
        door = self._doors.get((scope.method, path))
        if door is not None:
            await door(scope, proto, path)
            return
        if path.startswith(_V1) and path.endswith("/outcomes"):
            await self._outcomes(scope, proto, path[len(_V1) : -len("/outcomes")])
        elif path.startswith("/v2/models/"):
            await v2.serve(self, scope, proto, path[len("/v2/models/") :])
        else:
            methods = sorted(method for method, known in self._doors if known == path)
            raise wrong_method(*methods) if methods else no_such_path(path)

    async def _outcomes(self, scope: Any, proto: Any, system: str) -> None:
        """`POST /v1/systems/{system}/outcomes`: 202 once every outcome is in the log."""
        if scope.method != "POST":
            raise wrong_method("POST")
        place, intake = self._known(scope.headers, system)
        body = await read_body(proto, scope.headers, place.served.serve.max_body_bytes)
        given = outcomes.read(
            body,
            place.served,
            intake.now,
            intake.key,
            self.answerer.subject_of if place.compiled.entity_is_classified else None,
        )
        for at, outcome in enumerate(given):
            if not self.parts.log.outcome(outcome):
                message = f"the log took {at} of {len(given)} outcomes and then no more (is the disk full?)"
                raise unavailable(message, "send them again later; those already taken are counted once", 5)
        place.meter.count("outcomes", n=len(given))
        respond(proto, 202, (), _encode({"accepted": len(given)}))

    async def _health(self, scope: Any, proto: Any, path: str) -> None:
        """`GET /healthz`: the process is there; says whether it is ready."""
        del scope, path
        version = self.table.version if self.table else 0
        why = "" if self.table else self.why_not_ready
        respond(
            proto, 200, (), _encode({"live": True, "ready": self.table is not None, "version": version, "why": why})
        )

    async def _live(self, scope: Any, proto: Any, path: str) -> None:
        del scope, path
        respond(proto, 200, (), b'{"live":true}')

    async def _ready(self, scope: Any, proto: Any, path: str) -> None:
        del scope, path
        if self.table is None:
            raise unavailable(f"not ready: {self.why_not_ready}", "roadworthy status")
        respond(proto, 200, (), b'{"ready":true}')

    async def _v2_server(self, scope: Any, proto: Any, path: str) -> None:
        del scope, path
        respond(proto, 200, (), _encode(v2.server()))

    async def _openapi(self, scope: Any, proto: Any, path: str) -> None:
        """`GET /openapi.json`, of the systems that the key may see."""
        del path
        table = self.need_table()
        try:
            key = table.keys.require(scope.headers, Scope.PREDICT, "", self.parts.now())
        except Problem as problem:
            if problem.status != 403:  # noqa: PLR2004 (a key without predict may still read)
                raise
            key = table.keys.require(scope.headers, Scope.READ, "", self.parts.now())
        environment = scope.headers.get("x-roadworthy-environment") or self.environment
        every = [*table.places.items(), *table.chats.items()]
        seen = [p for (_, where), p in every if where == environment and (not key.systems or p.name in key.systems)]
        respond(proto, 200, (), _encode(openapi.document(seen)))

    async def _metrics(self, scope: Any, proto: Any, path: str) -> None:
        """`GET /metrics`, summed over every worker of the home."""
        del path
        self.need_table().keys.require(scope.headers, Scope.READ, "", self.parts.now())
        text = metrics.render(self.parts.read_counters())
        respond(proto, 200, (), text.encode(), metrics.CONTENT_TYPE)

    def need_table(self) -> Table:
        """Return the table in place.

        Raises:
            Problem: 503 before the first snapshot.
        """
        if self.table is None:
            raise unavailable(f"not ready: {self.why_not_ready}", "roadworthy status")
        return self.table


class Flagged(Problem):
    """A refusal that the record marks with a flag of its own."""

    def __init__(self, status: int, code: str, message: str, flags: int, **more: Any) -> None:
        super().__init__(status, code, message, **more)
        self.flags = flags


def _told(reply: Reply, *, single: bool) -> dict[str, Any]:
    if single:
        return {
            "outputs": reply.answers[0],
            "record": reply.ids[0],
            "release": reply.names[0] or None,
            "fallback": reply.marks[0] or None,
        }
    return {
        "outputs": reply.answers,
        "record": reply.ids,
        "release": _alike(reply.names),
        "fallback": _alike(reply.marks),
    }


def _alike(names: list[str]) -> str | list[str | None] | None:
    """Return what all rows have in common, or one entry a row."""
    if len(set(names)) == 1:
        return names[0] or None
    return [name or None for name in names]


def _is_v2(path: str) -> bool:
    return path.startswith("/v2")
