"""Bounds of a mean, or of the difference of two arms, that hold at all times: look as often as you like.

`Moments` with `mean_bounds` and `difference_bounds` for any values, asymptotic and tight; `Bernstein` for
values in [0, 1], without approximation and wider. `judge` turns bounds of harm into a rollout's next step.
States are small, frozen and JSON-able.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from roadworthy.stats.arrays import Floats, floats, unit

Step: TypeAlias = Literal["abort", "go on", "wait"]

FEWEST_PER_ARM = 50
_LARGEST_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Bounds:
    """An estimate with bounds valid at all times; each side alone is wrong with a chance of at most alpha."""

    estimate: float
    low: float
    high: float
    n: int
    alpha: float


@dataclass(frozen=True, slots=True)
class Moments:
    """Number, mean and squared deviations of one arm's values; what the asymptotic bounds need."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def update(self, values: ArrayLike) -> "Moments":
        """Return the state after further values, shape (n,).

        Source of the merge: Chan, Golub and LeVeque 1979.

        Raises:
            ValueError: a value is NaN or infinite.
        """
        row = floats("values", values)
        if len(row) == 0:
            return self
        n, mean = self.n + len(row), float(row.mean())
        shift = mean - self.mean
        squares = self.squares + float(np.square(row - mean).sum()) + shift**2 * self.n * len(row) / n
        return Moments(n, self.mean + shift * len(row) / n, squares)

    def to_doc(self) -> dict[str, Any]:
        """Return plain builtins that JSON can hold; `Moments(**doc)` reads them back."""
        return asdict(self)


def mean_bounds(
    arm: Moments, alpha: float = 0.025, *, horizon: int = 2000, prior_variance: float = 0.25
) -> Bounds | None:
    """Return bounds of a mean at all times; None below 50 values.

    Args:
        arm: the values so far.
        alpha: the chance that one side is ever wrong.
        horizon: the n at which the bounds are to be tightest; they hold at every n.
        prior_variance: one value's worth of spread added, so that no errors yet are not taken for none ever;
            0.25 suits values in [0, 1], use the unit's own for others.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, "Time-uniform central limit theory and
    asymptotic confidence sequences".
    """
    if arm.n < FEWEST_PER_ARM:
        return None
    half = float(asymptotic_radius(arm.n, (arm.squares + prior_variance) / arm.n, alpha, horizon))
    return Bounds(arm.mean, arm.mean - half, arm.mean + half, arm.n, alpha)


def difference_bounds(
    challenger: Moments,
    champion: Moments,
    alpha: float = 0.025,
    *,
    horizon: int = 4000,
    prior_variance: float = 0.25,
) -> Bounds | None:
    """Return bounds of (challenger's mean - champion's mean) at all times; None below 50 values in an arm.

    Arguments and source as `mean_bounds`; `horizon` counts both arms. The arms must be assigned at random
    (sticky hashes are), the means may drift as long as they drift in both.
    """
    if min(challenger.n, champion.n) < FEWEST_PER_ARM:
        return None
    n = challenger.n + champion.n
    squared_error = sum((arm.squares + prior_variance) / arm.n**2 for arm in (challenger, champion))
    half = float(asymptotic_radius(n, n * squared_error, alpha, horizon))
    estimate = challenger.mean - champion.mean
    return Bounds(estimate, estimate - half, estimate + half, n, alpha)


def asymptotic_radius(n: ArrayLike, variance: ArrayLike, alpha: float, horizon: int) -> Floats:
    """Return half the width of a one-sided-alpha asymptotic confidence sequence after n values.

    Args:
        n: numbers of values, any shape.
        variance: of one value, same shape.
        alpha: the chance that this side is ever wrong.
        horizon: the n at which it is to be tightest.
    """
    counts, spread = np.asarray(n, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    tail = -2 * math.log(min(0.5, 2 * alpha))
    rho_squared = (tail + math.log(tail + 1)) / horizon
    inner = counts * rho_squared + 1
    return np.sqrt(spread * 2 * inner / (counts**2 * rho_squared) * np.log1p(np.sqrt(inner) / (2 * alpha)))


@dataclass(frozen=True, slots=True)
class Bernstein:
    """Bounds of a mean of values in [0, 1] at all times, without any approximation; wider than `Moments`'.

    Source: Waudby-Smith and Ramdas 2023, the predictable plug-in empirical-Bernstein confidence sequence.
    """

    alpha: float = 0.025
    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    weight: float = 0.0
    weighted: float = 0.0
    penalty: float = 0.0

    def update(self, values: ArrayLike) -> "Bernstein":
        """Return the state after further values, shape (n,), each in [0, 1]; batching does not matter.

        Raises:
            ValueError: a value is NaN or outside [0, 1].
        """
        row = unit("values", values)
        if len(row) == 0:
            return self
        t = self.n + np.arange(1, len(row) + 1)
        sums = self.total + np.cumsum(row)
        after, before = (0.5 + sums) / (t + 1), (0.5 + sums - row) / t
        deviations = np.square(row - after)
        squares = self.squares + np.cumsum(deviations)
        variance = (0.25 + squares - deviations) / t
        stakes = np.minimum(_LARGEST_WEIGHT, np.sqrt(-2 * math.log(self.alpha) / (variance * t * np.log1p(t))))
        penalty = float((np.square(row - before) * (-np.log1p(-stakes) - stakes)).sum())
        return Bernstein(
            self.alpha,
            int(t[-1]),
            float(sums[-1]),
            float(squares[-1]),
            self.weight + float(stakes.sum()),
            self.weighted + float((stakes * row).sum()),
            self.penalty + penalty,
        )

    def bounds(self) -> Bounds | None:
        """Return the bounds now, or None before the first value."""
        if self.n == 0:
            return None
        middle, half = self.weighted / self.weight, (self.penalty - math.log(self.alpha)) / self.weight
        return Bounds(middle, max(0.0, middle - half), min(1.0, middle + half), self.n, self.alpha)

    def to_doc(self) -> dict[str, Any]:
        """Return plain builtins that JSON can hold; `Bernstein(**doc)` reads them back."""
        return asdict(self)


def strict_difference_bounds(challenger: Bernstein, champion: Bernstein) -> Bounds | None:
    """Return bounds of (challenger's mean - champion's mean) without approximation; None before both have values.

    Each side is wrong with a chance of at most the sum of both arms' alpha (start each at half of it).
    """
    a, b = challenger.bounds(), champion.bounds()
    if a is None or b is None:
        return None
    return Bounds(a.estimate - b.estimate, a.low - b.high, a.high - b.low, a.n + b.n, a.alpha + b.alpha)


def judge(harm: Bounds | None, margin: float) -> Step:
    """Return what a rollout does about a guardrail where higher is worse.

    Harm is certain (lower bound above 0): abort. Harm beyond the margin is excluded: go on. Otherwise wait.
    """
    if harm is None:
        return "wait"
    if harm.low > 0:
        return "abort"
    return "go on" if harm.high < margin else "wait"
