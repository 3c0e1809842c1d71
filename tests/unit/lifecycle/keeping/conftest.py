"""A small home in memory: one system with two releases, a baseline and a route."""

from types import SimpleNamespace

import pytest

from roadworthy.domain.candidate import Candidate, Environment
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import Actor
from roadworthy.domain.release import Release
from roadworthy.domain.route import Arm, ArmRole, Route, Shadow
from roadworthy.domain.system import KeepPlan, NonGoal, Owner, Policy
from roadworthy.stores.codec import to_doc
from roadworthy.testing import memory_plane

ADA = Actor(principal="ada")
POLICY = Policy(
    owner=Owner(principal="ada", contact="file:x"),
    non_goals=(NonGoal(id="n", text="no pay", purpose="pay"),),
    keep=KeepPlan(payload=False),
)


def candidate(recipe, *, is_baseline=False):
    """A candidate that differs by its recipe."""
    inputs = (Field(name="hour", type=FieldType.INTEGER),)
    return Candidate(
        system="flights",
        recipe=recipe,
        artifacts=(),
        interface=Interface(inputs=inputs, task=Task.REGRESSION),
        runtime="sql",
        environment=Environment(python="3.11", platform="linux"),
        is_baseline=is_baseline,
    )


def release(number, *, is_baseline=False):
    """An admitted candidate."""
    built = candidate(f"recipe-{number}", is_baseline=is_baseline)
    return Release(
        id=built.id,
        system="flights",
        number=number,
        candidate=built,
        policy=POLICY.digest,
        run="run",
        admitted_at=1,
        admitted_by="ada",
    )


def decide(noun, subject, value, *, environment="", kind=None, reason=""):
    """Decide about a subject of the system."""
    return Decide(
        kind=kind or f"{noun}.changed",
        system="flights",
        environment=environment,
        noun=noun,
        subject=subject,
        after=to_doc(value),
        actor=ADA,
        reason=reason,
    )


def route_to(champion, *, challenger=None, shadow=None, fallback=(), environment="live"):
    """A route, optionally with a challenger at 10 % and a shadow."""
    arms = (Arm(role=ArmRole.CHAMPION, release=champion.id, share=0.9 if challenger else 1.0),)
    if challenger:
        arms += (Arm(role=ArmRole.CHALLENGER, release=challenger.id, share=0.1),)
    return Route(
        system="flights",
        environment=environment,
        arms=arms,
        shadow=Shadow(release=shadow.id, rate=0.5) if shadow else None,
        fallback=tuple(known.id for known in fallback),
    )


@pytest.fixture
def flights():
    """The home with its releases, and how to put a route in force."""
    plane = memory_plane()
    baseline, first, second = release(0, is_baseline=True), release(1), release(2)
    plane.ledger.commit(
        [
            decide(Noun.POLICY, "flights", POLICY, kind="policy.applied"),
            *(decide(Noun.RELEASE, known.id, known, kind="release.admitted") for known in (baseline, first, second)),
        ]
    )

    def put(route, reason=""):
        subject = f"flights/{route.environment}"
        change = decide(Noun.ROUTE, subject, route, environment=route.environment, kind="route.changed", reason=reason)
        return plane.ledger.commit([change])[0]

    return SimpleNamespace(plane=plane, baseline=baseline, first=first, second=second, put=put, route_to=route_to)
