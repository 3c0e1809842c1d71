"""Candidates, releases, snapshots, records and systems: how they are named and found."""

from __future__ import annotations

import hashlib
from dataclasses import FrozenInstanceError, replace

import pytest

from roadworthy.domain.candidate import Artifact, Candidate, Environment, Recipe, Run
from roadworthy.domain.digest import digest, is_digest
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.record import Flag, Outcome, Record, StepTaken, outcome_key
from roadworthy.domain.reference import Figure, Reference
from roadworthy.domain.release import Release
from roadworthy.domain.route import Arm, ArmRole, Route
from roadworthy.domain.snapshot import Acknowledgement, ServedRelease, ServedSystem, Snapshot
from roadworthy.domain.system import Content, DataPlan, KeepPlan, Owner, Policy, ServePlan, System, WatchPlan

INTERFACE = Interface(inputs=(Field(name="x", type=FieldType.NUMBER),), task=Task.REGRESSION)
MODEL = Artifact(role="model", format="onnx", digest="sha256:m", size=5)
REFERENCE = Artifact(role="reference", format="reference", digest="sha256:r")
ENVIRONMENT = Environment(python="3.11", platform="linux", distributions={"numpy": "2.0"})
CANDIDATE = Candidate(
    system="flights",
    recipe="sha256:x",
    artifacts=(MODEL, REFERENCE),
    interface=INTERFACE,
    runtime="onnx",
    environment=ENVIRONMENT,
)
RELEASE = Release(
    id=CANDIDATE.id,
    system="flights",
    number=2,
    candidate=CANDIDATE,
    policy="sha256:p",
    run="r1",
    admitted_at=5,
    admitted_by="ana",
)
CONTENT = Content(use="m.onnx", data=DataPlan(table="t.csv", target="y"), baseline="b.sql", interface=INTERFACE)
POLICY = Policy(owner=Owner(principal="ana", contact="ana@example.com", backup="ben", backup_contact="b@example.com"))


def test_a_candidate_is_named_by_everything_it_is():
    """One changed byte, input or package is another candidate."""
    assert is_digest(CANDIDATE.id)
    assert CANDIDATE.id == digest(CANDIDATE) == replace(CANDIDATE).id
    others = [
        replace(CANDIDATE, artifacts=(replace(MODEL, digest="sha256:n"), REFERENCE)),
        replace(CANDIDATE, environment=replace(ENVIRONMENT, python="3.12")),
        replace(CANDIDATE, recipe="sha256:y"),
        replace(CANDIDATE, interface=replace(INTERFACE, threshold=0.4)),
        replace(CANDIDATE, is_baseline=True),
    ]
    assert len({CANDIDATE.id, *(other.id for other in others)}) == 6


def test_an_artifact_is_found_by_its_role():
    """A runtime asks for the model, an observer for the reference."""
    assert CANDIDATE.artifact("model") == MODEL
    assert CANDIDATE.artifact("reference") == REFERENCE
    assert CANDIDATE.artifact("native") is None


def test_recipes_and_environments_have_digests():
    """What was built from the same is not built again."""
    recipe = Recipe(system="flights", code="c", content="d", data={"table": "t"}, environment=ENVIRONMENT.digest)
    assert recipe.digest == digest(recipe)
    assert recipe.digest != replace(recipe, seed=1).digest
    assert recipe.digest != replace(recipe, parameters={"depth": 3}).digest
    assert ENVIRONMENT.digest == digest(ENVIRONMENT) != replace(ENVIRONMENT, distributions={}).digest


def test_a_release_is_called_as_people_say_it():
    """`flights@v2`, and the baseline by its role."""
    assert RELEASE.name == "flights@v2"
    assert replace(RELEASE, candidate=replace(CANDIDATE, is_baseline=True)).name == "flights@baseline"


def test_a_snapshot_knows_the_releases_of_a_system():
    """A worker finds what a route names, or is told that it cannot."""
    served = ServedRelease(id=RELEASE.id, name=RELEASE.name, candidate=CANDIDATE)
    route = Route(system="flights", arms=(Arm(role=ArmRole.CHAMPION, release=RELEASE.id, share=1.0),))
    system = ServedSystem(
        name="flights", environment="live", kind="model", route=route, releases=(served,), serve=ServePlan()
    )
    assert system.release(RELEASE.id) is served
    with pytest.raises(KeyError, match="other"):
        system.release("other")
    snapshot = Snapshot(version=3, written_at=1, home="h", systems=(system,))
    assert (snapshot.version, snapshot.keys, system.keep_payload) == (3, (), True)
    assert Acknowledgement(worker="w", pid=1, version=3, at=2).refused == ()


def test_the_policy_of_the_ledger_knows_no_contacts():
    """Names of principals stay, addresses do not; the digest is the same with and without them."""
    kept = POLICY.for_ledger
    assert kept.owner == Owner(principal="ana", contact="", backup="ben", backup_contact="")
    assert kept.digest == POLICY.digest
    assert POLICY.digest != replace(POLICY, owner=replace(POLICY.owner, principal="eva")).digest
    assert POLICY.digest != replace(POLICY, keep=KeepPlan(records=None)).digest


def test_content_is_named_by_what_it_says():
    """Content and policy change independently."""
    assert CONTENT.digest == digest(CONTENT) != replace(CONTENT, seed=1).digest
    system = System(name="flights", kind="model", content=CONTENT, policy=POLICY)
    assert system.schema_version == 1


def test_the_defaults_of_a_bare_policy_are_the_documented_ones():
    """What no manifest says is what the schema's first version froze."""
    assert ServePlan().fallback == ("previous", "baseline", "default")
    serve = ServePlan()
    assert (serve.deadline_ms, serve.max_in_flight, serve.max_body_bytes) == (250.0, 256, 1_048_576)
    assert (serve.breaker_errors, serve.breaker_window, serve.breaker_cool_down) == (0.5, 20, 5_000_000)
    watch = WatchPlan()
    assert (watch.window, watch.drift_window, watch.lateness) == (300_000_000, 604_800_000_000, 3_600_000_000)
    assert (watch.harm_margin, watch.harm_alpha, watch.drill_every) == (0.05, 1e-4, 7_776_000_000_000)
    assert (KeepPlan().records, KeepPlan().payload) == (31_536_000_000_000, True)


def test_nouns_do_not_change():
    """A value that someone holds stays what it was."""
    with pytest.raises(FrozenInstanceError):
        POLICY.owner = None


def test_records_and_outcomes_have_defaults_for_fields_added_later():
    """Old frames stay readable: what was added later has a default."""
    record = Record("id", "flights", "live", "r", "r", "champion", 1, 2, 2, 300, 200, 0, "i")
    assert (record.inputs, record.outputs, record.steps, record.subject, record.cost_micros) == ((), (), (), "", 0)
    assert StepTaken("attempt", "flights@v2", "ok", 5).detail == ""
    outcome = Outcome("k", "flights", "live", "label", 1, 5, 6)
    assert (outcome.record, outcome.entity, outcome.event_time, outcome.source) == ("", "", 0, "")
    assert Flag.FALLBACK | Flag.REPLAY == 513
    assert len({flag.value for flag in Flag}) == len(Flag)


def test_an_outcome_is_named_by_what_it_says():
    """Saying the same twice counts once; a number is not the text that looks like it."""
    content = ("flights", "live", "label", "id", "", 0, 1)
    wanted = hashlib.sha256(b'["flights","live","label","id","",0,1]').hexdigest()[:32]
    assert outcome_key(*content) == wanted
    assert outcome_key(*content) != outcome_key(*content[:-1], "1")
    assert outcome_key("é") == hashlib.sha256(b'["\\u00e9"]').hexdigest()[:32]


def test_a_run_and_a_reference_hold_counts_not_rows():
    """What is kept of training is measurements."""
    run = Run(
        id="r", system="s", candidate="c", recipe="x", started_at=0, seconds=1.0, commit="", dirty=False, machine="m"
    )
    assert (run.parameters, run.metrics, run.data, run.notes) == ({}, {}, {}, ())
    figure = Figure(value=0.2, low=0.1, high=0.3, n=10)
    reference = Reference(
        rows=1, holdout_rows=1, bins={}, counts={}, prediction_bins={}, prediction_counts={}, loss=figure
    )
    assert (reference.baseline_loss, reference.scale, reference.metrics) == (None, 1.0, {})
