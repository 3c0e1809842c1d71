"""A test one may look at after every outcome: is the share of bad outcomes above what we defend?

Looking 100 times with an ordinary test at 5 % calls 36 % of equal arms different. This one stays valid under
any number of looks, and says beforehand after how many bad outcomes it fires at the latest.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from roadworthy.stats.arrays import Floats, unit

# How much of the capital each bettor stakes, relative to the most he may: covers true means from just
# above m0 (0.4 % of the way to 1) to nearly 1. Sixteen bettors cost at most log 16 of log-wealth.
_STAKES = np.geomspace(0.004, 0.95, 16)
_CHUNK = 4096
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Bets:
    """Evidence that the mean of outcomes in [0, 1] lies above `m0`, as the wealth of a group of bettors.

    Under "mean <= m0" the chance that the wealth ever reaches 1/alpha is at most alpha. `peak` is the
    largest log-wealth after any single outcome so far.

    Source: Waudby-Smith and Ramdas 2023, "Estimating means of bounded random variables by betting", with a
    fixed mixture of stakes in place of a predictable one: so the wealth does not depend on the order of
    outcomes, and `bound` is exact.
    """

    m0: float
    n: int = 0
    total: float = 0.0
    log_wealth: tuple[float, ...] = (0.0,) * len(_STAKES)
    peak: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.m0 < 1:
            raise ValueError(f"m0 must lie strictly between 0 and 1, got {self.m0}")

    @property
    def p_value(self) -> float:
        """Return the anytime-valid p-value of "the mean is at most m0"."""
        return min(1.0, math.exp(-self.peak))

    def rejects(self, alpha: float) -> bool:
        """Return whether the mean is above m0, wrongly so with a chance of at most alpha over all looks."""
        return self.peak >= -math.log(alpha)

    def update(self, outcomes: ArrayLike) -> "Bets":
        """Return the state after further outcomes, shape (n,), each in [0, 1].

        Raises:
            ValueError: an outcome is NaN or outside [0, 1].
        """
        row = unit("outcomes", outcomes)
        wealth, peak = np.asarray(self.log_wealth), self.peak
        for start in range(0, len(row), _CHUNK):
            gains = np.log1p(np.outer(row[start : start + _CHUNK] - self.m0, _STAKES / self.m0))
            path = wealth + np.cumsum(gains, axis=0)
            wealth, peak = path[-1], max(peak, float(_log_mean_exp(path).max()))
        return Bets(self.m0, self.n + len(row), self.total + float(row.sum()), tuple(wealth.tolist()), peak)

    def to_doc(self) -> dict[str, Any]:
        """Return plain builtins that JSON can hold; `from_doc` reads them back."""
        return {**asdict(self), "log_wealth": list(self.log_wealth)}

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> "Bets":
        """Return the state that `to_doc` wrote."""
        fields: dict[str, Any] = {**doc, "log_wealth": tuple(doc["log_wealth"])}
        return cls(**fields)


def bound(m0: float, m1: float = 1.0, alpha: float = 0.05, *, good_before: int = 0) -> int | None:
    """Return N: once N outcomes have come of which a share m1 or more is bad (1), `Bets` has rejected.

    It is certain, whatever the order and also for outcomes between 0 and 1 with that mean, and stays so for
    every larger number. Print it as "fires at the latest at the N-th bad outcome" with m1 = 1.

    Args:
        m0: the mean the test defends.
        m1: the share of bad outcomes.
        alpha: the level at which the test rejects.
        good_before: good outcomes (0) seen before these N.

    None if m1 <= m0 or so close above it that no stake wins.

    Why: with b bad of n, log-wealth is at least logsumexp_j(b g_j - (n - b) l_j) by concavity, with equality
    for outcomes of 0 and 1; for b = m1 n it is convex in n and not above 0 at n = 0, so it crosses once.
    """
    Bets(m0)
    win, lose = np.log1p((1 - m0) * _STAKES / m0), np.log1p(-_STAKES)
    slope, target = m1 * win + (1 - m1) * lose, -math.log(alpha) + _ROUNDING

    def certain(n: int) -> bool:
        return float(_log_mean_exp(good_before * lose + n * slope)) >= target

    if slope.max() <= 0:
        return None
    high = 1
    while not certain(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if certain(middle) else (middle, high)
    return high


def _log_mean_exp(logs: Floats) -> Floats:
    """Return log(mean(exp(logs))) over the last axis without overflow."""
    top = logs.max(axis=-1)
    return top + np.log(np.exp(logs - top[..., None]).mean(axis=-1))
