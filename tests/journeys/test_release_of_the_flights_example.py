"""A release with real parts: training, artifacts, ledger, gates, a worker over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from release_kit import ANA, Project, new_project
from roadworthy.domain.ledger import Noun, verify
from roadworthy.errors import ReleaseRefused
from roadworthy.lifecycle import present
from roadworthy.lifecycle.promote import promote
from roadworthy.wiring import prove_loads

pytestmark = pytest.mark.slow

# Costly a call, cheap a row: many small boosters, which no graph reproduces since they split on a categorical feature.
SLOW = '''"""Too many small models, asked one after the other."""

from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier

NUMBERS = ["hour", "distance", "dewp", "humid", "wind_speed", "precip", "visib", "pressure"]


def train(rows):
    booster = HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=7, categorical_features=[0], random_state=0)
    return BaggingClassifier(booster, n_estimators=30, random_state=0).fit(rows[NUMBERS], rows["late"])
'''
# As good as the baseline and no better: it has learned the overall rate.
TIE = '''"""A model that is no better than a look at the clock."""

from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def train(rows):
    return make_pipeline(StandardScaler(), DummyClassifier(strategy="prior")).fit(rows[["hour"]], rows["late"])
'''
FLAT = """create table fitted as select avg(late) as rate from train;
select (select rate from fitted) as probability from input order by rw_row;
"""


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The good model, released once for all tests of this file."""
    root = tmp_path_factory.mktemp("flights")
    project = new_project(root / "project", root / "data")
    project.release("the first one")
    return project


def verdicts(project: Project) -> dict[str, Mapping[str, Any]]:
    """Return the newest verdicts on the newest candidate, by gate."""
    with project.open() as plane:
        states = plane.ledger.states(Noun.CANDIDATE, "flights")
        newest = [name for name, document in states.items() if not document["is_baseline"]][-1]
        found = plane.ledger.states(Noun.VERDICT, "flights")
        return {document["gate"]: document for name, document in found.items() if name.startswith(newest)}


def test_a_good_model_is_admitted_with_its_evidence_and_takes_traffic_in_stages(released: Project) -> None:
    """Baseline first, all gates open, rollout begun, a ledger that verifies and holds no rows."""
    with released.open() as plane:
        known = present.releases(plane, "flights")
        route = present.route(plane, "flights", "live")
        events = list(plane.ledger.events())
    assert sorted(release.name for release in known.values()) == ["flights@baseline", "flights@v1"]
    assert route is not None
    assert known[route.champion].candidate.is_baseline
    assert known[route.challenger].name == "flights@v1"
    kinds = [event.kind for event in events]
    assert kinds.index("policy.applied") < kinds.index("release.admitted") < kinds.index("rollout.started")
    assert verify(events).holds
    judged = verdicts(released)
    assert sorted(judged) == ["baseline", "contract", "export", "latency", "quality", "skew", "tests"]
    assert {document["state"] for document in judged.values()} == {"pass"}
    assert judged["baseline"]["evidence"]["candidate"]["auc"] > judged["baseline"]["evidence"]["baseline"]["auc"]
    assert judged["export"]["evidence"]["n"] > 1_000  # fewer than all, where the machine is busy
    assert "JFK" not in json.dumps([document["evidence"] for document in judged.values()])


def test_releasing_the_same_content_twice_changes_nothing(released: Project, tmp_path: Path) -> None:
    """The same id comes back, and the ledger has not grown."""
    project = released.copy_to(tmp_path / "copy")
    with project.open() as plane:
        before = plane.ledger.head()
    again = project.release()
    with project.open() as plane:
        assert plane.ledger.head() == before
    assert again.already
    assert again.sentence == "already released as flights@v1"


def test_a_bad_model_is_refused_by_baseline_and_quality_at_once(released: Project, tmp_path: Path) -> None:
    """Both reasons stand in one refusal, the route is as it was, and a person can still force it."""
    project = released.copy_to(tmp_path / "copy")
    project.use("train_bad.py")
    with pytest.raises(ReleaseRefused) as refusal:
        project.release()
    text = str(refusal.value)
    assert refusal.value.exit_code == 2
    assert "is refused by 2 of 7 gates" in text
    assert "baseline: fail (keep the baseline, the candidate is worse" in text
    assert "quality: fail (auc 0." in text
    with project.open() as plane:
        assert len(present.releases(plane, "flights")) == 2
        done = promote(
            plane, "flights", "candidate", actor=ANA, prove_loads=prove_loads(plane), reason="a drill", force=True
        )
    assert (done.release.name, done.release.forced_by) == ("flights@v2", "ana")


def test_a_broken_test_is_refused_and_named_and_a_written_pass_counts_for_nothing(
    released: Project, tmp_path: Path
) -> None:
    """The tool runs the tests; what a file says of them is not asked."""
    project = released.copy_to(tmp_path / "copy")
    (project.folder / "train.py").write_text((project.folder / "train.py").read_text() + "\n# another candidate\n")
    (project.folder / "tests" / "report.json").write_text('{"passed": 99, "failures": []}')
    (project.folder / "tests" / "test_broken.py").write_text("def test_the_promise(rows):\n    assert not rows\n")
    with pytest.raises(ReleaseRefused, match=r"test_broken\.py::test_the_promise"):
        project.release()
    assert "1 of 7 gates" in project.told[-1] or any("tests: fail" in line for line in project.told)


def test_a_tie_with_the_baseline_is_refused(released: Project, tmp_path: Path) -> None:
    """The simpler one wins."""
    project = released.copy_to(tmp_path / "copy")
    (project.folder / "train.py").write_text(TIE)
    (project.folder / "baseline.sql").write_text(FLAT)
    with pytest.raises(ReleaseRefused, match="the simpler one wins a tie"):
        project.release()


def test_a_slow_model_is_refused_by_latency_through_the_real_serving_path(released: Project, tmp_path: Path) -> None:
    """A native model is measured in its child process, at the rate that callers will ask with."""
    project = released.copy_to(tmp_path / "copy")
    (project.folder / "train.py").write_text(SLOW)
    manifest = project.folder / "system.yaml"
    manifest.write_text(manifest.read_text().replace("p99_ms: 2000", "p99_ms: 20"))
    with pytest.raises(ReleaseRefused) as refusal:
        project.release()
    assert "latency: fail (" in str(refusal.value)
    found = verdicts(project)["latency"]["evidence"]
    assert found["native"]
    assert found["p50_us"] > 20_000
    assert verdicts(project)["export"]["reason"].startswith("served natively, because")
