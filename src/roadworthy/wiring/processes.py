"""The processes of `up`: one control process beside the data plane, under a supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, TypeAlias

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.system import Policy
from roadworthy.errors import RefusedError, UnavailableError
from roadworthy.lifecycle.control import Control
from roadworthy.lifecycle.supervise import Child, Supervisor, last_line
from roadworthy.ports.evaluation import Scorer
from roadworthy.ports.home import Home
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings, to_environment
from roadworthy.stores.atomic import write_bytes
from roadworthy.stores.codec import to_json
from roadworthy.stores.home import open_home

App: TypeAlias = Callable[..., Any]
"""An ASGI application."""

AppFactory: TypeAlias = Callable[[Plane, Control], App]
"""Builds the console and control API for a control process; given by the command line, which knows the console."""

_PROVE: Final = "roadworthy.wiring.prove_routes"


def control(settings: Settings, app_factory: AppFactory | None = None) -> None:
    """Run the control process until SIGTERM or SIGINT. Says where in the home's `control.json`.

    Raises:
        NotFoundError, StoreError: there is no home, or it may not be written.
        UnavailableError: the port is in use.
    """
    from roadworthy.lifecycle.observe import Observer
    from roadworthy.lifecycle.score_answers import AnswerScorer
    from roadworthy.lifecycle.traces import Tracer
    from roadworthy.wiring import open_plane

    def judges_for(plane: Plane, candidate: Candidate, policy: Policy) -> Scorer:
        # The libraries that speak to providers are loaded where a judge is asked.
        from roadworthy.wiring import judges

        return judges.judges_for(plane, candidate, policy)

    plane = open_plane(settings)
    try:
        with listening(settings) as listener, Tracer(plane, settings.traces_url, settings.traces_share) as tracer:
            url = _url(listener)
            observer = Observer(plane, tracer.offer)
            scorer = AnswerScorer(plane, judges_for)
            work = Control(plane, observer.observe, observer.progress, url=url, score=scorer.score)
            app = (app_factory or _bare_app)(plane, work)
            write_bytes(plane.home.control_file, to_json({"pid": os.getpid(), "url": url}), "process_file")
            try:
                asyncio.run(_run(work, app, listener))
            finally:
                _forget(plane.home)
    finally:
        plane.close()


def up(settings: Settings, say: Callable[[str], None]) -> None:
    """Run data plane and control process under a supervisor until SIGTERM or SIGINT.

    Every routed and last good release is loaded first, in a process of its own; one that does not load keeps `up` from
    starting rather than costs a rollback target.

    Raises:
        NotFoundError, StoreError: there is no home, or it may not be written.
        RefusedError: a routed release does not load.
        UnavailableError: a port is in use.
    """
    home = open_home(settings.home)
    bind(settings.host, settings.control_port, "ROADWORTHY_CONTROL_PORT").close()
    # Held here, where nothing else happens: while the data plane starts again, callers wait in the backlog.
    with bind(settings.host, settings.port, "ROADWORTHY_PORT") as listener:
        _supervise(settings, home, listener.fileno(), say)


def _supervise(settings: Settings, home: Home, listener: int, say: Callable[[str], None]) -> None:
    environment = {**os.environ, **to_environment(settings)}
    prove(environment, home)
    python = [sys.executable, "-m", "roadworthy"]
    inherits = environment | to_environment(replace(settings, listen_fd=listener))
    children = [
        Child(
            name="serve",
            command=[*python, "serve"],
            environment=inherits,
            log=home.logs / "serve.log",
            keeps=(listener,),
        ),
        Child(name="control", command=[*python, "control"], environment=environment, log=home.logs / "control.log"),
    ]
    for file in (home.serve_file, home.control_file):
        # What a killed predecessor left behind would be read as this one's address.
        file.unlink(missing_ok=True)
    Supervisor(children, say).run(_teller(home, say))


def prove(environment: Mapping[str, str], home: Home) -> None:
    """Load every release of every route in a process of its own.

    Raises:
        RefusedError: one does not load; names it and says why.
    """
    log = home.logs / "prove.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        done = subprocess.run(  # noqa: S603 (our own module)
            [sys.executable, "-m", _PROVE], env=dict(environment), stdout=file, stderr=file, check=False
        )
    if done.returncode:
        raise RefusedError(
            last_line(log) or f"the releases in force could not be loaded (ended by {done.returncode})",
            hint=f"see {log}; restore the artifact from a backup, or install the packages it names",
        )


@contextlib.contextmanager
def listening(settings: Settings) -> Generator[socket.socket]:
    """Hold the control port.

    Raises:
        UnavailableError: it is in use.
    """
    listener = bind(settings.host, settings.control_port, "ROADWORTHY_CONTROL_PORT")
    with listener:
        yield listener


def bind(host: str, port: int, setting: str) -> socket.socket:
    """Bind and listen; port 0 takes a free one.

    Raises:
        UnavailableError: the port is in use, or the address is not this machine's; names the setting to change.
    """
    from roadworthy.serving.serve import listen

    try:
        return listen(host, port)
    except UnavailableError as error:
        raise UnavailableError(
            error.message, hint=f"end the process that uses it, or choose another port with {setting}"
        ) from error


async def _run(work: Control, app: App, listener: socket.socket) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None]:
            # Signals are ours: they end the loop, the server and the lease in this order.
            yield

    server = Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none"))
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.should_exit = True
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        await asyncio.gather(work.run(ended), server.serve(sockets=[listener]))
    finally:
        ended.set()


def _bare_app(plane: Plane, work: Control) -> App:
    """Answer health only; the command line gives the console instead."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    def health(_: Request) -> Response:
        body = {"home": plane.home.id, "health": work.health}
        return Response(to_json(body), media_type="application/json")

    return Starlette(routes=[Route("/healthz", health)])


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _teller(home: Home, say: Callable[[str], None]) -> Callable[[], None]:
    """Say once where callers and people find the two processes."""
    told: set[str] = set()

    def look() -> None:
        for name, file, what in (
            ("serve", home.serve_file, "answers"),
            ("control", home.control_file, "console"),
        ):
            if name not in told and file.exists():
                with suppress(OSError, ValueError, KeyError):
                    import json

                    say(f"{what}: {json.loads(file.read_text())['url']}")
                    told.add(name)

    return look


def _forget(home: Home) -> None:
    """Take the address back, unless another control process has put its own in place."""
    with suppress(OSError):
        if f'"pid":{os.getpid()}'.encode() in home.control_file.read_bytes().replace(b" ", b""):
            home.control_file.unlink()
