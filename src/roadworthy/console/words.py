"""How times, numbers and states read: the filters of the templates, and the JSON twins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

import msgspec
from markupsafe import Markup
from starlette.responses import Response

from roadworthy.domain.digest import short
from roadworthy.domain.moment import DAY, HOUR, MINUTE, SECOND, Micros, iso, spell_duration

_TO_JSON: Final = msgspec.json.Encoder(order="deterministic")
_MOSTLY_SMALL: Final = 1e-3


def json_answer(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a view, a noun or builtins as JSON. Times are int64 µs UTC."""
    return Response(_TO_JSON.encode(data) + b"\n", status, headers=headers, media_type="application/json")


def moment(at: Micros | None) -> Markup:
    """Write a time to the second as people read it, with the exact one for machines; nothing for none."""
    if not at:
        return Markup("-")
    exact = iso(at)
    return Markup('<time datetime="{}">{}</time>').format(exact, exact[:19].replace("T", " "))


def clock(at: Micros, now: Micros) -> Markup:
    """Write a time as short as it is clear: the hour of today, else the day too; the exact one for machines."""
    exact = iso(at)
    shown = exact[11:16] if at // DAY == now // DAY else f"{exact[5:10]} {exact[11:16]}"
    return Markup('<time datetime="{}">{}</time>').format(exact, shown)


def sentence(text: str) -> str:
    """Begin a text with a capital and end it with one full stop."""
    # `p99` and `flights@v2` are names; they keep their spelling.
    first = text[:1].upper() if text.partition(" ")[0].rstrip(":,").isalpha() else text[:1]
    return f"{first}{text[1:].rstrip('.')}." if text else ""


def ago(at: Micros | None, now: Micros) -> str:
    """Write how long ago something was, or how long until: `3 min ago`, `in 2 d`."""
    if not at:
        return "never"
    span = spell_span(abs(now - at))
    return f"in {span}" if at > now else f"{span} ago"


def spell_span(span: Micros) -> str:
    """Write a duration with one unit, rounded down: `48 s`, `3 min`, `5 h`, `12 d`."""
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if span >= 2 * size or (span >= size and size == DAY):
            return f"{span // size} {unit}"
    return f"{span // SECOND} s"


def figure(value: object) -> str:
    """Write a measured number in four significant digits, anything else as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if not value or _MOSTLY_SMALL <= abs(value) < 1e6:  # noqa: PLR2004
            return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"  # noqa: PLR2004
        return f"{value:.3g}"
    return "-" if value is None else str(value)


def measured(value: float | None, unit: str) -> str:
    """Write a signal's value with its unit: `12.3 ms`, `1.4 %`, `42 /min`."""
    return "no data" if value is None else _SPELLED.get(unit, _plain)(value)


def _plain(value: float) -> str:
    return f"{value:.3f}"


def _milliseconds(value: float) -> str:
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"  # noqa: PLR2004


def _a_minute(value: float) -> str:
    return f"{value * 60:,.0f} /min"


def _tokens(value: float) -> str:
    return f"{value:,.0f} tokens"


def money(value: float) -> str:
    """Write an amount in three significant digits, never with an exponent: `0.000096`, `12.5`."""
    return f"{Decimal(f'{value:.3g}'):f}"


def percent(share: float) -> str:
    """Write a share: `75 %`, `2.5 %`, `0.39 %`."""
    of_hundred = share * 100
    digits = 2 if 0 < abs(of_hundred) < 1 else 1
    return f"{of_hundred:.{digits}f}".removesuffix(".0") + " %"


_SPELLED: Final[Mapping[str, Callable[[float], str]]] = {
    "share": percent,
    "ms": _milliseconds,
    "1/s": _a_minute,
    "tokens": _tokens,
    "money": money,
}

FILTERS: Final = {
    "ago": ago,
    "clock": clock,
    "duration": spell_duration,
    "figure": figure,
    "iso": iso,
    "measured": measured,
    "moment": moment,
    "money": money,
    "percent": percent,
    "sentence": sentence,
    "short": short,
    "span": spell_span,
}
