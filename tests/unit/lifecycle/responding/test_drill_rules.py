"""Drills against a played system: what counts as noticed, as restored, and what is left behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface, Task, violation
from roadworthy.domain.ledger import Noun
from roadworthy.domain.moment import HOUR, MINUTE, parse_iso
from roadworthy.domain.principal import Actor
from roadworthy.domain.rollout import Progress
from roadworthy.domain.snapshot import Acknowledgement
from roadworthy.errors import InputError, NotFoundError, RefusedError, UnavailableError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.drill import drill, spell
from roadworthy.lifecycle.incidents import incidents
from roadworthy.lifecycle.page import deliver, sender
from roadworthy.lifecycle.probe import Answer, HttpTraffic, invented_inputs, wrong_outcome
from roadworthy.lifecycle.reconcile import reconcile
from roadworthy.lifecycle.respond import Command
from roadworthy.ports.pager import Page
from roadworthy.stores.fault_files import FileFaults

ADA = Actor(principal="ada")
World = Any


class PlayedFaults:
    """Faults that only remember that they are in force."""

    def __init__(self) -> None:
        self.in_force: dict[str, Mapping[str, Any]] = {}

    def names(self) -> tuple[str, ...]:
        """Name them."""
        return ("model_raises",)

    def inject(self, name: str, system: str, parameters: Mapping[str, Any]) -> str:
        """Start one."""
        self.in_force[name] = {**parameters, "system": system}
        return name

    def clear(self, handle: str) -> None:
        """End one."""
        self.in_force.pop(handle, None)


class PlayedTraffic:
    """A system whose answers a test plays."""

    def __init__(self, play: Callable[[], Answer]) -> None:
        self.play = play
        self.outcomes: list[Any] = []

    def predict(self, inputs: Mapping[str, Any]) -> Answer:
        """Answer as the test says."""
        assert set(inputs) == {"hour"}
        return self.play()

    def outcome(self, record: str, value: Any) -> bool:
        """Keep the outcome."""
        self.outcomes.append((record, value))
        return True


def good(release: str = "flights@v2", **more: Any) -> Answer:
    """Answer well."""
    return Answer(status=200, release=release, record="r", outputs={"label": "0", "probability": 0.1}, **more)


def run(world: World, fault: str, play: Callable[[PlayedFaults], Answer], patience_s: float = 2.0) -> Any:
    """Drill one fault against what `play` answers."""
    faults = PlayedFaults()
    traffic = PlayedTraffic(lambda: play(faults))
    return drill(
        world.plane,
        "flights",
        faults,
        [fault],
        actor=ADA,
        patience_s=patience_s,
        make_traffic=lambda *_: traffic,
    )[0]


@pytest.fixture
def live(world: World) -> World:
    """A system with a good release behind its champion, and one worker."""
    world.live("v1")
    world.live("v2")
    head = world.plane.ledger.head().seq
    world.plane.snapshots.acknowledge(Acknowledgement(worker="w1", pid=1, version=head, at=0))
    return world


def test_a_fault_is_noticed_when_a_fallback_answers_and_restored_when_answers_are_good(live: World) -> None:
    """Detection, restoration and the account of both."""

    def play(faults: PlayedFaults) -> Answer:
        if "model_raises" in faults.in_force:
            return good("flights@v1", fallback="previous")
        return good()

    report = run(live, "model_raises", play)
    assert report.passed
    assert report.fallbacks == report.requests
    assert report.failed == 0
    assert "noticed after" in spell(report)
    stored = live.plane.ledger.state(Noun.DRILL, "flights/model_raises")
    assert stored["passed"] is True
    assert len(present.routes(live.plane, "flights")) == 1
    assert live.kinds()[-1] == "key.revoked"


def test_a_fault_that_nobody_notices_is_told(live: World) -> None:
    """A drill that finds nothing is a finding."""
    report = run(live, "model_slow", lambda _: good(), patience_s=0.5)
    assert not report.passed
    assert spell(report) == "was not noticed in time"


def test_a_system_that_stays_down_is_told(live: World) -> None:
    """Noticed, but not restored."""

    def play(faults: PlayedFaults) -> Answer:
        return Answer(status=503, fallback="default") if faults.in_force else good()

    report = run(live, "model_raises", play, patience_s=0.5)
    assert "but not restored in time" in spell(report)
    assert report.failed > 0


def test_a_full_disk_is_noticed_by_unrecorded_answers(live: World) -> None:
    """The mark in the answer is the sign; restoration begins when the disk has room again."""
    report = run(live, "disk_full", lambda faults: good(unrecorded="disk_full" in faults.in_force))
    assert report.sign == "an answer is marked as unrecorded"
    assert report.passed


def test_a_killed_worker_is_noticed_when_it_is_gone_and_restored_when_another_came(live: World) -> None:
    """The workers' own words count."""
    words = live.plane.snapshots.words
    looked: list[int] = []

    def play(faults: PlayedFaults) -> Answer:
        if "worker_killed" in faults.in_force:
            looked.append(1)
            old = words.pop("w1", None)
            if old is None and len(looked) > 3:
                words["w2"] = Acknowledgement(worker="w2", pid=2, version=1, at=0)
        return good()

    report = run(live, "worker_killed", play)
    assert (report.sign, report.passed) == ("a worker is gone", True)


def test_late_bad_outcomes_lead_to_the_rollback_and_leave_nothing_behind(live: World) -> None:
    """The failure plan acts in the drill's environment; no release is withdrawn and no real rollback held back."""
    environment: list[str] = []

    def play(_: PlayedFaults) -> Answer:
        routes = [route for route in present.routes(live.plane, "flights") if route.environment != "live"]
        environment[:] = [routes[0].environment]
        cursor = live.plane.observations.cursor()
        from roadworthy.domain.objective import Signal

        place = {"system": "flights", "environment": routes[0].environment, "release": live.release("v2").id}
        seen = Signal(name="auc", at=live.clock.now(), value=0.1, n=99, **place)
        if len(asked) > 6:
            live.plane.observations.save(before=cursor, cursor=cursor, signals=[seen])
            live.clock.pass_by(60_000_000)
            reconcile(live.plane, lambda _: Progress(), Command(fence=0, wall=1))
        asked.append(1)
        known = present.releases(live.plane, "flights")
        route = present.route(live.plane, "flights", environment[0])
        return good(known[route.champion].name)

    asked: list[int] = []
    report = run(live, "late_bad_outcomes", play)
    assert report.passed
    assert report.sign.startswith("incident flights-1")
    assert "action.done" in report.entries
    assert live.release("v2").withdrawn_for == ()
    assert incidents(live.plane, "flights") == ()
    story = incidents(live.plane, "flights", everything=True)[0]
    assert story.title.startswith("drill: quality of flights@v2")
    assert story.severity == "sev3"
    live.see("auc", 0.1, live.release("v2").id)
    reconcile(live.plane, lambda _: Progress(), Command(fence=0, wall=1))
    live.clock.pass_by(60_000_000)
    reconcile(live.plane, lambda _: Progress(), Command(fence=0, wall=1))
    assert live.route.champion == live.release("v1").id, "the drill's rollback starts no cool-down"


def test_an_unreachable_pager_is_noticed_by_the_waiting_page(live: World) -> None:
    """The page fails while the fault is in force, waits with its reason, and arrives afterwards."""
    now = time.time_ns() // 1_000
    walls = iter(range(now, now + 20 * HOUR, 10 * MINUTE))

    def send(address: str, page: Page) -> None:
        assert page.title.startswith("drill: ")
        if cut["off"]:
            raise UnavailableError("the pager does not answer")

    cut = {"off": False}

    def play(faults: PlayedFaults) -> Answer:
        cut["off"] = "pager_unreachable" in faults.in_force
        deliver(live.plane, send, next(walls))
        return good()

    report = run(live, "pager_unreachable", play)
    assert (report.sign, report.passed) == ("the page waits, with the reason", True)


def test_a_drill_asks_for_a_person_a_route_a_running_system_and_known_faults(world: World) -> None:
    """Nothing is injected where it would prove nothing."""
    faults = PlayedFaults()
    with pytest.raises(RefusedError, match="nothing to drill"):
        drill(world.plane, "flights", faults, actor=ADA)
    world.live("v1")
    with pytest.raises(UnavailableError, match="does not run"):
        drill(world.plane, "flights", faults, actor=ADA)
    with pytest.raises(NotFoundError, match="did you mean 'model_slow'"):
        drill(world.plane, "flights", faults, ["model_slo"], actor=ADA)
    with pytest.raises(UnavailableError, match="would prove nothing"):
        run(world, "model_raises", lambda _: Answer(status=0), patience_s=0.2)
    assert len(present.routes(world.plane, "flights")) == 1


def test_faults_are_files_that_end_by_themselves(tmp_path: Path) -> None:
    """A fault names a system and an environment, and no handle leads out of the folder."""
    faults = FileFaults(tmp_path)
    assert "pager_unreachable" in faults.names()
    handle = faults.inject("pager_unreachable", "flights", {"environment": "drill-1", "seconds": 9_999})
    document = json.loads((tmp_path / "faults" / f"{handle}.json").read_text())
    assert document["environment"] == "drill-1"
    assert (tmp_path / "faults").stat().st_mode & 0o077 == 0
    assert faults.is_in_force("pager_unreachable", "flights", document["until"] - 1)
    assert not faults.is_in_force("pager_unreachable", "flights", document["until"])
    assert not faults.is_in_force("pager_unreachable", "loans", document["until"] - 1)
    faults.clear(handle)
    faults.clear(handle)
    assert not faults.is_in_force("pager_unreachable", "flights", document["until"] - 1)
    with pytest.raises(NotFoundError):
        faults.inject("meteor", "flights", {})
    with pytest.raises(InputError):
        faults.clear("../../etc/passwd")


def test_control_does_not_page_while_a_drill_cuts_its_pager_off(world: World) -> None:
    """The fault holds for the one system; afterwards the page goes out."""
    faults = FileFaults(world.plane.home.root)
    handle = faults.inject("pager_unreachable", "flights", {})
    page = Page(key="k", to="ada", title="t", body="b", severity="sev3", system="flights", incident="", at=1)
    send = sender(world.plane)
    with pytest.raises(UnavailableError, match="a drill keeps it"):
        send("file:pages.jsonl", page)
    send("file:pages.jsonl", replace(page, system="loans"))
    faults.clear(handle)
    send("file:pages.jsonl", page)
    assert len((world.plane.home.root / "pages.jsonl").read_text().splitlines()) == 2


WIDE = Interface(
    inputs=(
        Field(name="when", type=FieldType.TIMESTAMP, role=FieldRole.EVENT_TIME),
        Field(name="origin", type=FieldType.STRING, categories=("EWR", "JFK")),
        Field(name="tail", type=FieldType.STRING, role=FieldRole.ENTITY),
        Field(name="note", type=FieldType.STRING),
        Field(name="holiday", type=FieldType.BOOLEAN),
        Field(name="hour", type=FieldType.INTEGER, minimum=3, maximum=5),
        Field(name="wind", type=FieldType.NUMBER, minimum=1.0, maximum=2.0),
    ),
    task=Task.REGRESSION,
)


@pytest.mark.parametrize("number", range(0, 30, 7))
def test_probes_keep_to_the_interface(number: int) -> None:
    """A drill's own requests are never refused for their values."""
    made = invented_inputs(WIDE, number, parse_iso("2013-02-01T00:00:00Z"))
    for field in WIDE.inputs:
        value = parse_iso(made[field.name]) if field.type is FieldType.TIMESTAMP else made[field.name]
        assert violation(field, value) is None


def test_a_wrong_outcome_is_wrong() -> None:
    """Whatever was answered, the outcome says otherwise."""
    binary = replace(WIDE, task=Task.BINARY, labels=("on_time", "late"))
    assert wrong_outcome(binary, {"label": "late"}) == "on_time"
    assert abs(wrong_outcome(WIDE, {"value": -3.0}) + 3.0) > 1_000


class _Served(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Answer as the data plane does."""
        self.rfile.read(int(self.headers["content-length"]))
        is_outcome = self.path.endswith("/outcomes")
        good_key = self.headers["authorization"] == "Bearer k"
        body = b'{"outputs": {"label": "late"}}' if not is_outcome else b'{"accepted": 1}'
        self.send_response((202 if is_outcome else 200) if good_key else 401)
        self.send_header("x-roadworthy-release", f"flights@{self.headers['x-roadworthy-environment']}")
        self.send_header("x-roadworthy-record", "r1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the library's)
        """Say nothing."""


@pytest.fixture
def served() -> Iterator[str]:
    """Run a played data plane."""
    server = HTTPServer(("127.0.0.1", 0), _Served)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_probes_are_calls_over_http(served: str) -> None:
    """They carry a key and name the drill's environment."""
    traffic = HttpTraffic(served, "k", "flights", "drill-7")
    answer = traffic.predict({"hour": 1})
    assert (answer.release, answer.record, answer.outputs) == ("flights@drill-7", "r1", {"label": "late"})
    assert answer.is_good
    assert traffic.outcome("r1", "late")
    refused = HttpTraffic(served, "wrong", "flights", "drill-7")
    assert not refused.predict({}).is_good
    assert not refused.outcome("r1", "late")
    assert HttpTraffic("http://127.0.0.1:1", "k", "flights", "x").predict({}).failed
