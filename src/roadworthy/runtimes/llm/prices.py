"""What a pin's tokens cost: as its manifest says, else as the bundled price list of `genai-prices` says.

Compiled once a pin to whole numbers, since a look-up in the list costs about a millisecond. No network is used: the
list is as old as the installed package, whose version is the price's.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final, cast

from roadworthy.domain.pin import Pin, Price, Provider

_MICRO: Final = 1_000_000
_PICO_A_CALL: Final = 10**9
"""Picounits a call for one currency unit a thousand calls."""
FREE: Final = Price(input=0, output=0, version="local")


def price_of(pin: Pin, today: date) -> Price | None:
    """Return what a pin's tokens cost, or None where nobody says.

    Where a model has tiers (by length of the input) or hours of the day, the highest price counts: what is reserved
    and booked is then never less than the bill. Prices of batch or priority processing are left aside.
    """
    if pin.price is not None:
        return pin.price
    if pin.provider is Provider.GGUF:
        return FREE
    try:
        import genai_prices
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        return None
    listed: Any = get_snapshot()
    place = {"provider_api_url": pin.url, "provider_id": None} if pin.url else {"provider_id": str(pin.provider)}
    for name in (pin.model, pin.version):
        try:
            _, model = listed.find_provider_model(name, None, place["provider_id"], place.get("provider_api_url"))
        except LookupError:
            continue
        return _compiled(_in_force(model.prices, today), f"genai-prices {genai_prices.__version__}")
    return None


def _in_force(prices: Any, today: date) -> list[Any]:
    """Return the price sets that may hold on a day: the newest that has begun, and those of hours laid over it."""
    if not isinstance(prices, list):
        return [prices]
    found: list[Any] = []
    conditional = cast("list[Any]", prices)
    for entry in reversed(conditional):
        start: date | None = getattr(entry.constraint, "start_date", None)
        if start is not None and start > today:
            continue
        found.append(entry.prices)
        if entry.constraint is None or start is not None:
            break
    return found or [conditional[0].prices]


def _compiled(prices: Iterable[Any], version: str) -> Price | None:
    sets = list(prices)
    given, made = _dearest(sets, "input_mtok"), _dearest(sets, "output_mtok")
    if given is None and made is None:
        return None
    cached, per_call = _dearest(sets, "cache_read_mtok"), _dearest(sets, "requests_kcount")
    return Price(
        input=_whole(given or Decimal(0), _MICRO),
        output=_whole(made or Decimal(0), _MICRO),
        cached_input=None if cached is None else _whole(cached, _MICRO),
        per_call=_whole(per_call or Decimal(0), _PICO_A_CALL),
        version=version,
    )


def _dearest(sets: Iterable[Any], name: str) -> Decimal | None:
    stated = [value for one in sets if (value := getattr(one, name, None)) is not None]
    flat: list[Decimal] = []
    for value in stated:
        flat += [value] if isinstance(value, Decimal) else [value.base, *(tier.price for tier in value.tiers)]
    return max(flat, default=None)


def _whole(amount: Decimal, factor: int) -> int:
    return int((amount * factor).to_integral_value(rounding=ROUND_CEILING))
