"""One answer, traced back to everything it rests on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from roadworthy.domain.candidate import Artifact, Run
from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface, Task
from roadworthy.domain.ledger import Noun
from roadworthy.domain.record import Flag, Outcome, Record, StepTaken
from roadworthy.domain.verdict import Approval, Verdict, VerdictState
from roadworthy.errors import NotFoundError
from roadworthy.lifecycle.explain import explain
from roadworthy.lifecycle.status import status
from roadworthy.stores.codec import from_json, to_doc, to_json

World = Any


class KeptRecords:
    """A record log with these records and outcomes in it."""

    def __init__(self, *records: Record, outcomes: tuple[Outcome, ...] = ()) -> None:
        self._records = {record.id: record for record in records}
        self._outcomes = outcomes

    def find(self, record_id: str) -> Record | None:
        """Return one record by its id."""
        return self._records.get(record_id)

    def outcomes_of(self, record_id: str) -> list[Outcome]:
        """Return the outcomes of a record."""
        return [one for one in self._outcomes if one.record == record_id]


def record(world: World, by: str, intended: str = "", **more: Any) -> Record:
    """Build an answer under the route in force."""
    chosen = world.release(intended or by).id
    given: dict[str, Any] = {
        "id": "0" * 32,
        "system": "flights",
        "environment": "live",
        "release": world.release(by).id if by else "",
        "intended": chosen,
        "arm": "champion",
        "route_version": world.route.version,
        "answered_at": 5,
        "event_time": 4,
        "latency_us": 900,
        "status": 200,
        "flags": 0,
        "interface": "i",
        "inputs": (7,),
        "outputs": (0.25, "0"),
    }
    return Record(**given | more)


def kept(world: World, *records: Record, outcomes: tuple[Outcome, ...] = ()) -> Any:
    """Give the plane these records."""
    return replace(world.plane, records=KeptRecords(*records, outcomes=outcomes))


def test_an_answer_is_traced_to_release_code_data_gates_approver_and_outcome(world: World) -> None:
    """Everything the answer rests on is in one value."""
    release = world.release("v1")
    run = Run(
        id="run-1",
        system="flights",
        candidate=release.id,
        recipe="r",
        started_at=1,
        seconds=2.0,
        commit="abc123",
        dirty=True,
        machine="box",
        metrics={"auc": 0.8},
        data={"flights.parquet": "sha256:da"},
    )
    verdict = Verdict(
        gate="baseline",
        candidate=release.id,
        policy="p",
        state=VerdictState.PASS,
        reason="better by 0.02",
        evidence={"n": 400},
        at=2,
        expires_at=99,
    )
    approval = Approval(system="flights", candidate=release.id, by="eve", assurance="authenticated", at=3)
    world.commit("run.finished", Noun.RUN, "run-1", to_doc(run))
    world.commit("verdict.given", Noun.VERDICT, f"{release.id}/baseline", to_doc(verdict))
    world.commit("approval.given", Noun.APPROVAL, f"{release.id}/eve", to_doc(approval))
    world.live("v1")
    outcome = Outcome(
        key="k",
        system="flights",
        environment="live",
        scorer="label",
        value="1",
        known_at=9,
        received_at=9,
        record="0" * 32,
    )
    found = explain(kept(world, record(world, "v1"), outcomes=(outcome,)), "0" * 32)
    assert found.release.commit == "abc123"
    assert found.release.data == {"flights.parquet": "sha256:da"}
    assert [(gate.gate, gate.state, gate.evidence) for gate in found.release.gates] == [
        ("baseline", "pass", {"n": 400})
    ]
    assert found.release.approvals[0].by == "eve"
    assert found.release.forced_by == ""
    assert (found.route.actor, found.route.share, found.route.reason) == ("ada", 1.0, "the test needs it live")
    assert (found.inputs, found.outputs) == ({"hour": 7}, {"probability": 0.25, "label": "0"})
    assert found.sentence == "flights@v1 answered as champion; the outcome was 1"
    assert from_json(to_json(found)) == to_doc(found)


def test_a_fallback_answer_names_who_answered_and_who_should_have(world: World) -> None:
    """The reason of the fallback and the steps taken are part of the explanation."""
    world.live("v1")
    steps = (StepTaken(kind="attempt", name="flights@v1", outcome="failed", latency_us=10),)
    answer = record(world, "baseline", "v1", flags=Flag.FALLBACK | Flag.FAILED, error="the model raised", steps=steps)
    found = explain(kept(world, answer), "0" * 32)
    assert found.sentence == (
        "flights@baseline answered as the fallback of flights@v1: the model raised; its outcome is not known yet"
    )
    assert found.intended.name == "flights@v1"
    assert found.release.is_baseline
    assert found.flags == ("fallback", "failed")
    assert found.steps == steps


def test_the_stated_default_has_no_release_to_explain(world: World) -> None:
    """An answer that no release gave says so."""
    world.live("v1")
    found = explain(kept(world, record(world, "", "v1", flags=Flag.DEFAULTED)), "0" * 32)
    assert found.release is None
    assert found.sentence.startswith("the stated default answered as the fallback of flights@v1")


def test_a_shadow_answer_names_the_record_it_shadows(world: World) -> None:
    """What no caller saw is marked as such."""
    world.promote("v1")
    answer = record(world, "v1", flags=Flag.SHADOW, shadow_of="1" * 32, arm="shadow")
    found = explain(kept(world, answer), "0" * 32)
    assert "in the shadow of record 1111" in found.sentence
    assert found.route.share == 0.5


@pytest.mark.parametrize(
    ("task", "outputs", "named"),
    [
        (Task.REGRESSION, (3.5,), {"value": 3.5}),
        (Task.MULTICLASS, ("b", 0.1, 0.9), {"label": "b", "probability of a": 0.1, "probability of b": 0.9}),
    ],
)
def test_fields_are_named_aged_and_hidden_as_the_interface_says(
    world: World, task: Task, outputs: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """Feature ages belong to their fields, and classified fields show no value."""
    interface = Interface(
        inputs=(
            Field(name="wind", type=FieldType.NUMBER),
            Field(name="wind_age", type=FieldType.NUMBER, role=FieldRole.AGE, age_of="wind"),
            Field(name="name", type=FieldType.STRING, classes=("pii",)),
        ),
        task=task,
        labels=("a", "b") if task is Task.MULTICLASS else (),
    )
    first = world.release("v1")
    artifact = Artifact(role="model", format="onnx", digest="sha256:aa")
    candidate = replace(first.candidate, interface=interface, artifacts=(artifact,))
    release = replace(first, id=candidate.id, number=7, candidate=candidate, run="")
    world.commit("release.admitted", Noun.RELEASE, release.id, to_doc(release))
    world.live("v7")
    answer = record(world, "v7", inputs=(4.0, 2.0, None), outputs=outputs, ages_ms=(120_000,))
    found = explain(kept(world, answer), "0" * 32)
    assert found.inputs == {"wind": 4.0, "wind_age": 2.0, "name": "not kept: the field is classified"}
    assert found.outputs == named
    assert [(age.field, age.age_of, age.age_ms) for age in found.ages] == [("wind_age", "wind", 120_000)]
    assert found.release.artifacts == (("model", "onnx", "sha256:aa"),)


def test_an_unknown_record_or_release_is_said_plainly(world: World) -> None:
    """No traceback for an id that is not there; a record of a release that is gone shows what it holds."""
    world.live("v1")
    with pytest.raises(NotFoundError, match="there is no record ff"):
        explain(kept(world), "ff")
    gone = record(world, "v1", route_version=99)
    odd = gone._replace(release="sha256:gone", intended="")
    found = explain(kept(world, odd), "0" * 32)
    assert (found.release, found.route, found.ages) == (None, None, ())
    assert found.inputs == {"input 1": 7}
    assert found.outputs == {"output 1": 0.25, "output 2": "0"}
    assert status(world.plane, "flights").parts[0].name == "flights@v1"
