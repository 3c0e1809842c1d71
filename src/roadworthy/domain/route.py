"""Routes: which release answers, with what share, and what answers while it is unwell."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from roadworthy.domain.digest import Digest
from roadworthy.domain.moment import Micros

_BUCKETS: Final = 1 << 32
_TOLERANCE: Final = 1e-9


class ArmRole(StrEnum):
    """The champion serves; the challenger is under trial."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A release's part of a route."""

    role: ArmRole
    release: Digest
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A release that sees a sample of the requests; its answers are recorded, never returned."""

    release: Digest
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Shares sum to 1. `fallback` is tried in order; `last_good` always loads. `stopped` answers 503, on purpose.

    `degraded_by` is set while the failure plan has put the fallback in front of the champion. `restored_at` is when a
    person put the champion back in front, 0 where nobody had to: what was seen before that is judged no more.

    Raises:
        ValueError: the shares do not sum to 1, or there is not exactly one champion.
    """

    system: str
    environment: str = "live"
    version: int = 0
    arms: tuple[Arm, ...] = ()
    shadow: Shadow | None = None
    fallback: tuple[Digest, ...] = ()
    last_good: Digest = ""
    stopped: bool = False
    stopped_for: str = ""
    degraded_by: str = ""
    restored_at: Micros = 0

    def __post_init__(self) -> None:
        """Refuse a route that would lose or double traffic."""
        if abs(sum(arm.share for arm in self.arms) - 1.0) > _TOLERANCE:
            raise ValueError("the shares of a route must sum to 1")
        if sum(arm.role is ArmRole.CHAMPION for arm in self.arms) != 1:
            raise ValueError("a route has exactly one champion")
        if any(arm.share < 0 for arm in self.arms):
            raise ValueError("a share must not be negative")

    @property
    def champion(self) -> Digest:
        """Name the release that serves."""
        return next(arm.release for arm in self.arms if arm.role is ArmRole.CHAMPION)

    @property
    def challenger(self) -> Digest:
        """Name the release under trial, or nothing."""
        return next((arm.release for arm in self.arms if arm.role is ArmRole.CHALLENGER), "")

    @property
    def releases(self) -> tuple[Digest, ...]:
        """Name every release that must stay loaded while this route is in force, without repeats."""
        named = [arm.release for arm in self.arms] + list(self.fallback) + [self.last_good]
        if self.shadow:
            named.append(self.shadow.release)
        return tuple(dict.fromkeys(name for name in named if name))


def bucket(salt: str, key: str) -> float:
    """Place a key in [0, 1), the same place every time for one salt (the system's name)."""
    raw = hashlib.blake2b(f"{salt}\x00{key}".encode(), digest_size=4).digest()
    return int.from_bytes(raw, "big") / _BUCKETS


def choose(route: Route, place: float) -> Arm:
    """Choose the arm for a place in [0, 1). Challengers sit at the low end, so a growing canary only adds keys."""
    edge = 0.0
    champion = route.arms[0]
    for arm in route.arms:
        if arm.role is ArmRole.CHAMPION:
            champion = arm
            continue
        edge += arm.share
        if place < edge:
            return arm
    return champion
