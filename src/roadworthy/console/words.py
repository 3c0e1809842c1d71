"""How times, numbers and states read: the filters of the templates, and the JSON twins."""

from __future__ import annotations

from collections.abc import Mapping
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
    if value is None:
        return "no data"
    if unit == "share":
        return f"{value * 100:.3g} %"
    if unit == "ms":
        return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"  # noqa: PLR2004
    if unit == "1/s":
        return f"{value * 60:,.0f} /min"
    return f"{value:.3f}"


def percent(share: float) -> str:
    """Write a share: `75 %`, `2.5 %`."""
    return f"{share * 100:.3g} %"


FILTERS: Final = {
    "ago": ago,
    "duration": spell_duration,
    "figure": figure,
    "iso": iso,
    "measured": measured,
    "moment": moment,
    "percent": percent,
    "short": short,
    "span": spell_span,
}
