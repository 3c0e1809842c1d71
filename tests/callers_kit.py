"""Who stands around a running system in journeys: callers who post truths, and the receiver of its pages.

They speak HTTP by hand, so that a mistake of ours cannot hide behind our own client.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from journeys_kit import SYSTEM, Played, parcels, until

# The pager's receiver


class Pager:
    """A webhook receiver that remembers every page; it can refuse the first ones."""

    def __init__(self, refuse: int = 0) -> None:
        self.pages: list[dict[str, Any]] = []
        self.refused = 0
        self._left = refuse
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                page = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if outer._left:
                    outer._left -= 1
                    outer.refused += 1
                    self.send_response(503)
                else:
                    assert self.headers["idempotency-key"] == page["key"]
                    outer.pages.append(page)
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def refuse(self, n: int) -> None:
        """Answer the next n pages with 503."""
        self._left = n

    def keys(self) -> set[str]:
        """Return the keys of the pages that arrived."""
        return {page["key"] for page in self.pages}

    def about(self, objective: str) -> list[dict[str, Any]]:
        """Return the pages about an objective."""
        return [page for page in self.pages if page["key"].split("/")[2] == objective]


def paging_holds(played: Played, pager: Pager) -> None:
    """Check that each page that was intended arrived at least once, and that no cause has two incidents."""

    def intended() -> set[str]:
        attempted = played.events("action.attempted")
        return {one["subject"] for one in attempted if one["after"]["action"] == "page"}

    # A page owed a moment ago may still be on its way.
    until(lambda: intended() <= pager.keys(), "every intended page arrived", played)
    assert pager.keys() <= intended(), "a page that nobody intended"
    causes = Counter((one["environment"], one["objective"], one["release"]) for one in played.incidents())
    assert max(causes.values(), default=0) <= 1, f"two incidents for one cause: {causes}"


# Callers


@dataclass(slots=True)
class Answer:
    """What a caller got, and when (monotonic seconds). Status 0: no answer, `error` says why."""

    due: float
    ended: float = 0.0
    status: int = 0
    error: str = ""
    release: str = ""
    fallback: str = ""
    record: str = ""
    label: str = ""
    late: int = 0


class Traffic:
    """Open-loop callers in a thread of their own: requests leave when they are due, whatever became of earlier ones.

    Each request has a connection of its own unless `keep`, which keeps a pool as most clients do. With `truth` the
    outcome of each answer is posted soon after; `wrong_truth` says the opposite of what is true.
    """

    def __init__(
        self, played: Played, *, rate: float, keep: bool = False, truth: bool = True, wrong_truth: bool = False,
        seed: int = 7, limit: int = 0, timeout_s: float = 15.0,
    ) -> None:  # fmt: skip
        self.answers: list[Answer] = []
        self.accepted: list[tuple[float, Answer]] = []
        self.outcome_failures: list[str] = []
        self.spoil: Any = None
        self.truth = truth
        self._wrong = wrong_truth
        self._played = played
        self._rate = rate
        self._keep = keep
        self._limit = limit
        self._timeout_s = timeout_s
        self._world = parcels(seed)
        self._ended = threading.Event()
        self._pool: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._waiting: list[Answer] = []
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more, wait for what is under way."""
        self._ended.set()
        self._thread.join(60)
        if self.failure is not None:
            raise self.failure

    def wait(self) -> None:
        """Wait until the limit is reached."""
        self._thread.join(600)
        if self.failure is not None:
            raise self.failure

    def bad(self) -> list[Answer]:
        """Return what was no answer or no 200."""
        return [one for one in list(self.answers) if one.status != 200]

    def told(self) -> list[tuple[str, str]]:
        """Return (record, release name) of every good answer."""
        return [(one.record, one.release) for one in list(self.answers) if one.status == 200]

    def by_release(self) -> Counter[str]:
        """Count answers by the release that gave them."""
        return Counter(one.release for one in list(self.answers) if one.status == 200)

    def _run(self) -> None:
        try:
            asyncio.run(self._drive())
        except BaseException as problem:  # noqa: BLE001 (told in the test's own thread)
            self.failure = problem

    async def _drive(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        sender = asyncio.create_task(self._tell_truths())
        began, sent = time.monotonic(), 0
        while not self._ended.is_set() and (not self._limit or sent < self._limit):
            due = began + sent / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._one(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.gather(*tasks)
        self._ended.set()
        await sender
        for _, writer in self._pool:
            writer.close()

    async def _one(self, due: float) -> None:
        row, late = next(self._world)
        if self.spoil is not None:
            row = self.spoil(row)
        answer = Answer(due, late=late)
        try:
            status, body = await asyncio.wait_for(
                self._call(f"/v1/systems/{SYSTEM}/predict", {"inputs": row}, keep=self._keep), self._timeout_s
            )
        except (OSError, EOFError, TimeoutError, ValueError) as problem:
            answer.error = type(problem).__name__
        else:
            answer.status = status
            document = json.loads(body)
            if status == 200:
                answer.release, answer.record = document["release"], document["record"]
                answer.fallback, answer.label = document["fallback"] or "", str(document["outputs"]["label"])
                if self.truth:
                    self._waiting.append(answer)
            else:
                answer.error = str(document.get("error"))
        answer.ended = time.monotonic()
        self.answers.append(answer)

    async def _tell_truths(self) -> None:
        while True:
            last = self._ended.is_set()
            batch, self._waiting = self._waiting, []
            if batch:
                await self._post_outcomes(batch)
            if last and not self._waiting:
                return
            await asyncio.sleep(0.05)

    async def _post_outcomes(self, batch: list[Answer]) -> None:
        posted = [{"record": one.record, "value": 1 - one.late if self._wrong else one.late} for one in batch]
        try:
            status, body = await asyncio.wait_for(self._call(f"/v1/systems/{SYSTEM}/outcomes", posted, keep=False), 15)
        except (OSError, EOFError, TimeoutError, ValueError) as problem:
            self.outcome_failures.append(type(problem).__name__)
            return
        if status != 202:
            self.outcome_failures.append(f"{status} {body[:100]!r}")
            return
        now = time.monotonic()
        self.accepted += [(now, one) for one in batch]

    async def _call(self, path: str, document: Any, *, keep: bool) -> tuple[int, bytes]:
        body = json.dumps(document).encode()
        reader, writer = await self._connect(keep=keep)
        try:
            head = (
                f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {self._played.key}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
                f"{'' if keep else 'connection: close' + chr(13) + chr(10)}\r\n"
            )
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(answer.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            content = await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        if keep:
            self._pool.append((reader, writer))
        else:
            writer.close()
        return int(answer[9:12]), content

    async def _connect(self, *, keep: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while keep and self._pool:
            reader, writer = self._pool.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._played.port)
