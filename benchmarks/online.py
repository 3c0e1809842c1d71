"""Measure online serving in one run: our full path beside bare stacks, same model, same machine, same load.

`python benchmarks/online.py [--quick] [--json FILE]`. One worker each, numeric libraries on one thread. The model is a
HistGradientBoostingClassifier on 8 features of New York flights. Figures are medians over rounds in which the servers
take turns, so ratios hold where absolute times do not. Load comes from `wrk`, or from an asyncio client without it.

| server | what it does |
|---|---|
| echo | granian RSGI: read the body, send it back |
| plain | RSGI, msgspec, ONNX Runtime, micro-batched: no validation rules, routing, fallback, record |
| roadworthy | the real data plane: keys, interface, canary 10 %, shadow 10 %, deadline, fallback chain, records |
| fastapi-onnx | FastAPI on uvicorn (uvloop, httptools if installed), ONNX Runtime |
| fastapi-sklearn | the same with the scikit-learn model |
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FEATURES = ("month", "weekday", "hour", "distance", "dewp", "humid", "wind_speed", "pressure")
SERVERS = ("echo", "plain", "roadworthy", "fastapi-onnx", "fastapi-sklearn")
CONCURRENCIES = (1, 16, 64)
TICK = os.sysconf("SC_CLK_TCK")
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


# ---------------------------------------------------------------------------------------------------- preparation


def prepare(folder: Path) -> None:
    """Fit the model, convert it, write the request bodies."""
    import duckdb
    import joblib
    import numpy as np
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.ensemble import HistGradientBoostingClassifier

    from roadworthy.demo.data import write_flights

    files = write_flights(folder / "data")
    columns = ", ".join(f"{name}::double" for name in FEATURES)
    query = (
        f"select {columns}, late from read_parquet($path) where {' and '.join(f'{n} is not null' for n in FEATURES)}"
    )
    rows = duckdb.execute(query, {"path": str(files.train)}).fetchnumpy()
    table = np.column_stack([rows[name] for name in list(rows)[:-1]]).astype(np.float32)
    model = HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=15, early_stopping=False, random_state=0)
    model.fit(table, rows["late"])
    joblib.dump(model, folder / "model.joblib")
    other = HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=15, early_stopping=False, random_state=1)
    other.fit(table[::2], rows["late"][::2])
    for name, one in (("model", model), ("challenger", other)):
        graph = to_onnx(
            one,
            initial_types=[("X", FloatTensorType([None, len(FEATURES)]))],
            options={"zipmap": False},
            target_opset=17,
        )
        (folder / f"{name}.onnx").write_bytes(graph.SerializeToString())
    picks = np.random.default_rng(0).choice(len(table), 500, replace=False)
    made = [{name: round(float(value), 3) for name, value in zip(FEATURES, row, strict=True)} for row in table[picks]]
    write_bodies(folder / "bodies.lua", [{"inputs": row} for row in made])
    write_bodies(folder / "bodies100.lua", [{"inputs": made[at : at + 100]} for at in range(0, 500, 100)])
    (folder / "row.json").write_text(json.dumps({"inputs": made[0]}))


def write_bodies(path: Path, bodies: list[dict[str, Any]]) -> None:
    """Write a wrk script that posts the bodies in turn."""
    lines = "\n".join(f"bodies[{at + 1}] = [==[{json.dumps(body)}]==]" for at, body in enumerate(bodies))
    key = (path.parent / "key").read_text() if (path.parent / "key").exists() else "KEY"
    path.write_text(
        f'bodies = {{}}\n{lines}\nat = 0\nwrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\n'
        f'wrk.headers["authorization"] = "Bearer {key}"\n'
        "function request()\n  at = at + 1\n  if at > #bodies then at = 1 end\n"
        "  return wrk.format(nil, nil, nil, bodies[at])\nend\n"
    )


def make_home(folder: Path) -> None:
    """Make a home whose snapshot routes 90 % to one release, 10 % to another, and shows a shadow 10 %."""
    from roadworthy.domain.candidate import Artifact, Candidate
    from roadworthy.domain.interface import Field, FieldType, Interface, Task
    from roadworthy.domain.principal import Key, Scope, hash_secret, spell_key
    from roadworthy.domain.route import Arm, ArmRole, Route, Shadow
    from roadworthy.domain.snapshot import ServedRelease, ServedSystem, Snapshot
    from roadworthy.domain.system import ServePlan
    from roadworthy.runtimes.environment import capture
    from roadworthy.stores.artifacts import FileArtifacts
    from roadworthy.stores.home import create
    from roadworthy.stores.snapshots import FileSnapshots

    home = create(folder / "home")
    artifacts = FileArtifacts(home.artifacts)
    bounds: dict[str, tuple[float, float]] = {"month": (1, 12), "weekday": (1, 7), "hour": (0, 23), "humid": (0, 100)}
    fields = tuple(
        Field(
            name=n, type=FieldType.NUMBER, minimum=bounds.get(n, (-1e6, 1e6))[0], maximum=bounds.get(n, (-1e6, 1e6))[1]
        )
        for n in FEATURES
    )
    interface = Interface(inputs=fields, task=Task.BINARY, labels=("0", "1"), positive="1")

    def release(name: str, content: bytes, kind: str, packages: tuple[str, ...], **more: Any) -> ServedRelease:
        artifact = Artifact(role="model", format=kind, digest=artifacts.put(content), size=len(content))
        candidate = Candidate(
            system="flights", recipe=name, artifacts=(artifact,), interface=interface, runtime=kind,
            environment=capture(packages), **more,
        )  # fmt: skip
        return ServedRelease(id=candidate.id, name=name, candidate=candidate)

    onnx = ("onnxruntime", "numpy")
    champion = release("flights@v1", (folder / "model.onnx").read_bytes(), "onnx", onnx)
    challenger = release("flights@v2", (folder / "challenger.onnx").read_bytes(), "onnx", onnx)
    sql = b"select 0.2 as probability from input order by rw_row"
    baseline = release("flights@baseline", sql, "sql", ("duckdb", "numpy"), is_baseline=True)
    arms = (
        Arm(role=ArmRole.CHAMPION, release=champion.id, share=0.9),
        Arm(role=ArmRole.CHALLENGER, release=challenger.id, share=0.1),
    )
    route = Route(
        system="flights", version=1, arms=arms, shadow=Shadow(release=challenger.id, rate=0.1),
        fallback=(baseline.id,), last_good=champion.id,
    )  # fmt: skip
    system = ServedSystem(
        name="flights", environment="live", kind="model", route=route, releases=(champion, challenger, baseline),
        serve=ServePlan(max_in_flight=512),
    )  # fmt: skip
    secret = secrets.token_hex(32)
    key = Key(id="bench", principal="bench", secret_sha256=hash_secret(secret), scopes=(Scope.PREDICT, Scope.READ))
    FileSnapshots(home.snapshot, home.workers).publish(
        Snapshot(version=1, written_at=1, home=home.id, systems=(system,), keys=(key,))
    )
    (folder / "key").write_text(spell_key("bench", secret))


# ------------------------------------------------------------------------------------------------------- servers


def serve_rsgi(app: Any, port: int) -> None:
    """Run an RSGI app under the same granian glue and loop as ours."""
    from roadworthy.serving.granian_loop import drive, granian_serve
    from roadworthy.serving.serve import listen

    with listen("127.0.0.1", port) as listener:
        drive(granian_serve(app, listener))


def serve_echo(_folder: Path, port: int) -> None:
    """Send the body back."""

    async def app(_scope: Any, proto: Any) -> None:
        proto.response_bytes(200, [("content-type", "application/json")], await proto())

    serve_rsgi(app, port)


def serve_plain(folder: Path, port: int) -> None:
    """The same stack as ours without a feature: decode, batch, run, encode."""
    import msgspec
    import numpy as np

    from roadworthy.runtimes.onnx import open_session

    row = msgspec.defstruct("Row", [(name, float) for name in FEATURES])
    decode = msgspec.json.Decoder(msgspec.defstruct("Request", [("inputs", row | list[row])])).decode
    encode, as_row = msgspec.json.Encoder().encode, msgspec.structs.astuple
    session = open_session((folder / "model.onnx").read_bytes())
    waiting: list[tuple[list[Any], asyncio.Future[Any]]] = []

    def flush() -> None:
        batch = waiting[:]
        waiting.clear()
        table = np.array([one for rows, _ in batch for one in rows], dtype=np.float32)
        shares = session.run(None, {"X": table})[1][:, 1].tolist()
        at = 0
        for rows, future in batch:
            future.set_result(shares[at : at + len(rows)])
            at += len(rows)

    async def app(_scope: Any, proto: Any) -> None:
        given = decode(await proto()).inputs
        rows = [as_row(one) for one in given] if isinstance(given, list) else [as_row(given)]
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        waiting.append((rows, future))
        if len(waiting) == 1:
            loop.call_soon(flush)
        shares = await future
        body = encode({"outputs": [{"probability": share, "label": "1" if share >= 0.5 else "0"} for share in shares]})
        proto.response_bytes(200, [("content-type", "application/json")], body)

    serve_rsgi(app, port)


def serve_fastapi(folder: Path, port: int, kind: str) -> None:
    """FastAPI as its documentation writes it: a pydantic model, a sync endpoint in the thread pool or an async one."""
    import numpy as np
    import uvicorn
    from fastapi import FastAPI
    from pydantic import create_model

    row: Any = create_model("Row", **dict.fromkeys(FEATURES, (float, ...)))

    request_model: Any = create_model("Request", inputs=(row | list[row], ...))

    if kind == "sklearn":
        import joblib

        model = joblib.load(folder / "model.joblib")

        def predict(table: Any) -> Any:
            return model.predict_proba(table)[:, 1].tolist()
    else:
        from roadworthy.runtimes.onnx import open_session

        session = open_session((folder / "model.onnx").read_bytes())

        def predict(table: Any) -> Any:
            return session.run(None, {"X": table})[1][:, 1].tolist()

    app = FastAPI()

    async def answer(request: Any) -> dict[str, Any]:
        rows = request.inputs if isinstance(request.inputs, list) else [request.inputs]
        table = np.array([[getattr(one, name) for name in FEATURES] for one in rows], dtype=np.float32)
        return {"outputs": [{"probability": p, "label": "1" if p >= 0.5 else "0"} for p in predict(table)]}

    answer.__annotations__["request"] = request_model
    app.post("/v1/systems/flights/predict")(answer)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


# ---------------------------------------------------------------------------------------------------- measurement


class Server:
    """One server under measurement: its process, its port, what its first answer cost."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.port = free_port()
        command = [sys.executable, __file__, "serve", name, "--folder", str(folder), "--port", str(self.port)]
        if name == "roadworthy":
            command = [sys.executable, "-m", "roadworthy.serving.serve"]
        settings = {"ROADWORTHY_HOME": str(folder / "home"), "ROADWORTHY_PORT": str(self.port)}
        self.log = (folder / f"{name}.log").open("wb")
        self.process = subprocess.Popen(
            command, env={**os.environ, **THREADS, **settings}, stdout=self.log, stderr=self.log
        )
        self.body = (folder / "row.json").read_bytes()
        self.key = (folder / "key").read_text()
        self._first_answer()
        self.cold_cpu_s = self.cpu_s()

    def _first_answer(self) -> None:
        give_up_at = time.monotonic() + 60
        while time.monotonic() < give_up_at:
            try:
                line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                headers = {"content-type": "application/json", "authorization": f"Bearer {self.key}"}
                line.request("POST", "/v1/systems/flights/predict", self.body, headers)
                if line.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise SystemExit(f"{self.name} never answered; see {self.log.name}")

    def pids(self) -> list[int]:
        """Return the process and all below it."""
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(text) for text in task.read_text().split()]
        return found

    def cpu_s(self) -> float:
        """Return the CPU seconds of the tree."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICK

    def pss_mb(self) -> float:
        """Return the proportional set size of the tree in MB."""
        kilobytes = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kilobytes += int(line.split()[1])
        return kilobytes / 1024

    def measure(self, concurrency: int, seconds: int, script: Path) -> dict[str, float]:
        """Load it; return requests a second, p99 in ms, CPU µs a request, failures."""
        before = self.cpu_s()
        got = load(self.port, concurrency, seconds, script, self.key)
        used = self.cpu_s() - before
        return {**got, "cpu_us": used / max(got["requests"], 1) * 1e6}

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def free_port() -> int:
    """Return a port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def load(port: int, concurrency: int, seconds: int, script: Path, key: str) -> dict[str, float]:
    """Load a server with wrk, else with an asyncio client."""
    url = f"http://127.0.0.1:{port}/v1/systems/flights/predict"
    if shutil.which("wrk"):
        command = ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", "--latency", "-s", str(script), url]
        return read_wrk(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return asyncio.run(load_in_python(port, concurrency, seconds, script, key))


def read_wrk(text: str) -> dict[str, float]:
    """Read what wrk prints."""
    units = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
    found = {"rps": 0.0, "p99_ms": 0.0, "requests": 0.0, "failures": 0.0}
    for line in text.splitlines():
        words = line.split()
        if line.strip().startswith("99%"):
            number = words[1].rstrip("usm")
            found["p99_ms"] = float(number) * units[words[1][len(number) :]]
        elif "requests in" in line:
            found["requests"] = float(words[0])
        elif words[:1] == ["Requests/sec:"]:
            found["rps"] = float(words[1])
        elif "Non-2xx" in line:
            found["failures"] += float(words[-1])
        elif "Socket errors" in line:
            found["failures"] += sum(float(word.rstrip(",")) for word in words if word.rstrip(",").isdigit())
    return found


async def load_in_python(port: int, concurrency: int, seconds: int, script: Path, key: str) -> dict[str, float]:
    """Load a server from Python: slower than wrk, good for ratios at low rates only."""
    lines = script.read_text().splitlines()  # noqa: ASYNC240 (before the load begins)
    bodies = [line.split("[==[", 1)[1].rsplit("]==]", 1)[0] for line in lines if "[==[" in line]
    until = time.perf_counter() + seconds
    took: list[float] = []
    failures = 0

    async def client(at: int) -> None:
        nonlocal failures
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < until:
            at += 1
            body = bodies[at % len(bodies)].encode()
            began = time.perf_counter()
            writer.write(
                b"POST /v1/systems/flights/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                + f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
                + body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            failures += not head.startswith(b"HTTP/1.1 2")
            length = next(int(h.split(b":")[1]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length"))
            await reader.readexactly(length)
            took.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(client(at * 7) for at in range(concurrency)))
    took.sort()
    return {
        "rps": len(took) / seconds, "p99_ms": took[int(len(took) * 0.99)] * 1e3,
        "requests": len(took), "failures": failures,
    }  # fmt: skip


def run(folder: Path, *, rounds: int, seconds: int, servers: tuple[str, ...]) -> dict[str, Any]:
    """Measure all servers in turns."""
    running: list[Server] = []
    found: dict[str, dict[str, list[dict[str, float]]]] = {name: {} for name in servers}
    try:
        for name in servers:
            running.append(Server(name, folder))  # noqa: PERF401 (those that started must be stopped)
        for server in running:
            server.measure(16, 1, folder / "bodies.lua")
        for _ in range(rounds):
            for concurrency in CONCURRENCIES:
                for server in running:
                    got = server.measure(concurrency, seconds, folder / "bodies.lua")
                    found[server.name].setdefault(f"c{concurrency}", []).append(got)
            for server in running:
                if server.name != "echo":
                    got = server.measure(4, seconds, folder / "bodies100.lua")
                    found[server.name].setdefault("rows100", []).append(got)
        return {
            server.name: {
                "cold_cpu_s": server.cold_cpu_s,
                "pss_mb": server.pss_mb(),
                **{
                    kind: {field: statistics.median(one[field] for one in each) for field in each[0]}
                    for kind, each in found[server.name].items()
                },
            }
            for server in running
        }
    finally:
        for server in running:
            server.stop()


def report(figures: dict[str, Any]) -> str:
    """Write the table and the ratios."""
    lines = [
        "| server | rps c1 / c16 / c64 | p99 ms c16 | CPU µs a request c16 | rows/s in 100s | cold CPU-s | PSS MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in figures.items():
        rps = " / ".join(f"{one[f'c{c}']['rps']:.0f}" for c in CONCURRENCIES)
        rows = f"{one['rows100']['rps'] * 100 / 1e3:.0f}k" if "rows100" in one else ""
        lines.append(
            f"| {name} | {rps} | {one['c16']['p99_ms']:.1f} | {one['c16']['cpu_us']:.0f} | {rows} "
            f"| {one['cold_cpu_s']:.2f} | {one['pss_mb']:.0f} |"
        )
    ours = figures["roadworthy"]["c16"]
    aims = {"echo": "≥ 0.55", "plain": "≥ 0.85", "fastapi-onnx": "≥ 4", "fastapi-sklearn": "≥ 40"}
    for name, aim in aims.items():
        if name in figures:
            rest = figures[name]["c16"]
            lines.append(
                f"ratio at c16 to {name}: {ours['rps'] / rest['rps']:.2f} by rps, "
                f"{rest['cpu_us'] / ours['cpu_us']:.2f} by CPU a request (aim {aim})"
            )
    failures = sum(one[kind]["failures"] for one in figures.values() for kind in one if isinstance(one[kind], dict))
    lines.append(f"failed requests in all medians: {failures:.0f}")
    return "\n".join(lines)


def main() -> None:
    """Prepare, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", nargs="?", default="run", choices=("run", "serve"))
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s each, about a minute")
    parser.add_argument("--only", default=",".join(SERVERS), help="servers to measure, by comma")
    parser.add_argument("--folder", type=Path, default=None, help="keep models and home here")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    if given.command == "serve":
        {
            "echo": serve_echo,
            "plain": serve_plain,
            "fastapi-onnx": lambda folder, port: serve_fastapi(folder, port, "onnx"),
            "fastapi-sklearn": lambda folder, port: serve_fastapi(folder, port, "sklearn"),
        }[given.name](given.folder, given.port)
        return
    folder = given.folder or Path(tempfile.mkdtemp(prefix="roadworthy-online-"))
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "challenger.onnx").exists():
        (folder / "key").write_text("KEY")
        prepare(folder)
    shutil.rmtree(folder / "home", ignore_errors=True)
    make_home(folder)
    for script in ("bodies.lua", "bodies100.lua"):
        text = (folder / script).read_text()
        start = text.index('"Bearer ') + len('"Bearer ')
        (folder / script).write_text(text[:start] + (folder / "key").read_text() + text[text.index('"', start) :])
    rounds, seconds = (1, 2) if given.quick else (5, 4)
    figures = run(folder, rounds=rounds, seconds=seconds, servers=tuple(given.only.split(",")))
    print(report(figures))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))
    if given.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
