"""The interface: which value breaks which rule, in words that name the field and never a classified value."""

from __future__ import annotations

import math

import pytest

from roadworthy.domain.interface import (
    Field,
    FieldRole,
    FieldType,
    Interface,
    Task,
    label_of,
    label_text,
    violation,
)

HOUR = Field(name="hour", type=FieldType.INTEGER, minimum=0, maximum=23)
CARRIER = Field(name="carrier", type=FieldType.STRING, categories=("AA", "UA"))
NUMBER = Field(name="x", type=FieldType.NUMBER)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (HOUR, 0), (HOUR, 23), (HOUR, 5.0), (CARRIER, "AA"), (NUMBER, 1), (NUMBER, 1.5), (NUMBER, -1e300),
        (Field(name="b", type=FieldType.BOOLEAN), True), (Field(name="b", type=FieldType.BOOLEAN), False),
        (Field(name="s", type=FieldType.STRING), ""), (Field(name="t", type=FieldType.TIMESTAMP), 1),
        (Field(name="n", type=FieldType.NUMBER, nullable=True), None),
    ],
)  # fmt: skip
def test_values_within_the_rules_pass(field, value):
    """A rule refuses nothing that it does not forbid; bounds belong to the range."""
    assert violation(field, value) is None


@pytest.mark.parametrize(
    ("field", "value", "rule", "message"),
    [
        (HOUR, None, "null", "'hour' must not be null"),
        (HOUR, "5", "type", "'hour' must be an integer"),
        (HOUR, 5.5, "type", "'hour' must be an integer"),
        (HOUR, True, "type", "'hour' must be an integer"),
        (HOUR, -1, "minimum", "'hour' must be at least 0"),
        (HOUR, 24, "maximum", "'hour' must be at most 23"),
        (HOUR, math.inf, "type", "'hour' must be an integer"),
        (NUMBER, math.nan, "finite", "'x' must be a finite number"),
        (NUMBER, math.inf, "finite", "'x' must be a finite number"),
        (NUMBER, "1", "type", "'x' must be a number"),
        (NUMBER, False, "type", "'x' must be a number"),
        (CARRIER, 5, "type", "'carrier' must be a string"),
        (CARRIER, "XX", "category", "'carrier' must be one of: AA, UA"),
        (Field(name="b", type=FieldType.BOOLEAN), 1, "type", "'b' must be a boolean"),
        (Field(name="t", type=FieldType.TIMESTAMP), 1.5, "type", "'t' must be a timestamp"),
    ],
)
def test_a_broken_rule_is_named_with_field_and_value(field, value, rule, message):
    """A caller learns which field, which rule, and what would be right."""
    found = violation(field, value)
    assert found is not None
    assert (found.field, found.rule, found.message) == (field.name, rule, message)
    assert found.value is value


def test_many_categories_are_listed_in_part():
    """A message stays readable: eight categories and a sign that there are more."""
    eight = Field(name="c", type=FieldType.STRING, categories=tuple("abcdefgh"))
    nine = Field(name="c", type=FieldType.STRING, categories=tuple("abcdefghi"))
    assert violation(eight, "z").message == "'c' must be one of: a, b, c, d, e, f, g, h"
    assert violation(nine, "z").message == "'c' must be one of: a, b, c, d, e, f, g, h, …"


def test_values_of_classified_fields_stay_out_of_violations():
    """Personal data does not travel in error messages."""
    income = Field(name="income", type=FieldType.NUMBER, classes=("pii",), maximum=5)
    assert income.is_classified
    assert not NUMBER.is_classified
    assert violation(income, 10).value is None


def test_only_features_reach_the_model():
    """Entity, event time and ages travel with the request."""
    entity = Field(name="id", type=FieldType.STRING, role=FieldRole.ENTITY)
    time = Field(name="at", type=FieldType.TIMESTAMP, role=FieldRole.EVENT_TIME)
    age = Field(name="age", type=FieldType.NUMBER, role=FieldRole.AGE, age_of="x")
    whole = Interface(inputs=(entity, HOUR, time, NUMBER, age), task=Task.REGRESSION)
    assert whole.features == (HOUR, NUMBER)
    assert (whole.entity, whole.event_time) == (entity, time)
    bare = Interface(inputs=(HOUR,), task=Task.REGRESSION)
    assert (bare.entity, bare.event_time) == (None, None)


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (1.0, "1"), (1, "1"), (1.5, "1.5"), ("late", "late")]
)
def test_a_class_has_one_spelling(value, text):
    """1 and 1.0 are one class."""
    assert label_text(value) == text


@pytest.mark.parametrize(
    ("labels", "value", "label"),
    [
        (("0", "1"), 1, "1"), (("0", "1"), 1.0, "1"), (("0", "1"), True, "1"), (("0", "1"), "true", "1"),
        (("0", "1"), "False", "0"), (("0", "1"), False, "0"), (("0", "1"), "1", "1"), (("0", "1"), 2, None),
        (("False", "True"), 1, "True"), (("False", "True"), 0, "False"), (("false", "true"), "TRUE", "true"),
        (("no", "yes"), True, "yes"), (("no", "yes"), False, "no"), (("no", "yes"), 1, None),
        (("False", "True"), "true", "True"), (("false", "true"), 0.0, "false"), (("late", "on time"), "late", "late"),
        (("1.5", "2"), 1.5, "1.5"), (("1.5", "2"), 2.0, "2"), (("a", "b"), None, None),
        (("true", "false"), True, "true"), (("True", "False"), True, "True"),
        (("true", "false"), False, "false"), (("True", "False"), False, "False"), (("true", "false"), 1, "true"),
        (("1.0", "0.0"), True, None),
    ],
)  # fmt: skip
def test_an_outcome_is_one_of_the_labels_however_it_is_spelled(labels, value, label):
    """Truth that comes as 1, 1.0, true or "1" is the same truth."""
    interface = Interface(inputs=(HOUR,), task=Task.BINARY, labels=labels)
    assert label_of(interface, value) == label
