"""Units, read once: `50ms 5m 26h 7d`, `2%`, `1000 EUR`, `1MB`; and spelled again the way people wrote them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from roadworthy.domain.budget import Budget, Period, Whose
from roadworthy.domain.moment import DAY, HOUR, MILLISECOND, MINUTE, SECOND, Micros, spell_duration

_DURATIONS: Final[dict[str, Micros]] = {
    "us": 1,
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
    "d": DAY,
}
_SIZES: Final = {"B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2}
LONGEST: Final[Micros] = 36_500 * DAY
_LARGEST_SIZE: Final = 1 << 40
_MOST_MONEY: Final = 10**12
_MICRO: Final = 1_000_000
_NUMBER: Final = r"([0-9]{1,18}(?:\.[0-9]{1,9})?)"
_DURATION: Final = re.compile(_NUMBER + r"\s*(us|ms|s|m|h|d)")
_PERCENT: Final = re.compile(_NUMBER + r"\s*%")
_PLAIN: Final = re.compile(_NUMBER)
_MONEY: Final = re.compile(_NUMBER + r"\s*([A-Z]{3})")
_BUDGET: Final = re.compile(r"(.{1,40}?)\s+per\s+(hour|day|month)(?:\s+per\s+(key|team))?")
_SIZE: Final = re.compile(_NUMBER + r"\s*(B|kB|KB|MB|GB|KiB|MiB)")


class UnitError(ValueError):
    """A text is not the quantity it should be; the message shows how it is written."""


def duration(value: object) -> Micros:
    """Read a duration with its unit into microseconds.

    Raises:
        UnitError: there is no unit, or it is not a whole number of microseconds within a hundred years.
    """
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise UnitError(f"'{str(value)[:40]}' is not a duration; write it with its unit, such as 50ms, 5m, 26h or 7d")
    exact = Decimal(match[1]) * _DURATIONS[match[2]]
    if exact != int(exact) or exact > LONGEST:
        raise UnitError(f"'{value}' is not a whole number of microseconds within a hundred years")
    return int(exact)


def share(value: object) -> float:
    """Read a part of a whole, `2%` or 0.02, into [0, 1].

    Raises:
        UnitError: it is neither, or lies outside.
    """
    part: float | None = None
    if isinstance(value, str):
        percent, plain = _PERCENT.fullmatch(value.strip()), _PLAIN.fullmatch(value.strip())
        part = float(Decimal(percent[1]) / 100) if percent else float(plain[1]) if plain else None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        part = float(value)
    if part is None or not 0 <= part <= 1:
        raise UnitError(f"'{str(value)[:40]}' is not a share; write it as 2% or 0.02")
    return part


def money(value: object) -> tuple[int, str]:
    """Read an amount with its currency into micro-units: `1000 EUR`.

    Raises:
        UnitError: amount or currency is missing, or too large.
    """
    match = _MONEY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise UnitError(f"'{str(value)[:40]}' is not an amount; write it with its currency, such as 1000 EUR")
    exact = Decimal(match[1]) * _MICRO
    if exact != int(exact) or Decimal(match[1]) > _MOST_MONEY:
        raise UnitError(f"'{value}' is not a whole number of micro-units up to {_MOST_MONEY:,}")
    return int(exact), match[2]


def budget(value: object) -> Budget:
    """Read a cap on spending: `20 USD per day`, `1 USD per day per key`, `50 EUR per month per team`.

    Raises:
        UnitError: it is not an amount in a period.
    """
    match = _BUDGET.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise UnitError(f"'{str(value)[:40]}' is not a budget; write it as 20 USD per day, or 1 USD per day per key")
    micros, currency = money(match[1])
    return Budget(
        limit_micros=micros, currency=currency, period=Period(match[2]), whose=Whose(match[3] or Whose.SYSTEM.value)
    )


def spell_budget(cap: Budget) -> str:
    """Write a budget as people do."""
    tail = "" if cap.whose is Whose.SYSTEM else f" per {cap.whose}"
    return f"{spell_money(cap.limit_micros, cap.currency)} per {cap.period}{tail}"


def size(value: object) -> int:
    """Read a number of bytes: `1MB`, `64KiB`, 65536.

    Raises:
        UnitError: it is neither, or not a whole number of bytes up to 1 TiB.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST_SIZE:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise UnitError(f"'{str(value)[:40]}' is not a size; write it as 1MB, 64KiB or a number of bytes")
    exact = Decimal(match[1]) * _SIZES[match[2]]
    if exact != int(exact) or not 0 < exact <= _LARGEST_SIZE:
        raise UnitError(f"'{value}' is not a whole number of bytes up to 1 TiB")
    return int(exact)


def spell_number(number: float) -> str:
    """Write a number in the fewest digits that read back to the same number."""
    whole = float(number)
    return str(int(whole)) if whole.is_integer() and abs(whole) < 1e15 else repr(whole)  # noqa: PLR2004 (exact there)


def spell_share(part: float) -> str:
    """Write a share as a percentage where that is exact, else as a number."""
    percent = Decimal(repr(part)) * 100
    text = f"{percent.normalize():f}%"
    return text if _PERCENT.fullmatch(text) and share(text) == part else repr(part)


def spell_money(micros: int, currency: str) -> str:
    """Write an amount with its currency."""
    exact = (Decimal(micros) / _MICRO).normalize()
    return f"{exact:f} {currency}"


def spell_size(count: int) -> str:
    """Write a number of bytes with the largest unit that is exact."""
    for unit in ("GB", "MiB", "MB", "KiB", "kB"):
        if count % _SIZES[unit] == 0:
            return f"{count // _SIZES[unit]}{unit}"
    return f"{count}B"


__all__ = [
    "LONGEST",
    "UnitError",
    "duration",
    "money",
    "share",
    "size",
    "spell_duration",
    "spell_money",
    "spell_number",
    "spell_share",
    "spell_size",
]
