"""Charts: what is drawn is what was measured."""

from __future__ import annotations

import re

from roadworthy.console.charts import HEIGHT, Limit, Point, draw
from roadworthy.domain.moment import MINUTE


def points(*values: float | None) -> list[Point]:
    """Place values a minute apart."""
    return [Point(place * MINUTE, value) for place, value in enumerate(values)]


def coordinates(svg: str) -> list[list[list[float]]]:
    """Read the drawn lines back."""
    lines = re.findall(r'<polyline class="line" points="([^"]*)"', svg)
    return [[[float(part) for part in pair.split(",")] for pair in line.split()] for line in lines]


def test_no_value_at_all_draws_no_chart() -> None:
    """Where nothing was measured there is nothing to see."""
    assert draw(points(None, None), (), "x") is None
    assert draw((), (), "x") is None


def test_higher_values_are_drawn_higher_and_the_axis_begins_at_zero() -> None:
    """A line that rises means a value that rose, and its height is honest."""
    chart = draw(points(1.0, 2.0, 4.0), (), "x")
    assert chart is not None
    (line,) = coordinates(chart.svg)
    heights = [HEIGHT - y for _, y in line]
    assert heights == sorted(heights)
    assert heights[0] < heights[2]
    assert (chart.low, chart.high) == (0.0, 4.0)


def test_a_gap_in_the_data_is_a_gap_in_the_line() -> None:
    """No data is never drawn as if the value had stayed."""
    chart = draw(points(1.0, 1.0, None, 2.0, 2.0), (), "x")
    assert chart is not None
    assert [len(line) for line in coordinates(chart.svg)] == [2, 2]
    assert 'class="gap"' in chart.svg
    ending = draw(points(1.0, 1.0, None), (), "x")
    assert ending is not None
    assert ending.svg.count('class="gap"') == 1


def test_a_long_pause_breaks_the_line() -> None:
    """A release that answered nobody for an hour has no line through that hour."""
    history = [*points(1.0, 1.0, 1.0), Point(60 * MINUTE, 1.0), Point(61 * MINUTE, 1.0)]
    chart = draw(history, (), "x")
    assert chart is not None
    assert [len(line) for line in coordinates(chart.svg)] == [3, 2]


def test_a_limit_far_away_is_named_and_not_drawn() -> None:
    """A latency of 12 ms is not flattened by a limit of 250 ms."""
    near, far = Limit(value=0.02, text="near"), Limit(value=250.0, text="far")
    chart = draw(points(0.01, 0.03), (near, far), "x")
    assert chart is not None
    assert chart.off == (far,)
    assert chart.high == 0.03
    assert chart.svg.count('class="limit"') == 1


def test_an_interval_is_a_band_and_a_moment_a_mark() -> None:
    """Uncertainty and the moment of an incident can be seen."""
    history = [Point(0, 0.5, 0.4, 0.6), Point(MINUTE, 0.5, 0.45, 0.55)]
    chart = draw(history, (), "x", mark=MINUTE // 2)
    assert chart is not None
    assert 'class="band"' in chart.svg
    assert 'class="mark"' in chart.svg


def test_labels_are_escaped() -> None:
    """A signal's name cannot become markup."""
    chart = draw(points(1.0), (), '"><script>')
    assert chart is not None
    assert "<script>" not in chart.svg


def test_all_zero_is_drawn_on_the_ground() -> None:
    """A signal that is always zero has a line at the bottom."""
    chart = draw(points(0.0, 0.0), (), "x")
    assert chart is not None
    (line,) = coordinates(chart.svg)
    assert {y for _, y in line} == {HEIGHT - 6}


def test_a_negative_value_lowers_the_axis() -> None:
    """What falls below zero stays in the picture."""
    chart = draw(points(-1.0, 1.0), (), "x")
    assert chart is not None
    assert chart.low == -1.0
    assert all(0 <= y <= HEIGHT for line in coordinates(chart.svg) for _, y in line)
