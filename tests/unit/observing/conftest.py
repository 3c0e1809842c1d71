"""The world that observation is tested in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roadworthy.domain.candidate import Candidate, Environment
from roadworthy.domain.ledger import Noun
from roadworthy.domain.moment import DAY, HOUR, MINUTE
from roadworthy.domain.release import Release
from roadworthy.domain.route import Arm, ArmRole, Route
from roadworthy.domain.system import Owner, Policy, WatchPlan
from roadworthy.lifecycle.observe import Observer
from roadworthy.settings import Settings
from roadworthy.stores.home import create
from roadworthy.stores.records import open_log
from roadworthy.wiring import open_plane
from unit.observing.world import BEGIN, INTERFACE, World, reference


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A home with system `s`, releases v1 (champion) and v2, seen by one observer."""
    create(tmp_path / "home", clock="replay", now=BEGIN)
    plane = open_plane(Settings(home=tmp_path / "home"))
    log = open_log(plane.home.records, "w1")
    made = World(plane=plane, observer=Observer(plane), log=log)
    policy = Policy(
        owner=Owner(principal="ana", contact="ana@example.com"),
        watch=WatchPlan(window=5 * MINUTE, drift_window=7 * DAY, lateness=HOUR),
    )
    made.decide(Noun.POLICY, "s", policy)
    artifact = reference(plane)
    for number, name in enumerate(("v1", "v2"), start=1):
        candidate = Candidate(
            system="s",
            recipe=f"sha256:{number:064x}",
            artifacts=(artifact,),
            interface=INTERFACE,
            runtime="onnx",
            environment=Environment(python="3.11", platform="linux"),
        )
        release = Release(
            id=candidate.id, system="s", number=number, candidate=candidate, policy=policy.digest, run="r",
            admitted_at=BEGIN, admitted_by="ana",
        )  # fmt: skip
        made.releases[name] = release.id
        made.decide(Noun.RELEASE, release.id, release)
    champion = made.releases["v1"]
    made.route(Route(system="s", arms=(Arm(role=ArmRole.CHAMPION, release=champion, share=1.0),), last_good=champion))
    yield made
    log.close()
    plane.close()
