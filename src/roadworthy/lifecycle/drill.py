"""Drills: real faults in a running system, which prove the failure plan and measure it.

A drill works in an environment of its own (`drill-<n>`) that routes as the drilled one does: workers, releases, record
log, control and pager are the real ones, but its answers and outcomes enter no statistics of real callers, and a
rollback in it withdraws no release. Killing a worker and cutting off the pager touch everyone, as they would.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from roadworthy.domain.failure_plan import ActionKind, Intent
from roadworthy.domain.interface import Interface
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import Micros
from roadworthy.domain.principal import Actor, Scope
from roadworthy.domain.response import DRILL_PREFIX
from roadworthy.domain.route import Route
from roadworthy.errors import NotFoundError, RefusedError, UnavailableError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.change_route import route_changed
from roadworthy.lifecycle.incidents import close, incidents
from roadworthy.lifecycle.keys import create_key, revoke_key
from roadworthy.lifecycle.page import addresses_of
from roadworthy.lifecycle.probe import Answer, HttpTraffic, Traffic, invented_inputs, wrong_outcome
from roadworthy.lifecycle.publish import publish
from roadworthy.lifecycle.status import address_in
from roadworthy.ports.deliveries import Delivery, DeliveryState
from roadworthy.ports.faults import Faults
from roadworthy.ports.pager import Page
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import to_doc

LATE_BAD_OUTCOMES: Final = "late_bad_outcomes"
PAGER_UNREACHABLE: Final = "pager_unreachable"
FAULTS: Final = ("model_raises", "model_slow", "worker_killed", LATE_BAD_OUTCOMES, PAGER_UNREACHABLE, "disk_full")
PATIENCE_S: Final = 30.0
_PAUSE_S: Final = 0.05
_STEADY: Final = 5
_KEY_LASTS: Final = 1_800_000_000
_MOST_OUTCOMES: Final = 600

MakeTraffic = Callable[[str, str], Traffic]
"""Builds traffic for an environment with a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultReport:
    """What one fault did. Times are seconds since it was injected; None means not within the patience.

    `failed` counts probes left without an answer, `fallbacks` those that another release answered. `sign` is the first
    thing that showed the fault. `entries` are the kinds of ledger entries it led to.
    """

    fault: str
    system: str
    environment: str
    detected_after_s: float | None
    restored_after_s: float | None
    requests: int
    failed: int
    fallbacks: int
    sign: str
    entries: tuple[str, ...]
    finished_at: Micros
    by: str

    @property
    def passed(self) -> bool:
        """Claim that the fault was noticed and callers were well again."""
        return self.detected_after_s is not None and self.restored_after_s is not None


@dataclass(slots=True)
class _Scene:
    """A drill under way: where it sends probes, and what it counted since the fault began."""

    plane: Plane
    system: str
    environment: str
    champion: str
    interface: Interface
    traffic: Traffic
    began: float = 0.0
    requests: int = 0
    failed: int = 0
    fallbacks: int = 0

    def probe(self) -> Answer:
        """Send one probe and count it."""
        inputs = invented_inputs(self.interface, self.requests, self.plane.clock.now())
        answer = self.traffic.predict(inputs)
        self.requests += 1
        self.failed += answer.failed
        self.fallbacks += bool(answer.fallback)
        return answer

    def since(self) -> float:
        """Return the seconds since the fault was injected."""
        return round(time.monotonic() - self.began, 3)


def drill(
    plane: Plane,
    system: str,
    faults: Faults,
    names: Sequence[str] = (),
    *,
    actor: Actor,
    environment: str = "live",
    patience_s: float = PATIENCE_S,
    make_traffic: MakeTraffic | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[FaultReport, ...]:
    """Inject each fault in turn, measure detection and restoration, and write the results to the ledger.

    Args:
        plane: the home of the running system.
        system: which one.
        faults: injects into the running processes.
        names: which faults; all of `FAULTS` if none is named.
        actor: the person who drills.
        environment: whose route the drill copies.
        patience_s: how long to wait for each sign.
        make_traffic: builds what sends the probes; by default HTTP to the address in `serve.json`.
        tell: told what happens, sentence by sentence.

    Raises:
        NotFoundError: no such system, route or fault.
        NotPermitted: the actor is no active person.
        UnavailableError: the data plane does not run, or does not answer before any fault.
    """
    present.must_be_a_person(plane, actor, "drill a system")
    present.policy(plane, system)
    wanted = tuple(names) or FAULTS
    for name in wanted:
        if name not in FAULTS:
            raise NotFoundError.among("fault", name, FAULTS)
    route = present.route(plane, system, environment)
    if route is None or route.stopped:
        raise RefusedError(f"{system} does not answer in {environment}, so there is nothing to drill")
    url = address_in(plane, "serve")
    if not url and make_traffic is None:
        raise UnavailableError("the data plane of this home does not run", hint="roadworthy up")
    until = plane.clock.now() + _KEY_LASTS
    scopes = (Scope.PREDICT, Scope.OUTCOME)
    made = create_key(plane, actor.principal, scopes, actor, systems=(system,), expires_at=until, reason="a drill")

    def traffic(where: str) -> Traffic:
        return make_traffic(where, made.text) if make_traffic else HttpTraffic(url, made.text, system, where)

    try:
        return tuple(_one(plane, system, faults, name, route, actor, patience_s, traffic, tell) for name in wanted)
    finally:
        revoke_key(plane, made.key.id, actor, reason="the drill is over")


def _one(
    plane: Plane,
    system: str,
    faults: Faults,
    name: str,
    route: Route,
    actor: Actor,
    patience_s: float,
    make: Callable[[str], Traffic],
    tell: Callable[[str], None],
) -> FaultReport:
    environment = f"{DRILL_PREFIX}{plane.ledger.head().seq + 1}"
    known = present.releases(plane, system)
    interface = known[route.champion].candidate.interface
    copy = replace(route, environment=environment, version=1, degraded_by="")
    plane.ledger.commit([route_changed(copy, actor, f"drill {name}", expected=0)])
    publish(plane)
    scene = _Scene(plane, system, environment, known[route.champion].name, interface, make(environment))
    try:
        _wait_until_well(scene, patience_s)
        tell(f"{name}: begins")
        report = _suffer(scene, faults, name, actor, patience_s)
    finally:
        _clean_up(plane, system, environment, actor)
    _write(plane, report, actor)
    tell(f"{name}: {spell(report)}")
    return report


def spell(report: FaultReport) -> str:
    """Write a report in one sentence."""
    if report.detected_after_s is None:
        return "was not noticed in time"
    if report.restored_after_s is None:
        return f"noticed after {report.detected_after_s:.2f} s ({report.sign}), but not restored in time"
    return (
        f"noticed after {report.detected_after_s:.2f} s ({report.sign}), restored after "
        f"{report.restored_after_s:.2f} s; {report.failed} of {report.requests} requests failed"
    )


def _suffer(scene: _Scene, faults: Faults, name: str, actor: Actor, patience_s: float) -> FaultReport:
    plane, before = scene.plane, scene.plane.ledger.head().seq
    workers = _workers(plane)
    policy = present.policy(plane, scene.system)
    parameters: Mapping[str, Any] = {
        "environment": scene.environment,
        "seconds": patience_s + 10,
        "delay_ms": policy.serve.deadline_ms * 4,
    }
    scene.began, scene.requests, scene.failed, scene.fallbacks = time.monotonic(), 0, 0, 0
    handle = "" if name == LATE_BAD_OUTCOMES else faults.inject(name, scene.system, parameters)
    key = _page(plane, scene, actor) if name == PAGER_UNREACHABLE else ""
    try:
        sign, detected = _until(scene, patience_s, lambda answer: _sign(scene, name, answer, workers, key))
        if handle and name in ("disk_full", PAGER_UNREACHABLE):
            # These two end from outside: what is measured is how soon the system is itself again.
            faults.clear(handle)
        restored = None
        if detected is not None:
            restored = _restored(scene, name, patience_s, len(workers), key)
    finally:
        if handle:
            faults.clear(handle)
    entries = tuple(
        event.kind
        for event in plane.ledger.events(after=before, system=scene.system)
        if event.environment == scene.environment
    )
    return FaultReport(
        fault=name,
        system=scene.system,
        environment=scene.environment,
        detected_after_s=detected,
        restored_after_s=restored,
        requests=scene.requests,
        failed=scene.failed,
        fallbacks=scene.fallbacks,
        sign=sign,
        entries=entries,
        finished_at=plane.clock.now(),
        by=actor.principal,
    )


def _until(scene: _Scene, patience_s: float, seen: Callable[[Answer], str]) -> tuple[str, float | None]:
    """Probe until something shows; return what and when."""
    give_up_at = time.monotonic() + patience_s
    while time.monotonic() < give_up_at:
        answer = scene.probe()
        if sign := seen(answer):
            return sign, scene.since()
        time.sleep(_PAUSE_S)
    return "", None


def _sign(scene: _Scene, name: str, answer: Answer, workers: frozenset[int], key: str) -> str:
    """Say what shows that the system noticed the fault, if anything does yet."""
    plane = scene.plane
    story = next((one for one in incidents(plane, scene.system) if one.environment == scene.environment), None)
    if story is not None:
        return f"incident {story.id}: {story.objective}"
    match name:
        case "worker_killed":
            return "a worker is gone" if workers - _workers(plane) else ""
        case "disk_full":
            return "an answer is marked as unrecorded" if answer.unrecorded else ""
        case _ if name == PAGER_UNREACHABLE:
            delivery = plane.deliveries.get(key)
            return "the page waits, with the reason" if delivery is not None and delivery.error else ""
        case _ if name == LATE_BAD_OUTCOMES:
            if answer.record and scene.requests <= _MOST_OUTCOMES:
                scene.traffic.outcome(answer.record, wrong_outcome(scene.interface, answer.outputs))
            return ""
        case _:
            return f"the {answer.fallback} release answers" if answer.fallback else ""


def _restored(scene: _Scene, name: str, patience_s: float, workers: int, key: str) -> float | None:
    """Wait until callers are well again, and stay so for five probes; return when that began."""
    plane, steady, first = scene.plane, 0, 0.0
    give_up_at = time.monotonic() + patience_s
    while time.monotonic() < give_up_at:
        answer = scene.probe()
        well = answer.is_good
        if name == "worker_killed":
            well = well and len(_workers(plane)) >= workers
        elif name == PAGER_UNREACHABLE:
            delivery = plane.deliveries.get(key)
            well = delivery is not None and delivery.state is DeliveryState.DONE
        elif name == LATE_BAD_OUTCOMES:
            well = well and answer.release != scene.champion
        first = scene.since() if steady == 0 else first
        steady = steady + 1 if well else 0
        if steady >= _STEADY:
            return first
        time.sleep(_PAUSE_S)
    return None


def _wait_until_well(scene: _Scene, patience_s: float) -> None:
    give_up_at, steady, status = time.monotonic() + patience_s, 0, 0
    while time.monotonic() < give_up_at:
        answer = scene.probe()
        status = answer.status
        steady = steady + 1 if answer.is_good and answer.release == scene.champion else 0
        if steady >= _STEADY:
            return
        time.sleep(_PAUSE_S)
    raise UnavailableError(
        f"{scene.champion} does not answer well before any fault (last status {status}); a drill would prove nothing",
        hint="roadworthy status",
    )


def _page(plane: Plane, scene: _Scene, actor: Actor) -> str:
    """Intend a page that says it is a drill; control delivers it like any other."""
    policy = present.policy(plane, scene.system)
    addresses = addresses_of(policy, owner_is_here=True)
    if not addresses:
        return ""
    wall = time.time_ns() // 1_000
    page = Page(
        key=f"{scene.system}/{scene.environment}/page",
        to=policy.owner.principal,
        title=f"drill: {scene.system} proves that its pager is reached",
        body=f"Nothing is wrong. {actor.principal} drills {scene.system}.",
        severity="sev3",
        system=scene.system,
        incident="",
        at=plane.clock.now(),
    )
    key = f"{page.key}>{addresses[0]}"
    intent = Intent(key=page.key, system=scene.system, action=ActionKind.PAGE, objective="drill", reason="a drill")
    document = {"address": addresses[0], "intent": intent.key, "page": to_doc(page)}
    plane.deliveries.intend(
        Delivery(key=key, kind="page", system=scene.system, document=document, intended_at=wall, due_at=wall)
    )
    return key


def _workers(plane: Plane) -> frozenset[int]:
    return frozenset(word.pid for word in plane.snapshots.acknowledgements())


def _clean_up(plane: Plane, system: str, environment: str, actor: Actor) -> None:
    """Take the drill's route away and close its incidents, so that nothing of it stays behind but the account."""

    def attempt() -> None:
        ended = Decide(
            kind="route.ended",
            system=system,
            environment=environment,
            noun=Noun.ROUTE,
            subject=present.place(system, environment),
            after=None,
            actor=actor,
            reason="the drill is over",
            expected=present.route_seq(plane, system, environment),
        )
        plane.ledger.commit([ended])

    present.settle(attempt)
    publish(plane)
    for story in incidents(plane, system):
        if story.environment == environment:
            close(plane, story.id, actor=actor, no_test="it was a drill")


def _write(plane: Plane, report: FaultReport, actor: Actor) -> None:
    document = {**to_doc(report), "passed": report.passed}
    plane.ledger.commit(
        [
            Decide(
                kind="drill.finished",
                system=report.system,
                noun=Noun.DRILL,
                subject=f"{report.system}/{report.fault}",
                after=document,
                actor=actor,
                reason=spell(report),
            )
        ]
    )
