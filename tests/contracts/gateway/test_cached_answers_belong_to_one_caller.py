"""The exact cache: the same question of the same caller, and nobody else's, nothing stale, nothing doubtful."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from llm_kit import SYSTEM, Chat, chatting, pin_of, text_of
from providers_kit import Ask, Fault, MockOpenAI, Reply

SERVE = {"deadline": "20s", "cache": "10m", "breaker": {"errors": "100%", "window": 10_000, "cool_down": "1ms"}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Chat, MockOpenAI]]:
    """A system with a cache; its provider never gives the same answer twice."""
    numbers = itertools.count()

    def ever_new(ask: Ask) -> Reply:
        return Reply(text=f"answer {next(numbers)} to {ask.last}")

    folder = tmp_path_factory.mktemp("cached")
    with (
        MockOpenAI(script=ever_new, retry_after="0") as provider,
        chatting(folder, {"main": pin_of(provider)}, serve=SERVE) as chat,
    ):
        yield chat, provider


def is_hit(answer: Any) -> bool:
    """Tell whether an answer says that it came from the cache."""
    assert answer.status == 200
    return answer.headers.get("x-roadworthy-cached") == "1"


def test_the_same_question_is_answered_from_the_cache_and_says_so(cached: tuple[Chat, MockOpenAI]) -> None:
    """Nobody is asked a second time, it costs nothing, it is marked, and whole and streamed share it."""
    chat, provider = cached
    first, asked = chat.ask("same question"), len(provider.requests)
    for stream in (False, True, False):
        again = chat.ask("same question", stream=stream)
        assert is_hit(again)
        assert text_of(again) == text_of(first)
    assert len(provider.requests) == asked
    assert chat.ask("same question").json["roadworthy"]["cached"] is True
    record = chat.record(again.headers["x-roadworthy-record"])
    assert record.cost_micros == 0
    assert ("cache", "exact", "hit") in [step[:3] for step in record.steps]


def test_a_caller_may_ask_for_a_fresh_answer(cached: tuple[Chat, MockOpenAI]) -> None:
    """`cache-control: no-cache` goes to the provider."""
    chat, _ = cached
    chat.ask("fresh one")
    assert not is_hit(chat.ask("fresh one", headers={"cache-control": "no-cache"}))


def test_other_callers_find_nothing(cached: tuple[Chat, MockOpenAI]) -> None:
    """Not another key of the same person, not another person, not another user of the same key, not other classes."""
    chat, _ = cached
    chat.ask("whose is it?", user="ann")
    assert is_hit(chat.ask("whose is it?", user="ann"))
    for other in (
        {"key": chat.new_key("ana"), "user": "ann"}, {"key": chat.new_key("ben"), "user": "ann"}, {"user": "bob"}, {},
        {"user": "ann", "headers": {"x-roadworthy-classes": "email"}},
        {"user": "ann", "headers": {"x-roadworthy-classes": "health"}},
    ):  # fmt: skip
        assert not is_hit(chat.ask("whose is it?", **other))  # type: ignore[arg-type]


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0, 0.1, 1, 1.5]),
        "max_tokens": st.sampled_from([100, 101]),
        "seed": st.integers(0, 2),
        "stop": st.sampled_from([["zzz"], ["zzz", "yyy"]]),
        "tools": st.just([TOOL]),
        "tool_choice": st.just("none"),
        "user": st.sampled_from(["ann", "bob", "an", "n"]),
        "metadata": st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"]), max_size=2),
        "response_format": st.just({"type": "text"}),
        "top_p": st.sampled_from([0.5, 1]),
    },
)
_MESSAGES = st.lists(
    st.tuples(st.sampled_from(["user", "system", "assistant"]), _TEXT).map(lambda m: {"role": m[0], "content": m[1]}),
    max_size=2,
)


_SALTS = itertools.count()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(_MESSAGES, _TEXT, _OPTIONS), st.tuples(_MESSAGES, _TEXT, _OPTIONS))
def test_requests_that_differ_never_share_an_answer(cached: tuple[Chat, MockOpenAI], one: Any, other: Any) -> None:
    """Whatever it is that differs: a message, its role, an option, its value, where a text is cut."""
    assume((one[0], one[1], _meant(one[2])) != (other[0], other[1], _meant(other[2])))
    chat, _ = cached
    salt = next(_SALTS)

    def ask(request: Any) -> Any:
        messages, question, options = request
        return chat.ask([*messages, {"role": "user", "content": f"{salt} {question}"}], **options)

    assert not is_hit(ask(one))
    assert not is_hit(ask(other))


def _meant(options: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing."""
    return {name: value for name, value in options.items() if value not in ({}, None)}


def test_nothing_is_stale_after_a_release(cached: tuple[Chat, MockOpenAI]) -> None:
    """A new release, or another one in its place, finds nothing of the old one's."""
    chat, _ = cached
    old = text_of(chat.ask("is it stale?"))
    assert is_hit(chat.ask("is it stale?"))
    chat.release(parameters={"temperature": 0.2})
    fresh = chat.ask("is it stale?")
    assert not is_hit(fresh)
    assert text_of(fresh) != old


@pytest.mark.parametrize("stream", [False, True])
def test_doubtful_answers_are_not_kept(cached: tuple[Chat, MockOpenAI], stream: bool) -> None:
    """Truncated, cut at a limit, from a fallback, with a secret in it, a tool's call: asked anew every time."""
    chat, provider = cached
    script = provider.script
    try:
        for n in range(2):
            assert not is_hit(chat.ask(f"cut short {stream}", stream=stream, max_tokens=2)), n
        provider.script = lambda _: Reply(text="call me at ann@example.org please")
        assert not any(is_hit(chat.ask(f"whom? {stream}", stream=stream)) for _ in range(2))
        provider.script = lambda _: Reply(calls=[("weather", {})])
        assert not any(is_hit(chat.ask(f"tool {stream}", stream=stream, tools=[TOOL])) for _ in range(2))
        provider.script = script
        for fault in (Fault.FAILING, Fault.TRUNCATED, Fault.DOWN):
            provider.fault = fault
            assert chat.ask(f"broken {fault} {stream}", stream=stream).status == 200
            provider.fault = None
            assert not is_hit(chat.ask(f"broken {fault} {stream}", stream=stream))
        assert not any(is_hit(chat.ask(f"probable {stream}", stream=stream, logprobs=True)) for _ in range(2))
    finally:
        provider.script, provider.fault = script, None


def test_what_was_masked_is_not_kept(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two callers' masked questions look alike; neither gets the other's answer."""
    with MockOpenAI() as provider:
        pins = {"main": pin_of(provider, allows=None)}
        with chatting(tmp_path_factory.mktemp("masked"), pins, serve=SERVE) as chat:
            for address in ("ann@example.org", "bob@example.org", "ann@example.org"):
                assert not is_hit(chat.ask(f"write to {address}"))


def test_many_at_once_with_the_same_question_are_all_answered(cached: tuple[Chat, MockOpenAI]) -> None:
    """Each gets a whole answer, and afterwards it is cached."""
    chat, _ = cached

    async def all_of_them() -> list[str]:
        async with chat.async_client() as client:
            asked = [
                client.chat.completions.create(model=SYSTEM, messages=[{"role": "user", "content": "all at once"}])
                for _ in range(24)
            ]
            return [answer.choices[0].message.content or "" for answer in await asyncio.gather(*asked)]

    assert all(text.endswith("to all at once") for text in asyncio.run(all_of_them()))
    assert is_hit(chat.ask("all at once"))
