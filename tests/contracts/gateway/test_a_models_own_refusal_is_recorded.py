"""A model that refuses in OpenAI's field for it finishes with `stop`: the record and the refusals' share still know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llm_kit import Chat, chatting, events_of, outputs_of, pin_of
from providers_kit import MockOpenAI, Reply

WORDS = "I can not help with that."
OFF = {"canary": "off", "limits": "off"}


@pytest.fixture(scope="module", params=[OFF, {"limits": "off"}], ids=["unguarded", "guarded"])
def desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    """A system with a cache, whose model refuses whatever it is asked."""
    with MockOpenAI(script=lambda _: Reply(text=WORDS, refuses=True)) as provider:
        serve: dict[str, Any] = {"deadline": "20s", "cache": "10m"}
        folder = tmp_path_factory.mktemp("desk")
        with chatting(folder, {"main": pin_of(provider)}, serve=serve, guards=request.param) as chat:
            yield chat


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_refusal_is_told_recorded_and_not_cached(desk: Chat, stream: bool) -> None:
    """The caller reads it where the provider said it, the record keeps the words and counts it among the refusals."""
    for _ in range(2):
        answer = desk.ask(f"how? {stream}", stream=stream)
        assert "x-roadworthy-cached" not in answer.headers
        if stream:
            choices = [one["choices"][0] for one in events_of(answer) if one["choices"]]
            told = "".join(one["delta"].get("refusal") or "" for one in choices)
            finish = choices[-1]["finish_reason"]
        else:
            choice = answer.json["choices"][0]
            told, finish = choice["message"]["refusal"], choice["finish_reason"]
        assert (told, finish) == (WORDS, "stop")
        kept = outputs_of(desk.record(answer.headers["x-roadworthy-record"]))
        assert (kept["text"], kept["finish"]) == (WORDS, "refusal")
