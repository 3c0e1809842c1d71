"""Counts over frozen bins: exact when merged, in any order."""

import datetime as dt
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.stats.counts import Bins, Counts, empty, fold, freeze, merge, merge_all

BINS = freeze("wind", np.arange(1000.0))
histograms = st.lists(st.integers(0, 10**12), min_size=BINS.size, max_size=BINS.size)


@st.composite
def counts(draw):
    """Draw counts that keep their invariant."""
    histogram, nulls = draw(histograms), draw(st.integers(0, 10**9))
    total = sum(histogram) + nulls
    return Counts(
        "wind", BINS.identity, tuple(histogram), nulls, draw(st.integers(0, 9)), draw(st.integers(0, 9)), total
    )


@given(counts(), counts(), counts())
def test_merging_is_associative_and_commutative_with_nothing_as_neutral(a, b, c):
    """Hours and workers may be added in any grouping and order."""
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, b) == merge(b, a)
    assert merge(a, empty(BINS)) == a


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-5, 5)), max_size=60), st.integers(0, 60))
def test_two_parts_count_like_the_whole(values, at):
    """Where a column is cut does not change its counts, whatever numbers it holds."""
    bins = freeze("x", [1.0, 2.0, 3.0, 3.0])
    whole = fold(bins, values)
    assert merge(fold(bins, values[:at]), fold(bins, values[at:])) == whole
    assert sum(whole.histogram) + whole.nulls == whole.total == len(values)


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_a_thousand_merged_shards_equal_one_pass(kind):
    """A thousand workers' counts are exactly the counts of all rows."""
    generator = np.random.default_rng(7)
    if kind == "numeric":
        values = np.where(generator.random(50_000) < 0.05, np.nan, generator.lognormal(size=50_000))
    else:
        values = np.array([f"c{n}" for n in generator.zipf(1.4, 50_000) % 500] + [None], dtype=object)
    broken = generator.random(len(values)) < 0.01
    bins = freeze("x", values[:20_000])
    shards = zip(np.array_split(values, 1000), np.array_split(broken, 1000), strict=True)
    merged = merge_all(fold(bins, shard, out_of_contract=mask) for shard, mask in shards)
    assert merged == fold(bins, values, out_of_contract=broken)


def test_counts_of_other_bins_do_not_add_up():
    """Counts made over different bins are refused, naming both features."""
    with pytest.raises(ValueError, match=r"'wind'.*'hour'"):
        merge(empty(BINS), empty(freeze("hour", [1, 2])))
    with pytest.raises(ValueError, match="no counts to merge"):
        merge_all([])


def test_a_feature_with_few_values_has_one_bin_for_each():
    """An hour of the day is counted hour by hour."""
    bins = freeze("hour", list(range(24)) * 3)
    assert bins.kind == "numeric"
    assert bins.size == 24
    assert fold(bins, [0, 23, 23]).histogram == (1, *[0] * 22, 2)


def test_a_feature_with_many_values_has_at_most_64_bins_of_about_equal_counts():
    """Quantile bins look where the data are."""
    values = np.random.default_rng(1).lognormal(size=64_000)
    bins = freeze("delay", values)
    histogram = fold(bins, values).histogram
    assert bins.size == 64
    assert min(histogram) >= 999
    assert max(histogram) <= 1001


def test_a_numeric_value_belongs_to_the_bin_whose_lower_cut_it_reaches():
    """Bins hold their lower cut and not their upper one."""
    bins = freeze("x", [1.0, 2.0, 3.0])
    assert bins.cuts == (2.0, 3.0)
    assert fold(bins, [1.999, 2.0, 2.999, 3.0]).histogram == (1, 2, 1)


def test_values_outside_the_references_range_are_unseen():
    """A sentinel like -999 shows at once, and still counts in an outer bin."""
    found = fold(freeze("x", [1.0, 2.0, 3.0]), [-999.0, 1.0, 3.0, math.inf, None])
    assert (found.unseen, found.nulls, found.total) == (2, 1, 5)
    assert found.histogram == (2, 0, 2)


def test_a_reference_without_any_number_leaves_every_number_unseen():
    """What was always null and now is not, is new."""
    bins = freeze("x", np.array([np.nan, np.inf]))
    assert bins == Bins("x", "numeric")
    assert fold(bins, [1.0, None]) == Counts("x", bins.identity, (1,), nulls=1, unseen=1, total=2)


def test_categories_are_the_200_most_frequent_then_one_for_all_others():
    """A feature with many levels keeps its shape in bounded space."""
    values = [f"c{n:03}" for n in range(300) for _ in range(300 - n)]
    bins = freeze("tail", values)
    assert bins.categories == tuple(f"c{n:03}" for n in range(200))
    assert not bins.complete
    found = fold(bins, values)
    assert found.histogram[:2] == (300, 299)
    assert found.histogram[-1] == sum(range(1, 101))
    assert fold(bins, ["never"]).unseen == 0, "the reference did not keep all its levels, so nothing is surely new"


def test_a_category_the_reference_never_had_is_unseen():
    """A new airport is counted as unseen."""
    bins = freeze("origin", ["JFK", "EWR", "JFK"])
    assert bins.categories == ("JFK", "EWR")
    assert fold(bins, ["ZZZ", "JFK", None, math.nan]) == Counts(
        "origin", bins.identity, (1, 0, 1), nulls=2, unseen=1, total=4, kind="categorical"
    )


@pytest.mark.parametrize(
    "values",
    [
        ["3", "a", None, math.nan],
        np.array(["3", "a", None, np.nan], dtype=object),
        np.array([3, "a", None, pd.NA], dtype=object),
        np.array([3.0, "a", None, pd.NaT], dtype=object),
        pd.Series(["3", "a", None, None]).astype("category"),
        np.ma.masked_array(["3", "a", "x", "x"], mask=[0, 0, 1, 1]),
    ],
)
def test_categories_are_known_by_their_text_and_every_kind_of_null_is_a_null(values):
    """3, 3.0 and "3" are one category; None, NaN, NaT, NA and masked entries are nulls."""
    found = fold(freeze("x", ["3", "a"], "categorical"), values)
    assert found.histogram == (1, 1, 0)
    assert found.nulls == 2


def test_values_that_cannot_be_keys_are_counted_by_their_text():
    """A list in a column is an odd category, not a crash."""
    found = fold(freeze("x", [[1], [1], "a"]), [[1], None, "a", True])
    assert found.histogram == (1, 1, 1)
    assert (found.nulls, found.unseen) == (1, 1)


def test_long_categories_are_cut():
    """No reference holds whole texts."""
    assert freeze("note", ["x" * 500]).categories == ("x" * 120,)


@pytest.mark.parametrize("values", [[True, False, None], np.array([True, False]), [0, 1.0], ["True", "false"]])
def test_booleans_are_counted_as_false_and_true_however_they_are_written(values):
    """0, "False" and False are the same answer."""
    bins = freeze("late", [True, False], None)
    assert bins.kind == "boolean"
    assert fold(bins, values).histogram == (1, 1, 0)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5, None], "numeric"),
        ([True, 1], "numeric"),
        (np.array(["2013-01-01"], dtype="datetime64[D]"), "numeric"),
        ([None, None], "categorical"),
        ([1, "a"], "categorical"),
        (np.array(["a"]), "categorical"),
        (np.array([True]), "boolean"),
    ],
)
def test_the_kind_is_found_from_the_values(values, kind):
    """Nobody has to declare what a column shows by itself."""
    assert freeze("x", values).kind == kind


def test_dates_are_counted_in_microseconds():
    """A date is a number of microseconds, NaT a null, whatever its unit."""
    days = np.array(["1970-01-01", "1970-01-02", "NaT"], dtype="datetime64[D]")
    bins = freeze("day", days)
    assert bins.high == dt.timedelta(days=1) / dt.timedelta(microseconds=1)
    assert fold(bins, days.astype("datetime64[ns]")) == Counts("day", bins.identity, (1, 1), nulls=1, total=3)


def test_numbers_may_come_as_objects_with_nulls_or_as_text():
    """What a reader of CSV or a data frame hands over is read as the numbers it means."""
    bins = freeze("x", [1, 2])
    assert fold(bins, np.array([1, pd.NA, 2.0], dtype=object)).histogram == (1, 1)
    assert fold(bins, np.array(["1", "2"])).histogram == (1, 1)
    assert fold(bins, np.array([1, 2], dtype=np.int16)).histogram == (1, 1)


def test_text_in_a_numeric_feature_is_refused_without_repeating_it():
    """The error names the feature; the value may be personal."""
    with pytest.raises(ValueError, match="'x'") as refused:
        fold(freeze("x", [1, 2]), [1, "secret"])
    assert "secret" not in str(refused.value)


def test_masks_must_fit_the_values():
    """A mask of another length is a mistake, never broadcast."""
    bins = freeze("x", [1, 2])
    assert fold(bins, [1, 2, 2], nulls=[False, True, True]).nulls == 2
    assert fold(bins, np.ma.masked_array([1, 2], mask=[1, 0]), nulls=[False, True]).nulls == 2
    with pytest.raises(ValueError, match="out_of_contract must have one entry per value"):
        fold(bins, [1, 2], out_of_contract=[True])
    with pytest.raises(ValueError, match="one column"):
        fold(bins, np.ones((2, 2)))


def test_the_modal_share_is_that_of_the_fullest_bin():
    """A stuck value shows as one full bin; of no values there is no share."""
    bins = freeze("x", [1, 2])
    assert fold(bins, [1, 1, 1, 2, None]).modal_share == 0.75
    assert empty(bins).modal_share == 0


def test_bins_and_counts_survive_json():
    """What is stored is read back the same, and still merges."""
    for values in ([1.5, 2.5, None], ["a", "b"], [True]):
        bins = freeze("x", values)
        found = fold(bins, values, out_of_contract=[True] * len(values))
        assert Bins.from_doc(json.loads(json.dumps(bins.to_doc()))) == bins
        assert Counts.from_doc(json.loads(json.dumps(found.to_doc(), allow_nan=False))) == found
