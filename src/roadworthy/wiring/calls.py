"""A small HTTP/1.1 client for a trial: many calls over kept connections, and an open-loop load.

The base install has no HTTP client, and a load generator must not lie: requests are sent when they are due, whether
or not earlier ones were answered, and a latency counts from when its request was due.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from roadworthy.errors import UnavailableError

CONNECTIONS: Final = 8
DRAIN_S: Final = 5.0
_CALL_S: Final = 60.0
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Door:
    """Where a server answers, on this machine: its port, a path, and the key that opens it."""

    port: int
    path: str
    key: str = ""

    def request(self, body: bytes) -> bytes:
        """Spell a POST."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(slots=True)
class Load:
    """What an open-loop load found: a latency in µs for each request, `wrong` of which got another answer than 200."""

    latencies_us: list[float] = field(default_factory=list[float])
    wrong: int = 0


class Line:
    """One kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Line:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def call(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Send a request; return status, headers in small letters, and body."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        body = await self._reader.readexactly(length)
        return int(head[9:12]), head, body

    def close(self) -> None:
        """Let go of the connection."""
        self._writer.close()


def call_all(door: Door, bodies: Sequence[bytes]) -> list[dict[str, Any]]:
    """POST each body over a few connections; return each answer's JSON document with its `status`, in order.

    Raises:
        UnavailableError: the server does not answer.
    """
    answers: list[dict[str, Any]] = [{} for _ in bodies]
    waiting = iter(enumerate(bodies))

    async def work() -> None:
        line = await Line.open(door.port)
        try:
            for at, body in waiting:
                status, _, text = await line.call(door.request(body))
                document: Any = msgspec.json.decode(text) if text else {}
                answers[at] = {**document, "status": status}
        finally:
            line.close()

    async def everyone() -> None:
        await asyncio.wait_for(asyncio.gather(*(work() for _ in range(CONNECTIONS))), _CALL_S)

    try:
        asyncio.run(everyone())
    except (OSError, EOFError, TimeoutError) as error:
        raise UnavailableError(f"the worker of the trial does not answer ({type(error).__name__})") from error
    return answers


def load(door: Door, bodies: Sequence[bytes], seconds: float, rate: float) -> Load:
    """Send `rate` requests a second for some seconds, each when it is due; wait at most 5 s for the last answers.

    An answer by a fallback is a wrong one: it is not the candidate's. What is never answered counts as wrong, with the
    time it was waited for.
    """
    return asyncio.run(_load(door, [door.request(body) for body in bodies], max(1, round(seconds * rate)), rate))


async def _load(door: Door, requests: Sequence[bytes], n: int, rate: float) -> Load:
    found, idle = Load(), list[Line]()

    async def one(at: int, due: float) -> None:
        line: Line | None = None
        try:
            line = idle.pop() if idle else await Line.open(door.port)
            status, head, _ = await line.call(requests[at % len(requests)])
        except BaseException as error:
            found.latencies_us.append((time.perf_counter() - due) * 1e6)
            found.wrong += 1
            if line is not None:
                line.close()
            if isinstance(error, OSError | EOFError | asyncio.CancelledError):
                return
            raise
        found.latencies_us.append((time.perf_counter() - due) * 1e6)
        found.wrong += status != _OK or b"x-roadworthy-fallback" in head
        idle.append(line)

    started = time.perf_counter()
    tasks: list[asyncio.Task[None]] = []
    for at in range(n):
        due = started + at / rate
        pause = due - time.perf_counter()
        # Sleeping zero lets answers be read also while the sender is behind.
        await asyncio.sleep(max(0.0, pause))
        tasks.append(asyncio.create_task(one(at, due)))
    _, late = await asyncio.wait(tasks, timeout=DRAIN_S)
    for task in late:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)
    for line in idle:
        line.close()
    return found
