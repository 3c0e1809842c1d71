"""The interface's file: one line a field, read and written by people and by `init`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface, Task
from roadworthy.errors import ManifestError
from roadworthy.manifest import read_interface, resolved_interface, write_interface

EVERY = """\
task: binary
labels: [0, 1]
inputs:
  hour: integer 0..23
  low: number -1.5..
  high: number ..1e3
  carrier: string [AA, UA, New York]
  temp: number?
  temp_age: number? age of temp
  flight: string entity
  departs: timestamp event_time
  note: string? optional
  sick: boolean
  income:
    type: number
    nullable: true
    required: false
    min: 0
    max: 1e6
    default: 5
    classes: [pii, finance]
  grade:
    type: string
    categories: [1.10, no, "a, b"]
"""


def test_each_field_says_its_type_and_rules_on_one_line():
    """A reviewer reads types, ranges, categories and roles at a glance."""
    interface = read_interface(EVERY)
    fields = {field.name: field for field in interface.inputs}
    assert (interface.task, interface.labels, interface.positive) == (Task.BINARY, ("0", "1"), "1")
    assert (fields["hour"].type, fields["hour"].minimum, fields["hour"].maximum) == (FieldType.INTEGER, 0, 23)
    assert (fields["low"].minimum, fields["low"].maximum) == (-1.5, None)
    assert (fields["high"].minimum, fields["high"].maximum) == (None, 1000)
    assert fields["carrier"].categories == ("AA", "UA", "New York")
    assert fields["temp"].nullable
    assert (fields["temp_age"].role, fields["temp_age"].age_of) == (FieldRole.AGE, "temp")
    assert interface.entity == fields["flight"]
    assert interface.event_time == fields["departs"]
    assert not fields["note"].required
    assert fields["income"].classes == ("pii", "finance")
    assert (fields["income"].default, fields["income"].maximum) == (5, 1_000_000)


def test_names_are_taken_as_they_are_written():
    """`1.10` and `no` are labels and categories, not a number and a truth value."""
    fields = {field.name: field for field in read_interface(EVERY).inputs}
    assert fields["grade"].categories == ("1.10", "no", "a, b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: binary\nlabels: [a, b]\n", "'inputs' is missing"),
        ("task: binary\nlabels: [a, b]\ninputs: {}\n", "has no feature"),
        ("task: ranking\ninputs: {x: number}\n", "task must be one of: binary, multiclass, regression"),
        ("task: binary\ninputs: {x: number}\n", "a binary task has two labels"),
        ("task: binary\nlabels: [a, a]\ninputs: {x: number}\n", "a label twice"),
        ("task: binary\nlabels: [a, b]\npositive: c\ninputs: {x: number}\n", "none of a binary task's labels"),
        ("task: binary\nlabels: [a, b]\nthreshold: 1\ninputs: {x: number}\n", "between 0 and 1"),
        ("task: binary\nlabels: [[a], b]\ninputs: {x: number}\n", "must be text"),
        ("task: multiclass\nlabels: [a]\ninputs: {x: number}\n", "at least two labels"),
        ("task: multiclass\nlabels: [a, b]\npositive: a\ninputs: {x: number}\n", "none of a binary task's labels"),
        ("task: regression\nlabels: [a]\ninputs: {x: number}\n", "a regression has no labels"),
        ("task: regression\ninputs: {x: nmber}\n", "inputs.x must be one of: number, integer"),
        ("task: regression\ninputs: {x: NUMBER}\n", "does not begin with a type"),
        ("task: regression\ninputs: {x: 5}\n", "must hold keys and values"),
        ("task: regression\ninputs: {x: number big}\n", "'big' is no range"),
        ("task: regression\ninputs: {x: number ..}\n", "'..' is no range"),
        ("task: regression\ninputs: {x: number 1-1..2}\n", "'1-1' is not a number"),
        ("task: regression\ninputs: {x: number 5..2}\n", "minimum is above its maximum"),
        ("task: regression\ninputs: {x: string 1..2}\n", "a string has no range"),
        ("task: regression\ninputs: {x: 'number [a, b]'}\n", "a number has no categories"),
        ("task: regression\ninputs: {x: 'string [a, a]'}\n", "a category is given twice"),
        ("task: regression\ninputs: {x: number age of y}\n", "carries the age in minutes of another input"),
        ("task: regression\ninputs: {x: number age of x}\n", "carries the age in minutes of another input"),
        ("task: regression\ninputs: {y: number, x: string age of y}\n", "carries the age in minutes"),
        ("task: regression\ninputs: {x: {type: number, role: age}}\n", "belong together"),
        ("task: regression\ninputs: {x: {type: number, age_of: y}}\n", "belong together"),
        ("task: regression\ninputs: {f: number, x: string event_time}\n", "an event time is a timestamp"),
        ("task: regression\ninputs: {f: number, x: string entity, y: string entity}\n", "are both entity"),
        ("task: regression\ninputs: {x: {type: integer, max: 5, default: 6}}\n", "its default breaks its own rule"),
        ("task: regression\ninputs: {x: {typ: integer}}\n", "did you mean 'type'?"),
        ('task: regression\ninputs: {"": number}\n', "1 to 200 printable characters"),
        ("task: regression\ninputs: {x: {type: number, min: 1e999}}\n", "must be a number"),
        ("inputs: {x: number}\n", "'task' is missing"),
    ],
)
def test_each_mistake_in_an_interface_is_named(text, message):
    """The file is judged as strictly as the manifest, with the line."""
    with pytest.raises(ManifestError) as caught:
        read_interface(text)
    assert message in str(caught.value)
    assert all(one.file == "interface.yaml" for one in caught.value.findings)


def test_an_interface_has_a_bounded_number_of_inputs():
    """A file that names more columns than any table has is a mistake."""
    many = "".join(f"  f{place}: number\n" for place in range(5001))
    with pytest.raises(ManifestError, match="5,001 fields"):
        read_interface("task: regression\ninputs:\n" + many)


texts = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=12)
field_names = st.one_of(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True), texts.filter(str.isprintable), st.just("null")
)
bounds = st.floats(allow_nan=False, allow_infinity=False, width=64)


@st.composite
def fields(draw, name):
    """Any field that the rules of an interface allow."""
    kind = draw(st.sampled_from(FieldType))
    numeric = kind in (FieldType.NUMBER, FieldType.INTEGER)
    low, high = sorted((draw(bounds), draw(bounds)))
    default = None
    if draw(st.booleans()) and kind is FieldType.BOOLEAN:
        default = draw(st.booleans())
    categories = draw(st.lists(texts, unique=True, max_size=4)) if kind is FieldType.STRING else []
    if categories and draw(st.booleans()):
        default = categories[0]
    return Field(
        name=name,
        type=kind,
        nullable=draw(st.booleans()),
        required=draw(st.booleans()),
        minimum=low if numeric and draw(st.booleans()) else None,
        maximum=high if numeric and draw(st.booleans()) else None,
        categories=tuple(categories),
        default=default,
        classes=tuple(draw(st.lists(texts, max_size=2))),
    )


@st.composite
def interfaces(draw):
    """Any interface that the rules allow."""
    names = draw(st.lists(field_names, min_size=1, max_size=5, unique=True))
    inputs = [draw(fields(name)) for name in names]
    inputs.append(Field(name="an age", type=FieldType.NUMBER, role=FieldRole.AGE, age_of=names[0]))
    inputs.append(Field(name="an entity", type=FieldType.STRING, role=FieldRole.ENTITY))
    inputs.append(Field(name="a_time", type=FieldType.TIMESTAMP, role=FieldRole.EVENT_TIME))
    task = draw(st.sampled_from(Task))
    count = {Task.BINARY: 2, Task.MULTICLASS: 3, Task.REGRESSION: 0, Task.TEXT: 0}[task]
    labels = tuple(draw(st.lists(texts, min_size=count, max_size=count, unique=True)))
    return Interface(
        inputs=tuple(inputs),
        task=task,
        labels=labels,
        positive=draw(st.sampled_from(labels)) if task is Task.BINARY else "",
        threshold=draw(st.floats(0.001, 0.999)),
    )


@settings(max_examples=300, deadline=None)
@given(interfaces())
def test_an_interface_reads_back_as_it_was_written(interface):
    """`init` writes what people review and nothing is lost between the two."""
    names = {field.name for field in interface.inputs}
    if len(names) == len(interface.inputs):
        assert read_interface(write_interface(interface)) == interface


def test_the_written_form_is_the_short_one():
    """A reviewer sees one line a field wherever one line says it all."""
    written = write_interface(read_interface(EVERY))
    assert "  hour: integer 0..23\n" in written
    assert "  carrier: string [AA, UA, New York]\n" in written
    assert "  temp_age: number? age of temp\n" in written
    assert "  note: string? optional\n" in written
    assert "threshold" not in written


def test_the_resolved_interface_has_one_entry_a_field():
    """A plan compares interfaces field by field."""
    found = resolved_interface(read_interface(EVERY))
    assert found["inputs"]["hour"] == "integer 0..23"
    assert found["inputs"]["income"]["classes"] == '["pii", "finance"]'
