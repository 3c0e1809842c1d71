"""JSON answers, their repairs, and the bounds on questions and answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards_kit import split
from roadworthy.errors import InputError
from roadworthy.guards.json_repair import repaired
from roadworthy.guards.limits import LimitsGuard, estimate_tokens
from roadworthy.guards.output_schema import OutputSchemaGuard
from roadworthy.ports.guard import Act, Blocked, GuardContext, Limits

SCHEMA = {
    "type": "object",
    "required": ["a"],
    "properties": {
        "a": {"type": "integer"},
        "b": {"type": "string"},
        "c": {"type": "array"},
        "d": {"type": ["null", "boolean"]},
    },
    "additionalProperties": False,
}
CONTEXT = GuardContext(output_schema=SCHEMA)
REPAIRS = [
    ('```json\n{"a": 1}\n```', {"a": 1}, "fence"),
    ('Here:\n```\n{"a": 1}', {"a": 1}, "fence"),
    ('Sure! Here [as you asked] it is: {"a": 1} Hope it helps.', {"a": 1}, "prose"),
    ('{"a": 1,}', {"a": 1}, "comma"),
    ('{"a": 1, "c": [1, 2, ], }', {"a": 1, "c": [1, 2]}, "comma"),
    ("{'a': 1, 'b': 'it's \"so\"'}", {"a": 1, "b": 'it\'s "so"'}, "quotes"),
    ("{\u201ca\u201d: 1}", {"a": 1}, "quotes"),
    ('{"a": 1, "c": [1, {"x": 2', {"a": 1, "c": [1, {"x": 2}]}, "closed"),
    ('{"a": 1, "b": "un', {"a": 1, "b": "un"}, "closed"),
    ('{"a": 1, "c": [{"x": [1, 2}', {"a": 1, "c": [{"x": [1, 2]}]}, "closed"),
    ("{a: 1, d: None}", {"a": 1, "d": None}, "key"),
    ('{"a": 1, "d": True}', {"a": 1, "d": True}, "word"),
    ('{"a": 1, "b": "two\nlines"}', {"a": 1, "b": "two\nlines"}, "control"),
    ('{"a": 1 // the first\n}', {"a": 1}, "comment"),
    ('{"a": 1, "b": "it\\\'s"}', {"a": 1, "b": "it's"}, ""),
]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(("text", "value", "step"), REPAIRS)
def test_what_is_wrong_in_form_alone_is_repaired(text: str, value: object, step: str) -> None:
    """The value is what was meant, and the ruling names the step."""
    ruling = OutputSchemaGuard().answer(text, CONTEXT)
    assert ruling.action is Act.ALTER
    assert json.loads(ruling.text) == value
    assert not step or step in [hit.rule for hit in ruling.hits]


@pytest.mark.parametrize(
    "text",
    ["nope", "", "{", '{"a":', '{"a": "x"}', '{"b": "no a"}', '{"a": 1, "e": 2}', '{"a": NaN}', "[1]", "{" * 100_000],
)
def test_what_is_wrong_in_substance_is_blocked(text: str) -> None:
    """Nothing is made up: what breaks the schema after repair does not leave."""
    ruling = OutputSchemaGuard().answer(text, CONTEXT)
    assert (ruling.action, ruling.text) == (Act.BLOCK, "")
    assert ruling.reason


def test_a_reason_names_the_schemas_rule_and_nothing_of_the_answer() -> None:
    """A secret in an answer, even as a key, is in no reason."""
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    ruling = OutputSchemaGuard().answer('{"ann@example.com": "hunter2"}', GuardContext(output_schema=schema))
    assert ruling.reason == "the answer breaks its schema: additionalProperties/type"


def test_valid_json_passes_as_it_is() -> None:
    """Not one byte of a valid answer is changed, spaces included."""
    text = ' {"a" :1,\n "b":"\\u00e9"} '
    assert OutputSchemaGuard().answer(text, CONTEXT).text == text


def test_without_repair_only_valid_json_passes() -> None:
    """An owner may ask for strictness."""
    assert OutputSchemaGuard({"repair": False}).answer('{"a": 1,}', CONTEXT).action is Act.BLOCK


def test_without_a_schema_any_text_passes_and_streams() -> None:
    """Free text has no form to keep and does not wait."""
    guard = OutputSchemaGuard()
    assert guard.answer("hello", GuardContext()).action is Act.ALLOW
    assert guard.stream(GuardContext()).feed("some") == "some"


def test_a_reference_to_elsewhere_is_not_followed() -> None:
    """A schema from a caller cannot make the server fetch anything."""
    schema = {"$ref": "http://127.0.0.1:9/schema.json"}
    with pytest.raises(InputError, match="cannot be followed"):
        OutputSchemaGuard().answer("{}", GuardContext(output_schema=schema))


def test_a_wrong_schema_is_an_input_error() -> None:
    """Who writes the schema hears of it, not who reads the answer."""
    with pytest.raises(InputError, match="no JSON Schema"):
        OutputSchemaGuard().answer("{}", GuardContext(output_schema={"type": 7}))


@given(values)
def test_repairing_json_changes_no_value(value: object) -> None:
    """Whatever is valid already comes out with the same value."""
    text = json.dumps({"v": value}, ensure_ascii=False)
    assert json.loads(repaired(text).text) == {"v": value}


@given(values)
def test_repairing_twice_is_repairing_once(value: object) -> None:
    """Repair is deterministic and steady, also on Python's way of writing."""
    once = repaired(repr({"v": value})).text
    assert repaired(once).text == once


@given(values, st.integers(0, 400))
def test_a_cut_document_is_closed_or_left_broken_never_an_error(value: object, size: int) -> None:
    """Wherever an answer stops, repair comes to an end."""
    assert isinstance(repaired(json.dumps({"v": value})[:size]).text, str)


@given(st.sampled_from([text for text, _, _ in REPAIRS]), st.lists(st.integers(0, 60), max_size=6))
def test_a_stream_gives_the_whole_valid_document_at_its_end(text: str, places: list[int]) -> None:
    """Half a document has no validity, so it waits; the end gives what the whole answer gives."""
    stream = OutputSchemaGuard().stream(CONTEXT)
    assert [stream.feed(piece) for piece in split(text, places)] == [""] * len(split(text, places))
    assert stream.close() == OutputSchemaGuard().answer(text, CONTEXT).text


def test_a_stream_that_breaks_its_schema_is_blocked_at_its_end() -> None:
    """Nothing of it has left."""
    stream = OutputSchemaGuard().stream(CONTEXT)
    assert stream.feed('{"a": "x"}') == ""
    with pytest.raises(Blocked, match="schema"):
        stream.close()


def ask(text: str = "hi", **more: object) -> dict[str, object]:
    """Make a question of one message."""
    return {"messages": [{"role": "user", "content": text}], **more}


@pytest.mark.parametrize(
    ("limit", "request_"),
    [
        ("question_characters", ask("x" * 21)),
        ("question_tokens", ask("\u6f22" * 20)),
        ("messages", {"messages": [{"role": "user", "content": "a"}] * 4}),
        ("tools", ask(tools=[{"type": "function"}] * 3)),
        ("answer_tokens", ask(max_completion_tokens=9)),
        ("answer_tokens", ask(max_tokens=9)),
        ("question_characters", {"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 21}]}]}),
        ("question_characters", {"messages": [{"role": "tool", "content": {"deep": ["x" * 21]}}]}),
    ],
)
def test_a_question_that_passes_a_limit_is_blocked_by_its_name(limit: str, request_: dict[str, object]) -> None:
    """The caller hears which limit, how much is allowed and how much came."""
    guard = LimitsGuard(
        {"question_characters": 20, "question_tokens": 18, "messages": 3, "tools": 2, "answer_tokens": 8}
    )
    ruling = guard.question(request_, GuardContext())
    assert ruling.action is Act.BLOCK
    assert limit in [hit.rule for hit in ruling.hits]
    assert f"{limit} is " in ruling.reason
    assert guard.question(ask("x" * 20), GuardContext()).action is Act.ALLOW


@given(st.text(max_size=60), st.lists(st.integers(0, 60), max_size=6), st.integers(1, 20), st.integers(1, 5))
def test_an_answer_is_cut_at_the_same_place_however_it_is_streamed(
    text: str, places: list[int], most: int, tokens: int
) -> None:
    """The whole answer and every way of streaming it are cut alike, with the reason `length`."""
    guard = LimitsGuard({"answer_characters": most, "answer_tokens": tokens})
    whole = guard.answer(text, GuardContext())
    stream = guard.stream(GuardContext())
    assert "".join([stream.feed(piece) for piece in split(text, places)]) + stream.close() == whole.text
    assert text.startswith(whole.text)
    assert (whole.finish == "length") == (whole.text != text) == (stream.ruling().finish == "length")
    assert len(whole.text) <= most
    assert estimate_tokens(whole.text) <= tokens


def test_the_contexts_limits_tighten_and_never_widen() -> None:
    """A key or a call may have less than the system, not more."""
    guard = LimitsGuard({"answer_characters": 10})
    assert guard.answer("x" * 20, GuardContext(limits=Limits(answer_characters=5))).text == "x" * 5
    assert guard.answer("x" * 20, GuardContext(limits=Limits(answer_characters=15))).text == "x" * 10


def test_bytes_of_images_and_sounds_are_not_counted_as_text() -> None:
    """A photograph of a megabyte is no long question; the text beside it still counts."""
    data = "data:image/png;base64," + "A" * 1_000_000
    parts = [
        {"type": "image_url", "image_url": {"url": data}},
        {"type": "input_audio", "input_audio": {"data": "A" * 1_000_000, "format": "wav"}},
        {"type": "file", "file": {"file_data": data, "filename": "a.pdf"}},
    ]
    guard = LimitsGuard()
    short = {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": "what is this?"}]}]}
    long = {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": "x" * 100_001}]}]}
    unknown = {"messages": [{"role": "user", "content": [{"type": "other", "other": "x" * 100_001}]}]}
    assert guard.question(short, CONTEXT).action is Act.ALLOW
    assert "question_characters is 100,001" in guard.question(long, CONTEXT).reason
    assert guard.question(unknown, CONTEXT).action is Act.BLOCK
