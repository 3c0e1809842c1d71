"""The ASGI twin of a worker: the same app behind any ASGI server, for tests and for people who have one already.

`ROADWORTHY_HOME=… uvicorn --factory roadworthy.serving.asgi:application` serves worker number 0 of a home.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from granian.rsgi import (
    ProtocolClosed,  # pyright: ignore[reportPrivateImportUsage]
    ProtocolError,  # pyright: ignore[reportPrivateImportUsage]
)

from roadworthy.serving.app import App
from roadworthy.serving.worker import Opened, Start, open_worker
from roadworthy.settings import from_environment

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class Asgi:
    """Opens the worker at the lifespan's start and closes it at its end."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._opened: Opened | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            assert self._opened is not None, "the ASGI server must run the lifespan"
            await answer(self._opened.app, scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._opened = open_worker(self._start)
                self._opened.worker.start()
                await self._opened.worker.looked()
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._opened is not None:
                    await self._opened.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


class _Headers:
    """Headers as RSGI gives them: `get` by lower-case name."""

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self._texts = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}

    def get(self, name: str, default: str | None = None) -> str | None:
        return self._texts.get(name, default)


class _Scope:
    """An ASGI scope as RSGI shows it."""

    def __init__(self, scope: Message) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = _Headers(scope["headers"])


class _Stream:
    """An answer in pieces. The first piece sends the headers before it."""

    def __init__(self, send: Send, receive: Receive, status: int, headers: list[tuple[str, str]]) -> None:
        self._send = send
        self._start: Message | None = {"type": "http.response.start", "status": status, "headers": _pairs(headers)}
        self._listening = asyncio.ensure_future(_until_gone(receive))

    async def send_bytes(self, data: bytes) -> None:
        """Send a piece.

        Raises:
            ProtocolClosed: the caller hung up.
        """
        if self._listening.done():
            raise ProtocolClosed
        if self._start is not None:
            start, self._start = self._start, None
            await self._send(start)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        # What is sent goes nowhere once the caller is gone; only a turn of the loop lets us hear of it.
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Say that this was all."""
        if self._start is not None:
            await self._send(self._start)
        await self._send({"type": "http.response.body", "body": b""})
        self._listening.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _pairs(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]


class _Protocol:
    """Reads the body and keeps the answer until the app returns; a stream goes out as it comes."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.answer: tuple[int, list[tuple[str, str]], bytes] = (500, [], b"")
        self.stream: _Stream | None = None

    async def __call__(self) -> bytes:
        return b"".join([part async for part in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                return
            more = message.get("more_body", False)
            yield message.get("body", b"")

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        if self.stream is not None:
            raise ProtocolError
        self.answer = (status, headers, body)

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> _Stream:
        self.stream = _Stream(self._send, self._receive, status, headers)
        return self.stream


async def answer(app: App, scope: Message, receive: Receive, send: Send) -> None:
    """Answer one HTTP request of an ASGI server."""
    protocol = _Protocol(receive, send)
    await app(_Scope(scope), protocol)
    if protocol.stream is not None:
        await protocol.stream.close()
        return
    status, headers, body = protocol.answer
    pairs = [*_pairs(headers), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def application() -> Asgi:
    """Make the ASGI application of the settings' home."""
    settings = from_environment()
    return Asgi(Start(home=settings.home, environment=settings.environment))
