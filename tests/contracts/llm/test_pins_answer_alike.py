"""What every provider's adapter keeps to, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from providers_kit import Ask, Fault, Reply
from roadworthy.domain.pin import Price, Usage
from roadworthy.ports.chat import ChatModel, ProviderTrouble, Trouble

TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "look a word up",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "verdict",
        "schema": {"type": "object", "properties": {"ok": {"type": "boolean"}, "why": {"type": "string"}}},
    },
}
PRICE = Price(input=3_000_000, output=15_000_000, cached_input=300_000)


def until(claim: Callable[[], bool]) -> None:
    """Wait for what another process or thread does."""
    ends = time.monotonic() + 20
    while not claim():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.005)


def test_an_answer_is_an_openai_document_with_the_providers_count(spoken: Any) -> None:
    """Whoever calls reads one shape of answer, whose usage is what the provider bills."""
    answer = spoken.complete("how are you")
    choice = answer.document["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "You said: how are you"}
    assert choice["finish_reason"] == "stop"
    assert answer.document["object"] == "chat.completion"
    assert answer.document["id"] == answer.upstream_id
    assert answer.model == "mock-1"
    assert answer.usage == spoken.provider.invoice[answer.upstream_id].usage
    assert answer.document["usage"]["total_tokens"] == answer.usage.input + answer.usage.output


def test_a_stream_adds_up_to_the_same_answer(spoken: Any) -> None:
    """A streamed answer has the words, the end and the usage of the whole one, each chunk an OpenAI document."""
    chunks = spoken.stream("how are you")
    assert "".join(chunk.text for chunk in chunks) == "You said: how are you"
    assert [chunk.finish for chunk in chunks if chunk.finish] == ["stop"]
    assert {chunk.document["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.document["id"] for chunk in chunks}) == 1
    assert chunks[-1].usage == spoken.provider.usage()
    assert [chunk for chunk in chunks if chunk.usage] == [chunks[-1]]


def test_the_answers_length_is_bounded_by_the_pin(spoken: Any) -> None:
    """No request makes a provider write more than the pin allows, so that what was reserved suffices."""
    answer = spoken.complete("one two three four five six", pin={"max_output": 3}, max_tokens=100)
    assert answer.usage.output == 3
    assert answer.document["choices"][0]["finish_reason"] == "length"


def test_tools_are_called_and_their_results_are_understood(spoken: Any) -> None:
    """A tool call comes back as OpenAI writes it, and its result may be sent in the next turn."""
    spoken.provider.script = tool_user
    first = spoken.complete("look_up cat", tools=[TOOL])
    message = first.document["choices"][0]["message"]
    (call,) = message["tool_calls"]
    assert first.document["choices"][0]["finish_reason"] == "tool_calls"
    assert call["type"] == "function"
    assert call["function"]["name"] == "look_up"
    assert json.loads(call["function"]["arguments"]) == {"word": "cat"}
    turns = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "look_up cat"},
        message,
        {"role": "tool", "tool_call_id": call["id"], "content": "a small animal"},
    ]
    second = spoken.run(lambda model: model.complete({"messages": turns, "tools": [TOOL]}, 20))
    assert second.document["choices"][0]["message"]["content"] == "It is: a small animal"


def tool_user(ask: Ask) -> Reply:
    """Call the tool once, then tell what it said."""
    if ask.last.startswith("look_up"):
        return Reply(calls=[("look_up", {"word": "cat"})])
    return Reply(text=f"It is: {ask.last}")


def test_tool_calls_can_be_streamed_and_forced(spoken: Any) -> None:
    """The pieces of a streamed tool call join to its name and arguments."""
    chosen = {"type": "function", "function": {"name": "look_up"}}
    chunks = spoken.stream("hello", tools=[TOOL], tool_choice=chosen)
    parts = [
        call
        for chunk in chunks
        for choice in chunk.document["choices"]
        for call in choice["delta"].get("tool_calls") or ()
    ]
    assert parts[0]["function"]["name"] == "look_up"
    assert {part["index"] for part in parts} == {0}
    assert json.loads("".join(part["function"].get("arguments", "") for part in parts)) == {"word": "word"}
    assert [chunk.finish for chunk in chunks if chunk.finish] == ["tool_calls"]
    assert chunks[-1].usage == spoken.provider.usage()


def test_an_answer_keeps_to_a_json_schema(spoken: Any) -> None:
    """A schema asked for as OpenAI has it gives a JSON text as content, whole and streamed."""
    answer = spoken.complete("is it", response_format=SCHEMA)
    assert json.loads(answer.document["choices"][0]["message"]["content"]) == {"ok": True, "why": "word"}
    assert answer.document["choices"][0]["finish_reason"] == "stop"
    chunks = spoken.stream("is it", response_format=SCHEMA)
    assert json.loads("".join(chunk.text for chunk in chunks)) == {"ok": True, "why": "word"}
    assert [chunk.finish for chunk in chunks if chunk.finish] == ["stop"]


def test_stop_sequences_end_an_answer(spoken: Any) -> None:
    """A stop sequence does the same at every provider."""
    assert spoken.complete("one END two", stop="END").document["choices"][0]["message"]["content"] == "You said: one"


def test_what_a_provider_read_from_its_cache_is_counted_apart(spoken: Any) -> None:
    """Cached input is part of the input and has a price of its own."""
    spoken.provider.script = lambda ask: Reply(text="short", cached=2)
    answer = spoken.complete("a b c d")
    assert answer.usage == Usage(input=6, output=1, cached_input=2)
    assert PRICE.cost(answer.usage) == spoken.provider.cost(PRICE)
    chunks = spoken.stream("a b c d")
    assert chunks[-1].usage == answer.usage


TROUBLES = {
    Fault.DOWN: Trouble.DOWN,
    Fault.FAILING: Trouble.DOWN,
    Fault.CUT: Trouble.DOWN,
    Fault.RATE_LIMITED: Trouble.RATE_LIMITED,
    Fault.BROKEN_JSON: Trouble.BROKEN,
    Fault.TRUNCATED: Trouble.BROKEN,
    Fault.UNAUTHORISED: Trouble.UNAUTHORISED,
    Fault.REFUSED: Trouble.REFUSED,
}


@pytest.mark.parametrize("fault", TROUBLES)
def test_each_fault_of_a_provider_is_one_trouble(spoken: Any, fault: Fault) -> None:
    """What went wrong decides whether to ask again, so every provider's faults come down to the same few."""
    spoken.provider.fault = fault
    with pytest.raises(ProviderTrouble) as caught:
        spoken.complete("a secret question")
    assert caught.value.trouble is TROUBLES[fault]
    told = f"{caught.value} {caught.value.body}"
    assert "sk-mock" not in told
    assert "a secret question" not in caught.value.message


STREAM_TROUBLES = {
    Fault.TRUNCATED: Trouble.TRUNCATED,
    Fault.CUT: Trouble.TRUNCATED,
    Fault.BROKEN_JSON: Trouble.BROKEN,
    Fault.ERROR_IN_STREAM: Trouble.DOWN,
}


@pytest.mark.parametrize("fault", STREAM_TROUBLES)
def test_a_stream_that_goes_wrong_says_so_and_what_it_cost(spoken: Any, fault: Fault) -> None:
    """Half an answer is never taken for a whole one, and what it cost is not forgotten."""
    spoken.provider.fault = fault
    with pytest.raises(ProviderTrouble) as caught:
        spoken.stream("one two three four five six")
    assert caught.value.trouble is STREAM_TROUBLES[fault]
    assert caught.value.usage is not None
    assert caught.value.usage.is_estimate
    assert caught.value.usage.output > 0
    assert caught.value.upstream_id in spoken.provider.invoice


def test_a_slow_provider_is_left_at_the_deadline(spoken: Any) -> None:
    """A caller gets an answer or the trouble by his deadline, also between two pieces of a stream."""
    spoken.provider.fault = Fault.SLOW
    with pytest.raises(ProviderTrouble) as caught:
        spoken.complete(deadline_s=0.05)
    assert caught.value.trouble is Trouble.SLOW
    with pytest.raises(ProviderTrouble) as caught:
        spoken.stream(deadline_s=0.05)
    assert caught.value.trouble is Trouble.SLOW
    spoken.provider.fault = Fault.HANG
    with pytest.raises(ProviderTrouble) as caught:
        spoken.stream(deadline_s=0.3)
    assert caught.value.trouble is Trouble.SLOW
    assert caught.value.usage is not None


def test_a_rate_limit_says_how_long_to_wait(spoken: Any) -> None:
    """What the provider asks for reaches whoever tries again."""
    spoken.provider.fault = Fault.RATE_LIMITED
    spoken.provider.retry_after = "7"
    with pytest.raises(ProviderTrouble) as caught:
        spoken.complete()
    assert caught.value.retry_after_s == 7
    assert caught.value.status == 429


def test_a_refusal_keeps_the_providers_own_words(spoken: Any) -> None:
    """A caller who sent nonsense is told what the provider said about it."""
    spoken.provider.fault = Fault.REFUSED
    with pytest.raises(ProviderTrouble) as caught:
        spoken.complete()
    assert caught.value.body is not None
    assert caught.value.body["error"]["message"] == "not with the key ***"


def test_another_model_than_the_pinned_version_is_no_answer(spoken: Any) -> None:
    """A pin that fixes its version takes answers of that version only; one that does not takes what comes."""
    spoken.provider.fault = Fault.WRONG_MODEL
    assert spoken.complete().model == "another-model"
    with pytest.raises(ProviderTrouble) as caught:
        spoken.complete(pin={"version": "mock-1"})
    assert caught.value.trouble is Trouble.WRONG_MODEL
    assert caught.value.usage == list(spoken.provider.invoice.values())[-1].usage
    with pytest.raises(ProviderTrouble) as caught:
        spoken.stream(pin={"version": "mock-1"})
    assert caught.value.trouble is Trouble.WRONG_MODEL
    spoken.provider.fault = None
    assert spoken.complete(pin={"version": "mock-1"}).model == "mock-1"


def test_closing_a_stream_hangs_up_on_the_provider(spoken: Any) -> None:
    """A caller who leaves stops the provider's meter: it bills what it had sent and no more."""
    spoken.provider.fault = Fault.HANG

    async def use(model: ChatModel) -> None:
        stream = model.stream({"messages": [{"role": "user", "content": "one two three four"}]}, 20)
        async for chunk in stream:
            if chunk.text:
                break
        await stream.aclose()  # pyright: ignore[reportAttributeAccessIssue]

    spoken.run(use)
    (line,) = spoken.provider.invoice.values()
    until(lambda: line.is_settled)
    assert line.hung_up
    assert line.output == 3


def test_connections_are_kept_and_used_again(spoken: Any) -> None:
    """Calls one after the other, streams included, take one connection."""

    async def use(model: ChatModel) -> set[int]:
        ports = set[int]()
        for _ in range(3):
            await model.complete({"messages": [{"role": "user", "content": "hi"}]}, 20)
            ports |= set(spoken.provider.clients)
            async for _ in model.stream({"messages": [{"role": "user", "content": "hi"}]}, 20):
                pass
            ports |= set(spoken.provider.clients)
        return ports

    assert len(spoken.run(use)) == 1


def test_a_pin_serves_many_callers_at_once(spoken: Any) -> None:
    """Answers of calls at the same time are not mixed up, and the bills add up to the invoice."""

    async def use(model: ChatModel) -> list[Any]:
        asks = [{"messages": [{"role": "user", "content": f"number {n}"}]} for n in range(50)]
        return await asyncio.gather(*(model.complete(ask, 20) for ask in asks))

    answers = spoken.run(use)
    texts = [answer.document["choices"][0]["message"]["content"] for answer in answers]
    assert texts == [f"You said: number {n}" for n in range(50)]
    assert sum(PRICE.cost(answer.usage) for answer in answers) == spoken.provider.cost(PRICE)


def test_a_provider_that_is_gone_is_down(spoken: Any) -> None:
    """A refused connection is a provider that is down, for whole answers and streams."""
    spoken.provider.stop()
    for ask in (spoken.complete, spoken.stream):
        with pytest.raises(ProviderTrouble) as caught:
            ask()
        assert caught.value.trouble is Trouble.DOWN
