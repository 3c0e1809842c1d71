"""The compiled decoder and the slow explanation agree on every body."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface, Task
from roadworthy.domain.system import OnViolation
from roadworthy.runtimes.columns import NO_TIME
from roadworthy.serving.compiled import Compiled
from roadworthy.serving.problem import Problem

INTERFACE = Interface(
    inputs=(
        Field(name="a number", type=FieldType.NUMBER, minimum=0, maximum=10),
        Field(name="whole", type=FieldType.INTEGER, nullable=True, minimum=0.5),
        Field(name="text", type=FieldType.STRING, required=False, default="x:y"),
        Field(name="kind", type=FieldType.STRING, categories=("a", "b"), nullable=True),
        Field(name="flag", type=FieldType.BOOLEAN, required=False, nullable=True),
        Field(name="when", type=FieldType.TIMESTAMP, required=False, nullable=True, role=FieldRole.EVENT_TIME),
        Field(name="at", type=FieldType.TIMESTAMP, required=False, nullable=True),
        Field(name="age", type=FieldType.NUMBER, required=False, nullable=True, role=FieldRole.AGE, age_of="text"),
    ),
    task=Task.REGRESSION,
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.floats(-1, 11),
    st.text(max_size=4),
    st.sampled_from(["a", "b", "2013-01-01T00:00:00Z", "2013-01-01", "a:b", 2**70]),
    st.lists(st.integers(), max_size=1),
)
ROWS = st.dictionaries(st.sampled_from([*(field.name for field in INTERFACE.inputs), "stranger"]), VALUES, max_size=9)


@settings(max_examples=400, deadline=None)
@given(st.one_of(ROWS, st.lists(ROWS, max_size=3)))
def test_the_fast_path_says_what_the_slow_path_says(inputs):
    """Speed never changes what is accepted or what a value becomes."""
    compiled = Compiled(INTERFACE)
    body = json.dumps({"inputs": inputs}).encode()

    def outcome(read: Any) -> Any:
        try:
            call = read(body)
        except Problem as problem:
            return problem.status, problem.message
        return call.rows, call.single

    assert outcome(compiled.decode) == outcome(compiled.slowly)


@given(ROWS, st.integers(0, 7))
def test_a_repeated_key_is_never_accepted(row, at):
    """Whatever else a row holds, two values for one field are refused."""
    name = INTERFACE.inputs[at].name
    row.setdefault(name, None)
    body = json.dumps({"inputs": row})[:-2] + f", {json.dumps(name)}: null}}}}"
    with pytest.raises(Problem) as refused:
        Compiled(INTERFACE).decode(body.encode())
    assert "duplicate" in {violation.rule for violation in refused.value.violations}


def test_columns_have_the_types_the_port_promises():
    """Models get float64, int64, bool, text and µs, with nulls as the port says."""
    compiled = Compiled(INTERFACE)
    full = {"a number": 1, "whole": 3, "kind": "a", "flag": True, "at": "1970-01-01T00:00:01Z", "age": 2}
    bare = {"a number": 2.5, "whole": None, "kind": None}
    rows = compiled.decode(json.dumps({"inputs": [full, bare]}).encode()).rows
    columns = compiled.columns(rows)
    assert list(columns) == ["a number", "whole", "text", "kind", "flag", "at"]
    assert columns["a number"].dtype == np.float64
    assert np.isnan(columns["whole"][1])
    assert columns["text"].tolist() == ["x:y", "x:y"]
    assert columns["flag"].tolist() == [True, None]
    assert columns["at"].tolist() == [1_000_000, NO_TIME]
    assert compiled.columns(rows[:1])["whole"].dtype == np.int64
    assert compiled.columns(rows[:1])["flag"].dtype == np.bool_
    assert compiled.ages_ms(rows[0]) == (120_000,)
    assert compiled.ages_ms(rows[1]) == (None,)


def test_the_default_policy_fills_in_only_what_has_a_default():
    """A violating value is replaced by the declared default; without one the request is refused."""
    compiled = Compiled(INTERFACE, OnViolation.DEFAULT)
    call = compiled.decode(json.dumps({"inputs": {"a number": 1, "whole": 1, "kind": "a", "text": 5}}).encode())
    assert call.rows[0][2] == "x:y"
    assert [one.rule for one in call.violations] == ["type"]
    with pytest.raises(Problem):
        compiled.decode(json.dumps({"inputs": {"a number": 99, "whole": 1, "kind": "a"}}).encode())


def test_the_flag_policy_keeps_what_fits_and_drops_what_does_not():
    """An out-of-range value reaches the model as it is; a text in a number's place becomes a null."""
    compiled = Compiled(INTERFACE, OnViolation.FLAG)
    call = compiled.decode(json.dumps({"inputs": {"a number": 99, "whole": "x", "kind": "zzz"}}).encode())
    assert call.rows[0][:4] == (99, None, "x:y", "zzz")
    assert [one.rule for one in call.violations] == ["maximum", "type", "category"]
