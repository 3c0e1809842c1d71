"""Whether an exported graph answers as its prototype does."""

from __future__ import annotations

import pytest

from roadworthy.stats.agreement import of_probabilities, of_values


def test_equal_answers_agree() -> None:
    """Differences within the tolerance and equal labels hold."""
    found = of_probabilities([0.2, 0.7], [0.2 + 5e-6, 0.7], ["0", "1"], ["0", "1"])
    assert found.holds
    assert str(found) == "largest difference 5e-06, 0 labels flipped, over 2 rows"


def test_one_flipped_label_is_no_agreement() -> None:
    """A label that flips counts though the probabilities hardly differ."""
    found = of_probabilities([0.4999999], [0.5000001], ["0"], ["1"])
    assert (found.flips, found.holds) == (1, False)


def test_a_large_difference_is_no_agreement() -> None:
    """One row beyond the tolerance is enough."""
    assert not of_probabilities([[0.2, 0.8]], [[0.3, 0.7]], ["b"], ["b"]).holds


def test_numbers_are_compared_relative_to_their_size() -> None:
    """A thousandth of a million is little, and an answer near 0 is not held to more digits than its neighbours."""
    assert of_values([1e6, 0.0], [1e6 + 1, 1e-3]).holds
    assert not of_values([1.0, 2.0], [1.0, 2.1]).holds


def test_no_rows_agree() -> None:
    """Where there is nothing to compare, nothing differs."""
    assert (of_values([], []).holds, of_probabilities([], [], [], []).n) == (True, 0)


def test_other_shapes_cannot_be_compared() -> None:
    """Answers to other rows are a mistake of the caller."""
    with pytest.raises(ValueError, match=r"\(1,\) and \(2,\)"):
        of_values([1.0], [1.0, 2.0])
