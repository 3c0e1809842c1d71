"""Where pages go: a line in a file of the home, or a POST to a webhook. Each attempt carries the page's key."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import ssl
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from roadworthy.errors import InputError, UnavailableError
from roadworthy.ports.pager import Page, Pager

TIMEOUT_SECONDS: Final = 5.0
SCHEMES: Final = ("file", "http", "https")
_MAX_ANSWER: Final = 65_536
_SUCCESS: Final = range(200, 300)


def is_address(text: str) -> bool:
    """Tell whether pages can be sent to this text at all (an e-mail address cannot be reached from here)."""
    return text.partition(":")[0] in SCHEMES and len(text.partition(":")[2]) > 0


def pager_for(address: str, home: Path) -> Pager:
    """Choose the pager of an address: `file:pages.jsonl` (inside the home), `http://127.0.0.1:…`, `https://…`.

    Raises:
        InputError: no pager can send there; says why.
    """
    scheme = address.partition(":")[0]
    if scheme == "file":
        return FilePager(_inside(home, address.partition(":")[2]))
    if scheme in ("http", "https"):
        return WebhookPager(address)
    raise InputError(f"nobody can be paged at '{address}'", hint=f"use {', '.join(f'{name}:' for name in SCHEMES)}")


class FilePager:
    """Appends one JSON line a page and syncs it, so that a page that was reported as sent is on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, page: Page) -> None:
        """Append the page.

        Raises:
            UnavailableError: the file cannot be written; says why.
        """
        line = json.dumps(asdict(page), ensure_ascii=False).encode() + b"\n"
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(line)
                file.flush()
                os.fsync(descriptor)
        except OSError as error:
            raise UnavailableError(f"the page file cannot be written: {error.strerror}") from error


class WebhookPager:
    """POSTs a page as JSON with its key as `idempotency-key`. Follows no redirect.

    Plain http goes to this machine only. Names are resolved here and the connection is made to the address that
    was checked, so a name cannot point elsewhere in between; link-local and multicast addresses are refused.
    """

    def __init__(self, address: str) -> None:
        self._url = urlsplit(address)
        if not self._url.hostname:
            raise InputError(f"'{address}' names no host")

    def send(self, page: Page) -> None:
        """Deliver the page.

        Raises:
            UnavailableError: the receiver is not reachable, too slow, forbidden or did not say 2xx.
        """
        body = json.dumps(asdict(page), ensure_ascii=False).encode()
        headers = {"content-type": "application/json", "idempotency-key": page.key, "user-agent": "roadworthy"}
        try:
            status = self._post(body, headers)
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            raise UnavailableError(f"the pager at {self._url.hostname} does not answer: {why}") from error
        if status not in _SUCCESS:
            raise UnavailableError(f"the pager at {self._url.hostname} answered {status}")

    def _post(self, body: bytes, headers: dict[str, str]) -> int:
        connection = _connection(self._url)
        try:
            target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
            connection.request("POST", target, body=body, headers=headers)
            answer = connection.getresponse()
            answer.read(_MAX_ANSWER)
            return answer.status
        finally:
            connection.close()


def _connection(url: SplitResult) -> http.client.HTTPConnection:
    host = url.hostname or ""
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    address = _checked(host, port, secure=secure)
    if secure:
        return _PinnedHTTPS(host, port, address)
    return _PinnedHTTP(host, port, address)


class _PinnedHTTP(http.client.HTTPConnection):
    """Connects to the address that was checked, not to whatever the name says now."""

    def __init__(self, host: str, port: int, address: str) -> None:
        super().__init__(host, port, timeout=TIMEOUT_SECONDS)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), TIMEOUT_SECONDS)


class _PinnedHTTPS(http.client.HTTPSConnection):
    """As `_PinnedHTTP`, with the certificate checked against the name."""

    def __init__(self, host: str, port: int, address: str) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, timeout=TIMEOUT_SECONDS, context=self._tls)
        self._address = address

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), TIMEOUT_SECONDS)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


def _checked(host: str, port: int, *, secure: bool) -> str:
    found: list[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, place in found:
        ip = ipaddress.ip_address(str(place[0]).partition("%")[0])
        if ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved:
            raise OSError(f"{ip} is no address that pages may go to")
        if not secure and not ip.is_loopback:
            raise OSError(f"plain http goes to this machine only, and {host} is {ip}: use https")
    return str(found[0][4][0])


def _inside(home: Path, text: str) -> Path:
    path = (home / text).resolve()
    if not text or not path.is_relative_to(home.resolve()) or path == home.resolve():
        raise InputError(f"the page file '{text}' must lie inside the home", hint="file:pages.jsonl")
    return path
