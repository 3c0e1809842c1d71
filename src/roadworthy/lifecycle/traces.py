"""Traces of sampled answers, built out of process from their records and sent as OTLP over HTTP in JSON.

No SDK: a span of one costs the request path 40 µs, and the JSON of OTLP/HTTP is a stable document that the standard
library can write. What cannot be sent is dropped and counted; traces are a view, the record is the truth.
"""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import re
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Self

from roadworthy.domain import trace_names as names
from roadworthy.domain.llm import TEXT_OUTPUTS
from roadworthy.domain.pin import Pin
from roadworthy.domain.record import Flag, Record, StepTaken, is_sampled
from roadworthy.errors import ArtifactError
from roadworthy.lifecycle.assistants import assistant_of
from roadworthy.lifecycle.fold_chats import told
from roadworthy.lifecycle.references import References
from roadworthy.ports.plane import Plane

MOST_WAITING: Final = 2_000
MOST_AT_ONCE: Final = 200
_SECONDS: Final = 5.0
_SERVER, _CLIENT, _INTERNAL = 2, 3, 1
_ERROR: Final = 2
_FAILED: Final = 500
_TRACE: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_WELL: Final = frozenset({"ok", "allow", "hit", "miss", "abstained"})
_log: Final = logging.getLogger("roadworthy.traces")

PinsOf = Callable[[str], Mapping[str, Pin]]
"""The pins of a release by name."""


def spans_of(record: Record, pins: Mapping[str, Pin]) -> list[dict[str, Any]]:
    """Write an answer of kind llm as spans of OTLP: one for the answer, one below it for each step.

    Steps are kept with how long they took and in their order, not with when they began: they are laid end to end.
    """
    trace = record.trace if _TRACE.fullmatch(record.trace) else record.id
    began = record.answered_at * 1000
    ended = began + record.latency_us * 1000
    root = _span_id(record.id, -1)
    spans = [_whole(record, pins, trace, root, (began, ended))]
    at = began
    for place, step in enumerate(record.steps):
        until = min(ended, at + step.latency_us * 1000)
        made = _span(trace, _span_id(record.id, place), _named(step, pins), (at, until), _of_step(step, pins))
        made |= {"parentSpanId": root, "kind": _CLIENT if step.kind == "attempt" else _INTERNAL}
        if step.kind in ("attempt", "tool") and step.outcome not in _WELL:
            made["status"] = {"code": _ERROR, "message": step.outcome}
        spans.append(made)
        at = until
    return spans


def document_of(spans: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Wrap spans as a request to export them."""
    resource = {"attributes": _attributes({"service.name": "roadworthy"})}
    scope = {"scope": {"name": "roadworthy"}, "spans": list(spans), "schemaUrl": names.CONVENTIONS}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope], "schemaUrl": names.CONVENTIONS}]}


class Tracer:
    """Takes records from observation and sends the sampled ones; never waits, and never raises into its caller.

    Args:
        plane: the home, whose releases name the pins.
        url: the base address of a collector, such as `http://127.0.0.1:4318`; empty sends nothing.
        share: of the answers, chosen by their ids.
    """

    def __init__(self, plane: Plane, url: str, share: float) -> None:
        self._references = References(plane)
        self._plane = plane
        self._address = f"{url.rstrip('/')}/v1/traces" if url else ""
        self._share = share
        self._waiting: queue.Queue[Record | None] = queue.Queue(MOST_WAITING)
        self._known: dict[str, Mapping[str, Pin]] = {}
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self.sent = 0
        self.dropped = 0

    def __enter__(self) -> Self:
        if self._address:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._address:
            self._waiting.put(None)
            self._thread.join(2 * _SECONDS)

    def offer(self, records: Sequence[Record]) -> None:
        """Queue the sampled answers of kind llm among records; those that find no room are counted as dropped."""
        if not self._address:
            return
        for record in records:
            if len(record.outputs) != len(TEXT_OUTPUTS) or not is_sampled(record.id, self._share):
                continue
            try:
                self._waiting.put_nowait(record)
            except queue.Full:
                self.dropped += 1

    def _run(self) -> None:
        for batch in self._batches():
            spans = [span for record in batch for span in spans_of(record, self._pins(record.release))]
            if self._post(json.dumps(document_of(spans)).encode()):
                self.sent += len(batch)
            else:
                self.dropped += len(batch)

    def _batches(self) -> Iterator[list[Record]]:
        """Hand out what waits, a bounded number at a time, until the end is queued."""
        while (first := self._waiting.get()) is not None:
            batch = [first]
            with suppress(queue.Empty):
                while len(batch) < MOST_AT_ONCE:
                    following = self._waiting.get_nowait()
                    if following is None:
                        yield batch
                        return
                    batch.append(following)
            yield batch

    def _post(self, content: bytes) -> bool:
        request = urllib.request.Request(  # noqa: S310 (the address is a setting of this process)
            self._address, data=content, headers={"content-type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310 (as above)
                return True
        except (OSError, ValueError) as error:
            _log.warning("traces could not be sent (%s)", type(error).__name__)
            return False

    def _pins(self, release: str) -> Mapping[str, Pin]:
        if release not in self._known:
            self._known[release] = {}
            known = self._references.get(release)
            with suppress(ArtifactError):
                assistant = assistant_of(known.release.candidate, self._plane.artifacts) if known else None
                self._known[release] = {pin.name: pin for pin in assistant.pins} if assistant else {}
        return self._known[release]


def _whole(record: Record, pins: Mapping[str, Pin], trace: str, span: str, times: tuple[int, int]) -> dict[str, Any]:
    said = told(record)
    asked = [step.name for step in record.steps if step.kind == "attempt" and step.outcome == "ok"]
    pin = pins.get(asked[-1]) if asked else None
    attributes = {
        names.OPERATION: "chat",
        **(_of_pin(pin) if pin is not None else {}),
        names.RESPONSE_MODEL: said.model,
        names.FINISH_REASONS: [said.finish] if said.finish else [],
        names.INPUT_TOKENS: said.input_tokens,
        names.OUTPUT_TOKENS: said.output_tokens,
        names.CACHED_TOKENS: said.cached_tokens,
        names.COST: said.cost_picos / 1e12,
        names.FIRST_TOKEN: said.first_token_us / 1000,
        names.FINGERPRINT: str(record.outputs[TEXT_OUTPUTS.index("fingerprint")] or ""),
        names.RECORD: record.id,
        names.SYSTEM: record.system,
        names.ENVIRONMENT: record.environment,
        names.RELEASE: record.release,
        names.FLAGS: [flag.name.lower() for flag in Flag if flag & record.flags and flag.name],
        names.ERROR_TYPE: record.error,
    }
    made = _span(trace, span, f"chat {pin.model if pin is not None else record.system}", times, attributes)
    made["kind"] = _SERVER
    if record.status >= _FAILED:
        made["status"] = {"code": _ERROR, "message": record.error}
    return made


def _named(step: StepTaken, pins: Mapping[str, Pin]) -> str:
    model = pins[step.name].model if step.kind == "attempt" and step.name in pins else step.name
    return f"{names.OPERATIONS.get(step.kind, step.kind)} {model}"


def _of_step(step: StepTaken, pins: Mapping[str, Pin]) -> dict[str, Any]:
    pin = pins.get(step.name) if step.kind == "attempt" else None
    return {
        names.OPERATION: names.OPERATIONS.get(step.kind, ""),
        **(_of_pin(pin) if pin is not None else {}),
        names.OUTCOME: step.outcome,
        # What a retrieval found are names of passages, what a guard found names of rules.
        names.DETAIL: step.detail,
    }


def _of_pin(pin: Pin) -> dict[str, Any]:
    provider = names.PROVIDERS[pin.provider]
    return {names.REQUEST_MODEL: pin.model, **dict.fromkeys(names.PROVIDER, provider)}


def _span(trace: str, span: str, name: str, times: tuple[int, int], attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "traceId": trace, "spanId": span, "name": name, "startTimeUnixNano": str(times[0]),
        "endTimeUnixNano": str(times[1]), "attributes": _attributes(attributes),
    }  # fmt: skip


def _span_id(record: str, place: int) -> str:
    return hashlib.sha256(f"{record}/{place}".encode()).hexdigest()[:16]


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Write attributes as OTLP's typed values, leaving out what is empty."""
    return [{"key": key, "value": _value(value)} for key, value in values.items() if value not in ("", [])]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in value]}}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": str(value)}
