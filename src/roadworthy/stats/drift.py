"""Has a feature moved from its reference? Five channels on counts, each with its own threshold.

What matters is the baseline and the threshold, not the test: with enough rows a p-value sees every season,
with few rows a fixed distance fires on noise. So a channel alarms only if its value is above a practical
floor, above what chance explains at these sample sizes, and above what past clean windows did.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from roadworthy.stats.counts import Counts
from roadworthy.stats.distances import LEAST_EXPECTED, distances, grouped, null_tail, null_threshold
from roadworthy.stats.tails import binomial_tail, normal_quantile, normal_tail

Channel: TypeAlias = Literal["shape", "nulls", "unseen", "out_of_contract", "modal_share"]

FEWEST_PAST = 3
_EXACT_UP_TO = 500


@dataclass(frozen=True, slots=True)
class Floors:
    """The smallest change of each channel that is worth an alarm, whatever its certainty.

    `shape` is a Jensen-Shannon distance (0 to 1); the others are differences of shares.
    """

    shape: float = 0.1
    nulls: float = 0.02
    unseen: float = 0.01
    out_of_contract: float = 0.01
    modal_share: float = 0.1


@dataclass(frozen=True, slots=True)
class ChannelResult:
    """What one channel of one feature says about a window.

    `value` is None where there is no data. `n` is the number of values it rests on, `observed` and
    `expected` the shares in window and reference that a person wants to read (of the shape: None).
    `alarm` is a candidate only; `drifted` decides over all features and channels together.
    """

    feature: str
    channel: Channel
    value: float | None
    threshold: float
    p_value: float
    n: int
    alarm: bool
    observed: float | None = None
    expected: float | None = None


@dataclass(frozen=True, slots=True)
class _Rate:
    """How a share is read from counts (hits, of how many), and which direction counts as worse.

    `missed` are hits that the reference cannot show of itself but would have, see `_never_again`.
    """

    channel: Channel
    read: Callable[[Counts], tuple[int, int]]
    two_sided: bool = False
    missed: Callable[[Counts], int] = lambda _: 0


def _never_again(reference: Counts) -> int:
    """Return how many of its values the reference would have called unseen, had it not seen them itself.

    A reference has no unseen value by construction, but the next window of the same kind has some: as many,
    per row, as the reference has categories seen once (Good 1953), or two ends of its range.
    """
    return reference.histogram.count(1) + 2


_RATES = (
    # Fewer nulls are a change as well: someone fills them in upstream.
    _Rate("nulls", lambda counts: (counts.nulls, counts.total), two_sided=True),
    _Rate("unseen", lambda counts: (counts.unseen, counts.present), missed=_never_again),
    _Rate("out_of_contract", lambda counts: (counts.out_of_contract, counts.total)),
)


def compare(
    window: Counts,
    reference: Counts,
    past: Sequence[Counts] = (),
    *,
    floors: Floors = Floors(),
    alpha: float = 0.001,
) -> tuple[ChannelResult, ...]:
    """Compare one feature's window with its reference, on every channel.

    Args:
        window: counts of the span looked at.
        reference: counts over the same bins.
        past: counts of earlier clean windows; with 3 or more, their mean + 3 sd is a threshold too.
        floors: the smallest changes worth an alarm.
        alpha: how often chance alone may pass the threshold of one channel.

    Raises:
        ValueError: the counts were made over different bins.
    """
    for other in (reference, *past):
        if other.bins != window.bins:
            raise ValueError(f"counts of {window.feature!r} and {other.feature!r} were made over different bins")
    shape = _compare_shape(window, reference, past, floors.shape, alpha)
    rates = [
        _compare_rate(rate, window, reference, past, floor=getattr(floors, rate.channel), alpha=alpha)
        for rate in _RATES
    ]
    return (shape, *rates, _compare_modal_share(window, reference, past, floors.modal_share, alpha))


def drifted(results: Sequence[ChannelResult], *, fdr: float = 0.01) -> tuple[ChannelResult, ...]:
    """Return the alarms that stay when all features and channels are looked at together.

    Args:
        results: of every feature of one window.
        fdr: expected share of false alarms among those returned; where nothing moved, the chance of any.
    """
    known = [result for result in results if result.value is not None]
    kept = false_discoveries([result.p_value for result in known], fdr)
    return tuple(result for result, keep in zip(known, kept, strict=True) if keep and result.alarm)


def false_discoveries(p_values: Sequence[float], fdr: float) -> tuple[bool, ...]:
    """Return for each hypothesis whether it is rejected with the false discovery rate held at `fdr`.

    Source: Benjamini and Hochberg 1995; holds under the positive dependence that channels of related
    features show (Benjamini and Yekutieli 2001).
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    passing = np.flatnonzero(p[order] <= fdr * np.arange(1, len(p) + 1) / max(1, len(p)))
    rejected = np.zeros(len(p), dtype=np.bool_)
    rejected[order[: passing[-1] + 1 if len(passing) else 0]] = True
    return tuple(rejected.tolist())


def rate_p_value(hits: int, n: int, reference_hits: int, m: int, *, two_sided: bool = False) -> float:
    """Return the chance of a share at least this far above (or off) the reference's, if both are one share.

    Few hits: exact, given their sum (a binomial tail; conservative for shares that are not small). Many:
    the pooled two-proportion z test.

    Args:
        hits: in the window of `n`.
        n: at least 1.
        reference_hits: in the reference of `m`.
        m: at least 1.
        two_sided: whether a fall counts as well.
    """
    both = hits + reference_hits
    if both <= _EXACT_UP_TO:
        share = n / (n + m)
        above, below = binomial_tail(hits, both, share), binomial_tail(reference_hits, both, 1 - share)
    else:
        pooled = both / (n + m)
        spread = math.sqrt(max(pooled * (1 - pooled) * (1 / n + 1 / m), 1e-300))
        z = (hits / n - reference_hits / m) / spread
        above, below = normal_tail(z), normal_tail(-z)
    return min(1.0, 2 * min(above, below)) if two_sided else above


def _compare_shape(
    window: Counts, reference: Counts, past: Sequence[Counts], floor: float, alpha: float
) -> ChannelResult:
    n, m = window.present, reference.present
    if min(n, m) < 2 * LEAST_EXPECTED:  # not even two bins could be told apart
        return ChannelResult(window.feature, "shape", None, floor, 1.0, n, alarm=False)
    rows = np.array([window.histogram, *(w.histogram for w in past if w.present)], dtype=np.float64)
    against = np.array(reference.histogram, dtype=np.float64)
    rows, against = grouped(rows, against, min(n, m) / (n + m), ordered=window.kind == "numeric")
    value, *earlier = distances(rows, against).tolist()
    pooled = (rows[0] + against)[rows[0] + against > 0]
    used, rarity = len(pooled), float(((n + m) / pooled).mean())
    threshold = max(floor, null_threshold(n, m, used, alpha, rarity=rarity), _usual(earlier))
    p_value = null_tail(value, n, m, used, rarity=rarity)
    return ChannelResult(window.feature, "shape", value, threshold, p_value, n, alarm=value > threshold)


def _compare_rate(
    rate: _Rate, window: Counts, reference: Counts, past: Sequence[Counts], *, floor: float, alpha: float
) -> ChannelResult:
    (hits, n), (reference_hits, m) = rate.read(window), rate.read(reference)
    if n == 0 or m == 0:
        return ChannelResult(window.feature, rate.channel, None, floor, 1.0, n, alarm=False)
    expected = reference_hits / m

    def change(part: Counts) -> float:
        x, of = rate.read(part)
        return abs(x / of - expected) if rate.two_sided else x / of - expected

    usual_hits = min(m, reference_hits + rate.missed(reference))
    p_value = rate_p_value(hits, n, usual_hits, m, two_sided=rate.two_sided)
    chance = _rate_quantile(usual_hits, n, m, alpha / 2 if rate.two_sided else alpha)
    threshold = max(floor, chance, _usual([change(part) for part in past if rate.read(part)[1]]))
    value = change(window)
    alarm = value > threshold and p_value <= alpha
    return ChannelResult(window.feature, rate.channel, value, threshold, p_value, n, alarm, hits / n, expected)


def _compare_modal_share(
    window: Counts, reference: Counts, past: Sequence[Counts], floor: float, alpha: float
) -> ChannelResult:
    """How much more of the window than of the reference sits in the window's fullest bin."""
    n, m = window.present, reference.present
    if n == 0 or m == 0:
        return ChannelResult(window.feature, "modal_share", None, floor, 1.0, n, alarm=False)

    def rise(part: Counts) -> float:
        place = part.histogram.index(max(part.histogram))
        return part.modal_share - reference.histogram[place] / m

    fullest = max(window.histogram)
    there = reference.histogram[window.histogram.index(fullest)]
    # The fullest bin was chosen after looking, so each bin counts as a test of its own.
    tests = len(window.histogram)
    p_value = min(1.0, tests * rate_p_value(fullest, n, there, m))
    chance = _rate_quantile(there, n, m, alpha / tests)
    threshold = max(floor, chance, _usual([rise(part) for part in past if part.present]))
    value = rise(window)
    alarm = value > threshold and p_value <= alpha
    return ChannelResult(window.feature, "modal_share", value, threshold, p_value, n, alarm, fullest / n, there / m)


def _rate_quantile(reference_hits: int, n: int, m: int, alpha: float) -> float:
    """Return the change of a share that chance exceeds with probability alpha, by the normal approximation."""
    share = (reference_hits + 1) / (m + 2)
    return normal_quantile(1 - alpha) * math.sqrt(share * (1 - share) * (1 / n + 1 / m))


def _usual(earlier: Sequence[float]) -> float:
    """Return mean + 3 sd of what past clean windows showed, or 0 if they are too few to say."""
    if len(earlier) < FEWEST_PAST:
        return 0.0
    values = np.asarray(earlier, dtype=np.float64)
    return float(values.mean() + 3 * values.std(ddof=1))
