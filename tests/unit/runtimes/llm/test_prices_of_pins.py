"""What a pin costs, in whole numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from genai_prices import Usage as ListedUsage
from genai_prices import calc_price

from roadworthy.domain.pin import Pin, Price, Provider, Usage
from roadworthy.runtimes.llm.prices import price_of

TODAY = date(2026, 11, 1)
PIN = Pin(name="p", provider=Provider.OPENAI, model="gpt-4o")


def test_the_manifest_has_the_first_word() -> None:
    """A price agreed with a provider holds against any list."""
    stated = Price(input=1, output=2)
    assert price_of(replace(PIN, price=stated), TODAY) is stated


@pytest.mark.parametrize(
    ("provider", "model"), [(Provider.OPENAI, "gpt-4o"), (Provider.ANTHROPIC, "claude-3-5-haiku-latest")]
)
def test_the_bundled_list_gives_the_price_that_its_package_computes(provider: Provider, model: str) -> None:
    """Compiled to whole numbers, a price costs exactly what the list's own arithmetic says."""
    price = price_of(replace(PIN, provider=provider, model=model), TODAY)
    assert price is not None
    usage = Usage(input=1_234, output=567, cached_input=200)
    listed = calc_price(
        ListedUsage(input_tokens=1_234, output_tokens=567, cache_read_tokens=200), model, provider_id=str(provider)
    )
    assert Decimal(price.cost(usage)) / 10**12 == listed.total_price
    assert price.version.startswith("genai-prices ")


def test_of_tiers_the_highest_counts() -> None:
    """A model that is dearer for long inputs is booked at its dearest, so that no bill exceeds what was booked."""
    pin = replace(PIN, provider=Provider.ANTHROPIC, model="claude-sonnet-4-5")
    price = price_of(pin, TODAY)
    assert price is not None
    long = calc_price(ListedUsage(input_tokens=300_000, output_tokens=1000), pin.model, provider_id="anthropic")
    assert Decimal(price.cost(Usage(input=300_000, output=1000))) / 10**12 == long.total_price


def test_a_dearer_hour_counts_for_the_day() -> None:
    """A price that changes with the hour is booked at the dearer one."""
    price = price_of(replace(PIN, url="https://api.deepseek.com", model="deepseek-chat"), TODAY)
    assert price is not None
    assert price.output >= 1_100_000


def test_an_unknown_price_is_none_and_a_local_model_is_free() -> None:
    """Nobody guesses a price; only a model on this machine costs nothing."""
    assert price_of(replace(PIN, model="mock-1"), TODAY) is None
    assert price_of(replace(PIN, url="http://127.0.0.1:9/v1"), TODAY) is None
    local = price_of(replace(PIN, provider=Provider.GGUF, file="m.gguf"), TODAY)
    assert local is not None
    assert local.cost(Usage(input=10**9, output=10**9)) == 0
