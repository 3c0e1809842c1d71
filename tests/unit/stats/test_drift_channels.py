"""Drift: quiet when nothing moved, loud on the channel that did."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import false_discovery_control

from roadworthy.stats.counts import empty, fold, freeze
from roadworthy.stats.distances import (
    distances,
    grouped,
    jensen_shannon,
    null_tail,
    null_threshold,
    population_stability,
)
from roadworthy.stats.drift import Floors, compare, drifted, false_discoveries, rate_p_value

ZIPF = 1 / np.arange(1, 201) ** 1.5
SHAPES = {"equal": np.full(64, 1 / 64), "rare levels": ZIPF / ZIPF.sum()}
NO_FLOORS = Floors(0, 0, 0, 0, 0)


def channel(results, name):
    """Return the result of one channel."""
    return next(result for result in results if result.channel == name)


@pytest.fixture
def feature():
    """A reference of 20,000 values, its bins and counts, and a generator for windows."""
    generator = np.random.default_rng(11)
    values = generator.normal(size=20_000)
    bins = freeze("wind", values)
    return bins, fold(bins, values), generator


def test_the_distance_is_the_literatures():
    """Our Jensen-Shannon distance is scipy's in base 2: 0 for equal, 1 for disjoint histograms."""
    a, b = [3, 0, 7, 90], [10, 5, 0, 20]
    assert jensen_shannon(a, b) == pytest.approx(jensenshannon(a, b, base=2))
    assert jensen_shannon(a, a) == pytest.approx(0, abs=1e-8)
    assert jensen_shannon([1, 0], [0, 1]) == 1


def test_the_stability_index_stays_finite_on_empty_bins():
    """A bin that one side lacks makes the index large, not infinite."""
    assert population_stability([50, 50], [500, 500]) == pytest.approx(0, abs=1e-6)
    assert 0.5 < population_stability([0, 100], [500, 500]) < 10


@pytest.mark.parametrize(("a", "b"), [([1, 2], [1, 2, 3]), ([0, 0], [1, 1]), ([1, 1], [0, 0])])
def test_histograms_that_cannot_be_compared_are_refused(a, b):
    """Another number of bins or no counts at all is an error, not a distance."""
    with pytest.raises(ValueError, match="histogram"):
        jensen_shannon(a, b)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("n", "m"), [(50, 50), (200, 20_000), (1000, 80_000), (6500, 80_000)])
def test_chance_passes_the_null_threshold_as_often_as_said(shape, n, m):
    """At 1 %, between 0.5 % and 2 % of windows of the same distribution pass, also with rare levels."""
    generator = np.random.default_rng(n + m)
    passed, rounds = 0, 2000
    windows, references = (generator.multinomial(size, SHAPES[shape], rounds).astype(float) for size in (n, m))
    for window, reference in zip(windows, references, strict=True):
        rows, b = grouped(window[None, :], reference, min(n, m) / (n + m), ordered=shape == "equal")
        a = rows[0]
        value = float(distances(rows, b)[0])
        rarity = float(((n + m) / (a + b)).mean())
        threshold = null_threshold(n, m, len(a), 0.01, rarity=rarity)
        passed += value > threshold
        assert (value > threshold) == (null_tail(value, n, m, len(a), rarity=rarity) < 0.01)
    assert 0.005 <= passed / rounds <= 0.02


def test_without_two_bins_or_any_row_nothing_is_unlikely():
    """One bin always agrees with itself."""
    assert null_threshold(100, 100, 1) == null_threshold(0, 100, 9) == null_threshold(100, 0, 9) == 0
    assert null_tail(0.5, 100, 100, 1) == null_tail(0.5, 0, 100, 9) == null_tail(0.5, 100, 0, 9) == 1
    assert 0 < null_threshold(1000, 1000, 10) < null_threshold(100, 1000, 10)
    assert null_tail(null_threshold(500, 900, 12, 0.01), 500, 900, 12) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("ordered", "window", "groups"),
    [
        (True, [20, 20, 20], [20, 20, 20]),
        (True, [20, 6, 6, 8, 20, 4], [20, 12, 32]),
        (True, [1, 1], [2]),
        (False, [20, 6, 30, 6, 20], [20, 30, 20, 12]),
        (False, [20, 1, 30, 1], [20, 32]),
        (False, [1, 1], [2]),
    ],
)
def test_rare_bins_are_grouped_until_chance_is_regular(ordered, window, groups):
    """Neighbouring numbers join until each group expects 10; rare categories make one group, if it is enough."""
    histogram = np.array(window, dtype=float)
    rows, against = grouped(histogram[None, :], histogram, 0.5, ordered=ordered)
    assert rows.tolist() == [groups]
    assert against.tolist() == groups


def test_shuffled_data_raise_no_alarm():
    """In 100 windows of 12 features that did not move, at most one alarm stays."""
    generator = np.random.default_rng(5)
    alarms = 0
    references = []
    for place in range(12):
        values = generator.normal(size=8000) if place % 2 else generator.zipf(1.6, 8000) % 300
        bins = freeze(f"f{place}", values, "numeric" if place % 2 else "categorical")
        references.append((bins, fold(bins, values)))
    for _ in range(100):
        results = []
        for place, (bins, reference) in enumerate(references):
            values = generator.normal(size=500) if place % 2 else generator.zipf(1.6, 500) % 300
            results += compare(fold(bins, values), reference, floors=NO_FLOORS)
        alarms += len(drifted(results)) > 0
    assert alarms <= 1


@pytest.mark.parametrize("size", [500, 6500])
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("shape", lambda values: values + 0.7),
        ("nulls", lambda values: np.where(np.arange(len(values)) % 10 == 0, np.nan, values)),
        ("unseen", lambda values: np.where(np.arange(len(values)) % 20 == 0, -999.0, values)),
        ("modal_share", lambda values: np.where(np.arange(len(values)) % 4 == 0, 0.5, values)),
    ],
)
def test_each_fault_alarms_on_its_channel(feature, name, fault, size):
    """A shifted, missing, senseless or stuck input alarms on the channel that says so."""
    bins, reference, generator = feature
    found = drifted(compare(fold(bins, fault(generator.normal(size=size))), reference))
    assert name in {result.channel for result in found}
    assert channel(found, name).feature == "wind"


def test_broken_contracts_alarm_on_their_own_channel(feature):
    """Values against the interface count, even where their distribution is the same."""
    bins, reference, generator = feature
    window = fold(bins, generator.normal(size=2000), out_of_contract=np.arange(2000) < 60)
    (found,) = drifted(compare(window, reference))
    assert found.channel == "out_of_contract"
    assert (found.observed, found.expected, found.n) == (0.03, 0.0, 2000)


def test_fewer_nulls_are_a_change_too(feature):
    """Someone who starts to fill in nulls upstream is noticed."""
    bins, _, generator = feature
    holes = np.where(np.arange(20_000) % 5 == 0, np.nan, generator.normal(size=20_000))
    found = drifted(compare(fold(bins, generator.normal(size=2000)), fold(bins, holes)))
    assert [result.channel for result in found] == ["nulls"]


def test_a_certain_but_tiny_change_stays_below_the_practical_floor(feature):
    """With enough rows everything is significant; what is too small to matter does not alarm."""
    bins, reference, generator = feature
    results = compare(fold(bins, generator.normal(0.1, size=200_000)), reference)
    assert channel(results, "shape").p_value < 1e-6
    assert drifted(results) == ()


def test_a_season_that_past_clean_windows_had_is_no_alarm(feature):
    """Three or more clean windows set the threshold at their mean + 3 sd; two are too few to say."""
    bins, reference, generator = feature
    shifted = [fold(bins, generator.normal(0.5 + 0.05 * k, size=4000)) for k in range(4)]
    window = fold(bins, generator.normal(0.6, size=4000))
    assert channel(drifted(compare(window, reference, shifted[:2])), "shape")
    assert drifted(compare(window, reference, shifted)) == ()
    stuck = fold(bins, generator.normal(3, size=4000))
    assert channel(drifted(compare(stuck, reference, shifted)), "shape")


def test_without_data_there_is_no_value_and_no_alarm(feature):
    """An empty window, an empty past window or fewer than 20 values are no data, never "no drift"."""
    bins, reference, _ = feature
    for result in compare(empty(bins), reference):
        assert (result.value, result.alarm, result.n) == (None, False, 0)
    assert drifted(compare(empty(bins), reference)) == ()
    assert channel(compare(fold(bins, [0.1] * 19), reference), "shape").value is None
    assert channel(compare(fold(bins, [0.1] * 20), reference, [empty(bins)] * 3), "shape").value is not None


def test_a_constant_feature_that_stays_constant_has_not_moved():
    """One bin on both sides is a distance of 0, known for certain."""
    bins = freeze("x", [5] * 100)
    shape = channel(compare(fold(bins, [5] * 50), fold(bins, [5] * 100)), "shape")
    assert (shape.value, shape.p_value, shape.alarm) == (0, 1, False)


def test_counts_of_other_bins_are_not_compared(feature):
    """Windows, reference and past must share their bins."""
    bins, reference, _ = feature
    other = empty(freeze("hour", [1, 2]))
    for arguments in ((other, reference), (reference, reference, [other])):
        with pytest.raises(ValueError, match="'hour'"):
            compare(*arguments)
    assert bins.identity == reference.bins


def test_false_discoveries_are_benjamini_and_hochbergs():
    """The same hypotheses fall as with scipy's adjusted p-values, also where none does."""
    generator = np.random.default_rng(3)
    for p in ([0.5, 0.9], [], *(generator.random(30) ** 3 for _ in range(20))):
        expected = (false_discovery_control(p) <= 0.05).tolist() if len(p) else []
        assert list(false_discoveries(p, 0.05)) == expected


@pytest.mark.parametrize(("n", "m", "share"), [(200, 5000, 0.01), (2000, 40_000, 0.3)])
def test_rate_p_values_hold_their_level(n, m, share):
    """Few hits or many, at most about 5 % of equal rates are called different at 5 %."""
    generator = np.random.default_rng(n)
    hits, reference_hits = generator.binomial(n, share, 1000), generator.binomial(m, share, 1000)
    for two_sided in (False, True):
        p = [
            rate_p_value(a, n, b, m, two_sided=two_sided)
            for a, b in zip(hits.tolist(), reference_hits.tolist(), strict=True)
        ]
        assert 0.01 < np.mean(np.array(p) < 0.05) < 0.065
