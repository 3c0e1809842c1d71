"""The loss of a decision lies in [0, 1], as the anytime-valid tests need it."""

import pytest

from roadworthy.stats.decision_loss import label_loss, value_loss


def test_a_wrong_label_costs_one():
    """Labels are compared as text, one row at a time."""
    assert label_loss(["late", "on time"], ["late", "late"]).tolist() == [0, 1]


def test_an_amount_costs_its_error_over_the_scale_and_never_more_than_one():
    """An error beyond the scale is simply wrong."""
    assert value_loss([10, 10, 10], [10, 15, 99], 10).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("scale", [0, -1, float("nan")])
def test_a_scale_is_above_zero(scale):
    """Without a spread there is no measure of how wrong an amount is."""
    with pytest.raises(ValueError, match="above 0"):
        value_loss([1], [1], scale)
