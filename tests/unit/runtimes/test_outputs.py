"""What models say becomes declared outputs."""

from __future__ import annotations

import numpy as np
import pytest

from roadworthy.domain.interface import Field, FieldType, Interface, Task, label_text
from roadworthy.runtimes.outputs import (
    BadAnswer,
    expect_rows,
    from_labels,
    from_positive,
    from_probabilities,
    from_values,
    score_of,
)

INPUTS = (Field(name="x", type=FieldType.NUMBER),)
BINARY = Interface(inputs=INPUTS, task=Task.BINARY, labels=("0", "1"), positive="1", threshold=0.3)
THREE = Interface(inputs=INPUTS, task=Task.MULTICLASS, labels=("a", "b", "c"))
NUMBER = Interface(inputs=INPUTS, task=Task.REGRESSION)


def test_the_threshold_of_the_interface_decides_the_label() -> None:
    """Owners choose where a probability becomes a decision, not the library."""
    outputs = from_probabilities([[0.7, 0.3], [0.71, 0.29]], [0, 1], BINARY)
    assert outputs["probability"].tolist() == [0.3, 0.29]
    assert outputs["label"].tolist() == ["1", "0"]


def test_the_positive_class_is_found_by_its_name_wherever_the_model_has_it() -> None:
    """A model whose classes come in another order is read right."""
    assert from_probabilities([[0.9, 0.1]], [True, False], _named("false", "true"))["probability"].tolist() == [0.9]


def test_multiclass_shares_come_in_the_order_of_the_interface() -> None:
    """Callers find each class at its place, and a class the model never saw has share 0."""
    outputs = from_probabilities([[0.2, 0.8]], ["c", "a"], THREE)
    assert outputs["probabilities"].tolist() == [[0.8, 0.0, 0.2]]
    assert outputs["label"].tolist() == ["a"]


def test_bare_labels_become_certain_probabilities() -> None:
    """A model without probabilities is served all the same, as 1 or 0."""
    assert from_labels([1, 0], BINARY)["probability"].tolist() == [1.0, 0.0]
    assert from_labels(["b"], THREE)["probabilities"].tolist() == [[0.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    "call",
    [
        lambda: from_probabilities([[0.5, np.nan]], [0, 1], BINARY),
        lambda: from_probabilities([[0.5, 0.2, 0.3]], [0, 1], BINARY),
        lambda: from_probabilities([[0.5, 0.5]], ["x", "y"], BINARY),
        lambda: from_probabilities([[1.0]], ["z"], THREE),
        lambda: from_positive([1.2], BINARY),
        lambda: from_labels(["late"], BINARY),
        lambda: from_values([1.0, np.inf]),
        lambda: from_values([[1.0, 2.0]]),
        lambda: expect_rows(from_values([1.0]), 2),
    ],
)
def test_an_answer_outside_the_interface_is_an_error(call: object) -> None:
    """NaN, unknown classes, wrong shapes and missing rows never reach a caller."""
    with pytest.raises(BadAnswer):
        call()  # type: ignore[operator]


def test_a_column_of_one_number_is_a_row_of_answers() -> None:
    """Regressors that answer with shape (n, 1) are read as n numbers."""
    outputs = from_values([[1.0], [2.0]])
    assert outputs["value"].tolist() == [1.0, 2.0]
    assert score_of(outputs, NUMBER).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(("value", "text"), [(1, "1"), (1.0, "1"), (1.5, "1.5"), (True, "true"), ("late", "late")])
def test_a_class_has_one_spelling(value: object, text: str) -> None:
    """Labels, outcomes and answers meet although one writes 1, another 1.0."""
    assert label_text(value) == text


def _named(*labels: str) -> Interface:
    return Interface(inputs=INPUTS, task=Task.BINARY, labels=labels, positive=labels[1])
