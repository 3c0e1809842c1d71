"""Asking a pin: call by call until trouble or the end, and reading first tokens and their log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest

from providers_kit import Fault, MockOpenAI, Reply
from roadworthy.domain.pin_watch import Said
from roadworthy.lifecycle.ask_pins import asker_of, first_logprobs, first_token, likeliest, most_tokens, sampled
from roadworthy.ports.chat import Trouble


def listing(*pairs: tuple[str, float]) -> Reply:
    """Answer one token with these log-probabilities."""
    return Reply(text=pairs[0][0], logprobs=[pairs])


def test_each_question_is_one_call_of_one_token(tmp_path: Path):
    """Answers come in the order of the questions, with what each cost and what the provider says it is."""
    with MockOpenAI(script=lambda _: listing(("yes", -0.1), ("no", -2.4))) as provider:
        heard = asker_of(tmp_path, Event())(provider.pin(), [likeliest("Is it?"), sampled("Or not?", 0.3)])
        assert (heard.calls, heard.trouble, heard.said) == (2, None, (Said("mock-1", "fp_mock"),))
        assert [one.output for one in heard.usages] == [1, 1]
        assert first_token(heard.answers[0].document) == "yes"
        assert first_logprobs(heard.answers[0].document) == {"yes": -0.1, "no": -2.4}
        assert first_logprobs(heard.answers[1].document) is None
        assert [one["max_tokens"] for one in provider.requests] == [1, 1]
        assert provider.requests[0]["top_logprobs"] == 20
        assert provider.requests[1]["temperature"] == 0.3
        assert all(most_tokens(one["messages"][0]["content"]) >= 2 for one in provider.requests)


@pytest.mark.parametrize(("fault", "usages"), [(Fault.FAILING, 1), (Fault.DOWN, 1)])
def test_the_first_trouble_ends_the_asking(tmp_path: Path, fault: Fault, usages: int):
    """What was answered before it is kept, and what it cost."""
    with MockOpenAI() as provider:
        ask = asker_of(tmp_path, Event())
        provider._planned.extend([None, fault])
        heard = ask(provider.pin(), [sampled("a", 0), sampled("b", 0), sampled("c", 0)])
        assert (heard.calls, len(heard.answers), len(heard.usages)) == (2, 1, usages)
        assert heard.trouble is not None


def test_an_answer_of_another_version_costs_all_the_same(tmp_path: Path):
    """The trouble carries what the provider counted."""
    with MockOpenAI() as provider:
        heard = asker_of(tmp_path, Event())(provider.pin(version="mock-0"), [sampled("a", 0)])
        assert heard.trouble is not None
        assert heard.trouble.trouble is Trouble.WRONG_MODEL
        assert (len(heard.answers), len(heard.usages)) == (0, 1)


def test_the_end_of_the_process_stops_between_calls(tmp_path: Path):
    """Nothing more is asked, and the books know that nothing was."""
    ended = Event()
    ended.set()
    with MockOpenAI() as provider:
        heard = asker_of(tmp_path, ended)(provider.pin(), [sampled("a", 0)])
    assert (heard.calls, provider.requests) == (0, [])


@pytest.mark.parametrize(
    "listed",
    [None, [], [{"token": "a", "logprob": -1.0}], [{"token": "a"}], [{"token": "a", "logprob": float("nan")}] * 2, [3]],
)
def test_what_is_no_list_of_likely_tokens_is_none(listed: Sequence[object] | None):
    """A provider that lists one token, or none, or something else, lists no log-probabilities."""
    content = {"content": [{"top_logprobs": listed}]} if listed is not None else None
    assert first_logprobs({"choices": [{"logprobs": content, "message": {}}]}) is None


def test_impossible_tokens_have_a_floor():
    """Providers write what is impossible as any very small number; that must not look like a change."""
    listed = [{"token": "a", "logprob": 0.0}, {"token": "b", "logprob": -9999.0}]
    answer = {"choices": [{"logprobs": {"content": [{"top_logprobs": listed}]}, "message": {"content": None}}]}
    assert first_logprobs(answer) == {"a": 0.0, "b": -100.0}
    assert first_token(answer) == ""
