"""A seeded home, an own copy of it for each test, a client over HTTP and a browser."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from roadworthy.console import app
from roadworthy.lifecycle.control import Health
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.wiring import open_plane

HERE = Path(__file__).parent
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--disable-gpu",
    "--no-first-run",
)


def seeding(name: str) -> ModuleType:
    """Load a file that tells a story."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


SEEDING = seeding("seed_home")


@dataclass(frozen=True)
class Seeded:
    """A closed home that tells a story, the keys made in it and the records written."""

    root: Path
    keys: dict[str, str]
    records: list[str]


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    """Tell the story once."""
    root = tmp_path_factory.mktemp("console") / "home"
    story = SEEDING.seed(root)
    story.plane.close()
    return Seeded(root=root, keys=story.keys, records=story.records)


@pytest.fixture(scope="session")
def seeded_chat(tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    """Tell the story of the home with one of a system of kind llm after it."""
    story = SEEDING.seed(tmp_path_factory.mktemp("chats") / "home")
    records = seeding("seed_chat").chat(story, SEEDING)
    story.plane.close()
    return Seeded(root=story.plane.home.root, keys=story.keys, records=records)


@pytest.fixture
def plane(seeded: Seeded, tmp_path: Path) -> Iterator[Plane]:
    """Open an own copy of the home."""
    root = tmp_path / "home"
    shutil.copytree(seeded.root, root)
    opened = open_plane(Settings(home=root))
    yield opened
    opened.close()


@dataclass
class Times:
    """Wall time and monotonic seconds that a test moves, and what control could not do."""

    wall: int
    seconds: float = 1_000.0
    problems: tuple[str, ...] = ()

    def health(self) -> Health:
        """Say how the control loop is."""
        return Health(leads=True, looks=3, problems=self.problems)


@dataclass
class Visitor:
    """A client of the console, and how to sign in with it."""

    http: httpx.Client
    times: Times
    keys: dict[str, str]

    def form_token(self, page: str) -> str:
        """Read the token of the first form on a page."""
        text = self.http.get(page).text
        assert 'name="csrf" value="' in text, text
        return text.split('name="csrf" value="')[1].split('"')[0]

    def sign_in(self, key: str, to: str = "/systems") -> Any:
        """Sign in with a key of the story, or any text."""
        fields = {"csrf": self.form_token("/sign-in"), "key": self.keys.get(key, key), "next": to}
        return self.http.post("/sign-in", data=fields, follow_redirects=False)

    def post(self, path: str, page: str, **fields: str) -> Any:
        """Send a form as the page that shows it would."""
        return self.http.post(path, data={"csrf": self.form_token(page), **fields}, follow_redirects=False)

    def bearer(self, key: str) -> dict[str, str]:
        """Return the header that carries a key."""
        return {"authorization": f"Bearer {self.keys[key]}"}


@pytest.fixture
def times() -> Times:
    """Give the times that the console under test lives by."""
    return Times(wall=time.time_ns() // 1_000)


@pytest.fixture
def address(plane: Plane, times: Times) -> Iterator[str]:
    """Serve the console on a real port, with two workers alive."""
    import uvicorn

    console = app(
        plane, wall=lambda: times.wall, seconds=lambda: times.seconds, prove_loads=lambda _: None, health=times.health
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(console, log_level="critical", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    with SEEDING.workers(plane):
        thread.start()
        wait_for(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)
    listener.close()


@pytest.fixture
def visit(address: str, seeded: Seeded, times: Times) -> Iterator[Visitor]:
    """Give a client that nobody has signed in with."""
    with httpx.Client(base_url=address, follow_redirects=True, timeout=20.0) as http:
        yield Visitor(http=http, times=times, keys=seeded.keys)


def wait_for(holds: Callable[[], bool], patience_s: float = 20.0) -> None:
    """Wait until something holds, or say that it never did."""
    until = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < until, "it did not come to hold in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Start Debian's chromium once a file; while it runs, so does its event loop, which others must not meet."""
    if not CHROMIUM.exists():
        pytest.skip("chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Any, address: str, seeded: Seeded) -> Iterator[Any]:
    """Open a tab that is signed in, and tell every complaint of the browser."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(f"{address}/sign-in?next=/systems")
    page.fill("input[name=key]", seeded.keys["operator"])
    page.click("button:text('Sign in')")
    page.wait_for_url(f"{address}/systems")
    yield page
    context.close()
