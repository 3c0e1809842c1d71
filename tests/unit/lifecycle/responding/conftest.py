"""A home in which releases can be promoted, watched and taken back: the ledger in memory, observations in SQLite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from roadworthy.domain.candidate import Candidate, Environment
from roadworthy.domain.condition import Comparison, Condition
from roadworthy.domain.failure_plan import ActionKind, FailurePlan, Rule
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.ledger import Decide, Event, Noun
from roadworthy.domain.moment import HOUR, MINUTE
from roadworthy.domain.objective import Light, Objective, Signal
from roadworthy.domain.principal import AUTOMATION, Actor, Principal
from roadworthy.domain.release import Release
from roadworthy.domain.rollout import Stage, StagePlan
from roadworthy.domain.route import Route
from roadworthy.domain.system import Decision, Owner, Policy, WatchPlan
from roadworthy.errors import ArtifactError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.promote import promote
from roadworthy.ports.people import Person
from roadworthy.ports.plane import Plane
from roadworthy.ports.records import Losses
from roadworthy.stores.codec import to_doc
from roadworthy.stores.deliveries import SqlDeliveries
from roadworthy.stores.leases import SqlLeases
from roadworthy.stores.metadata import Metadata
from roadworthy.stores.observations import SqlObservations
from roadworthy.testing import FixedClock, memory_plane

SYSTEM = "flights"
INTERFACE = Interface(
    inputs=(Field(name="hour", type=FieldType.INTEGER),), task=Task.BINARY, labels=("0", "1"), positive="1"
)
ADA = Actor(principal="ada")


def objective(name: str, monitor: str, threshold: float, light: Light, *, below: bool = False) -> Objective:
    """Build an objective with a minute of grace."""
    comparison = Comparison.BELOW if below else Comparison.ABOVE
    when = Condition(monitor=monitor, comparison=comparison, threshold=threshold, grace=MINUTE)
    return Objective(name=name, when=when, light=light)


POLICY = Policy(
    owner=Owner(principal="ada", contact="", backup="ben"),
    decision=Decision(what="rebook", cost_of_failure_micros=5_000_000),
    rollout=(
        StagePlan(stage=Stage.SHADOW, share=0.5, records=10),
        StagePlan(stage=Stage.CANARY, share=0.1, records=20),
        StagePlan(stage=Stage.FULL, share=1.0),
    ),
    watch=WatchPlan(
        objectives=(
            objective("quality", "auc", 0.7, Light.DECISION, below=True),
            objective("errors", "errors", 0.02, Light.OPERATIONS),
            objective("drift", "drift", 0.2, Light.DECISION),
        )
    ),
    failure=FailurePlan(
        rules=(
            Rule(objective="quality", do=(ActionKind.ROLLBACK, ActionKind.PAGE)),
            Rule(objective="errors", do=(ActionKind.FALLBACK, ActionKind.PAGE)),
        ),
        cool_down=HOUR,
        pager=("file:pages.jsonl",),
        runbook="https://example.org/runbook",
    ),
)


class CountedRecords:
    """The books of a record log, as status reads them."""

    def losses(self) -> Losses:
        """Return books that balance."""
        return Losses(answers=10, records=9, unrecorded=1)


@dataclass
class World:
    """One system and what a test may do to it."""

    plane: Plane
    clock: FixedClock
    unloadable: set[str] = field(default_factory=set)
    proven: list[str] = field(default_factory=list)

    def prove(self, candidate: Candidate) -> None:
        """Load a candidate, unless the test broke it."""
        if candidate.id in self.unloadable:
            raise ArtifactError(f"{candidate.id[:12]} is altered")
        self.proven.append(candidate.id)

    def apply(self, policy: Policy) -> None:
        """Put a policy in force."""
        self.commit("policy.applied", Noun.POLICY, SYSTEM, to_doc(policy))

    def commit(self, kind: str, noun: Noun, subject: str, after: dict[str, Any]) -> None:
        """Write one event."""
        self.plane.ledger.commit([Decide(kind=kind, system=SYSTEM, noun=noun, subject=subject, after=after, actor=ADA)])

    def admit(self, number: int, *, baseline: bool = False) -> Release:
        """Admit a release."""
        candidate = candidate_of(number, baseline=baseline)
        release = Release(
            id=candidate.id,
            system=SYSTEM,
            number=number,
            candidate=candidate,
            policy=POLICY.digest,
            run="run-1",
            admitted_at=self.clock.now() + number,
            admitted_by="ada",
        )
        self.commit("release.admitted", Noun.RELEASE, release.id, to_doc(release))
        return release

    def promote(self, release: str, **more: Any) -> Any:
        """Promote as ada."""
        return promote(self.plane, SYSTEM, release, actor=ADA, prove_loads=self.prove, **more)

    def live(self, release: str) -> None:
        """Force a release to all traffic."""
        self.promote(release, force=True, reason="the test needs it live")

    @property
    def route(self) -> Route:
        """Return the route in force."""
        found = present.route(self.plane, SYSTEM, "live")
        assert found is not None
        return found

    def release(self, text: str) -> Release:
        """Find a release by name."""
        return present.find_release(present.releases(self.plane, SYSTEM), text, SYSTEM)

    def kinds(self) -> list[str]:
        """List the kinds of all events so far."""
        return [event.kind for event in self.events()]

    def events(self) -> list[Event]:
        """List all events so far."""
        return list(self.plane.ledger.events())

    def see(self, name: str, value: float | None, release: str = "", n: int = 500) -> None:
        """Let observation store a signal now."""
        observations = self.plane.observations
        cursor = observations.cursor()
        seen = Signal(system=SYSTEM, name=name, at=self.clock.now(), value=value, n=n, release=release)
        observations.save(before=cursor, cursor=cursor, signals=[seen])

    def leave(self, principal: str) -> None:
        """Let a person leave the company."""
        self.commit("principal.changed", Noun.PRINCIPAL, principal, to_doc(Principal(id=principal, active=False)))


def candidate_of(number: int, *, baseline: bool = False) -> Candidate:
    """Build a candidate that no other number equals."""
    return Candidate(
        system=SYSTEM,
        recipe=f"sha256:{number:064x}",
        artifacts=(),
        interface=INTERFACE,
        runtime="sql" if baseline else "sklearn",
        environment=Environment(python="3.11", platform="linux"),
        is_baseline=baseline,
    )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give a system with a baseline and two releases, none of them promoted."""
    clock = FixedClock()
    metadata = Metadata(tmp_path / "control.sqlite")
    metadata.create()
    plane = memory_plane(
        clock,
        observations=SqlObservations(metadata),
        deliveries=SqlDeliveries(metadata),
        leases=SqlLeases(metadata),
        records=CountedRecords(),
    )
    plane = replace(plane, home=replace(plane.home, root=tmp_path))
    for name, contact in (("ada", "file:pages.jsonl"), ("ben", "file:backup.jsonl")):
        plane.people.put(Person(principal=name, contact=contact))
    made = World(plane=plane, clock=clock)
    made.apply(POLICY)
    made.admit(0, baseline=True)
    made.admit(1)
    made.admit(2)
    yield made
    metadata.close()


def names(found: Sequence[Any]) -> list[str]:
    """Name each."""
    return [str(one) for one in found]


__all__ = ["ADA", "AUTOMATION", "POLICY", "SYSTEM", "World"]
