"""What happens to callers while models, workers and disks fail: real processes, real faults."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from roadworthy.domain.record import Flag
from roadworthy.stores.records import open_records
from serving_kit import ROW, Plane, open_plane, release, served, solo, sql_candidate, until

FALLING = {"stated_default": {"probability": 0.0, "label": "on_time"}}


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A home with one key that may do everything; nothing is published or started yet."""
    made = open_plane(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def records_of(plane: Plane):
    """Return everything the log holds."""
    return open_records(plane.home.records, plane.home.counters).tail(limit=1_000_000).records


def inject(plane: Plane, fault: str, seconds: float = 60.0, **more: Any) -> Path:
    """Write a fault as a drill does."""
    folder = plane.home.root / "faults"
    folder.mkdir(mode=0o700, exist_ok=True)
    document = {"fault": fault, "system": "flights", "until": int((time.time() + seconds) * 1e6), **more}
    building = folder / f".{fault}"
    building.write_text(json.dumps(document))
    return building.rename(folder / f"{fault}.json")


def start_with_fallback(plane: Plane, workers: int = 1, **plan: Any) -> None:
    """Serve a champion with a previous release and a baseline behind it."""
    champion = sql_candidate(plane.artifacts, "0.9")
    previous = sql_candidate(plane.artifacts, "0.7")
    baseline = sql_candidate(plane.artifacts, "0.2", is_baseline=True)
    route = solo(champion.id, fallback=(previous.id, baseline.id))
    plane.publish(
        served(
            route,
            release(champion, "flights@v2"),
            release(previous, "flights@v1"),
            release(baseline, "flights@baseline"),
            **plan,
        )
    )
    plane.start(workers)
    plane.wait_applied(workers)


class OpenLoop:
    """Sends at a fixed rate whatever the answers do, and counts what came back."""

    def __init__(self, plane: Plane, rate: float, threads: int = 8) -> None:
        self.plane = plane
        self.statuses: Counter[str] = Counter()
        self.releases: Counter[str] = Counter()
        self._ending = threading.Event()
        self._lock = threading.Lock()
        pause = threads / rate
        self._threads = [
            threading.Thread(target=self._run, args=(at * pause / threads, pause)) for at in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    @property
    def sent(self) -> int:
        """Return how many were answered or failed."""
        return sum(self.statuses.values())

    def _run(self, offset: float, pause: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.plane.port, timeout=20)
        headers = {"authorization": f"Bearer {self.plane.key}", "content-type": "application/json"}
        body = json.dumps({"inputs": ROW})
        due = time.monotonic() + offset
        while not self._ending.wait(max(due - time.monotonic(), 0)):
            due += pause
            try:
                connection.request("POST", "/v1/systems/flights/predict", body, headers)
                answer = connection.getresponse()
                content = json.loads(answer.read())
                outcome, name = str(answer.status), str(content.get("release"))
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                outcome, name = type(error).__name__, ""
            with self._lock:
                self.statuses[outcome] += 1
                self.releases[name] += 1
        connection.close()


def test_a_swap_of_releases_under_load_fails_no_request(plane):
    """Releases change under 200 requests a second without one failed answer."""
    first, second = sql_candidate(plane.artifacts, "0.1"), sql_candidate(plane.artifacts, "0.9")
    named = (release(first, "flights@v1"), release(second, "flights@v2"))
    plane.publish(served(solo(first.id), *named[:1]))
    plane.start()
    plane.wait_applied()
    with OpenLoop(plane, rate=200) as load:
        for at in range(6):
            seen = load.sent
            until(lambda seen=seen: load.sent > seen + 60, "traffic flows")
            plane.publish(served(solo((second, first)[at % 2].id), named[(at + 1) % 2]))
            plane.wait_applied()
        seen = load.sent
        until(lambda: load.sent > seen + 60, "traffic flows after the last swap")
    assert set(load.statuses) == {"200"}
    assert min(load.releases["flights@v1"], load.releases["flights@v2"]) > 100
    assert len(records_of(plane)) == load.sent


def test_a_killed_worker_starts_again_and_connections_wait_for_it(plane):
    """With one worker killed, new connections wait in the backlog and are answered; nothing acknowledged is lost."""
    start_with_fallback(plane)
    before = plane.wait_applied()[0].pid
    kept = [plane.predict(ROW).json["record"] for _ in range(20)]
    os.kill(before, signal.SIGKILL)
    assert plane.predict(ROW).status in (200, 503)
    until(lambda: plane.predict(ROW).status == 200, "the new worker answers")
    assert plane.wait_applied()[0].pid != before
    assert set(kept) <= {record.id for record in records_of(plane)}
    losses = open_records(plane.home.records, plane.home.counters).losses()
    assert losses.answers == losses.records + losses.unrecorded


def test_with_two_workers_a_killed_one_costs_only_its_own_requests(plane):
    """The other worker answers at once."""
    start_with_fallback(plane, workers=2)
    words = plane.wait_applied(workers=2)
    os.kill(words[0].pid, signal.SIGKILL)
    statuses = Counter(plane.predict(ROW).status for _ in range(50))
    assert statuses[200] >= 45
    plane.wait_applied(workers=2)


def test_a_release_that_raises_falls_back_and_says_so(plane):
    """A failing model costs no caller an answer; answer, header and record name the fallback."""
    start_with_fallback(plane)
    fault = inject(plane, "model_raises")
    until(lambda: plane.predict(ROW).json["fallback"] == "previous", "the fault bites")
    reply = plane.predict(ROW)
    assert reply.status == 200
    assert reply.json["outputs"]["probability"] == 0.7
    assert reply.headers["x-roadworthy-fallback"] == "previous"
    assert reply.headers["x-roadworthy-release"] == "flights@v1"
    (record,) = [one for one in records_of(plane) if one.id == reply.json["record"]]
    assert record.flags & Flag.FALLBACK
    assert record.release != record.intended
    assert record.steps[-1].name == "flights@v1"
    fault.unlink()
    until(lambda: plane.predict(ROW).json["fallback"] is None, "the champion answers again after its breaker closed")


def test_a_fault_ends_by_itself(plane):
    """A forgotten drill does no lasting harm."""
    start_with_fallback(plane, breaker_cool_down=100_000)
    inject(plane, "model_raises", seconds=2.0)
    until(lambda: plane.predict(ROW).json["fallback"] == "previous", "the fault bites")
    until(lambda: plane.predict(ROW).json["fallback"] is None, "the fault has ended")


def test_a_slow_release_meets_the_deadline_with_a_fallback(plane):
    """A caller never waits for a slow model longer than the deadline and a fallback."""
    start_with_fallback(plane, deadline_ms=50)
    inject(plane, "model_slow", delay_ms=30_000)
    until(lambda: plane.predict(ROW).json["fallback"] == "previous", "the fault bites")
    late = [one for one in records_of(plane) if one.flags & Flag.TIMED_OUT]
    assert late
    assert late[0].steps[0].outcome == "timeout"
    assert late[0].latency_us < 20_000_000


def test_when_the_whole_chain_fails_the_stated_default_answers(plane):
    """The last fallback is what the owner stated beforehand, marked as such."""
    broken = sql_candidate(plane.artifacts, "1/0")
    plane.publish(served(solo(broken.id), release(broken, "flights@v1"), **FALLING))
    plane.start()
    plane.wait_applied()
    reply = plane.predict(ROW)
    assert (reply.status, reply.json["fallback"]) == (200, "default")
    assert reply.json["outputs"] == {"probability": 0.0, "label": "on_time"}
    assert reply.json["release"] is None
    assert records_of(plane)[0].flags & Flag.DEFAULTED


def test_when_nothing_is_left_the_answer_is_503_with_its_record(plane):
    """Without a default the caller is told, and the failure is on record."""
    broken = sql_candidate(plane.artifacts, "1/0")
    plane.publish(served(solo(broken.id), release(broken, "flights@v1")))
    plane.start()
    plane.wait_applied()
    reply = plane.predict(ROW)
    assert reply.status == 503
    (record,) = records_of(plane)
    assert record.id == reply.headers["x-roadworthy-record"]
    assert record.flags & Flag.FAILED
    assert record.error


def test_a_failing_release_opens_its_breaker(plane):
    """After some failures a release is left alone for a while: its callers go straight to the fallback."""
    broken, previous = sql_candidate(plane.artifacts, "1/0"), sql_candidate(plane.artifacts, "0.7")
    route = solo(broken.id, fallback=(previous.id,))
    plane.publish(served(route, release(broken, "flights@v2"), release(previous, "flights@v1"), breaker_window=4))
    plane.start()
    plane.wait_applied()
    for _ in range(10):
        assert plane.predict(ROW).json["fallback"] == "previous"
    steps = [record.steps[0].outcome for record in records_of(plane)]
    assert steps[0] == "error"
    assert steps[-1] == "open"


def test_a_lone_release_is_asked_past_its_open_breaker(plane):
    """Where nothing else could answer, a breaker does not turn one bad moment into minutes of 503."""
    only = sql_candidate(plane.artifacts, "0.7")
    plane.publish(served(solo(only.id), release(only, "flights@v1"), breaker_window=4, breaker_cool_down=3_600_000_000))
    plane.start()
    plane.wait_applied()
    fault = inject(plane, "model_raises")
    until(lambda: any(step.outcome == "open" for one in failing(plane) for step in one.steps), "the breaker is open")
    fault.unlink()
    until(lambda: plane.predict(ROW).status == 200, "it answers though its breaker would be open for an hour")


def failing(plane: Plane):
    """Ask once more; return the records of what failed so far."""
    plane.predict(ROW)
    return [one for one in records_of(plane) if one.flags & Flag.FAILED]


def test_degraded_puts_the_fallback_in_front(plane):
    """The failure plan may prefer the fallback to a champion that still answers."""
    champion, baseline = sql_candidate(plane.artifacts, "0.9"), sql_candidate(plane.artifacts, "0.2", is_baseline=True)
    route = solo(champion.id, fallback=(baseline.id,), degraded_by="incident-1")
    plane.publish(served(route, release(champion, "flights@v1"), release(baseline, "flights@baseline")))
    plane.start()
    plane.wait_applied()
    reply = plane.predict(ROW)
    assert (reply.json["fallback"], reply.json["release"]) == ("baseline", "flights@baseline")


def test_a_full_disk_costs_records_but_no_answers(plane):
    """Recording never fails the answer: the loss is counted and marked, and outcomes are refused rather than lost."""
    start_with_fallback(plane)
    record = plane.predict(ROW).json["record"]
    fault = inject(plane, "disk_full")
    until(lambda: "x-roadworthy-unrecorded" in plane.predict(ROW).headers, "the fault bites")
    assert plane.predict(ROW).status == 200
    posted = plane.ask("POST", "/v1/systems/flights/outcomes", {"record": record, "value": 1})
    assert posted.status == 503
    assert "disk full" in posted.json["error"]["message"]
    fault.unlink()
    until(lambda: "x-roadworthy-unrecorded" not in plane.predict(ROW).headers, "records are kept again")
    losses = open_records(plane.home.records, plane.home.counters).losses()
    assert losses.unrecorded >= 2
    assert losses.answers == losses.records + losses.unrecorded


def test_a_drill_kills_one_worker_once(plane):
    """The worker that finds the order takes it, so that no successor dies of it again."""
    start_with_fallback(plane, workers=2)
    before = {word.pid for word in plane.wait_applied(workers=2)}
    order = inject(plane, "worker_killed")
    until(lambda: not order.exists(), "a worker took the order")

    def one_is_new() -> bool:
        return len(before - {word.pid for word in plane.wait_applied(workers=2)}) == 1

    until(one_is_new, "one worker is another")
    assert plane.predict(ROW).status == 200


def test_a_release_that_cannot_be_loaded_is_named_and_the_last_one_goes_on(plane):
    """A broken artifact is refused by the worker, which keeps answering with what it had."""
    good, bad = sql_candidate(plane.artifacts, "0.1"), sql_candidate(plane.artifacts, "0.9")
    plane.publish(served(solo(good.id), release(good, "flights@v1")))
    plane.start()
    plane.wait_applied()
    damaged = plane.artifacts.path(bad.artifacts[0].digest)
    damaged.chmod(0o600)
    damaged.write_bytes(b"select 1")
    plane.publish(served(solo(bad.id), release(bad, "flights@v2"), release(good, "flights@v1")))
    (word,) = plane.wait_applied()
    assert [name for name, _ in word.refused] == [bad.id]
    assert "altered" in word.refused[0][1]
    assert plane.predict(ROW).json["release"] == "flights@v1"


def test_a_corrupt_snapshot_leaves_the_last_one_serving(plane):
    """Bytes that are no snapshot change nothing but a line in the log."""
    start_with_fallback(plane)
    (plane.home.snapshot / "current.msgpack").write_bytes(b"torn")
    (plane.home.snapshot / "version").write_bytes((99).to_bytes(8, "little"))
    until(lambda: "corrupt" in plane.log(), "the worker has seen it")
    assert plane.predict(ROW).json["release"] == "flights@v2"


def test_half_sent_and_broken_requests_leave_the_server_unharmed(plane):
    """Clients that hang up, lie about lengths or send noise cost nobody else an answer."""
    start_with_fallback(plane)
    noise = [
        b"\x00\xff" * 500,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/systems/flights/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{",
        b"POST /v1/systems/flights/predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        f"POST /v1/systems/flights/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {plane.key}\r\n"
        "content-type: application/json\r\ncontent-length: 500\r\n\r\n{".encode(),
    ]
    for content in noise * 5:
        with socket.create_connection(("127.0.0.1", plane.port), timeout=10) as line:
            line.sendall(content)
    assert plane.predict(ROW).status == 200
    assert "Traceback" not in plane.log()
