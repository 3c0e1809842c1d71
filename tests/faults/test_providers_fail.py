"""Providers fail in every way they know: what is declared answers instead, says so, and is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llm_kit import ANA, BASELINE, SYSTEM, Chat, chatting, events_of, outputs_of, pin_of, text_of
from providers_kit import Fault, MockAnthropic, MockOpenAI, MockProvider, Reply, obliging
from roadworthy.domain.record import Flag
from roadworthy.lifecycle.pause import restore, stop
from serving_kit import Reply as Answer
from serving_kit import until

BEFORE_TEXT = [Fault.DOWN, Fault.RATE_LIMITED, Fault.FAILING, Fault.UNAUTHORISED, Fault.REFUSED, Fault.WRONG_MODEL]
MIDWAY = [Fault.BROKEN_JSON, Fault.TRUNCATED, Fault.CUT, Fault.ERROR_IN_STREAM]
SILENT = [Fault.SLOW, Fault.HANG]
BREAKER = {"errors": "100%", "window": 10_000, "cool_down": "1ms"}


@dataclass
class Two:
    """A first provider that fails and a second that does not."""

    chat: Chat
    first: MockProvider
    second: MockProvider


@pytest.fixture(scope="module", params=[MockOpenAI, MockAnthropic])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """A system whose pin has another one behind it, and the baseline behind both."""
    with request.param(retry_after="0") as first, MockOpenAI() as second:
        pins = {"main": pin_of(first, version="mock-1"), "spare": pin_of(second)}
        serve = {"deadline": "20s", "tries": 1, "breaker": BREAKER}
        with chatting(tmp_path_factory.mktemp("two"), pins, serve=serve) as chat:
            yield Two(chat, first, second)
            first.release()


@pytest.fixture
def two(both: Two) -> Iterator[Two]:
    """The same, well again afterwards."""
    yield both
    for provider in (both.first, both.second):
        provider.fault, provider.script = None, obliging
        provider._planned.clear()


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    """Whether the answer is streamed."""
    return request.param


def mark_in(answer: Answer) -> Any:
    """Return how the body says who answered."""
    if "event-stream" in answer.headers["content-type"]:
        return events_of(answer)[-1]["roadworthy"]["fallback"]
    return answer.json["roadworthy"]["fallback"]


@pytest.mark.parametrize("fault", [*BEFORE_TEXT, *MIDWAY])
def test_another_pin_answers(two: Two, fault: Fault, stream: bool) -> None:
    """The next pin's answer comes, marked in the header (when it had not begun) and in the body; both are recorded."""
    if fault is Fault.ERROR_IN_STREAM and not stream:
        pytest.skip("an error within a stream needs a stream")
    two.first.fault = fault
    answer = two.chat.ask("one two three four five six", stream=stream)
    assert answer.status == 200
    assert mark_in(answer) == "spare"
    assert text_of(answer).endswith("You said: one two three four five six")
    has_begun = stream and fault in MIDWAY
    assert answer.headers.get("x-roadworthy-fallback") == (None if has_begun else "spare")
    assert ("The answer broke off here" in text_of(answer)) == has_begun
    record = two.chat.record(answer.headers["x-roadworthy-record"])
    assert record.flags & Flag.FALLBACK
    assert [step.outcome for step in record.steps if step.kind == "attempt"] == ["error", "ok"]
    assert outputs_of(record)["text"] == text_of(answer)
    assert record.cost_micros > 0


@pytest.mark.parametrize("fault", SILENT)
def test_silence_leaves_time_for_another_pin(two: Two, fault: Fault, stream: bool) -> None:
    """A provider that says nothing may not take the whole deadline when another model stands behind it."""
    if fault is Fault.HANG and not stream:
        pytest.skip("only a stream hangs midway")
    two.chat.build(serve={"deadline": "1500ms", "tries": 1, "breaker": BREAKER})
    two.chat.wait_applied()
    two.first.fault = fault
    answer = two.chat.ask("one two three four", stream=stream)
    assert mark_in(answer) == "spare"
    assert text_of(answer).endswith("You said: one two three four")
    record = two.chat.record(answer.headers["x-roadworthy-record"])
    assert [step.outcome for step in record.steps if step.kind == "attempt"] == ["timeout", "ok"]
    assert record.latency_us < 1_500_000
    two.chat.build(serve={"deadline": "20s", "tries": 1, "breaker": BREAKER})
    two.chat.wait_applied()


def test_the_baseline_answers_when_no_pin_does(two: Two, stream: bool) -> None:
    """Last of all, and the answer says that it is the baseline's."""
    two.first.fault = two.second.fault = Fault.FAILING
    answer = two.chat.ask("hello", stream=stream)
    assert text_of(answer) == BASELINE
    assert mark_in(answer) == answer.headers["x-roadworthy-fallback"] == "baseline"
    assert answer.headers["x-roadworthy-release"] == f"{SYSTEM}@baseline"


def test_a_call_is_tried_again_after_a_passing_trouble(tmp_path: Path) -> None:
    """One fault, one more try: the same pin answers, and the release is not blamed."""
    with MockOpenAI() as provider, chatting(tmp_path, {"main": pin_of(provider)}) as chat:
        for fault in (Fault.DOWN, Fault.FAILING, Fault.BROKEN_JSON):
            provider.fail(fault)
            answer = chat.ask(f"once more after {fault}")
            assert text_of(answer) == f"You said: once more after {fault}"
            assert "x-roadworthy-fallback" not in answer.headers
            record = chat.record(answer.headers["x-roadworthy-record"])
            assert [step.outcome for step in record.steps] == ["error", "ok"]
            assert not record.flags


def test_a_provider_that_asks_for_rest_is_left_alone(tmp_path: Path) -> None:
    """After a long `Retry-After` nobody waits and nobody asks: the fallback answers at once."""
    with MockOpenAI(retry_after="30") as provider, chatting(tmp_path, {"main": pin_of(provider)}) as chat:
        provider.fail(Fault.RATE_LIMITED)
        answers = [chat.ask(f"hello {n}") for n in range(3)]
        assert [answer.headers["x-roadworthy-fallback"] for answer in answers] == ["baseline"] * 3
        assert len(provider.requests) == 1
        record = chat.record(answers[2].headers["x-roadworthy-record"])
        assert [step.outcome for step in record.steps] == ["resting"]


def test_a_short_rest_is_waited_for(tmp_path: Path) -> None:
    """A provider that asks for a moment gets it, within the deadline."""
    with MockOpenAI(retry_after="0") as provider, chatting(tmp_path, {"main": pin_of(provider)}) as chat:
        provider.fail(Fault.RATE_LIMITED)
        assert "x-roadworthy-fallback" not in chat.ask("hello").headers
        assert len(provider.requests) == 2


def test_the_breaker_opens_and_closes(tmp_path: Path) -> None:
    """A failing provider is no longer asked; after the pause one call tries, and all is as before."""
    serve = {"deadline": "20s", "tries": 1, "breaker": {"window": 4, "cool_down": "300ms"}}
    with MockOpenAI() as provider, chatting(tmp_path, {"main": pin_of(provider)}, serve=serve) as chat:
        provider.fault = Fault.FAILING
        for n in range(8):
            assert chat.ask(f"hello {n}").headers["x-roadworthy-fallback"] == "baseline"
        assert len(provider.requests) < 8
        last = chat.records(8)[-1]
        assert [step.outcome for step in last.steps if step.kind == "attempt"] == ["open"]
        provider.fault = None
        until(lambda: "x-roadworthy-fallback" not in chat.ask("well?").headers, "the provider is asked again")
        assert "x-roadworthy-fallback" not in chat.ask("well!").headers


def test_nothing_left_is_a_503_in_openais_words(tmp_path: Path, stream: bool) -> None:
    """Without a fallback the caller hears what was tried; the client raises its own error."""
    serve = {"deadline": "20s", "tries": 1, "fallback": [], "breaker": BREAKER}
    with (
        MockOpenAI(fault=Fault.FAILING) as provider,
        chatting(tmp_path, {"main": pin_of(provider)}, serve=serve) as chat,
    ):
        answer = chat.ask("hello", stream=stream)
        assert answer.status == 503
        assert answer.headers["retry-after"]
        assert answer.json["error"]["type"] == "server_error"
        assert "main" in answer.json["error"]["message"]
        assert chat.record(answer.headers["x-roadworthy-record"]).status == 503
        provider.fault = Fault.CUT
        broken = chat.ask("one two three four", stream=True)
        assert broken.status == 200
        assert "error" in events_of(broken)[-1]
        assert b"[DONE]" not in broken.body
        assert chat.record(broken.headers["x-roadworthy-record"]).status == 503


def test_the_stated_default_answers(tmp_path: Path, stream: bool) -> None:
    """`serve.default` is the last of the chain, marked as such."""
    serve = {"deadline": "5s", "fallback": ["default"], "default": {"text": "We call you back."}, "tries": 1}
    with MockOpenAI(fault=Fault.DOWN) as provider, chatting(tmp_path, {"main": pin_of(provider)}, serve=serve) as chat:
        answer = chat.ask("hello", stream=stream)
        assert text_of(answer) == "We call you back."
        assert mark_in(answer) == "default"
        assert chat.record(answer.headers["x-roadworthy-record"]).flags & Flag.DEFAULTED


def test_the_deadline_is_kept(tmp_path: Path, stream: bool) -> None:
    """A slow provider costs the deadline and no more; then the baseline answers."""
    serve = {"deadline": "400ms", "breaker": BREAKER}
    with MockOpenAI(fault=Fault.SLOW) as provider, chatting(tmp_path, {"main": pin_of(provider)}, serve=serve) as chat:
        answer = chat.ask("hello", stream=stream)
        assert text_of(answer) == BASELINE
        record = chat.record(answer.headers["x-roadworthy-record"])
        assert record.flags & Flag.TIMED_OUT
        assert 300_000 < record.latency_us < 5_000_000
        provider.release()


def test_a_stopped_system_answers_nobody(tmp_path: Path) -> None:
    """503 on purpose, at every door, and no provider is asked."""
    with MockOpenAI() as provider:
        serve = {"deadline": "20s", "cache": "10m"}
        with chatting(tmp_path, {"main": pin_of(provider)}, serve=serve) as chat:
            assert chat.ask("hello").status == 200
            stop(chat.plane, SYSTEM, actor=ANA, reason="it said something odd")
            chat.wait_applied()
            asked = len(provider.requests)
            refused = [chat.ask("hello"), chat.ask("hello", stream=True)]
            refused.append(chat.http("POST", f"/v1/systems/{SYSTEM}/predict", {"inputs": {"question": "hello"}}))
            refused.append(chat.http("POST", "/v1/embeddings", {"model": SYSTEM, "input": "hello"}))
            assert [answer.status for answer in refused] == [503] * 4
            assert all("odd" in answer.body.decode() for answer in refused)
            assert len(provider.requests) == asked
            restore(chat.plane, SYSTEM, actor=ANA, reason="it was harmless")
            chat.wait_applied()
            assert chat.ask("hello").status == 200


def test_a_canary_takes_its_share_by_user(tmp_path: Path) -> None:
    """A user meets the same release every time; the share of users is the stage's."""
    with MockOpenAI() as provider:
        pins = {"main": pin_of(provider)}
        stages = [{"canary": "30% for 2000 records"}, "full"]
        with chatting(tmp_path, pins, rollout=stages) as chat:
            chat.canary(parameters={"temperature": 0.1})

            async def release_of(client: Any, user: str) -> str:
                answer = await client.chat.completions.create(
                    model=SYSTEM, messages=[{"role": "user", "content": "hi"}], user=user
                )
                return answer.model_extra["roadworthy"]["release"]

            async def all_of_them() -> list[str]:
                async with chat.async_client() as client:
                    return await asyncio.gather(*(release_of(client, f"user-{n % 60}") for n in range(120)))

            seen = asyncio.run(all_of_them())
            assert seen[:60] == seen[60:]
            assert 6 <= sum(one == f"{SYSTEM}@v2" for one in seen[:60]) <= 32


def test_a_shadow_sees_questions_and_answers_nobody(tmp_path: Path) -> None:
    """The shadow's answer is recorded beside the caller's, which does not wait for it."""
    with MockOpenAI() as provider, MockOpenAI() as other:
        other.script = lambda _: Reply(text="from the shadow")
        pins = {"main": pin_of(provider), "new": pin_of(other)}
        stages = [{"shadow": "100% for 2000 records"}, "full"]
        with chatting(tmp_path, pins, rollout=stages) as chat:
            chat.canary(use="new")
            answer = chat.ask("who are you?", user="ann")
            assert text_of(answer) == "You said: who are you?"
            shadow = chat.records(1, lambda one: bool(one.flags & Flag.SHADOW))[0]
            assert outputs_of(shadow)["text"] == "from the shadow"
            assert shadow.shadow_of == answer.headers["x-roadworthy-record"]
