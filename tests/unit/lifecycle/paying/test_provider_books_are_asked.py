"""A provider's books are asked for a call by our own name of it."""

import asyncio

import pytest

from paying_kit import PRICE
from providers_kit import MockOpenAI
from roadworthy.domain.open_call import OpenCall
from roadworthy.errors import UnavailableError
from roadworthy.lifecycle.provider_books import books_of
from roadworthy.runtimes.llm.openai import OpenAIModel, tagged


@pytest.fixture(scope="module")
def provider():
    """A provider that keeps books."""
    with MockOpenAI() as served:
        yield served


def call_of(provider, record):
    """A call under way at the provider."""
    return OpenCall(
        record=record, attempt=2, system="chat", environment="live", release="r", pin="mock", provider="openai",
        model="mock-1", price=PRICE, opened_at=1, url=provider.url, lookup=True,
    )  # fmt: skip


def ask_for_real(provider, call):
    """Make the call as a gateway does, and return its usage."""
    pin = provider.pin(lookup=True)

    async def complete():
        model = OpenAIModel(pin, lambda _: "")
        request = {"messages": [{"role": "user", "content": "how far is it"}], "metadata": {"mine": "1"}}
        found = await model.complete(tagged(pin, request, call.id), 20.0)
        await model.close()
        return found.usage

    return asyncio.run(complete())


def test_a_call_is_found_by_the_name_it_was_sent_with(provider, tmp_path):
    """Its answer may never have come."""
    call = call_of(provider, "a" * 32)
    usage = ask_for_real(provider, call)
    assert books_of(tmp_path)(call) == usage
    assert provider.requests[-1]["metadata"] == {"mine": "1", "roadworthy": call.id}


def test_another_attempt_of_the_same_record_is_another_call(provider, tmp_path):
    """Each attempt is billed by itself."""
    call = call_of(provider, "b" * 32)
    ask_for_real(provider, call)
    assert books_of(tmp_path)(call._replace(attempt=3)) is None


def test_books_that_do_not_answer_say_so(tmp_path):
    """Then the settler waits."""
    with MockOpenAI() as provider:
        call = call_of(provider, "c" * 32)
        provider.stop()
        with pytest.raises(UnavailableError, match="do not answer"):
            books_of(tmp_path)(call)


def test_a_pin_without_books_is_sent_no_name(provider):
    """The request stays as it is; a provider that keeps nothing may refuse metadata."""
    request = {"messages": []}
    assert tagged(provider.pin(), request, "x") is request
