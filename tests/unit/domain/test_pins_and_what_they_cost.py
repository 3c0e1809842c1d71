"""Pins: usage adds up, prices are exact, and terms fill in what a release leaves blank."""

from __future__ import annotations

import pytest

from roadworthy.domain.pin import PICO, Pin, PinTerms, Price, Provider, Usage, micros

PIN = Pin(name="main", provider=Provider.OPENAI, model="big", url="https://api.example.com/v1")
PRICE = Price(input=1_000_000, output=4_000_000, cached_input=250_000, per_call=7)


@pytest.mark.parametrize(
    ("first", "second", "guessed"), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_the_usage_of_two_calls_adds_up_and_stays_an_estimate_if_either_is(first, second, guessed):
    """A sum is counted by the provider only where each of its parts is."""
    total = Usage(input=10, output=3, cached_input=4, is_estimate=first) + Usage(
        input=5, output=2, cached_input=1, is_estimate=second
    )
    assert total == Usage(input=15, output=5, cached_input=5, is_estimate=guessed)


def test_calls_cost_together_what_each_costs_alone():
    """Money is exact: adding usages up and adding costs up differ by the price per call alone."""
    one, other = Usage(input=10, output=3, cached_input=4), Usage(input=5, output=2)
    assert PRICE.cost(one) == 7 + 6 * 1_000_000 + 4 * 250_000 + 3 * 4_000_000
    assert PRICE.cost(one + other) == PRICE.cost(one) + PRICE.cost(other) - PRICE.per_call


def test_what_is_reserved_covers_what_a_call_can_cost():
    """The dearest kind of input token is assumed until the usage is known."""
    dear = Price(input=1, output=2, cached_input=9)
    assert dear.at_most(10, 5) == 100 >= dear.cost(Usage(input=10, output=5, cached_input=10))


def test_a_pin_takes_its_terms_and_keeps_its_name():
    """A new price or key is policy: what answers, and so the pin's id, stays."""
    terms = PinTerms(
        name="main", key="env:BIG_KEY", price=PRICE, allows=("pii",), masks=False, region="eu", lookup=True
    )
    pin = PIN.under(terms)
    assert (pin.key, pin.price, pin.allows, pin.masks, pin.region, pin.lookup) == (
        "env:BIG_KEY", PRICE, ("pii",), False, "eu", True,
    )  # fmt: skip
    assert pin.id == PIN.id


def test_a_pin_without_terms_has_no_key_and_no_known_price():
    """Nothing is made up for a pin that the policy does not know."""
    assert PIN.under(None) == PIN
    assert (PIN.under(None).key, PIN.under(None).price) == ("", None)


def test_only_a_model_file_keeps_what_is_sent_on_this_machine():
    """A provider at any address counts as elsewhere."""
    assert Pin(name="local", provider=Provider.GGUF, model="small", file="small.gguf").is_local
    assert not PIN.is_local


@pytest.mark.parametrize(("picos", "whole"), [(0, 0), (1, 1), (PICO, 1), (PICO + 1, 2)])
def test_nothing_that_cost_something_reads_as_free(picos, whole):
    """Picounits are rounded up to micro-units."""
    assert micros(picos) == whole
