"""A real home with one system whose answers and outcomes the tests write as a worker would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from roadworthy.domain.candidate import Artifact
from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface, Task
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import HOUR, MINUTE, Micros
from roadworthy.domain.principal import Actor
from roadworthy.domain.record import Flag, Outcome, Record
from roadworthy.domain.reference import Figure, Reference
from roadworthy.domain.rollout import Rollout, Stage, StagePlan
from roadworthy.domain.route import Arm, ArmRole, Route, Shadow
from roadworthy.lifecycle.observe import Observer
from roadworthy.ports.plane import Plane
from roadworthy.stats.counts import fold, freeze
from roadworthy.stores.codec import to_doc
from roadworthy.stores.records import new_record_id

BEGIN: Micros = 1_700_000_000 * 1_000_000
SOMEONE = Actor(principal="ana")
INTERFACE = Interface(
    inputs=(
        Field(name="amount", type=FieldType.NUMBER, nullable=True),
        Field(name="region", type=FieldType.STRING),
        Field(name="feed_age", type=FieldType.NUMBER, role=FieldRole.AGE, nullable=True),
    ),
    task=Task.BINARY,
    labels=("0", "1"),
    positive="1",
)


@dataclass
class World:
    """One system, one observer, and a pen to write answers and outcomes with."""

    plane: Plane
    observer: Observer
    log: object
    releases: dict[str, str] = field(default_factory=dict)
    now: Micros = BEGIN
    wall: Micros = 0
    seq: int = 0

    def answers(
        self,
        n: int,
        *,
        release: str = "v1",
        shift: float = 0.0,
        null_share: float = 0.0,
        status: int = 200,
        flags: int = 0,
        latency_us: int = 2_000,
        at: Micros | None = None,
        spread: Micros = MINUTE,
        wrong: float = 0.2,
        shadow_of: Sequence[Record] = (),
        violations: tuple[tuple[str, str], ...] = (),
        score: float | None = None,
        seed: int = 0,
    ) -> list[Record]:
        """Write n answers; each knows in `entity` which label would make it right."""
        rng = np.random.default_rng(seed + self.seq)
        start = self.now - spread if at is None else at
        made = []
        for i in range(n):
            self.seq += 1
            moment = start + spread * i // max(1, n)
            amount = None if rng.random() < null_share else float(rng.normal(100 + shift, 20))
            positive = bool(rng.random() < 0.5) if score is None else score >= 0.5
            value = (0.9 if positive else 0.1) if score is None else score
            digest = self.releases[release]
            made.append(
                Record(
                    new_record_id(1, moment), "s", "live", digest, digest, "champion", 1, moment, moment, latency_us,
                    status, flags | (Flag.SHADOW if shadow_of else 0), "i",
                    (amount, str(rng.choice(["n", "s", "w"])), 5.0), (value, "1" if positive else "0"),
                    violations, (300_000,), (), f"{self.seq}", "", "", "", shadow_of[i].id if shadow_of else "",
                )
            )  # fmt: skip
        for record in made:
            assert self.log.record(record)
        return made

    def outcomes(self, records: Sequence[Record], *, wrong: float = 0.2, delay: Micros = 0, seed: int = 1) -> None:
        """Write the truth for answers: a share of them turns out wrong."""
        rng = np.random.default_rng(seed + self.seq)
        for record in records:
            right = int(record.outputs[1])
            truth = 1 - right if rng.random() < wrong else right
            self.outcome(record, truth, delay=delay)

    def outcome(self, record: Record, truth: object, *, delay: Micros = 0, key: str = "", known: Micros = 0) -> None:
        """Write one outcome."""
        moment = known or self.now + delay
        name = key or f"{record.id}-{truth}"
        assert self.log.outcome(Outcome(name, "s", "live", "label", truth, moment, moment, record=record.id))

    def look(self, later: Micros = 0) -> dict[str, object]:
        """Look once, costly monitors included; return the champion's signals by name."""
        self.now += later
        self.wall += 10_000_000
        self.observer.observe(self.now, self.wall)
        return self.signals("v1")

    def signals(self, release: str = "") -> dict[str, object]:
        """Return the newest signals of a release, or of the whole system."""
        name = self.releases.get(release, "")
        return {one.name: one for one in self.plane.observations.signals("s") if one.release == name}

    def reopen(self) -> None:
        """Start observing anew, as a restarted control process does."""
        self.observer = Observer(self.plane)

    def route(self, route: Route) -> None:
        """Put a route in force."""
        self.decide(Noun.ROUTE, "s/live", route)

    def rollout(self, rollout: Rollout) -> None:
        """Put a rollout in force."""
        self.decide(Noun.ROLLOUT, "s/live", rollout)

    def decide(self, noun: Noun, subject: str, after: object) -> None:
        """Commit the state of one subject."""
        made = Decide(kind=f"{noun}.set", system="s", noun=noun, subject=subject, after=to_doc(after), actor=SOMEONE)
        self.plane.ledger.commit([made])


def reference(plane: Plane) -> Artifact:
    """Keep a reference like that of a model which is wrong on 20 % of its hold-out."""
    rng = np.random.default_rng(7)
    columns = {
        "amount": rng.normal(100, 20, 20_000),
        "region": rng.choice(["n", "s", "w"], 20_000).astype(object),
        "feed_age": np.full(20_000, 5.0),
    }
    bins = {name: freeze(name, values) for name, values in columns.items()}
    answers = np.where(rng.random(20_000) < 0.5, 0.9, 0.1)
    answer_bins = freeze("prediction", answers, "numeric")
    kept = Reference(
        rows=20_000,
        holdout_rows=4_000,
        bins={name: one.to_doc() for name, one in bins.items()},
        counts={name: fold(bins[name], columns[name]).to_doc() for name in bins},
        prediction_bins=answer_bins.to_doc(),
        prediction_counts=fold(answer_bins, answers).to_doc(),
        loss=Figure(value=0.2, low=0.188, high=0.212, n=4_000),
    )
    content = msgspec.json.encode(kept)
    return Artifact(role="reference", format="reference", digest=plane.artifacts.put(content), size=len(content))


def in_shadow(world: World) -> Rollout:
    """Begin a shadow stage for v2."""
    champion, challenger = world.releases["v1"], world.releases["v2"]
    rollout = Rollout(
        id="ro1", system="s", release=challenger, replaces=champion, policy="p",
        plan=(StagePlan(stage=Stage.SHADOW, share=1.0, records=100, outcomes=100), StagePlan(stage=Stage.FULL)),
        started_at=world.now - HOUR, started_by="ana", stage_started_at=world.now - HOUR,
    )  # fmt: skip
    world.rollout(rollout)
    world.route(
        Route(
            system="s",
            arms=(Arm(role=ArmRole.CHAMPION, release=champion, share=1.0),),
            shadow=Shadow(release=challenger, rate=1.0),
            last_good=champion,
        )
    )
    return rollout


def in_canary(world: World, share: float = 0.5, route_version: int = 0) -> Rollout:
    """Begin a canary stage for v2; the records of this world name route version 1."""
    champion, challenger = world.releases["v1"], world.releases["v2"]
    rollout = Rollout(
        id="ro2", system="s", release=challenger, replaces=champion, policy="p",
        plan=(StagePlan(stage=Stage.CANARY, share=share, records=100, outcomes=100), StagePlan(stage=Stage.FULL)),
        started_at=world.now - HOUR, started_by="ana", stage_started_at=world.now - HOUR,
    )  # fmt: skip
    world.rollout(rollout)
    arms = (
        Arm(role=ArmRole.CHAMPION, release=champion, share=1 - share),
        Arm(role=ArmRole.CHALLENGER, release=challenger, share=share),
    )
    world.route(Route(system="s", arms=arms, last_good=champion, version=route_version))
    return rollout
