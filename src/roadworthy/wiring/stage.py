"""A stage for a trial: a throw-away home, a key and a real worker that serves one candidate and nothing else."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import AUTOMATION, Scope
from roadworthy.domain.release import Release
from roadworthy.domain.route import Arm, ArmRole, Route
from roadworthy.domain.system import Policy, System
from roadworthy.errors import ArtifactError, UnavailableError
from roadworthy.lifecycle.change_route import route_changed
from roadworthy.lifecycle.keys import create_key
from roadworthy.lifecycle.publish import publish
from roadworthy.ports.plane import Plane
from roadworthy.serving.serve import listen, worker_environment
from roadworthy.settings import Settings
from roadworthy.stores.codec import to_doc
from roadworthy.stores.home import create
from roadworthy.wiring.calls import Door

START_S: Final = 90.0
DEADLINE_MS: Final = 10_000.0
_LOOK_S: Final = 0.05
_GRACE_S: Final = 5.0
_MANY: Final = 4_096


@dataclass(frozen=True, slots=True)
class Stage:
    """A running worker. `door` takes predictions of the one candidate it serves."""

    door: Door


@contextmanager
def staged(plane: Plane, system: System, candidate: Candidate) -> Generator[Stage]:
    """Serve a candidate by a real worker of its own, on a free port of 127.0.0.1, until the block ends.

    It runs under the manifest's interface rules and limits of size, without fallbacks and with a generous deadline: a
    trial measures the candidate, and a deadline that cuts a slow answer short would hide how slow it is.

    Raises:
        ArtifactError: the worker cannot load the candidate; says why.
        UnavailableError: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="roadworthy-trial-") as scratch:
        from roadworthy.wiring import open_plane

        root = Path(scratch) / "home"
        create(root)
        own = open_plane(Settings(home=root))
        try:
            key = _fill(own, plane, system, candidate)
            words = ["roadworthy.serving.worker", "--home", str(root), "--fd", "{fd}"]
            with listening(words, Path(scratch) / "log") as (port, process):
                _wait(port, process, own, Path(scratch) / "log")
                yield Stage(Door(port=port, path=f"/v1/systems/{system.name}/predict", key=key))
        finally:
            own.close()


@contextmanager
def echoing() -> Generator[Door]:
    """Run an echo beside the worker: the same server, the same machine, no work."""
    with (
        tempfile.TemporaryDirectory(prefix="roadworthy-echo-") as scratch,
        listening(["roadworthy.serving.echo", "{fd}"], Path(scratch) / "log") as (port, _),
    ):
        yield Door(port=port, path="/")


@contextmanager
def listening(words: Sequence[str], log: Path) -> Generator[tuple[int, subprocess.Popen[bytes]]]:
    """Run one of our modules on a listening socket; its connections wait in the backlog until it accepts."""
    with listen("127.0.0.1", 0) as listener, log.open("wb") as file:
        process = _start(words, listener, file)
        try:
            yield listener.getsockname()[1], process
        finally:
            process.terminate()
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(words: Sequence[str], listener: socket.socket, log: Any) -> subprocess.Popen[bytes]:
    spelled = [word.replace("{fd}", str(listener.fileno())) for word in words]
    return subprocess.Popen(  # noqa: S603 (this interpreter, our own modules)
        [sys.executable, "-P", "-m", *spelled], pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL,
        stdout=log, stderr=subprocess.STDOUT, env=worker_environment(),
    )  # fmt: skip


def _fill(own: Plane, plane: Plane, system: System, candidate: Candidate) -> str:
    """Put candidate, policy, route and key into the throw-away home; return the key as its holder sends it."""
    for artifact in candidate.artifacts:
        own.artifacts.put_file(plane.artifacts.path(artifact.digest))
    now = own.clock.now()
    release = Release(
        id=candidate.id, system=system.name, number=1, candidate=candidate, policy=system.policy.digest, run="",
        admitted_at=now, admitted_by=AUTOMATION.principal,
    )  # fmt: skip
    arms = (Arm(role=ArmRole.CHAMPION, release=release.id, share=1.0),)
    route = Route(system=system.name, version=1, arms=arms, last_good=release.id)
    policy = _policy(system.policy, plane.home.root.resolve().parent)
    standing = {"name": system.name, "kind": system.kind}
    own.ledger.commit(
        [
            _decide("system.applied", system.name, Noun.SYSTEM, system.name, standing),
            _decide("policy.applied", system.name, Noun.POLICY, system.name, policy),
            _decide("release.admitted", system.name, Noun.RELEASE, release.id, release),
            route_changed(route, AUTOMATION, "a trial", expected=0),
        ]
    )
    key = create_key(own, "trial", [Scope.PREDICT, Scope.READ], AUTOMATION)
    publish(own)
    return key.text


def _policy(policy: Policy, project: Path) -> Policy:
    """Return the limits of a trial: nobody else answers, nothing is cached, and no budget of callers is spent."""
    serve = replace(
        policy.serve, deadline_ms=max(policy.serve.deadline_ms, DEADLINE_MS), fallback=(), stated_default=None,
        max_in_flight=max(policy.serve.max_in_flight, _MANY), breaker_errors=2.0, breaker_window=_MANY,
        budgets=(), cap_per_call_micros=0, cache_for=0,
    )  # fmt: skip
    pins = tuple(replace(pin, key=_from(project, pin.key)) for pin in policy.pins)
    return replace(policy.for_ledger, serve=serve, pins=pins)


def _from(project: Path, key: str) -> str:
    """Spell a secret's file from the root: the home of a trial lies elsewhere than the project."""
    kind, _, place = key.partition(":")
    return f"file:{project / place}" if kind == "file" else key


def _decide(kind: str, system: str, noun: Noun, subject: str, after: object) -> Decide:
    return Decide(
        kind=kind, system=system, noun=noun, subject=subject, after=to_doc(after), actor=AUTOMATION, reason="a trial"
    )


def _wait(port: int, process: subprocess.Popen[bytes], own: Plane, log: Path) -> None:
    """Wait until the worker is ready and has loaded the candidate."""
    until = time.monotonic() + START_S
    while not _is_ready(port):
        if process.poll() is not None or time.monotonic() > until:
            lines = log.read_text(errors="replace").strip().splitlines()
            last = lines[-1] if lines else "it said nothing"
            raise UnavailableError(f"the worker of the trial did not start: {last}")
        time.sleep(_LOOK_S)
    refused = [why for word in own.snapshots.acknowledgements() for _, why in word.refused]
    if refused:
        raise ArtifactError(f"a worker cannot load the candidate: {refused[0]}")


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    with suppress(OSError, HTTPException):
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200  # noqa: PLR2004 (ready)
        finally:
            connection.close()
    return False
