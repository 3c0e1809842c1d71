"""A served home made by hand: a real server on a real port, real models, a snapshot without control."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roadworthy.domain.candidate import Artifact, Candidate
from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface, Task
from roadworthy.domain.principal import Key, Scope, hash_secret, spell_key
from roadworthy.domain.route import Arm, ArmRole, Route
from roadworthy.domain.snapshot import ServedRelease, ServedSystem, Snapshot
from roadworthy.domain.system import ServePlan
from roadworthy.ports.home import Home
from roadworthy.runtimes.environment import capture
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.home import create
from roadworthy.stores.snapshots import FileSnapshots

PATIENCE_S = 60.0

INTERFACE = Interface(
    inputs=(
        Field(name="distance", type=FieldType.NUMBER, minimum=0, maximum=10_000),
        Field(name="hour", type=FieldType.INTEGER, minimum=0, maximum=23),
        Field(name="origin", type=FieldType.STRING, categories=("EWR", "JFK", "LGA")),
        Field(name="wind", type=FieldType.NUMBER, nullable=True),
        Field(
            name="weather_age", type=FieldType.NUMBER, role=FieldRole.AGE, age_of="wind", required=False, nullable=True
        ),
        Field(name="tail", type=FieldType.STRING, role=FieldRole.ENTITY, nullable=True),
        Field(name="when", type=FieldType.TIMESTAMP, role=FieldRole.EVENT_TIME, required=False, nullable=True),
    ),
    task=Task.BINARY,
    labels=("on_time", "late"),
    positive="late",
)
ROW: dict[str, Any] = {"distance": 500.0, "hour": 9, "origin": "JFK", "wind": 12.5, "weather_age": 30, "tail": "N1"}
SQL = "select {p} as probability from input order by rw_row"


def sql_candidate(artifacts: FileArtifacts, probability: str, *, is_baseline: bool = False) -> Candidate:
    """Keep a SQL model that answers with an expression over the inputs."""
    content = SQL.format(p=probability).encode()
    return Candidate(
        system="flights",
        recipe=f"recipe:{probability}",
        artifacts=(Artifact(role="model", format="sql", digest=artifacts.put(content), size=len(content)),),
        interface=INTERFACE,
        runtime="sql",
        environment=capture(("duckdb", "numpy")),
        is_baseline=is_baseline,
    )


def release(candidate: Candidate, name: str) -> ServedRelease:
    """Name a candidate as a release."""
    return ServedRelease(id=candidate.id, name=name, candidate=candidate)


def solo(release_id: str, **more: Any) -> Route:
    """Route everything to one release."""
    return Route(
        system="flights",
        arms=(Arm(role=ArmRole.CHAMPION, release=release_id, share=1.0),),
        version=1,
        last_good=release_id,
        **more,
    )


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Read the body."""
        return json.loads(self.body)


@dataclass
class Plane:
    """A running data plane on a home made by hand."""

    home: Home
    key: str
    keys: tuple[Key, ...]
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    port: int = 0
    version: int = 0
    extra_environment: dict[str, str] = field(default_factory=dict)

    @property
    def artifacts(self) -> FileArtifacts:
        """Return the store of the home."""
        return FileArtifacts(self.home.artifacts)

    def publish(self, *systems: ServedSystem, keys: tuple[Key, ...] | None = None) -> int:
        """Publish a snapshot of these systems."""
        self.version += 1
        snapshot = Snapshot(
            version=self.version, written_at=1, home=self.home.id, systems=systems, keys=keys or self.keys
        )
        assert FileSnapshots(self.home.snapshot, self.home.workers).publish(snapshot)
        return self.version

    def start(self, workers: int = 1) -> None:
        """Start the data plane and wait until it listens."""
        environment = {
            **os.environ, "ROADWORTHY_HOME": str(self.home.root), "ROADWORTHY_PORT": "0",
            "ROADWORTHY_WORKERS": str(workers), **self.extra_environment,
        }  # fmt: skip
        log = (self.home.logs / "serve.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "roadworthy.serving.serve"], env=environment, stdout=log, stderr=log
        )
        log.close()
        until(lambda: self.home.serve_file.exists() or self.process.poll() is not None, "the data plane listens")
        assert self.process.poll() is None, self.log()
        self.url = json.loads(self.home.serve_file.read_text())["url"]
        self.port = int(self.url.rsplit(":", 1)[1])

    def log(self) -> str:
        """Return what the processes said."""
        return (self.home.logs / "serve.log").read_text()

    def wait_applied(self, workers: int = 1) -> Any:
        """Wait until every worker acknowledged the newest version."""
        snapshots = FileSnapshots(self.home.snapshot, self.home.workers)

        def applied() -> bool:
            words = snapshots.acknowledgements()
            return len(words) == workers and all(word.version >= self.version for word in words)

        until(applied, f"{workers} workers at {self.version}; log: {self.log()}")
        return snapshots.acknowledgements()

    def stop(self) -> None:
        """End the data plane in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, key: str | None = None
    ) -> Reply:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"authorization": f"Bearer {self.key if key is None else key}", **(headers or {})}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if content is not None:
            sent.setdefault("content-type", "application/json")
        try:
            connection.request(method, path, content, {n: v for n, v in sent.items() if v})
            answer = connection.getresponse()
            return Reply(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def predict(self, inputs: Any, **more: Any) -> Reply:
        """Ask the flights system."""
        return self.ask("POST", "/v1/systems/flights/predict", {"inputs": inputs}, **more)


def until(claim: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until a claim holds; fail with what was waited for."""
    give_up_at = time.monotonic() + patience_s
    while not claim():
        assert time.monotonic() < give_up_at, f"never came true: {what}"
        time.sleep(0.02)


def make_key(*scopes: Scope, systems: tuple[str, ...] = (), **more: Any) -> tuple[Key, str]:
    """Make a key and its spelling."""
    secret, name = secrets.token_hex(32), secrets.token_hex(4)
    key = Key(id=name, principal="ada", secret_sha256=hash_secret(secret), scopes=scopes, systems=systems, **more)
    return key, spell_key(name, secret)


def open_plane(folder: Path) -> Plane:
    """Make a home with one key that may do everything; nothing is published or started yet."""
    key, text = make_key(Scope.PREDICT, Scope.OUTCOME, Scope.READ)
    return Plane(create(folder / "home"), text, (key,))


def served(route: Route, *releases: ServedRelease, **plan: Any) -> ServedSystem:
    """Describe the flights system."""
    keep = plan.pop("keep_payload", True)
    goals = plan.pop("non_goals", ())
    return ServedSystem(
        name="flights", environment="live", kind="model", route=route, releases=releases, serve=ServePlan(**plan),
        keep_payload=keep, non_goals=goals,
    )  # fmt: skip
