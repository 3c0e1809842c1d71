"""How OpenAI's requests are written for the Messages API."""

from __future__ import annotations

from typing import Any

import pytest

from roadworthy.ports.chat import ProviderTrouble, Trouble
from roadworthy.runtimes.llm.anthropic_request import translate

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def written(**more: Any) -> dict[str, Any]:
    """Translate a request."""
    return translate({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **more}).body


def test_system_messages_become_the_system_prompt_and_turns_alternate() -> None:
    """Any order of OpenAI's messages becomes turns that alternate, tool results included."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    body = written(
        messages=[
            {"role": "system", "content": "one"},
            {"role": "user", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "b"}]},
            {"role": "developer", "content": "two"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "result"},
            {"role": "user", "content": "c"},
        ]
    )
    assert body["system"] == "one\n\ntwo"
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"] == [{"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}]
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "text"]


def test_parameters_are_translated_and_neutral_ones_dropped() -> None:
    """What both protocols can say is said, and what changes nothing is left out."""
    body = written(temperature=1.7, stop="END", user="u1", n=1, seed=3, logprobs=False, frequency_penalty=0)
    assert body["temperature"] == 1
    assert body["stop_sequences"] == ["END"]
    assert body["metadata"] == {"user_id": "u1"}
    assert set(body) == {"model", "max_tokens", "messages", "temperature", "stop_sequences", "metadata"}


CHOICES = [
    ("auto", {"type": "auto"}),
    ("required", {"type": "any"}),
    ("none", {"type": "none"}),
    ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
]


@pytest.mark.parametrize(("choice", "chosen"), CHOICES)
def test_the_choice_of_tools_is_translated(choice: Any, chosen: dict[str, Any]) -> None:
    """Each way to choose a tool has its counterpart."""
    assert written(tools=[TOOL], tool_choice=choice)["tool_choice"] == chosen


def test_json_is_asked_for_through_a_tool_that_must_be_called() -> None:
    """A schema that is no object is wrapped in one, and the answer's tool never takes a caller's tool's name."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array", "items": {}}}}
    named = {"type": "function", "function": {"name": "answer_in_json"}}
    asked = translate({"model": "m", "max_tokens": 9, "messages": [], "tools": [named], "response_format": form})
    assert asked.answer_tool == "answer_in_json_"
    assert asked.is_wrapped
    assert asked.body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert asked.body["tools"][-1]["input_schema"]["properties"]["value"]["type"] == "array"


IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]
BAD_CALL = [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{"}}]}]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"messages": IMAGE}, "only text"),
        ({"messages": BAD_CALL}, "no JSON object"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "wizard"),
        ({"n": 2}, "n cannot"),
        ({"logprobs": True}, "logprobs cannot"),
        ({"made_up": 1}, "made_up cannot"),
        ({"response_format": {"type": "xml"}}, "'xml'"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(more: dict[str, Any], named: str) -> None:
    """Nothing that a caller asked for is left out in silence."""
    with pytest.raises(ProviderTrouble, match=named) as caught:
        written(**more)
    assert caught.value.trouble is Trouble.REFUSED
    assert caught.value.body is not None
