"""Quantiles from mergeable counts, and exact weighted ones."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.stats.quantiles import Latencies, fold_latencies, merge_latencies, weighted_quantile

microseconds = st.lists(st.integers(1, 10**9), min_size=1, max_size=50)


@given(microseconds, st.sampled_from([0, 0.5, 0.9, 0.99, 1]))
def test_every_quantile_is_within_two_percent(values, q):
    """A p99 read from counts is the p99 of the rows, to 2 %."""
    exact = float(np.quantile(values, q, method="lower"))
    assert fold_latencies(values).quantile(q) == pytest.approx(exact, rel=0.0201)


@given(microseconds, microseconds, microseconds)
def test_latencies_merge_exactly_in_any_order(a, b, c):
    """Workers and hours add up to what one pass would have counted."""
    parts = [fold_latencies(x) for x in (a, b, c)]
    assert merge_latencies(parts) == merge_latencies(reversed(parts)) == fold_latencies(a + b + c)


def test_latencies_outside_the_range_count_at_its_ends():
    """Less than 1 µs counts as 1 µs; more than 1,000 s is kept exactly as the slowest."""
    found = fold_latencies([0.2, 5e12])
    assert found.quantile(0) == 1
    assert found.slowest_us == 5 * 10**12
    assert found.total == 2


def test_no_latencies_answer_none():
    """No data is never a quantile of 0."""
    nothing = fold_latencies([])
    assert nothing == Latencies() == merge_latencies([])
    assert nothing.quantile(0.5) is nothing.mean_us is nothing.share_above(5) is None


def test_the_share_above_a_budget_and_the_mean_are_read_from_the_counts():
    """How many answers were late is known without the rows."""
    found = fold_latencies([1000, 1000, 1000, 9000])
    assert found.share_above(5000) == 0.25
    assert found.mean_us == 3000


def test_latencies_survive_json():
    """What is stored is read back the same."""
    found = fold_latencies([3, 500, 500])
    assert Latencies.from_doc(json.loads(json.dumps(found.to_doc()))) == found


@pytest.mark.parametrize("q", [-0.1, 1.1, float("nan")])
def test_a_quantile_lies_between_0_and_1(q):
    """Percent instead of shares is a mistake that is named."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        fold_latencies([1]).quantile(q)


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 5)), min_size=1, max_size=30), st.floats(0, 1))
def test_a_weighted_quantile_is_that_of_repeated_rows(rows, q):
    """A row of weight 3 is three rows."""
    repeated = [value for value, weight in rows for _ in range(weight)]
    values, weights = zip(*rows, strict=True)
    if not repeated:
        with pytest.raises(ValueError, match="weights"):
            weighted_quantile(values, weights, q)
    else:
        assert weighted_quantile(values, weights, q) == np.quantile(repeated, q, method="inverted_cdf")


def test_weights_are_not_negative():
    """A negative weight has no meaning here."""
    with pytest.raises(ValueError, match="weights"):
        weighted_quantile([1, 2], [3, -1], 0.5)
