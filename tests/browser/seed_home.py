"""A real home with a story, told by the real verbs: a replayed clock, three systems, an incident, a rollout.

`flights` had a bad release forced live that was rolled back by itself; now its inputs break upstream (an incident that
nobody has in hand yet) while a better release waits in canary. `loans` is well. `claims` was never promoted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from roadworthy.domain.candidate import Artifact, Candidate, Environment, Run
from roadworthy.domain.condition import Comparison, Condition
from roadworthy.domain.failure_plan import ActionKind, FailurePlan, Rule
from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface, Task
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import DAY, HOUR, MINUTE, SECOND, iso, parse_iso
from roadworthy.domain.objective import Light, Objective, Signal
from roadworthy.domain.principal import Actor, Assurance, Scope
from roadworthy.domain.record import Outcome, Record
from roadworthy.domain.release import Release
from roadworthy.domain.rollout import Progress, Rollout, Stage, StagePlan
from roadworthy.domain.snapshot import Acknowledgement
from roadworthy.domain.system import Decision, GatePlan, Owner, Policy, WatchPlan
from roadworthy.domain.verdict import Approval, Verdict, VerdictState
from roadworthy.lifecycle import present
from roadworthy.lifecycle.keys import create_key
from roadworthy.lifecycle.page import deliver, sender
from roadworthy.lifecycle.promote import promote
from roadworthy.lifecycle.reconcile import reconcile
from roadworthy.lifecycle.respond import Command
from roadworthy.lifecycle.trials import TrialState
from roadworthy.ports.observations import BucketKey
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.stores.clock import set_clock
from roadworthy.stores.codec import to_doc
from roadworthy.stores.home import create
from roadworthy.stores.presence import WorkerPresence
from roadworthy.stores.records import new_record_id, open_log
from roadworthy.wiring import open_plane

START = parse_iso("2013-04-12T06:00:00Z")
STEP = MINUTE
ANA = Actor(principal="ana", assurance=Assurance.AUTHENTICATED)
BEN = Actor(principal="ben", assurance=Assurance.AUTHENTICATED)
GATES = ("tests", "contract", "baseline", "quality", "latency", "export", "skew")
INTERFACE = Interface(
    inputs=(
        Field(name="origin", type=FieldType.STRING, categories=("EWR", "JFK", "LGA")),
        Field(name="distance", type=FieldType.NUMBER, minimum=0, maximum=10_000),
        Field(name="hour", type=FieldType.INTEGER, minimum=0, maximum=23),
        Field(name="wind", type=FieldType.NUMBER, nullable=True),
        Field(name="passenger", type=FieldType.STRING, classes=("pii",), role=FieldRole.ENTITY),
        Field(name="weather_age", type=FieldType.NUMBER, role=FieldRole.AGE, age_of="wind", required=False),
    ),
    task=Task.BINARY,
    labels=("on_time", "late"),
    positive="late",
)
SECRET_VALUE = "Grace Hopper"


def objective(name: str, monitor: str, above: float, light: Light, grace: int = 0) -> Objective:
    """Build an objective that breaks above a threshold."""
    when = Condition(monitor=monitor, comparison=Comparison.ABOVE, threshold=above, grace=grace)
    return Objective(name=name, when=when, light=light)


def policy_of(owner: str, decision: str) -> Policy:
    """Build a policy with a plan for each way to break."""
    hurts, tell = (ActionKind.ROLLBACK, ActionKind.PAGE), (ActionKind.PAGE,)
    no_outcomes = Condition(monitor="outcomes", grace=3 * DAY, no_data=True)
    return Policy(
        owner=Owner(principal=owner, contact="file:pages.jsonl", backup="flight-desk", backup_contact="file:b.jsonl"),
        decision=Decision(what=decision),
        gates=tuple(GatePlan(name=name) for name in GATES),
        rollout=(
            StagePlan(stage=Stage.SHADOW, share=1.0, records=200),
            StagePlan(stage=Stage.CANARY, share=0.25, records=2_000, outcomes=400),
            StagePlan(stage=Stage.FULL, share=1.0),
        ),
        watch=WatchPlan(
            objectives=(
                objective("errors", "errors", 0.02, Light.OPERATIONS, MINUTE),
                objective("latency", "latency", 250.0, Light.OPERATIONS, MINUTE),
                objective("violations", "violations", 0.10, Light.OPERATIONS, 5 * MINUTE),
                objective("harm", "harm", 0.0, Light.DECISION),
                objective("drift", "drift", 0.4, Light.DECISION, HOUR),
                Objective(name="outcomes", when=no_outcomes, light=Light.DECISION),
            )
        ),
        failure=FailurePlan(
            rules=(
                Rule(objective="errors", do=hurts),
                Rule(objective="latency", do=hurts),
                Rule(objective="harm", do=hurts),
                Rule(objective="violations", do=tell),
                Rule(objective="drift", do=tell),
            ),
            pager=("file:pages.jsonl",),
            runbook="https://wiki.example.org/runbooks/flights",
        ),
    )


@dataclass
class Story:
    """A home whose story is being told. `keys` are spellings by name."""

    plane: Plane
    now: int = START
    keys: dict[str, str] = field(default_factory=dict)
    records: list[str] = field(default_factory=list)
    fence: int = 0

    def wait(self, span: int = STEP) -> None:
        """Let time pass."""
        self.now = set_clock(self.plane.home, self.now + span)

    def commit(
        self, kind: str, noun: Noun, system: str, subject: str, after: Any, actor: Actor = ANA, why: str = ""
    ) -> None:
        """Write one decision."""
        decision = Decide(
            kind=kind, system=system, noun=noun, subject=subject, after=to_doc(after), actor=actor, reason=why
        )
        self.plane.ledger.commit([decision])

    def look(self) -> None:
        """Let control look once, as its loop does."""
        reconcile(self.plane, self.progress, Command(fence=self.fence, wall=self.now))
        deliver(self.plane, sender(self.plane), self.now)

    def progress(self, rollout: Rollout) -> Progress:
        """Say what observation knows of a rollout: enough in its shadow, not yet enough in its canary."""
        return Progress(records=412, outcomes=38) if rollout.stage_index else Progress(records=1_200)

    def see(self, *signals: Signal) -> None:
        """Let observation store signals."""
        cursor = self.plane.observations.cursor()
        self.plane.observations.save(before=cursor, cursor=cursor, signals=signals)


def seed(root: Path) -> Story:
    """Tell the whole story in a new home at `root`."""
    create(root, "replay", now=START)
    story = Story(plane=open_plane(Settings(home=root)))
    story.fence = story.plane.leases.acquire("control", "seed", 3_600.0) or 0
    for name, scopes, systems in (
        ("reader", (Scope.READ,), ()),
        ("operator", (Scope.READ, Scope.OPERATE, Scope.APPROVE), ()),
        ("loans-only", (Scope.READ, Scope.OPERATE), ("loans",)),
        ("caller", (Scope.PREDICT, Scope.OUTCOME), ()),
    ):
        holder = {"operator": "ana", "reader": "ben"}.get(name, name)
        story.keys[name] = create_key(story.plane, holder, scopes, ANA, systems=systems).text
    _claims(story)
    _loans(story)
    _flights(story)
    return story


def _claims(story: Story) -> None:
    story.commit("policy.applied", Noun.POLICY, "claims", "claims", policy_of("cleo", "which claims are paid at once"))


def _loans(story: Story) -> None:
    story.commit("policy.applied", Noun.POLICY, "loans", "loans", policy_of("ben", "which applications are read first"))
    admit(story, "loans", 0, {}, baseline=True)
    v1 = admit(story, "loans", 1, {"auc": 0.81, "accuracy": 0.86})
    live(story, "loans", "v1", "first release")
    for _ in range(40):
        story.wait()
        story.see(*healthy(story, "loans", v1.id))
        story.look()


def _flights(story: Story) -> None:
    story.commit("policy.applied", Noun.POLICY, "flights", "flights", policy_of("ana", "offer a rebooking early"))
    admit(story, "flights", 0, {}, baseline=True)
    admit(story, "flights", 1, {"auc": 0.742, "accuracy": 0.811, "brier": 0.137})
    refuse(story, "flights", 90)
    live(story, "flights", "v1", "first release")
    v2 = admit(story, "flights", 2, {"auc": 0.758, "accuracy": 0.819, "brier": 0.131})
    live(story, "flights", "v2", "better on April")
    _drilled(story)
    for _ in range(30):
        story.wait()
        story.see(*healthy(story, "flights", v2.id))
        story.look()
    v3 = admit(story, "flights", 3, {"auc": 0.611, "accuracy": 0.702, "brier": 0.214}, fails=("baseline", "quality"))
    promote(story.plane, "flights", "v3", actor=ANA, prove_loads=_loads, force=True, reason="the campaign starts today")
    for minute in range(6):
        story.wait()
        story.see(*healthy(story, "flights", v3.id, harm=0.0 if minute < 5 else 0.119))
        story.look()
    v4 = admit(story, "flights", 4, {"auc": 0.769, "accuracy": 0.826, "brier": 0.128})
    promote(story.plane, "flights", "v4", actor=ANA, prove_loads=_loads, reason="trained on March too")
    for minute in range(52):
        story.wait()
        broken = 0.004 if minute < 34 else 0.18 + 0.02 * math.sin(minute)
        story.see(*healthy(story, "flights", v2.id, violations=broken), *trial(story, v4.id))
        story.look()
        if minute == 20:
            _write_records(story, v2)
    rollout = present.rollout(story.plane, "flights", "live")
    assert rollout is not None
    _keep_progress(story, rollout)


def admit(
    story: Story, system: str, number: int, metrics: dict[str, float], *, baseline: bool = False, fails: Any = ()
) -> Release:
    """Build, judge, approve and admit a release, one decision after the other."""
    story.wait(2 * MINUTE)
    candidate = build(story, system, number, metrics, baseline=baseline)
    if not baseline:
        judge(story, system, candidate, metrics, dict.fromkeys(fails, VerdictState.FAIL))
        approval = Approval(
            system=system,
            candidate=candidate.id,
            by="ben",
            assurance="authenticated",
            at=story.now,
            reason="looks right",
        )
        story.commit("approval.given", Noun.APPROVAL, system, f"{candidate.id}/ben", approval, BEN, "looks right")
    release = Release(
        id=candidate.id, system=system, number=number, candidate=candidate, policy="sha256:" + "1" * 64,
        run=f"run-{system}-{number}", admitted_at=story.now, admitted_by="ana",
        approved_by=() if baseline else ("ben",), forced_by="ana" if fails else "",
    )  # fmt: skip
    story.commit("release.admitted", Noun.RELEASE, system, release.id, release, ANA, "all gates passed")
    return release


def refuse(story: Story, system: str, number: int) -> Candidate:
    """Build a candidate that its gates refuse."""
    story.wait(2 * MINUTE)
    candidate = build(story, system, number, {"auc": 0.598, "accuracy": 0.781, "brier": 0.171})
    states = {"baseline": VerdictState.FAIL, "latency": VerdictState.INCONCLUSIVE, "skew": VerdictState.FAIL}
    judge(story, system, candidate, {"auc": 0.598, "accuracy": 0.781, "brier": 0.171}, states)
    return candidate


def build(story: Story, system: str, number: int, metrics: dict[str, float], *, baseline: bool = False) -> Candidate:
    """Build a candidate with real artifact bytes, and write its run."""
    content = f"select {number} as probability from input".encode()
    artifact = Artifact(
        role="model", format="sql" if baseline else "onnx", digest=story.plane.artifacts.put(content), size=len(content)
    )
    candidate = Candidate(
        system=system,
        recipe=f"sha256:{number:064x}",
        artifacts=(artifact,),
        interface=INTERFACE,
        runtime="sql" if baseline else "onnx",
        environment=Environment(
            python="3.11", platform="linux-x86_64", distributions={"onnxruntime": "1.23.2", "numpy": "2.3.4"}
        ),
        is_baseline=baseline,
    )
    story.commit("candidate.built", Noun.CANDIDATE, system, candidate.id, candidate, ANA, "built")
    measured = dict(metrics) | {f"baseline.{name}": value for name, value in BASELINE.items() if name in metrics}
    run = Run(
        id=f"run-{system}-{number}", system=system, candidate=candidate.id, recipe=candidate.recipe,
        started_at=story.now, seconds=11.42, commit="4f1c2d9e8b7a6c5d4e3f2a1b0c9d8e7f6a5b4c3d", dirty=number == 3,
        machine="build-2", parameters={"learning_rate": 0.1, "max_iter": 200}, metrics=measured,
        data={"train.parquet": "sha256:" + "a4" * 32}, notes=("exported to ONNX, max difference 3.1e-07",),
    )  # fmt: skip
    story.commit("run.finished", Noun.RUN, system, run.id, run, ANA, "built")
    return candidate


BASELINE = {"auc": 0.641, "accuracy": 0.795, "brier": 0.158}
REASONS = {
    "tests": "12 tests passed in 3.1 s",
    "contract": "200 rows were answered as the interface says",
    "latency": "p99 12.9 ms, budget 50.0 ms (p50 4.1 ms, 150 requests at 50 a second; echo p99 3.3 ms)",
    "export": "ONNX agrees: max difference 3.1e-07, no label flips in 4,000 rows",
    "skew": "training and serving path agree on 200 rows",
}


def judge(story: Story, system: str, candidate: Candidate, metrics: dict[str, float], states: dict[str, Any]) -> None:
    """Give each gate's verdict."""
    for gate in GATES:
        state = states.get(gate, VerdictState.PASS)
        evidence: dict[str, Any] = {"n": 4_000}
        reason = REASONS.get(gate, "")
        if gate in ("baseline", "quality"):
            rival = {name: BASELINE[name] for name in metrics if name in BASELINE}
            evidence |= {"candidate": metrics, "baseline": rival}
            evidence["difference"] = {"value": -0.016, "low": -0.024, "high": -0.008, "n": 4_000}
            word = "better than" if state is VerdictState.PASS else "keep the baseline: the candidate is worse than"
            reason = f"{word} the baseline: error rate {1 - metrics['accuracy']:.3f} against 0.205, n=4,000"
        elif state is VerdictState.INCONCLUSIVE:
            reason = "machine: an empty answer already takes 21.3 ms at p99, over a quarter of the budget"
        elif state is VerdictState.FAIL:
            reason = "17 of 200 rows differ between training and serving path: hour is read as text"
        verdict = Verdict(
            gate=gate, candidate=candidate.id, policy="sha256:" + "1" * 64, state=state, reason=reason,
            evidence=evidence, at=story.now, expires_at=story.now + 30 * DAY,
        )  # fmt: skip
        story.commit("verdict.given", Noun.VERDICT, system, f"{candidate.id}/{gate}", verdict, ANA, reason)


def live(story: Story, system: str, release: str, why: str) -> None:
    """Begin a rollout and let it go through to the end."""
    story.wait()
    promote(story.plane, system, release, actor=ANA, prove_loads=_loads, reason=why)
    enough = replace_progress(story, Progress(records=5_000, outcomes=900))
    for _ in range(2):
        story.wait()
        reconcile(story.plane, enough, Command(fence=story.fence, wall=story.now))


def replace_progress(_: Story, known: Progress) -> Any:
    """Return what says of any rollout that this much is known."""
    return lambda _: known


def healthy(story: Story, system: str, release: str, *, harm: float = 0.0, violations: float = 0.004) -> list[Signal]:
    """Return the signals of a system that is well, but for what is said."""
    tick = story.now // STEP
    wave = math.sin(tick / 7) + 0.4 * math.sin(tick / 2.3)

    def one(name: str, value: float | None, n: int, light: Light, unit: str = "", **more: Any) -> Signal:
        return Signal(
            system=system, name=name, at=story.now, value=value, n=n, release=release, light=light, unit=unit,
            window_start=story.now - 5 * MINUTE, window_end=story.now, **more,
        )  # fmt: skip

    def share(name: str, value: float, n: int, light: Light, **more: Any) -> Signal:
        spread = 1.96 * math.sqrt(max(value, 1 / n) * (1 - value) / n)
        return one(name, value, n, light, "share", low=max(0.0, value - spread), high=min(1.0, value + spread), **more)

    operations, decision = Light.OPERATIONS, Light.DECISION
    why = "origin: category 18.2 %" if violations > 0.1 else ""
    blind = one("auc", None, 212, decision, reason="212 outcomes, 300 needed for an interval")
    return [
        share("errors", 0.003 + 0.002 * abs(wave), 1_260, operations),
        one("latency", 13.1 + 2.2 * wave, 1_260, operations, "ms", threshold=250.0),
        one("latency(p50)", 4.2 + 0.3 * wave, 1_260, operations, "ms"),
        one("traffic", 4.2 + 0.5 * wave, 1_260, operations, "1/s"),
        share("violations", violations, 1_260, operations, reason=why),
        one("harm", harm, 640, decision, "loss", threshold=0.0, alarm=harm > 0,
            reason=f"mean loss {0.186 + harm:.3f} of the last 320 outcomes, promised at most 0.231"),
        one("drift", 0.125, 9_800, decision, "share", alarm=True, reason="wind: shape moved by 0.113 (limit 0.091)"),
        one("drift(wind)", 0.113, 9_800, decision, "distance", threshold=0.091, alarm=True),
        one("drift(hour)", 0.021 + 0.004 * wave, 9_800, decision, "distance", threshold=0.08),
        share("outcomes", 0.61 + 0.03 * wave, 9_800, decision),
        blind,
        one("brier", 0.133 + 0.004 * wave, 5_900, decision, low=0.127, high=0.139),
    ]  # fmt: skip


def trial(story: Story, release: str) -> list[Signal]:
    """Return the signals of a release under trial."""
    wanted = ("errors", "latency", "violations")
    signals = healthy(story, "flights", release)
    return [replace(one, n=412, window_end=story.now) for one in signals if one.name in wanted]


def _drilled(story: Story) -> None:
    story.wait()
    for fault, detected, restored in (("model_raises", 0.41, 0.43), ("late_bad_outcomes", 2.9, 3.6)):
        report = {
            "fault": fault, "system": "flights", "environment": "drill-1", "detected_after_s": detected,
            "restored_after_s": restored, "requests": 210, "failed": 0, "fallbacks": 6, "sign": "incident",
            "entries": ["incident.opened"], "finished_at": story.now, "by": "ana",
        }  # fmt: skip
        story.commit("drill.finished", Noun.DRILL, "flights", f"flights/{fault}", report, ANA, "drilled")


def _write_records(story: Story, release: Release) -> None:
    """Append real records and an outcome to the record log."""
    route = present.route(story.plane, "flights", "live")
    assert route is not None
    log = open_log(story.plane.home.records, "seed")
    try:
        for place in range(3):
            at = story.now + place * SECOND
            name = new_record_id(1, at)
            story.records.append(name)
            log.record(
                Record(
                    id=name, system="flights", environment="live", release=release.id, intended=release.id,
                    arm="champion", route_version=route.version, answered_at=at, event_time=at, latency_us=4_180,
                    status=200, flags=0, interface=release.candidate.id,
                    inputs=("JFK", 2_475.0, 18, 12.7, SECRET_VALUE, 30.0),
                    outputs=(0.713, "late"), ages_ms=(1_800_000,), entity=SECRET_VALUE,
                )
            )  # fmt: skip
        log.outcome(
            Outcome(
                key="o-1", system="flights", environment="live", scorer="label", value="late",
                known_at=story.now + HOUR, received_at=story.now + HOUR, record=story.records[0], source="http",
            )
        )  # fmt: skip
    finally:
        log.close()


def _keep_progress(story: Story, rollout: Rollout) -> None:
    """Keep what observation folded of the trial, which the status page reads."""
    key = BucketKey(rollout.system, rollout.environment, rollout.release, 0, "trial")
    state = TrialState(rollout=rollout.id, stage=rollout.stage_index, records=412, outcomes=38)
    cursor = story.plane.observations.cursor()
    story.plane.observations.save(before=cursor, cursor=cursor, buckets={key: to_doc(state)})


@contextmanager
def workers(plane: Plane, count: int = 2) -> Iterator[None]:
    """Let workers live that say they serve the snapshot in place."""
    alive = [WorkerPresence(plane.home.workers, f"w{place}") for place in range(1, count + 1)]
    for place in range(1, count + 1):
        word = Acknowledgement(worker=f"w{place}", pid=place, version=plane.snapshots.version(), at=plane.clock.now())
        plane.snapshots.acknowledge(word)
    try:
        yield
    finally:
        for presence in alive:
            presence.close()


def _loads(_: Candidate) -> None:
    """Take a candidate as loadable: what is shown here is not whether bytes load."""


def describe(story: Story) -> str:
    """Say what the story came to."""
    open_ones = [one.id for one in present.incidents(story.plane) if not one.is_closed]
    return f"at {iso(story.now)}: {', '.join(open_ones)} open, {story.plane.ledger.head().seq} entries"
