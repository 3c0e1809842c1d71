"""Measure the gateway beside a bare pass-through and other gateways, in one run, on an upstream that answers at once.

    python benchmarks/llm_gateway.py [--rounds 3] [--seconds 1.5] [--tools FOLDER] [--only ours,bare] [--json FILE]
        [--readme]

Ours runs with all it does for an answer: key, exact cache (looked up, never hit), guards, masking of personal data and
keys for the provider, record. A second row of ours has a budget as well: every call's cost is set aside, the call is
written down before it is sent, and settled after its record. LiteLLM's proxy and Portkey's gateway are installed into a
folder of their own (`--tools`), never into the project's environment; what cannot be installed is skipped and said. CPU
is that of all processes of a server, from /proc; of ours with a budget, control, which runs beside it, is not counted.
The upstream sends a stream's 23 events in 23 writes without a pause: who reads several at once may pass them on at
once, as the pass-through and ours do. Rounds of all servers alternate and medians are shown: read the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import readme

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

EVENTS = 23
KEY = "sk-bench-0123456789abcdef"
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
WORDS = "The answer to your question is that a gateway should cost little and do what it says while it is at work ."


# Small servers of our own: the upstream, and the pass-throughs. Each runs as `llm_gateway.py --serve NAME --fd N`.


def _upstream_bytes() -> tuple[bytes, list[bytes]]:
    head = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "mock-1", "system_fingerprint": "fp"}
    usage = {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50}
    message = {"role": "assistant", "content": WORDS}
    whole = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    answer = json.dumps(head | {"object": "chat.completion", "choices": [whole], "usage": usage}).encode()

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        document = head | {"object": "chat.completion.chunk", "choices": [choice]}
        return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"

    words = [f" {word}" for word in WORDS.split()][: EVENTS - 4]
    last = head | {"object": "chat.completion.chunk", "choices": [], "usage": usage}
    events = [event({"role": "assistant", "content": ""}), *(event({"content": word}) for word in words)]
    events += [event({}, "stop"), b"data: " + json.dumps(last).encode() + b"\n\n", b"data: [DONE]\n\n"]
    return answer, events


def upstream() -> Any:
    """Answer at once: whole, or in 23 events."""
    answer, events = _upstream_bytes()
    plain, stream = [("content-type", "application/json")], [("content-type", "text/event-stream")]

    async def app(_: Any, proto: Any) -> None:
        body = await proto()
        if b'"stream":true' in body or b'"stream": true' in body:
            line = proto.response_stream(200, stream)
            for event in events:
                await line.send_bytes(event)
        else:
            proto.response_bytes(200, plain, answer)

    return app


def passed_by_aiohttp(target: str) -> Any:
    """Pass bytes on by aiohttp, and look at nothing."""
    import aiohttp

    session: list[aiohttp.ClientSession] = []
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}

    async def app(_: Any, proto: Any) -> None:
        if not session:
            session.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False))
        body = await proto()
        async with session[0].post(target, data=body, headers=headers) as answer:
            kind = answer.headers["content-type"]
            if kind.startswith("text/event-stream"):
                line = proto.response_stream(200, [("content-type", kind)])
                async for piece in answer.content.iter_any():
                    await line.send_bytes(piece)
            else:
                proto.response_bytes(200, [("content-type", kind)], await answer.read())

    return app


def passed_by_pyreqwest(target: str) -> Any:
    """Pass bytes on by pyreqwest, whose work is done in Rust."""
    from pyreqwest.client import ClientBuilder

    client: list[Any] = []

    async def app(_: Any, proto: Any) -> None:
        if not client:
            client.append(ClientBuilder().build())
        asked = (
            client[0].post(target).header("content-type", "application/json").header("authorization", f"Bearer {KEY}")
        )
        body = await proto()
        if b'"stream":true' in body or b'"stream": true' in body:
            async with asked.body_bytes(body).build_streamed() as answer:
                line = proto.response_stream(200, [("content-type", "text/event-stream")])
                while piece := await answer.body_reader.read_chunk():
                    await line.send_bytes(bytes(piece))
        else:
            answer = await asked.body_bytes(body).build().send()
            proto.response_bytes(200, [("content-type", "application/json")], bytes(await answer.bytes()))

    return app


def serve(name: str, fd: int, target: str) -> None:
    """Run one of them on a socket that listens already, as our own workers do."""
    from roadworthy.serving.granian_loop import drive, granian_serve

    apps: dict[str, Callable[[], Any]] = {
        "upstream": upstream,
        "aiohttp": lambda: passed_by_aiohttp(target),
        "pyreqwest": lambda: passed_by_pyreqwest(target),
    }

    async def run() -> None:
        with socket.socket(fileno=fd) as listener:
            await granian_serve(apps[name](), listener)

    drive(run())


# Servers under measurement


@dataclass
class Server:
    """One server: where it is asked, with which headers and model, and whose CPU counts."""

    name: str
    port: int
    pid: int
    model: str = "mock-1"
    headers: dict[str, str] = field(default_factory=dict)
    path: str = "/v1/chat/completions"
    streams: bool = True
    figures: dict[str, list[float]] = field(default_factory=dict)


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def used(pid: int) -> tuple[float, float]:
    """Return CPU seconds and resident megabytes of a server's processes."""
    cpu = size = 0.0
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            size += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * PAGE / 1e6
        except OSError:
            continue
        cpu += (int(fields[11]) + int(fields[12])) / TICK
    return cpu, size


@contextmanager
def process(words: list[str], **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process and end it."""
    running = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **more
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGTERM)
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()


@contextmanager
def small(name: str, target: str = "", path: str = "") -> Iterator[Server]:
    """Run one of our own small servers."""
    with socket.socket() as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        port, fd = listener.getsockname()[1], listener.fileno()
        words = [sys.executable, __file__, "--serve", name, "--fd", str(fd), "--target", target]
        more = {"env": {**os.environ, "PYTHONPATH": path}} if path else {}
        with process(words, pass_fds=[fd], **more) as running:
            yield Server(name, port, running.pid)


def installed(package: str, tools: Path) -> str:
    """Install a package into a folder of its own, and return the folder."""
    folder = tools / package
    if not folder.exists():
        install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), package]
        subprocess.run(install, check=True, capture_output=True)
    return str(folder)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@contextmanager
def ours(target: str, budget: str = "") -> Iterator[Server]:
    """Run a worker of ours with a released system; with a budget also control, which grants what the worker spends."""
    from llm_kit import SYSTEM, chatting

    folder = Path(tempfile.mkdtemp())
    price = {"input": "0.15 USD", "output": "0.60 USD"}
    pin = {"provider": "openai", "url": target, "model": "mock-1", "price": price, "key": "env:BENCH_KEY"}
    serve = {"deadline": "20s", "cache": "10m", **({"budgets": [budget]} if budget else {})}
    given = {"serve": serve, "environment": {"BENCH_KEY": KEY}}
    try:
        with chatting(folder, {"main": pin}, up=bool(budget), **given) as chat:
            headers = {"authorization": f"Bearer {chat.key}"}
            pid = int(json.loads(chat.plane.home.serve_file.read_text())["pid"])
            yield Server("with a budget" if budget else "roadworthy", chat.port, pid, SYSTEM, headers)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def litellm(target: str, tools: Path) -> Iterator[Server]:
    """Run LiteLLM's proxy from an environment of its own."""
    home = tools / "litellm"
    if not (home / "bin/litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True)
        install = [str(home / "bin/python"), "-m", "pip", "install", "-q", "litellm[proxy]"]
        subprocess.run(install, check=True, capture_output=True)
    port, config = free_port(), tools / "litellm.yaml"
    parameters = {"model": "openai/mock-1", "api_base": target, "api_key": KEY}
    settings = {"model_list": [{"model_name": "mock-1", "litellm_params": parameters}], "litellm_settings": {}}
    config.write_text(json.dumps(settings | {"general_settings": {"master_key": KEY}}))
    words = [str(home / "bin/litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with process([*words, "--num_workers", "1"], env={**os.environ, **offline}) as running:
        yield Server("LiteLLM", port, running.pid, headers={"authorization": f"Bearer {KEY}"})


@contextmanager
def portkey(target: str, tools: Path) -> Iterator[Server]:
    """Run Portkey's gateway on node."""
    script = tools / "node_modules/@portkey-ai/gateway/build/start-server.js"
    if not script.exists():
        tools.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(tools), "@portkey-ai/gateway"],
            check=True, capture_output=True,
        )  # fmt: skip
    port = free_port()
    headers = {
        "authorization": f"Bearer {KEY}", "x-portkey-provider": "openai", "x-portkey-custom-host": target,
    }  # fmt: skip
    environment = {**os.environ, "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    with process(["node", str(script), f"--port={port}", "--headless"], env=environment) as running:
        yield Server("Portkey", port, running.pid, headers=headers)


# Callers


class Caller:
    """One keep-alive connection."""

    def __init__(self, server: Server, number: int) -> None:
        self._server = server
        self._number = number
        self._asked = 0

    async def connect(self) -> None:
        """Open the connection."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._server.port)

    def request(self, *, stream: bool) -> bytes:
        """Write a request that was never asked before."""
        self._asked += 1
        text = f"What does a gateway cost? (call {self._number}.{self._asked} of {time.time_ns()})"
        document: dict[str, Any] = {"model": self._server.model, "messages": [{"role": "user", "content": text}]}
        body = json.dumps(document | ({"stream": True} if stream else {})).encode()
        lines = [f"POST {self._server.path} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json"]
        lines += [f"content-length: {len(body)}", *(f"{name}: {value}" for name, value in self._server.headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def ask(self, *, stream: bool = False) -> tuple[float, float]:
        """Ask once; return seconds to the first byte of the body and to the last."""
        began = time.perf_counter()
        self._writer.write(self.request(stream=stream))
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError(head.decode() + (await self._reader.read(600)).decode())
        first = 0.0
        if b"content-length:" in head:
            size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            body = await self._reader.readexactly(size)
            first = time.perf_counter()
            assert WORDS[:20].encode() in body, body
            return first - began, first - began
        tail = b""
        while size := int((await self._reader.readuntil(b"\r\n")).strip(), 16):
            piece = await self._reader.readexactly(size + 2)
            first = first or time.perf_counter()
            tail = piece
        await self._reader.readexactly(2)
        assert not stream or b"[DONE]" in tail, tail
        return first - began, time.perf_counter() - began

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def load(server: Server, callers: int, seconds: float, *, stream: bool) -> tuple[list[float], list[float], float]:
    """Ask from so many callers for so long; return first bytes, whole times (seconds), and the time it took."""
    lines = [Caller(server, number) for number in range(callers)]
    firsts: list[float] = []
    wholes: list[float] = []
    for line in lines:
        await line.connect()
        await line.ask(stream=stream)
    began = time.perf_counter()

    async def go(line: Caller) -> None:
        while time.perf_counter() - began < seconds:
            first, whole = await line.ask(stream=stream)
            firsts.append(first)
            wholes.append(whole)

    await asyncio.gather(*(go(line) for line in lines))
    took = time.perf_counter() - began
    for line in lines:
        line.close()
    return firsts, wholes, took


def measure(server: Server, seconds: float) -> None:
    """Take one round's figures of a server."""

    def note(name: str, value: float) -> None:
        server.figures.setdefault(name, []).append(value)

    _, wholes, _ = asyncio.run(load(server, 1, seconds, stream=False))
    note("p50 c1 ms", statistics.median(wholes) * 1e3)
    before = used(server.pid)[0]
    _, wholes, took = asyncio.run(load(server, 16, seconds, stream=False))
    note("rps c16", len(wholes) / took)
    note("CPU ms c16", (used(server.pid)[0] - before) / (len(wholes) + 16) * 1e3)
    note("RSS MB", used(server.pid)[1])
    if not server.streams:
        return
    before = used(server.pid)[0]
    firsts, wholes, _ = asyncio.run(load(server, 4, seconds, stream=True))
    note("SSE CPU ms", (used(server.pid)[0] - before) / (len(wholes) + 4) * 1e3)
    firsts, _, _ = asyncio.run(load(server, 1, seconds / 2, stream=True))
    note("SSE first byte ms", statistics.median(firsts) * 1e3)


async def answers(server: Server, patience_s: float = 90.0) -> None:
    """Wait until a server answers well, whole and streamed."""
    give_up_at = time.monotonic() + patience_s
    while True:
        try:
            line = Caller(server, 0)
            await line.connect()
            await asyncio.wait_for(line.ask(), 10)
            break
        except (OSError, asyncio.IncompleteReadError, ValueError):
            if time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(0.2)
    try:
        await asyncio.wait_for(line.ask(stream=True), 10)
    except OSError as error:
        server.streams = False
        print(f"{server.name} does not stream here: {(str(error) or type(error).__name__).splitlines()[0]}")
    line.close()


COLUMNS = ("p50 c1 ms", "rps c16", "CPU ms c16", "SSE CPU ms", "SSE first byte ms", "RSS MB")


def report(servers: list[Server]) -> list[dict[str, Any]]:
    """Print medians, and each server's CPU as a multiple of the bare pass-through's."""
    rows = [
        {"name": one.name, **{name: statistics.median(one.figures.get(name, [math.nan])) for name in COLUMNS}}
        for one in servers
    ]
    bare = next((row for row in rows if row["name"] == "aiohttp"), None)
    print(f"\n{'':14}" + "".join(f"{name:>19}" for name in COLUMNS) + f"{'CPU ratio':>12}{'SSE ratio':>12}")
    for row in rows:
        ratios = [row[name] / bare[name] if bare else 0.0 for name in ("CPU ms c16", "SSE CPU ms")]
        figures = "".join(f"{row[name]:>19.3f}" for name in COLUMNS)
        print(f"{row['name']:14}{figures}" + "".join(f"{ratio:>12.2f}" for ratio in ratios))
    return rows


TITLES = {
    "aiohttp": "bare pass-through (aiohttp)",
    "roadworthy": "**Roadworthy**, every feature on",
    "with a budget": "**Roadworthy**, and paid from a budget",
    "LiteLLM": "LiteLLM proxy",
    "Portkey": "Portkey gateway",
}


def block(rows: list[dict[str, Any]]) -> str:
    """Write the README's table."""
    found = {str(row["name"]): row for row in rows}
    bare, where = found["aiohttp"], readme.machine()
    lines = [
        (
            f"Measured {where['date']} on {where['cores']} cores, Python {where['python']}, all in one run, "
            "the upstream on the same machine: `make bench-llm`."
        ),
        "",
        "| One chat request, one worker | CPU at 16 callers | streamed, 23 events | median, 1 caller | rps | memory |",
        "|---|---|---|---|---|---|",
    ]
    for name, title in TITLES.items():
        row = found.get(name)
        if row is None:
            continue
        cells: list[str] = []
        for column in ("CPU ms c16", "SSE CPU ms"):
            times = f" ({row[column] / bare[column]:.1f} times)" if row is not bare else ""
            cells.append("does not stream here" if math.isnan(row[column]) else f"{row[column]:.2f} ms{times}")
        rest = f"{row['p50 c1 ms']:.2f} ms | {row['rps c16']:,.0f} | {row['RSS MB']:.0f} MB"
        lines.append(f"| {title} | {' | '.join(cells)} | {rest} |")
    if {"roadworthy", "LiteLLM"} <= found.keys():
        share = found["LiteLLM"]["CPU ms c16"] / found["roadworthy"]["CPU ms c16"]
        lines += ["", f"Aims: 2.5 times the pass-through, 1/35 of LiteLLM; here it is 1/{share:.0f}."]
    return "\n".join(lines)


def main() -> None:
    """Measure all that can be run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--tools", type=Path, default=Path(tempfile.gettempdir()) / "roadworthy-bench-llm")
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--readme", action="store_true", help="write the figures into the README")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--target", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.fd, given.target)
        return
    wanted = set(given.only.split(",")) - {""}
    with ExitStack() as stack:
        provider = stack.enter_context(small("upstream"))
        place = f"http://127.0.0.1:{provider.port}/v1"
        chat = f"{place}/chat/completions"
        entrants: dict[str, Callable[[], Any]] = {
            "aiohttp": lambda: small("aiohttp", chat),
            "pyreqwest": lambda: small("pyreqwest", chat, installed("pyreqwest", given.tools)),
            "roadworthy": lambda: ours(place),
            "budget": lambda: ours(place, "100000 USD per month"),
            "LiteLLM": lambda: litellm(place, given.tools),
            "Portkey": lambda: portkey(place, given.tools),
        }
        servers: list[Server] = []
        asyncio.run(answers(provider))
        for name, start in entrants.items():
            if wanted and name not in wanted:
                continue
            try:
                server = stack.enter_context(start())
                asyncio.run(answers(server, 20 if name == "pyreqwest" else 90))
            except (OSError, subprocess.SubprocessError, asyncio.IncompleteReadError, AssertionError) as error:
                print(f"{name} is skipped: {type(error).__name__}: {str(error)[:300]}")
                continue
            servers.append(server)
        for number in range(given.rounds):
            for server in servers:
                measure(server, given.seconds)
            print(f"round {number + 1} of {given.rounds} is done", flush=True)
        rows = report(servers)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))
    if given.readme:
        readme.put("bench-llm", block(rows))


if __name__ == "__main__":
    main()
