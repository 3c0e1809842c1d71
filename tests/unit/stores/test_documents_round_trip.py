"""Documents: every noun that the ledger keeps comes back equal, also across versions."""

import dataclasses
import importlib
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

import roadworthy.domain
from roadworthy.domain.condition import Comparison, Condition
from roadworthy.domain.failure_plan import ActionKind, FailurePlan, Rule
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.objective import Objective, Signal
from roadworthy.domain.rollout import Stage, StagePlan
from roadworthy.domain.route import Arm, ArmRole, Route, Shadow
from roadworthy.domain.system import (
    Content,
    DataPlan,
    GatePlan,
    Goal,
    Kind,
    Owner,
    Policy,
    ServePlan,
    System,
    WatchPlan,
)
from roadworthy.errors import StoreError
from roadworthy.stores.codec import from_doc, from_json, pack, to_doc, to_json, unpack

SYSTEM = System(
    name="flights",
    kind=Kind.MODEL,
    content=Content(
        use="model.skops",
        data=DataPlan(table="flights.parquet", target="late"),
        baseline="baseline.sql",
        interface=Interface(
            inputs=(
                Field(name="hour", type=FieldType.INTEGER, minimum=0, maximum=23.5, default=3),
                Field(name="origin", type=FieldType.STRING, categories=("JFK", "LGA"), default="JFK", nullable=True),
                Field(name="ok", type=FieldType.BOOLEAN, default=False),
            ),
            task=Task.BINARY,
        ),
        parameters={"depth": 3, "rate": 0.1, "on": True, "name": "x", "none": None},
    ),
    policy=Policy(
        owner=Owner(principal="ana", contact="file:x"),
        goals=(Goal(id="g", text="arrive", measured_by=("quality",)),),
        gates=(GatePlan(name="latency", parameters={"p99_ms": 50.0, "nested": {"a": [1, "b"]}}),),
        rollout=(StagePlan(stage=Stage.CANARY, share=0.05), StagePlan(stage=Stage.FULL, share=1.0)),
        serve=ServePlan(stated_default={"probability": 0.2, "label": "on time"}),
        watch=WatchPlan(
            objectives=(
                Objective(
                    name="errors",
                    when=Condition(monitor="errors", comparison=Comparison.ABOVE, threshold=0.02, grace=300_000_000),
                ),
            )
        ),
        failure=FailurePlan(rules=(Rule(objective="errors", do=(ActionKind.FALLBACK, ActionKind.PAGE)),)),
        glossary={"late": "more than 15 minutes"},
    ),
)
ROUTE = Route(
    system="flights",
    version=3,
    arms=(Arm(role=ArmRole.CHALLENGER, release="b", share=0.05), Arm(role=ArmRole.CHAMPION, release="a", share=0.95)),
    shadow=Shadow(release="c", rate=0.5),
    fallback=("a",),
)


def nouns():
    """Find every dataclass of the domain."""
    for module in pkgutil.iter_modules(roadworthy.domain.__path__):
        found = importlib.import_module(f"roadworthy.domain.{module.name}")
        for value in vars(found).values():
            if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == found.__name__:
                yield value


@pytest.mark.parametrize("noun", sorted(nouns(), key=lambda noun: noun.__name__), ids=lambda noun: noun.__name__)
def test_every_noun_of_the_domain_has_a_document(noun):
    """A new noun can be stored as soon as it is written: the codec understands the types of all its fields."""
    if noun.__name__ == "Fold":
        pytest.skip("keyed by pairs; it is replayed, never stored")
    with pytest.raises(StoreError, match="Expected `object`, got `int`"):
        from_doc(noun, 5)


@pytest.mark.parametrize("value", [SYSTEM, ROUTE, SYSTEM.policy], ids=["system", "route", "policy"])
def test_a_noun_comes_back_equal_with_the_same_digest(value):
    """What was decided is what is read years later."""
    document = to_doc(value)
    back = from_doc(type(value), document)
    assert back == value
    assert from_doc(type(value), from_json(to_json(document))) == value
    assert unpack(type(value), pack(value)) == value
    if hasattr(value, "digest"):
        assert back.digest == value.digest


def test_fields_of_a_newer_version_are_ignored_and_missing_ones_take_their_default():
    """Old and new versions read each other's documents."""
    document = to_doc(ROUTE)
    document["colour"] = {"of": "tomorrow"}
    document["arms"][0]["colour"] = 1
    del document["stopped_for"]
    assert from_doc(Route, document) == ROUTE


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"version": "x"}, "version"),
        ({"arms": []}, "sum to 1"),
        ({"system": None}, "system"),
        ({"shadow": {}}, "shadow"),
    ],
)
def test_a_document_that_breaks_the_noun_is_refused_by_name(change, names):
    """A hand-edited document is one clear message."""
    with pytest.raises(StoreError, match=names):
        from_doc(Route, {**to_doc(ROUTE), **change})


def test_a_document_holds_json_only():
    """Tuples and enums do not leak into the ledger's documents."""
    document = to_doc(ROUTE)
    assert type(document["arms"]) is list
    assert type(document["arms"][0]["role"]) is str
    with pytest.raises(TypeError):
        to_doc([1, 2])
    with pytest.raises(TypeError):
        to_doc({"x": object()})


def test_torn_bytes_are_refused():
    """Half a message is no message."""
    with pytest.raises(StoreError):
        unpack(Route, pack(ROUTE)[:-3])


@given(
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    n=st.integers(0, 2**62),
    text=st.text(),
)
def test_any_signal_survives_both_formats(value, n, text):
    """Numbers keep their value to the last bit and texts every character."""
    signal = Signal(system="s", name=text, at=n, value=value, n=n, reason=text)
    assert from_doc(Signal, from_json(to_json(to_doc(signal)))) == signal
    assert unpack(Signal, pack(signal)) == signal
