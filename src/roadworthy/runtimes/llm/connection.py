"""One pin's connections: bounded, kept alive, without redirects; every way to fail becomes a `ProviderTrouble`."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import msgspec
from aiohttp import (
    BaseConnector,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from yarl import URL

from roadworthy.ports.chat import ProviderTrouble, Trouble

MAX_ANSWER_BYTES: Final = 64 << 20
MAX_ERROR_BYTES: Final = 64 << 10
MAX_CONNECTIONS: Final = 1024
KEEP_ALIVE_S: Final = 30.0
"""Shorter than the keep-alive of the common servers, so that they rarely hang up on a request just sent."""
_NO_TIMEOUT: Final = ClientTimeout(total=None, sock_connect=None)
_UNAUTHORISED: Final = frozenset((401, 403))
_STATUSES: Final = {408: Trouble.SLOW, 429: Trouble.RATE_LIMITED}
_DECODE: Final = msgspec.json.Decoder().decode

Headers = Mapping[str, str]
Connect = Callable[[], BaseConnector]


def connect_tcp() -> BaseConnector:
    """Make the connector of a remote provider."""
    return TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S)


class Connection:
    """How a pin's provider is reached. Has one session for each event loop that uses it.

    Deadlines are seconds from now. `name` is what messages call the provider.
    """

    def __init__(self, name: str, connect: Connect = connect_tcp) -> None:
        self._name = name
        self._connect = connect
        self._sessions: WeakKeyDictionary[AbstractEventLoop, ClientSession] = WeakKeyDictionary()

    async def call(self, method: str, url: URL, headers: Headers, body: bytes | None, deadline_s: float) -> bytes:
        """Send a request and read its whole answer.

        Raises:
            ProviderTrouble: no answer with status 200 within the deadline.
        """
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._send(method, url, headers, body)
                try:
                    return await _read(answer, MAX_ANSWER_BYTES, self._name)
                finally:
                    answer.release()
        except TimeoutError:
            raise self._slow(deadline_s) from None
        except (ClientError, OSError) as lost:
            raise self._down(lost) from None

    async def pieces(self, url: URL, headers: Headers, body: bytes, deadline_s: float) -> AsyncGenerator[bytes]:
        """Send a request and give its answer as it comes. Closing the iterator hangs up on the provider.

        Raises:
            ProviderTrouble: as `call`, or `truncated` once it had begun.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + deadline_s
        try:
            async with asyncio.timeout_at(ends):
                answer = await self._send("POST", url, headers, body)
        except TimeoutError:
            raise self._slow(deadline_s) from None
        except (ClientError, OSError) as lost:
            raise self._down(lost) from None
        # One timer for the whole stream: a timeout around each read would cost more than the read.
        timer = loop.call_at(ends, answer.content.set_exception, TimeoutError())
        is_whole = False
        try:
            size = 0
            while piece := await answer.content.readany():
                size += len(piece)
                if size > MAX_ANSWER_BYTES:
                    raise ProviderTrouble(Trouble.BROKEN, f"{self._name} sent more than {MAX_ANSWER_BYTES} bytes")
                yield piece
            is_whole = True
        except TimeoutError:
            raise self._slow(deadline_s) from None
        except (ClientError, OSError) as lost:
            told = f"{self._name} broke off its answer ({type(lost).__name__})"
            raise ProviderTrouble(Trouble.TRUNCATED, told) from None
        finally:
            timer.cancel()
            # A connection that still has bytes to give cannot be used again.
            if is_whole:
                answer.release()
            else:
                answer.close()

    async def close(self) -> None:
        """Close the session of this event loop; those of loops that ended went with them."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    def _session(self) -> ClientSession:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None:
            session = self._sessions[loop] = ClientSession(
                connector=self._connect(),
                cookie_jar=DummyCookieJar(),
                timeout=_NO_TIMEOUT,
                trust_env=False,
                auto_decompress=False,
                headers={"accept-encoding": "identity", "user-agent": "roadworthy"},
                raise_for_status=False,
            )
        return session

    async def _send(self, method: str, url: URL, headers: Headers, body: bytes | None) -> ClientResponse:
        answer = await self._session().request(method, url, data=body, headers=headers, allow_redirects=False)
        if answer.status == 200:  # noqa: PLR2004 (the one status of an answer)
            return answer
        try:
            text = await _read(answer, MAX_ERROR_BYTES, self._name)
        except ProviderTrouble:
            text = b""
        finally:
            answer.release()
        raise self._refusal(answer, text, headers)

    def _refusal(self, answer: ClientResponse, text: bytes, headers: Headers) -> ProviderTrouble:
        status = answer.status
        trouble = _trouble(status)
        return ProviderTrouble(
            trouble,
            f"{self._name} answered with status {status}",
            status=status,
            retry_after_s=retry_after(answer.headers),
            body=None if trouble is Trouble.UNAUTHORISED else _document(text, headers),
        )

    def _slow(self, deadline_s: float) -> ProviderTrouble:
        return ProviderTrouble(Trouble.SLOW, f"{self._name} did not answer within {deadline_s * 1000:.0f} ms")

    def _down(self, lost: Exception) -> ProviderTrouble:
        return ProviderTrouble(Trouble.DOWN, f"{self._name} cannot be reached ({type(lost).__name__})")


async def _read(answer: ClientResponse, limit: int, name: str) -> bytes:
    if answer.content_length is not None and answer.content_length <= limit:
        return await answer.read()
    pieces: list[bytes] = []
    size = 0
    while piece := await answer.content.readany():
        size += len(piece)
        if size > limit:
            answer.close()
            raise ProviderTrouble(Trouble.BROKEN, f"{name} sent more than {limit} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _trouble(status: int) -> Trouble:
    if status in _UNAUTHORISED:
        return Trouble.UNAUTHORISED
    if status in _STATUSES:
        return _STATUSES[status]
    return Trouble.DOWN if status >= 500 else Trouble.REFUSED  # noqa: PLR2004 (a server's own fault)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds a provider asks to be left alone; None where it does not say.

    A date is taken relative to the answer's own `Date`, so that no clock of ours has to agree with the provider's.
    """
    exact, stated = headers.get("retry-after-ms", "").strip(), headers.get("retry-after", "").strip()
    if exact.isdigit():
        return int(exact) / 1000
    if stated.isdigit():
        return float(stated)
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return max((parsedate_to_datetime(stated) - parsedate_to_datetime(headers["date"])).total_seconds(), 0.0)
    return None


def _document(text: bytes, headers: Headers) -> dict[str, Any] | None:
    """Read an error's document, without the credentials that were sent should the provider repeat them."""
    for name in ("authorization", "x-api-key"):
        secret = headers.get(name, "").removeprefix("Bearer ").encode()
        if secret:
            text = text.replace(secret, b"***")
    try:
        document = _DECODE(text)
    except msgspec.DecodeError:
        return None
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None


def decode_object(text: bytes, name: str) -> dict[str, Any]:
    """Read a JSON object from a provider.

    Raises:
        ProviderTrouble: `broken`, when it is none.
    """
    try:
        document = _DECODE(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProviderTrouble(Trouble.BROKEN, f"{name} sent text that is not JSON") from None
    if not isinstance(document, dict):
        raise ProviderTrouble(Trouble.BROKEN, f"{name} sent JSON that is no object")
    return cast("dict[str, Any]", document)
