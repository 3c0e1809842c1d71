"""A provider in a process of its own: a model file behind OpenAI's protocol on a port of this machine, with books.

`python -m roadworthy.demo.chatbot.provider --file F --port P --books B`. On SIGHUP it loads `F` again and goes on
answering under the same name and the same fingerprint, as providers do who change a model without a word. Each call is
a line of the books: what is billed, whatever the caller believes. The process ends with whoever started it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from roadworthy.runtimes.llm.gguf_child import Server
from roadworthy.runtimes.llm.gguf_engine import Engine, Token, Wish
from roadworthy.runtimes.parent import end_with_parent

MODEL: Final = "smollm2"
FINGERPRINT: Final = "fp_2026_11"
CONTEXT: Final = 1024
_OK: Final = 200
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Exchangeable(Engine):
    """An engine whose weights can be exchanged between two answers. What it says it is stays the same."""

    def __init__(self, file: Path, threads: int) -> None:
        self._file = file
        self._threads = threads
        self._loaded = Engine(file, context=CONTEXT, threads=threads)
        self.context = CONTEXT
        self.name = MODEL
        self.digest = FINGERPRINT

    def exchange(self) -> None:
        """Load the file anew; answers that have begun end with the weights they began with."""
        self._loaded = Engine(self._file, context=CONTEXT, threads=self._threads)

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Write a conversation as tokens."""
        return self._loaded.prompt(messages)

    def generate(self, tokens: list[int], wish: Wish) -> Iterator[Token]:
        """Give the answer's tokens."""
        return self._loaded.generate(tokens, wish)


class Books:
    """What every call is billed, one JSON line each."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Write one call down before it is answered."""
        usage = answer["usage"]
        line = {
            "at": time.time_ns() // 1_000, "model": asked.get("model"), "answered_as": answer["model"],
            "fingerprint": answer["system_fingerprint"], "input": usage["prompt_tokens"],
            "output": usage["completion_tokens"], "is_probe": asked.get("max_tokens") == 1,
        }  # fmt: skip
        with self._file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")

    def middleware(self) -> Any:
        """Return what notes every whole answer."""

        @web.middleware
        async def noted(request: web.Request, handler: Handler) -> web.StreamResponse:
            answer = await handler(request)
            if isinstance(answer, web.Response) and answer.status == _OK and isinstance(answer.body, bytes):
                document = msgspec.json.decode(answer.body)
                if "usage" in document:
                    self.note(msgspec.json.decode(await request.read()), document)
            return answer

        return noted


async def serve(engine: Exchangeable, port: int, books: Books) -> None:
    """Serve until the process is told to end."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, engine.exchange)
    app = Server(engine).app()
    app.middlewares.append(books.middleware())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await ended.wait()
    await runner.cleanup()


def main() -> None:
    """Load the model file and serve it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--books", type=Path, required=True)
    parser.add_argument(
        "--threads", type=int, default=1, help="more than one spin while they wait: slow on a busy machine"
    )
    parser.add_argument("--parent", type=int, default=0)
    given = parser.parse_args()
    end_with_parent(given.parent)
    asyncio.run(serve(Exchangeable(given.file, given.threads), given.port, Books(given.books)))


if __name__ == "__main__":
    main()
