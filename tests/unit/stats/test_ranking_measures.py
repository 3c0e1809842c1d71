"""How well a ranking finds what is relevant."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from roadworthy.stats.intervals import wilson
from roadworthy.stats.ranking import discounted_gain, hit_rate, recall, reciprocal_rank

GAINS = [[0, 1, 0], [1, 0, 1], [0, 0, 0], [0, 0, 1]]


def test_recall_is_the_mean_share_of_what_exists_among_the_first_k():
    """Each question counts once, however many items are relevant for it."""
    assert recall(GAINS, [1, 2, 1, 1], 1).estimate == pytest.approx((0 + 0.5 + 0 + 0) / 4)
    assert recall(GAINS, [1, 2, 1, 1], 3).estimate == pytest.approx((1 + 1 + 0 + 1) / 4)


def test_places_beyond_the_end_of_a_ranking_found_nothing():
    """A k past the depth asks for no more than was ranked."""
    assert recall(GAINS, [1, 2, 1, 1], 99) == recall(GAINS, [1, 2, 1, 1], 3)


def test_hit_rate_counts_questions_with_something_relevant():
    """One relevant passage is enough where an answer needs only one."""
    assert hit_rate(GAINS, 1).estimate == 0.25
    assert hit_rate(GAINS, 2).estimate == 0.5


def test_reciprocal_rank_looks_at_the_first_relevant_item_only():
    """A question that found nothing counts 0."""
    assert reciprocal_rank(GAINS).estimate == pytest.approx((1 / 2 + 1 + 0 + 1 / 3) / 4)


def test_discounted_gain_agrees_with_scikit_learn():
    """The discount is the one that everybody means by nDCG."""
    generator = np.random.default_rng(5)
    truth = generator.integers(0, 4, (30, 12)).astype(float)
    truth[:, 0] = 1
    scores = generator.random((30, 12))
    ranked = np.take_along_axis(truth, np.argsort(-scores, axis=1), axis=1)
    for k in (1, 5, 12, 20):
        assert discounted_gain(ranked, truth, k).estimate == pytest.approx(ndcg_score(truth, scores, k=k))


def test_a_share_of_hits_has_the_interval_of_a_share():
    """For one relevant item a question, the interval is Wilson's."""
    found, expected = hit_rate([[1]] * 18 + [[0]] * 7, 1), wilson(18, 25)
    assert (found.low, found.high, found.n) == (pytest.approx(expected.low), pytest.approx(expected.high), 25)


def test_equal_values_leave_doubt():
    """Ten questions that all succeeded do not prove that every one will."""
    found = reciprocal_rank([[1]] * 10)
    assert found.high == 1
    assert found.low == pytest.approx(wilson(10, 10).low)


def test_the_interval_holds_the_mean_of_graded_values_at_least_as_often_as_it_says():
    """Reciprocal ranks spread less than shares do, so the interval errs less."""
    generator = np.random.default_rng(7)
    chances, held = np.array([0.5, 0.2, 0.1, 0.2]), 0
    truth = float(chances @ [1, 1 / 2, 1 / 3, 0])
    for _ in range(500):
        gains = np.eye(4)[generator.choice(4, 40, p=chances)][:, :3]
        held += reciprocal_rank(gains).holds(truth)
    assert held >= 475


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=20), st.integers(1, 6))
def test_every_measure_lies_within_its_interval_and_between_0_and_1(rows, k):
    """No ranking is better than all or worse than nothing."""
    ideal = [[*row, 1] for row in rows]
    found = [
        recall(rows, [5] * len(rows), k),
        hit_rate(rows, k),
        reciprocal_rank(rows),
        discounted_gain(rows, ideal, k),
    ]
    assert all(0 <= one.low <= one.estimate <= one.high <= 1 for one in found)


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda: recall([1, 0], [1, 1], 1), "table of questions by places"),
        (lambda: recall([], [], 1), "table of questions by places"),
        (lambda: recall([[1.0]], [1], 0), "the first 0 places"),
        (lambda: recall([[-1.0]], [1], 1), "not negative"),
        (lambda: recall([[float("nan")]], [1], 1), "finite"),
        (lambda: recall([[1.0, 1.0]], [1], 1), "more relevant items than there are"),
        (lambda: recall([[1.0]], [0], 1), "nothing relevant"),
        (lambda: recall([[1.0]], [1, 1], 1), "do not match"),
        (lambda: discounted_gain([[1.0]], [[1.0], [1.0]], 1), "do not match"),
        (lambda: discounted_gain([[0.0]], [[0.0]], 1), "nothing relevant"),
        (lambda: discounted_gain([[2.0]], [[1.0]], 1), "more than its ideal"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_its_reason(ask, reason):
    """A figure from nonsense would be believed."""
    with pytest.raises(ValueError, match=reason):
        ask()
