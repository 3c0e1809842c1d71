"""How far apart are two histograms, and how far may chance alone put them?"""

import math
from collections.abc import Sequence

import numpy as np

from roadworthy.stats.arrays import Floats
from roadworthy.stats.tails import chi_square_quantile, chi_square_tail

LEAST_EXPECTED = 10.0
FEWEST_BINS = 2
_PER_DIVERGENCE = 8 * math.log(2)


def jensen_shannon(window: Sequence[int], reference: Sequence[int]) -> float:
    """Return the Jensen-Shannon distance of two histograms: 0 equal, 1 disjoint (base 2, square root).

    Raises:
        ValueError: a histogram is empty or they differ in length.

    Source: Endres and Schindelin 2003, "A new metric for probability distributions".
    """
    rows, against = _histograms(window, reference)
    return float(distances(rows[None, :], against)[0])


def population_stability(window: Sequence[int], reference: Sequence[int]) -> float:
    """Return the population stability index of two histograms: 0 equal, above 0.25 by custom "moved".

    Half a count is added to each bin, so that an empty bin stays finite. It fires on most clean windows
    of 50 rows: report it where people ask for it, alarm on `compare`.

    Raises:
        ValueError: a histogram is empty or they differ in length.
    """
    rows, against = _histograms(window, reference)
    p, q = (rows + 0.5) / (rows + 0.5).sum(), (against + 0.5) / (against + 0.5).sum()
    return float(((p - q) * np.log(p / q)).sum())


def null_threshold(n: int, m: int, bins: int, alpha: float = 0.001, *, rarity: float | None = None) -> float:
    """Return the Jensen-Shannon distance that chance alone exceeds with probability `alpha`.

    Args:
        n: values in the window.
        m: values in the reference.
        bins: bins in use, each with an expected count of about 10 or more in the smaller sample.
        alpha: the tail probability.
        rarity: mean over the bins of 1 / share; `bins` (equal shares) if not given.

    Under the null, divergence · 8 ln 2 / (1/n + 1/m) is nearly chi-square with bins - 1 degrees of freedom,
    whose quantile comes from Wilson and Hilferty 1931. That is the divergence's second-order expansion; the
    fourth order stretches it by the factor `_stretch`, which halves the error at small n.
    """
    if bins < FEWEST_BINS or n == 0 or m == 0:
        return 0.0
    scale = (1 / n + 1 / m) * _stretch(n, m, bins if rarity is None else rarity) / _PER_DIVERGENCE
    return math.sqrt(chi_square_quantile(1 - alpha, bins - 1) * scale)


def null_tail(distance: float, n: int, m: int, bins: int, *, rarity: float | None = None) -> float:
    """Return the chance of a Jensen-Shannon distance above this under the null; arguments as `null_threshold`."""
    if bins < FEWEST_BINS or n == 0 or m == 0:
        return 1.0
    scale = (1 / n + 1 / m) * _stretch(n, m, bins if rarity is None else rarity) / _PER_DIVERGENCE
    return chi_square_tail(distance**2 / scale, bins - 1)


def grouped(rows: Floats, against: Floats, smaller_share: float, *, ordered: bool) -> tuple[Floats, Floats]:
    """Return the histograms over groups of bins in which chance is nearly chi-square.

    Without it, rare levels make a chi-square tail meaningless (p = 0 on clean data). Who is grouped is
    decided from both samples together, so it favours neither.

    Args:
        rows: shape (w, bins); the first row is the window.
        against: the reference, shape (bins,).
        smaller_share: of the smaller sample in both, so that pooled counts times it are its expected ones.
        ordered: neighbours belong together (numbers). If not (categories), all rare bins make one group:
            they are sorted by their count in the reference, and neighbours would share its luck.
    """
    expected = (rows[0] + against) * smaller_share
    common = expected >= LEAST_EXPECTED
    if common.all():
        return rows, against
    if ordered:
        starts = _neighbours(expected.tolist())
    else:
        order = np.argsort(~common, kind="stable")
        rows, against = rows[:, order], against[order]
        usual = int(common.sum())
        enough = usual == 0 or expected[~common].sum() >= LEAST_EXPECTED
        starts = list(range(usual + 1 if enough else usual))
    return np.add.reduceat(rows, starts, axis=1), np.add.reduceat(against, starts)


def distances(rows: Floats, against: Floats) -> Floats:
    """Return the Jensen-Shannon distance of each row (shape (w, bins)) to `against` (shape (bins,))."""
    p, q = rows / rows.sum(axis=1, keepdims=True), against / against.sum()
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(np.broadcast_to(q, p.shape), middle)) / 2
    return np.sqrt(np.clip(divergence, 0, 1))


def _histograms(window: Sequence[int], reference: Sequence[int]) -> tuple[Floats, Floats]:
    rows, against = np.asarray(window, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if rows.shape != against.shape or rows.ndim != 1:
        raise ValueError(f"histograms over the same bins are needed, got {rows.shape} and {against.shape}")
    if rows.sum() <= 0 or against.sum() <= 0:
        raise ValueError("a histogram without any count has no shape to compare")
    return rows, against


def _neighbours(expected: list[float]) -> list[int]:
    """Return where groups of neighbouring bins start, each but a lone one expecting enough counts."""
    starts, filled = [0], 0.0
    for place, count in enumerate(expected):
        if filled >= LEAST_EXPECTED:
            starts.append(place)
            filled = 0.0
        filled += count
    if filled < LEAST_EXPECTED and len(starts) > 1:
        starts.pop()
    return starts


def _relative_entropy(p: Floats, q: Floats) -> Floats:
    terms = np.zeros_like(p)
    np.divide(p, q, out=terms, where=p > 0)
    np.log2(terms, out=terms, where=p > 0)
    return (p * terms).sum(axis=1)


def _stretch(n: int, m: int, rarity: float) -> float:
    """Return by how much the divergence's null mean exceeds its second-order value.

    From E[h(x)] with h(t) = (1 + t) ln(1 + t) to the fourth order and Poisson counts in each bin.
    """
    a, b = 1 / n, 1 / m
    return 1 + rarity * ((a * a + b * b) / 2 - (a + b) ** 2 / 8) / (a + b)
