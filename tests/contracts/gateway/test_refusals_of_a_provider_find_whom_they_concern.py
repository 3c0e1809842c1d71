"""A provider that says 400: to what a caller added, or to what the release asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from llm_kit import BASELINE, SYSTEM, House, chatting, pin_of, text_of
from providers_kit import Fault, MockOpenAI
from roadworthy.domain.record import Flag


@pytest.mark.parametrize("stream", [False, True])
def test_a_callers_own_option_that_is_refused_is_told_to_the_caller(house: House, stream: bool) -> None:
    """He gets OpenAI's 400 with the provider's words, as if he had asked it himself; the release did not fail."""
    house.in_use.fault = Fault.REFUSED
    told: Any = {"model": SYSTEM, "messages": [{"role": "user", "content": "hi"}], "top_p": 0.5, "stream": stream}
    with pytest.raises(openai.BadRequestError) as refused:
        house.chat.client().chat.completions.create(**told)
    assert "does not take this request" in refused.value.message
    assert "not with the key" in refused.value.message
    record = house.chat.record(refused.value.response.headers["x-roadworthy-record"])
    assert (record.status, record.error) == (400, "refused")
    assert not record.flags & (Flag.FAILED | Flag.TIMED_OUT)
    assert record.cost_micros == 0


def test_a_refusal_of_a_bare_question_is_the_releases_failure(house: House) -> None:
    """Where the caller added nothing, it is what the release sends that the provider does not take."""
    house.in_use.fault = Fault.REFUSED
    answer = house.chat.ask("hi")
    assert answer.status == 503
    assert house.chat.record(answer.headers["x-roadworthy-record"]).flags & Flag.FAILED


def test_another_model_that_takes_the_option_answers(tmp_path: Path) -> None:
    """A refusal ends the request only where nobody else takes it; a baseline is better than an error, and is marked."""
    with MockOpenAI() as choosy, MockOpenAI() as easy:
        choosy.fault = Fault.REFUSED
        pins = {"choosy": pin_of(choosy), "easy": pin_of(easy)}
        with chatting(tmp_path, pins, serve={"deadline": "20s", "fallback": ["easy", "baseline"]}) as chat:
            taken = chat.ask("hello", top_p=0.5)
            assert (taken.status, text_of(taken)) == (200, "You said: hello")
            easy.fault = Fault.REFUSED
            plain = chat.ask("hello", top_p=0.5)
            assert (plain.headers["x-roadworthy-fallback"], text_of(plain)) == ("baseline", BASELINE)
            assert not chat.record(plain.headers["x-roadworthy-record"]).flags & Flag.FAILED


def test_a_refusal_beside_an_outage_is_an_outage(tmp_path: Path) -> None:
    """The model that is down might have taken the request, so the caller is told to come again."""
    with MockOpenAI() as choosy, MockOpenAI() as down:
        choosy.fault, down.fault = Fault.REFUSED, Fault.FAILING
        pins = {"choosy": pin_of(choosy), "down": pin_of(down)}
        with chatting(tmp_path, pins, serve={"deadline": "20s", "fallback": ["down"]}) as chat:
            assert chat.ask("hello", top_p=0.5).status == 503
