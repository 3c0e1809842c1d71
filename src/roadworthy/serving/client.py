"""A client for predictions and outcomes: the standard library only, one kept-alive connection a thread."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self, cast
from urllib.parse import quote, urlsplit

from roadworthy.errors import (
    InputError,
    NotFoundError,
    NotPermitted,
    RoadworthyError,
    UnavailableError,
    Violation,
)

Row = Mapping[str, Any]
_RETRYABLE: Final = (ConnectionError, http.client.BadStatusLine, http.client.CannotSendRequest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One answer: its outputs, the id to send the outcome with, who answered, and whether a fallback did.

    `recorded` is False when the answer could not be logged; an outcome for it then joins nothing.
    """

    outputs: Mapping[str, Any]
    record: str
    release: str | None
    fallback: str | None
    recorded: bool = True


class Client:
    """Asks systems of one data plane: `Client("http://127.0.0.1:8080", key="rw_…").predict("flights", row)`.

    Safe to share between threads. A connection that the server closed is opened again once.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8080", *, key: str, environment: str = "", timeout_s: float = 10.0
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"'{url}' is no address", hint="write it as http://host:port")
        self._is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        if environment:
            self._headers["x-roadworthy-environment"] = environment
        self._mine = threading.local()

    def predict(self, system: str, row: Row, *, purpose: str = "") -> Prediction:
        """Ask for one answer.

        Raises:
            InputError: the row breaks the interface; `violations` names each field and rule.
            NotPermitted: the key is missing, wrong or lacks the scope, or the purpose is a non-goal.
            NotFoundError: no such system.
            UnavailableError: nothing answers, the system is stopped, or it is full.
        """
        answer, headers = self._ask(system, "predict", {"inputs": dict(row)}, purpose)
        kept = "x-roadworthy-unrecorded" not in headers
        return Prediction(**answer, recorded=kept)

    def predict_many(self, system: str, rows: Sequence[Row], *, purpose: str = "") -> list[Prediction]:
        """Ask for an answer to each row in one request. Raises as `predict` does, for the whole request."""
        answer, headers = self._ask(system, "predict", {"inputs": [dict(row) for row in rows]}, purpose)
        kept = "x-roadworthy-unrecorded" not in headers
        count = len(answer["record"])
        releases, fallbacks = _one_each(answer["release"], count), _one_each(answer["fallback"], count)
        each = zip(answer["outputs"], answer["record"], releases, fallbacks, strict=True)
        return [
            Prediction(outputs=outputs, record=record, release=release, fallback=fallback, recorded=kept)
            for outputs, record, release, fallback in each
        ]

    def outcome(self, system: str, record: str, value: str | float | bool, **more: Any) -> None:
        """Say what turned out to be true of an answer; `more` may hold `scorer`, `known_at`, `key`."""
        self.outcomes(system, [{"record": record, "value": value, **more}])

    def outcomes(self, system: str, outcomes: Sequence[Mapping[str, Any]]) -> int:
        """Post many outcomes at once; sending the same ones again is harmless. Return how many were taken.

        Raises:
            UnavailableError: the log is full; send them again later.
        """
        answer, _ = self._ask(system, "outcomes", [dict(outcome) for outcome in outcomes], "")
        return int(answer["accepted"])

    def close(self) -> None:
        """Close this thread's connection."""
        connection: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if connection is not None:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, system: str, verb: str, body: Any, purpose: str) -> tuple[Any, Mapping[str, str]]:
        path = f"{self._prefix}/v1/systems/{quote(system, safe='')}/{verb}"
        headers = {**self._headers, "x-roadworthy-purpose": purpose} if purpose else self._headers
        try:
            content = json.dumps(body, allow_nan=False).encode()
        except ValueError as error:
            raise InputError(f"this cannot be sent as JSON: {error}", hint="send None for a missing value") from error
        try:
            status, told, answered = self._send(path, content, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise UnavailableError(
                f"{self._host}:{self._port} does not answer: {error}", hint="is it up? roadworthy status"
            ) from error
        if status >= 400:  # noqa: PLR2004 (the refusals of HTTP)
            raise _refusal(status, told)
        return json.loads(told), answered

    def _send(self, path: str, content: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, Mapping[str, str]]:
        """Send, once more on a fresh connection if the kept one was closed meanwhile."""
        connection: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if connection is not None:
            with suppress(*_RETRYABLE):
                return _exchange(connection, path, content, headers)
            connection.close()
        kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        fresh = self._mine.connection = kind(self._host, self._port, timeout=self._timeout_s)
        return _exchange(fresh, path, content, headers)


def _exchange(
    connection: http.client.HTTPConnection, path: str, content: bytes, headers: Mapping[str, str]
) -> tuple[int, bytes, Mapping[str, str]]:
    connection.request("POST", path, content, dict(headers))
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, body, {name.lower(): value for name, value in answer.getheaders()}


def _one_each(told: Any, count: int) -> list[Any]:
    """Spread what all rows share over the rows."""
    return cast("list[Any]", told) if isinstance(told, list) else [told] * count


def _refusal(status: int, body: bytes) -> RoadworthyError:
    """Turn an error answer back into the error of the tree that it stands for."""
    try:
        error: dict[str, Any] = json.loads(body)["error"]
        message, hint = str(error["message"]), str(error.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        return UnavailableError(f"the server answered {status} without a reason")
    if status in (400, 413, 415, 422):
        given: list[dict[str, Any]] = error.get("violations", [])
        broken = [Violation(v["field"], v["rule"], v["message"], v.get("value"), v.get("row", 0)) for v in given]
        return InputError(message, broken, hint=hint)
    if status in (401, 403):
        return NotPermitted(message, hint=hint)
    if status in (404, 405):
        return NotFoundError(message, hint=hint)
    return UnavailableError(message, hint=hint)
