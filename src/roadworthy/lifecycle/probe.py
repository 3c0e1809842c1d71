"""Probes: the bounded traffic that a drill sends over HTTP, as a caller would."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit

from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface
from roadworthy.domain.moment import Micros, iso

TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a caller got; status 0 means no answer at all."""

    status: int
    release: str = ""
    fallback: str = ""
    unrecorded: bool = False
    record: str = ""
    took_ms: float = 0.0
    outputs: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def failed(self) -> bool:
        """Claim that the caller was left without an answer."""
        return self.status == 0 or self.status >= 500  # noqa: PLR2004

    @property
    def is_good(self) -> bool:
        """Claim that the caller got an answer, by whichever release, and that it was recorded."""
        return 200 <= self.status < 300 and not self.unrecorded  # noqa: PLR2004


class Traffic(Protocol):
    """Calls a system as its callers do."""

    def predict(self, inputs: Mapping[str, Any]) -> Answer:
        """Ask once."""
        ...

    def outcome(self, record: str, value: Any) -> bool:
        """Say what turned out to be true; tell whether it was accepted."""
        ...


class HttpTraffic:
    """Calls one system in one environment of a data plane on this machine."""

    def __init__(self, url: str, key: str, system: str, environment: str) -> None:
        self._place = urlsplit(url)
        self._system = system
        self._headers = {
            "authorization": f"Bearer {key}",
            "content-type": "application/json",
            "x-roadworthy-environment": environment,
        }

    def predict(self, inputs: Mapping[str, Any]) -> Answer:
        """Ask once; no answer within 5 s counts as none."""
        began = time.perf_counter()
        status, headers, body = self._post("predict", {"inputs": dict(inputs)})
        outputs = cast("dict[str, Any]", body).get("outputs") if isinstance(body, dict) else None
        return Answer(
            status=status,
            release=headers.get("x-roadworthy-release", ""),
            fallback=headers.get("x-roadworthy-fallback", ""),
            unrecorded="x-roadworthy-unrecorded" in headers,
            record=headers.get("x-roadworthy-record", ""),
            took_ms=(time.perf_counter() - began) * 1_000,
            outputs=cast("dict[str, Any]", outputs) if isinstance(outputs, dict) else {},
        )

    def outcome(self, record: str, value: Any) -> bool:
        """Post one outcome."""
        status, _, _ = self._post("outcomes", {"record": record, "value": value})
        return status == http.HTTPStatus.ACCEPTED

    def _post(self, what: str, document: Any) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection(self._place.hostname or "", self._place.port or 80, timeout=TIMEOUT_S)
        try:
            connection.request("POST", f"/v1/systems/{self._system}/{what}", json.dumps(document), self._headers)
            answer = connection.getresponse()
            content = answer.read()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, headers, json.loads(content or b"null")
        except (OSError, http.client.HTTPException, ValueError):
            return 0, {}, None
        finally:
            connection.close()


def invented_inputs(interface: Interface, number: int, now: Micros) -> dict[str, Any]:
    """Invent inputs that the interface allows; `number` varies them a little."""
    return {one.name: _invented(one, number, now) for one in interface.inputs}


def wrong_outcome(interface: Interface, outputs: Mapping[str, Any]) -> Any:
    """Return an outcome that proves these outputs wrong."""
    if "label" in outputs:
        return next((label for label in interface.labels if label != outputs["label"]), None)
    value = float(outputs.get("value", 0.0))
    return value + 1_000.0 * (abs(value) + 1.0)


def _invented(one: Field, number: int, now: Micros) -> Any:  # noqa: PLR0911 (one return a type)
    if one.role is FieldRole.EVENT_TIME or one.type is FieldType.TIMESTAMP:
        return iso(now)
    if one.categories:
        return one.categories[number % len(one.categories)]
    if one.role is FieldRole.ENTITY and one.type is FieldType.STRING:
        return f"drill-{number}"
    low = one.minimum if one.minimum is not None else 0.0
    high = one.maximum if one.maximum is not None else low + 10.0
    match one.type:
        case FieldType.STRING:
            return "a"
        case FieldType.BOOLEAN:
            return bool(number % 2)
        case FieldType.INTEGER:
            return int(low) + number % max(1, int(high) - int(low) + 1)
        case _:
            return low + (high - low) * (number % 11) / 10
