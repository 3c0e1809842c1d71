"""Traces of answers of kind llm, as a real OTLP/HTTP receiver decodes them."""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from roadworthy.domain.candidate import Artifact, Candidate, Environment
from roadworthy.domain.ledger import Noun
from roadworthy.domain.llm import Assistant, chat_interface
from roadworthy.domain.pin import Pin, Provider
from roadworthy.domain.record import Flag, Record, StepTaken
from roadworthy.domain.release import Release
from roadworthy.lifecycle.observe import Observer
from roadworthy.lifecycle.traces import MOST_AT_ONCE, MOST_WAITING, Tracer, spans_of
from roadworthy.stores.codec import to_json
from unit.observing.world import BEGIN, World

MAIN = Pin(name="main", provider=Provider.OPENAI, model="gpt-x", url="https://api.example.com/v1")
SECRET = "Grace Hopper lives in Arlington"
OUTPUTS = (SECRET, "stop", 412, 57, 12, 96_000_000, 310_000, "gpt-x-0718", "fp_a1", "manifest")
STEPS = (
    StepTaken("guard", "limits", "allow", 50),
    StepTaken("retrieval", "s@v9", "ok", 1_000, "a.md#a-1"),
    StepTaken("attempt", "main", "timeout", 2_000, "slow"),
    StepTaken("attempt", "main", "ok", 5_000),
    StepTaken("cache", "exact", "miss", 0),
)


class Collector:
    """An OTLP/HTTP receiver that decodes what it is sent by OpenTelemetry's own definition."""

    def __init__(self, status: int = 200) -> None:
        self.spans: list[Any] = []
        self.paths: list[str] = []
        self.came = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                outer.paths.append(self.path)
                if status == 200:
                    outer.spans += decode(content)
                outer.came.set()
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def decode(content: bytes) -> list[Any]:
    """Decode OTLP's JSON strictly: it is protobuf's, but for ids in hexadecimal digits."""
    document = json.loads(content)
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    decoded = json_format.ParseDict(document, ExportTraceServiceRequest())
    return [span for resource in decoded.resource_spans for scope in resource.scope_spans for span in scope.spans]


def attributes(span: Any) -> dict[str, Any]:
    """Return a span's attributes as plain values."""
    found: dict[str, Any] = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, kind)
        found[one.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found


def answer(number: int = 1, **more: Any) -> Record:
    """Build an answer of kind llm."""
    given: dict[str, Any] = {
        "id": f"{number:032x}", "system": "s", "environment": "live", "release": "r", "intended": "r",
        "arm": "champion", "route_version": 1, "answered_at": BEGIN, "event_time": BEGIN, "latency_us": 9_000,
        "status": 200, "flags": int(Flag.GUARDED), "interface": "i", "inputs": (SECRET, None), "outputs": OUTPUTS,
        "steps": STEPS, "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
    }  # fmt: skip
    return Record(**given | more)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Give a receiver that takes what it is sent."""
    with Collector() as found:
        yield found


def admitted(world: World) -> str:
    """Admit a release of kind llm with one pin."""
    content = to_json(Assistant(use="main", pins=(MAIN,)))
    artifact = Artifact(role="model", format="llm", digest=world.plane.artifacts.put(content), size=len(content))
    candidate = Candidate(
        system="s", recipe="sha256:" + "9" * 64, artifacts=(artifact,), interface=chat_interface(), runtime="llm",
        environment=Environment(python="3.11", platform="linux"),
    )  # fmt: skip
    release = Release(
        id=candidate.id, system="s", number=9, candidate=candidate, policy="p", run="", admitted_at=0, admitted_by="ana"
    )
    world.decide(Noun.RELEASE, release.id, release)
    return release.id


def test_an_answer_is_a_trace_that_a_collector_understands(world: World, collector: Collector) -> None:
    """The names are OpenTelemetry's, the caller's trace goes on, and each step has its span."""
    record = answer(release=admitted(world))
    with Tracer(world.plane, collector.url, 1.0) as tracer:
        tracer.offer([record])
    assert (tracer.sent, tracer.dropped) == (1, 0)
    assert collector.paths == ["/v1/traces"]
    whole, *steps = collector.spans
    assert whole.name == "chat gpt-x"
    assert whole.trace_id.hex() == record.trace
    assert whole.end_time_unix_nano - whole.start_time_unix_nano == 9_000_000
    said = attributes(whole)
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.system"] == said["gen_ai.provider.name"] == "openai"
    assert (said["gen_ai.request.model"], said["gen_ai.response.model"]) == ("gpt-x", "gpt-x-0718")
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (412, 57)
    assert said["gen_ai.response.finish_reasons"] == ["stop"]
    assert said["roadworthy.cost"] == 96e-6
    assert said["roadworthy.flags"] == ["guarded"]
    assert [one.name for one in steps] == [
        "guard limits", "retrieval s@v9", "chat gpt-x", "chat gpt-x", "cache exact"
    ]  # fmt: skip
    assert {one.parent_span_id for one in steps} == {whole.span_id}
    assert len({one.span_id for one in collector.spans}) == 6
    assert [one.status.message for one in steps] == ["", "", "timeout", "", ""]
    assert all(before.end_time_unix_nano == after.start_time_unix_nano for before, after in itertools.pairwise(steps))


def test_no_text_of_question_or_answer_leaves(world: World, collector: Collector) -> None:
    """A trace goes to where no data class was asked about."""
    with Tracer(world.plane, collector.url, 1.0) as tracer:
        tracer.offer([answer(release=admitted(world))])
    assert b"Hopper" not in b"".join(span.SerializeToString() for span in collector.spans)


def test_an_answer_nobody_could_give_is_an_error(world: World) -> None:
    """What failed is red; a caller without a trace gets one named after the record; an unknown release has no pin."""
    record = answer(status=503, error="slow", trace="0" * 32, flags=0, outputs=(None, "", *OUTPUTS[2:]))
    whole = spans_of(record, {})[0]
    assert whole["status"] == {"code": 2, "message": "slow"}
    assert whole["traceId"] == record.id
    assert whole["name"] == "chat s"
    assert "gen_ai.response.finish_reasons" not in {one["key"] for one in whole["attributes"]}


def test_only_sampled_answers_of_chats_are_sent(world: World, collector: Collector) -> None:
    """The sample is decided by the id; a model's answers have no such trace."""
    chats = [answer(number) for number in range(1, 401)]
    with Tracer(world.plane, collector.url, 0.25) as tracer:
        tracer.offer([*chats, *world.answers(10)])
    assert 60 < tracer.sent < 140
    assert tracer.dropped == 0


def test_what_observation_folds_is_traced(world: World, collector: Collector) -> None:
    """Traces are built from the record log, out of process; the request path knows nothing of them."""
    assert world.log.record(answer())
    with Tracer(world.plane, collector.url, 1.0) as tracer:
        Observer(world.plane, tracer.offer).observe(world.now, 10_000_000)
    assert tracer.sent == 1


def test_a_collector_that_refuses_or_is_gone_costs_the_traces_only(world: World) -> None:
    """What cannot be sent is counted and dropped."""
    with Collector(status=500) as broken, Tracer(world.plane, broken.url, 1.0) as tracer:
        tracer.offer([answer()])
        assert broken.came.wait(10)
    assert (tracer.sent, tracer.dropped) == (0, 1)


def test_a_full_queue_drops_instead_of_waiting(world: World) -> None:
    """Observation is never held up: nobody empties this queue."""
    tracer = Tracer(world.plane, "http://127.0.0.1:9", 1.0)
    tracer.offer([answer(number) for number in range(1, MOST_WAITING + 4)])
    assert tracer.dropped == 3


def test_many_answers_go_in_bounded_requests(world: World, collector: Collector) -> None:
    """One request carries so many answers and no more."""
    tracer = Tracer(world.plane, collector.url, 1.0)
    tracer.offer([answer(number, steps=()) for number in range(1, 2 * MOST_AT_ONCE + 1)])
    with tracer:
        pass
    assert tracer.sent == len(collector.spans) == 2 * MOST_AT_ONCE
    assert len(collector.paths) == 2


def test_without_an_address_nothing_is_sent(world: World) -> None:
    """Traces are off unless somebody says where they go."""
    with Tracer(world.plane, "", 1.0) as tracer:
        tracer.offer([answer()])
    assert (tracer.sent, tracer.dropped) == (0, 0)
