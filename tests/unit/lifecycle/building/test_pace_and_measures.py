"""How slow a model is, how good it is, and what is kept of it to compare with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.system import Content, DataPlan
from roadworthy.errors import InputError
from roadworthy.lifecycle.measure import answer, countable, decision_loss, loss_scale, measured, metrics, reference_of
from roadworthy.lifecycle.pace import FEWEST_ROWS, affordable, pace_of
from roadworthy.lifecycle.split import Split, read_split
from roadworthy.runtimes.columns import NO_TIME

A = Field(name="a", type=FieldType.NUMBER)
AT = Field(name="at", type=FieldType.TIMESTAMP)
REGRESSION = Interface(inputs=(A, AT), task=Task.REGRESSION)
THREE = Interface(inputs=(A, AT), task=Task.MULTICLASS, labels=("x", "y", "z"))
BINARY = Interface(inputs=(A, AT), task=Task.BINARY, labels=("0", "1"), positive="1")


@pytest.fixture
def numbers(tmp_path: Path) -> Split:
    """Read rows whose target is twice the number."""
    lines = [f"{n / 10},2026-01-{1 + n % 28:02d},{n / 5}" for n in range(100)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,at,y", *lines]) + "\n")
    data = DataPlan(table="rows.csv", target="y")
    return read_split(tmp_path, Content(use="m", data=data, baseline="", interface=REGRESSION))


class Broken:
    """A model that fails."""

    def predict(self, columns: Any) -> Any:
        """Fail."""
        raise ZeroDivisionError("no rows today")


def test_a_fast_model_is_measured_on_few_calls() -> None:
    """As soon as all rows are seen to fit into the patience nothing more is asked."""
    calls: list[int] = []
    pace_of(lambda rows: calls.append(len(rows["a"])), {"a": np.zeros(10)})
    assert len(calls) <= 3


def test_a_model_of_a_dear_call_is_asked_growing_batches() -> None:
    """The cost of a call is shared by the rows of a batch, so one row says little; without patience all are tried."""
    calls: list[int] = []

    def predict(rows: Any) -> None:
        calls.append(len(rows["a"]))

    pace_of(predict, {"a": np.zeros(5_000)}, patience_s=0.0)
    assert calls == [1, 1, 4, 20, 200, 2_000]


def test_a_hopeless_model_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that took too long ends the measuring, at once where no machine is as slow as that."""
    ticks = iter([0.0, 9.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert pace_of(lambda _: None, {"a": np.zeros(5_000)}) == 9.0
    ticks = iter([0.0, 5.0, 10.0, 14.5])
    assert pace_of(lambda _: None, {"a": np.zeros(5_000)}) == 4.5


@pytest.mark.parametrize(
    "took",
    [
        [0.001, 2.0, 0.002, 0.003, 0.004],  # one hiccup: four rows took two seconds, and asked again two milliseconds
        [0.001, 0.9, 1.1, 0.8, 0.002, 0.003, 0.004],  # three in a row
        [0.6, 0.7, 0.65, 0.8, 0.9],  # a busy machine: each call takes long, whatever its rows
    ],
)
def test_a_machine_that_stumbles_does_not_make_a_model_slow(monkeypatch: pytest.MonkeyPatch, took: list[float]) -> None:
    """What rows add to a call decides, so all rows of a fast model are worth asking."""
    ticks = iter([moment for seconds in took for moment in (0.0, seconds)])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert affordable(pace_of(lambda _: None, {"a": np.zeros(5_000)})) >= 5_000


def test_rows_that_just_fit_by_the_cost_of_one_call_are_measured_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """9,600 rows at 0.82 ms would take less than the patience, and the count that is rounded down would be 5,000."""
    ticks = iter([moment for seconds in (0.00082, 0.0009) for moment in (0.0, seconds)])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert affordable(pace_of(lambda _: None, {"a": np.zeros(9_600)})) >= 9_600


def test_a_model_whose_rows_take_long_is_not_asked_the_next_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty rows added a tenth of a second each, so two hundred would take twenty."""
    ticks = iter([moment for seconds in (0.1, 0.4, 2.0, 2.0, 2.1, 2.2) for moment in (0.0, seconds)])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert pace_of(lambda _: None, {"a": np.zeros(5_000)}) == pytest.approx(0.1)


@pytest.mark.parametrize(("pace", "rows"), [(0.0, 1_000_000_000), (0.001, 5_000), (0.003, 2_000), (60.0, FEWEST_ROWS)])
def test_affordable_rows_are_round_numbers(pace: float, rows: int) -> None:
    """A machine a little busier asks the same rows, so the figures are the same."""
    assert affordable(pace) == rows


def test_a_model_that_fails_on_the_rows_that_judge_it_is_the_owners_to_mend(numbers: Split) -> None:
    """The message says whose model, and what it raised."""
    with pytest.raises(InputError, match="the model fails on the hold-out rows: ZeroDivisionError: no rows today"):
        answer(Broken(), numbers.holdout(), "model")
    with pytest.raises(InputError, match="the baseline fails on the hold-out rows"):
        measured(Broken(), numbers.holdout().columns, "baseline")


def test_each_task_has_its_metrics() -> None:
    """What these rows cannot tell is left out."""
    three = metrics(THREE, np.array(["x", "y"], dtype=object), {
        "label": np.array(["x", "z"], dtype=object), "probabilities": np.array([[1.0, 0, 0], [0, 0.5, 0.5]]),
    })  # fmt: skip
    assert three == {"accuracy": 0.5, "log_loss": pytest.approx(np.log(2) / 2)}
    found = metrics(REGRESSION, np.array([1.0, 3.0]), {"value": np.array([1.0, 2.0])})
    assert found["mae"] == 0.5
    one_sided = {"label": np.array(["1", "1"], dtype=object), "probability": np.array([0.9, 0.8])}
    assert "auc" not in metrics(BINARY, np.array(["1", "1"], dtype=object), one_sided)


def test_a_reference_is_counts_and_figures_never_rows(numbers: Split) -> None:
    """It has bins for each feature and for the answers, the loss with its interval, and that of the baseline."""
    outputs = {"value": numbers.holdout().target + 0.5}
    rival = {"value": np.zeros(numbers.holdout().n)}
    made = reference_of(numbers, outputs, rival)
    assert set(made.bins) == {"a", "at"}
    assert made.baseline_loss is not None
    assert made.loss.value < made.baseline_loss.value
    assert made.scale == loss_scale(REGRESSION, numbers.holdout().target, rival, numbers.target)
    assert reference_of(numbers, outputs, None).baseline_loss is None


def test_an_error_is_judged_by_the_baselines_or_by_guessing_the_mean() -> None:
    """Where even that is never wrong, an error counts as it is; labels are right or wrong."""
    truth = np.array([0.0, 10.0])
    assert loss_scale(REGRESSION, truth, None, np.array([5.0])) == 5.0
    assert loss_scale(REGRESSION, truth, {"value": truth}, truth) == 1.0
    assert loss_scale(BINARY, truth, None, truth) == 1.0
    labels = np.array(["0", "1"], dtype=object)
    assert decision_loss(BINARY, labels, {"label": labels[::-1]}, 1.0).tolist() == [1, 1]


def test_a_missing_time_is_counted_as_missing() -> None:
    """Its null is a number to the machine, and none to the reference."""
    assert np.isnan(countable(AT, np.array([NO_TIME, 5]))).tolist() == [True, False]


def test_a_single_row_has_no_interval(numbers: Split) -> None:
    """One loss says nothing of others, so its interval is everything."""
    one = numbers.judged_on(1, "only one")
    made = reference_of(one, {"value": one.holdout().target}, None)
    assert (made.loss.low, made.loss.high, made.loss.n) == (0.0, 1.0, 1)
