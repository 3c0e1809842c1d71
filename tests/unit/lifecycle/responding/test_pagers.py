"""Where pages go: files in the home and webhooks, each with the page's key."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from roadworthy.actions import pagers
from roadworthy.actions.fallback import FallbackAction
from roadworthy.actions.page import PageAction
from roadworthy.actions.pagers import is_address, pager_for
from roadworthy.actions.rollback import RollbackAction
from roadworthy.actions.stop import StopAction
from roadworthy.domain.exposure import first_route, promoted
from roadworthy.domain.incident import Incident, IncidentState, Severity
from roadworthy.errors import InputError, UnavailableError
from roadworthy.ports.pager import Page

PAGE = Page(
    key="flights/live/quality/x/page/flights-1",
    to="ada",
    title="quality of flights@v2",
    body="It is rolled back.",
    severity="sev1",
    system="flights",
    incident="flights-1",
    at=5,
)


class _Receiver(HTTPServer):
    """A webhook that keeps what it got and answers with the next status."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, str, dict[str, Any]]] = []
        self.statuses: list[int] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Receiver

    def do_POST(self) -> None:
        """Keep the page."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.got.append((self.path, self.headers["idempotency-key"], body))
        status = self.server.statuses.pop(0) if self.server.statuses else 204
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the library's)
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[_Receiver]:
    """Run a webhook on this machine."""
    server = _Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_file_gets_one_line_a_page(tmp_path: Path) -> None:
    """Each attempt appends a JSON line with the key; the file is the user's alone."""
    pager = pager_for("file:pages.jsonl", tmp_path)
    pager.send(PAGE)
    pager.send(PAGE)
    lines = [json.loads(line) for line in (tmp_path / "pages.jsonl").read_text().splitlines()]
    assert [line["key"] for line in lines] == [PAGE.key, PAGE.key]
    assert (tmp_path / "pages.jsonl").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "address", ["file:../out.jsonl", "file:/etc/passwd", "file:", "mailto:ada@example.org", "http://"]
)
def test_an_address_that_no_page_may_go_to_is_refused(tmp_path: Path, address: str) -> None:
    """Page files lie inside the home, and only known kinds of address are used."""
    with pytest.raises(InputError):
        pager_for(address, tmp_path)


def test_a_page_file_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    """The page is tried again later."""
    (tmp_path / "pages").mkdir()
    with pytest.raises(UnavailableError, match="cannot be written"):
        pager_for("file:pages", tmp_path).send(PAGE)


def test_a_webhook_gets_the_page_with_its_key(receiver: _Receiver, tmp_path: Path) -> None:
    """A receiver can drop repeats by the key."""
    pager_for(f"http://127.0.0.1:{receiver.server_port}/hook?team=a", tmp_path).send(PAGE)
    path, key, body = receiver.got[0]
    assert (path, key, body["title"]) == ("/hook?team=a", PAGE.key, PAGE.title)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_does_not_say_2xx_has_not_got_it(receiver: _Receiver, tmp_path: Path, status: int) -> None:
    """No redirect is followed, and every other answer means another attempt."""
    receiver.statuses.append(status)
    with pytest.raises(UnavailableError, match=f"answered {status}"):
        pager_for(f"http://127.0.0.1:{receiver.server_port}", tmp_path).send(PAGE)
    assert len(receiver.got) == 1


def test_a_webhook_that_is_not_there_says_so(tmp_path: Path) -> None:
    """A refused connection is an unavailable pager, not a traceback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UnavailableError, match="does not answer"):
        pager_for(f"http://127.0.0.1:{port}", tmp_path).send(PAGE)


@pytest.mark.parametrize(
    ("address", "resolved", "why"),
    [
        ("https://hook.example", "169.254.169.254", "no address that pages may go to"),
        ("https://hook.example", "0.0.0.0", "no address that pages may go to"),
        ("http://hook.example", "93.184.216.34", "plain http goes to this machine only"),
    ],
)
def test_where_a_name_leads_is_checked_before_connecting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, resolved: str, why: str
) -> None:
    """A name that leads to link-local addresses, or plain http to elsewhere, is never connected to."""

    def resolve(_host: str, port: int, **_: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (resolved, port))]

    def connect(*_: object, **__: object) -> socket.socket:
        raise AssertionError("nothing may be connected to")

    monkeypatch.setattr(pagers.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(pagers.socket, "create_connection", connect)
    with pytest.raises(UnavailableError, match=why):
        pager_for(address, tmp_path).send(PAGE)


def test_https_connects_to_the_address_that_was_checked(tmp_path: Path, receiver: _Receiver) -> None:
    """TLS is begun with whoever listens there; a plain listener is no pager."""
    with pytest.raises(UnavailableError, match="does not answer"):
        pager_for(f"https://127.0.0.1:{receiver.server_port}", tmp_path).send(PAGE)


def test_an_email_address_is_no_address_for_pages() -> None:
    """Only what can be reached from here counts."""
    assert [is_address(text) for text in ("file:p", "https://x", "ada@example.org", "file:", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_each_action_says_what_it_would_do_now() -> None:
    """`plan` shows the effect in one sentence."""
    route = promoted(
        promoted(first_route("flights", "live", "b"), "one", ("previous", "baseline"), "b", ()),
        "two",
        ("previous", "baseline"),
        "b",
        (),
    )
    incident = Incident(
        id="flights-1",
        system="flights",
        objective="quality",
        severity=Severity.SEV2,
        state=IncidentState.OPEN,
        opened_at=1,
        title="t",
        owner="ada",
    )
    bare = first_route("flights", "live", "b")
    assert RollbackAction().describe(incident, route) == "release one replaces two, because of quality"
    assert "no earlier release" in RollbackAction().describe(incident, bare)
    assert (
        FallbackAction().describe(incident, route) == "release one answers in place of release two, because of quality"
    )
    assert FallbackAction().describe(incident, bare).startswith("the stated default answers")
    assert "503" in StopAction().describe(incident, route)
    assert PageAction().describe(incident, route) == "ada is paged about quality of flights"
