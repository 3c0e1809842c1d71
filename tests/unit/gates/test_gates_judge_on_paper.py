"""What each gate says of candidates that are as good or bad as each case needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from paper_trial import (
    BINARY,
    REGRESSION,
    PaperTrial,
    coin,
    knowing,
    made_candidate,
    made_rows,
    made_system,
    shares,
)
from roadworthy import plugins
from roadworthy.domain.digest import canonical
from roadworthy.domain.system import OnViolation, Owner, Policy, ServePlan
from roadworthy.domain.verdict import Judgement, VerdictState
from roadworthy.ports.gate import LoadReport, TestReport

PASS, FAIL, INCONCLUSIVE = VerdictState.PASS, VerdictState.FAIL, VerdictState.INCONCLUSIVE


def judge(gate: str, trial: PaperTrial, **parameters: Any) -> Judgement:
    """Ask an installed gate; whatever it says must fit into the ledger."""
    judgement = plugins.load("gates", gate).judge(trial, parameters)
    canonical(json.loads(json.dumps(dict(judgement.evidence))))
    return judgement


def raising(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Be a model that breaks, with a value of a row in its text."""
    raise KeyError(f"secret {columns['carrier'][0]}")


def test_tests_that_pass_are_counted_and_their_suite_is_named() -> None:
    """A verdict says how many tests it rests on, and on which files."""
    found = judge("tests", PaperTrial(report=TestReport(passed=3, failed=0, seconds=1.2, suite="sha256:ab")))
    assert (found.state, found.evidence["passed"], found.evidence["suite"]) == (PASS, 3, "sha256:ab")


def test_a_broken_test_is_named() -> None:
    """An owner reads which test failed without opening a log."""
    found = judge("tests", PaperTrial(report=TestReport(passed=2, failed=1, seconds=1, failures=("t.py::test_x",))))
    assert found.state is FAIL
    assert "1 of 3 tests failed: t.py::test_x" in found.reason


def test_no_tests_at_all_are_a_fail() -> None:
    """Nothing tested is nothing shown."""
    assert judge("tests", PaperTrial(report=TestReport(passed=0, failed=0, seconds=0))).state is FAIL


def test_tests_that_were_stopped_are_a_fail_even_if_some_passed() -> None:
    """A run that did not end proves nothing about the tests after it."""
    found = judge("tests", PaperTrial(report=TestReport(passed=9, failed=0, seconds=5, stopped="they took too long")))
    assert found.state is FAIL
    assert "took too long" in found.reason


def test_a_candidate_that_is_better_beyond_the_interval_beats_the_baseline() -> None:
    """Both figures stand side by side in the evidence."""
    found = judge("baseline", PaperTrial())
    assert found.state is PASS
    assert found.evidence["candidate"]["auc"] > found.evidence["baseline"]["auc"]
    assert found.evidence["difference"]["high"] < 0


def test_a_tie_keeps_the_baseline() -> None:
    """Within the interval the simpler one wins."""
    nearly = PaperTrial(model=lambda columns: shares(0.5 + 0.001 * (columns["wind"] > 100)))
    found = judge("baseline", nearly)
    assert found.state is FAIL
    assert "the simpler one wins a tie" in found.reason


def test_a_gain_within_the_margin_keeps_the_baseline() -> None:
    """A gain that is real but smaller than what was asked for is no reason to change."""
    found = judge("baseline", PaperTrial(), margin=0.9)
    assert found.state is FAIL
    assert "within the margin" in found.reason


def test_a_worse_candidate_keeps_the_baseline_and_is_called_worse() -> None:
    """Worse is not the same as a tie."""
    found = judge("baseline", PaperTrial(model=coin, rival=knowing))
    assert found.state is FAIL
    assert "is worse" in found.reason


def test_too_few_rows_cannot_beat_the_baseline() -> None:
    """Inconclusive is its own answer and no pass."""
    assert judge("baseline", PaperTrial(rows=made_rows(20))).state is INCONCLUSIVE


def test_a_system_without_a_baseline_fails_its_gate() -> None:
    """A missing rival is no walkover."""
    found = judge("baseline", PaperTrial(rival=None))
    assert found.state is FAIL
    assert "no baseline" in found.reason


def test_a_regression_is_compared_by_absolute_error() -> None:
    """The loss that decides is named in the evidence."""
    system, candidate = made_system(REGRESSION), made_candidate(REGRESSION)
    trial = PaperTrial(
        model=lambda columns: {"value": columns["hour"].astype(float)},
        rival=lambda columns: {"value": np.full(len(columns["hour"]), 11.5)},
        system=system,
        candidate=candidate,
        rows=made_rows(interface=REGRESSION),
    )
    found = judge("baseline", trial)
    assert (found.state, found.evidence["loss"]["name"]) == (PASS, "absolute error")
    assert {"mae", "rmse", "r2"} <= found.evidence["candidate"].keys()


@pytest.mark.parametrize("gate", ["contract", "baseline", "quality", "export", "skew"])
def test_a_model_that_raises_fails_the_gate_without_its_text(gate: str) -> None:
    """A foreign exception may quote a row, so only its name is told."""
    trial = PaperTrial(model=raising, served=knowing, prototype=knowing if gate == "export" else None)
    found = judge(gate, trial)
    assert found.state is FAIL
    assert "KeyError" in found.reason
    assert "secret" not in found.reason


@pytest.mark.parametrize(
    ("thresholds", "state"),
    [
        ({"at_least": 0.65}, PASS),
        ({"at_least": 0.99}, FAIL),
        ({"at_least": 0.9}, INCONCLUSIVE),
        ({"at_most": 0.5}, FAIL),
        ({"at_least": 0.65, "at_most": 0.99}, PASS),
        ({}, FAIL),
    ],
)
def test_a_threshold_is_missed_only_when_the_whole_interval_misses_it(thresholds: Any, state: VerdictState) -> None:
    """An interval that straddles the threshold is inconclusive; a metric without a threshold is a fail."""
    found = judge("quality", PaperTrial(), metric="accuracy", **thresholds)
    assert found.state is state, found.reason


@pytest.mark.parametrize("name", ["auc", "accuracy", "brier", "log_loss"])
def test_every_metric_of_a_binary_task_has_an_interval(name: str) -> None:
    """A figure without its interval decides nothing."""
    measured = judge("quality", PaperTrial(), metric=name, at_most=9).evidence["measured"]
    assert measured["low"] < measured["value"] < measured["high"]


@pytest.mark.parametrize("name", ["mae", "rmse", "r2"])
def test_every_metric_of_a_regression_has_an_interval(name: str) -> None:
    """The interval is the same each time the gate judges."""
    trial = PaperTrial(
        model=lambda columns: {"value": columns["hour"].astype(float)},
        system=made_system(REGRESSION),
        candidate=made_candidate(REGRESSION),
        rows=made_rows(interface=REGRESSION),
    )
    first, again = (judge("quality", trial, metric=name, at_most=9).evidence["measured"] for _ in range(2))
    assert first["low"] < first["value"] < first["high"]
    assert first == again


def test_a_metric_that_the_task_lacks_is_named_with_those_it_has() -> None:
    """A slip in the manifest is one clear message."""
    found = judge("quality", PaperTrial(), metric="mae", at_most=1)
    assert found.state is FAIL
    assert "auc" in found.reason


@pytest.mark.parametrize(
    ("model", "champion", "state"),
    [(knowing, None, PASS), (knowing, coin, PASS), (knowing, knowing, PASS), (coin, knowing, FAIL)],
)
def test_without_a_threshold_the_candidate_must_not_be_worse_than_the_champion(
    model: Any, champion: Any, state: VerdictState
) -> None:
    """The release in force is the line, on the same rows."""
    assert judge("quality", PaperTrial(model=model, in_force=champion)).state is state


def test_a_candidate_that_may_be_worse_than_the_champion_is_undecided() -> None:
    """Neither shown to be worse nor within the margin: more rows would tell."""

    def slightly(columns: Mapping[str, Any]) -> dict[str, Any]:
        odd = (np.arange(len(columns["hour"])) % 40) == 0
        return shares(np.where(odd, 0.5, knowing(columns)["probability"]))

    found = judge("quality", PaperTrial(model=slightly, in_force=knowing, rows=made_rows(80)), margin=0.0)
    assert found.state is INCONCLUSIVE, found.reason


QUIET = LoadReport(
    requests=150, errors=0, p50_us=2_000, p99_us=8_000, echo_p50_us=300, echo_p99_us=900, echo_halves_us=(800, 900)
)
SLOW = replace(QUIET, p50_us=115_000, p99_us=140_000)
TAIL = replace(QUIET, p99_us=80_000)


@pytest.mark.parametrize(
    ("report", "state"),
    [
        (QUIET, PASS),
        (SLOW, FAIL),
        (TAIL, FAIL),
        (replace(TAIL, echo_p99_us=20_000), INCONCLUSIVE),
        (replace(TAIL, echo_halves_us=(1_000, 6_000)), INCONCLUSIVE),
        (replace(TAIL, echo_halves_us=(1_000, 3_500)), FAIL),
        (replace(SLOW, echo_p99_us=20_000), FAIL),
        (replace(QUIET, echo_p99_us=40_000), PASS),
        (replace(QUIET, errors=9), FAIL),
        (replace(QUIET, requests=20), INCONCLUSIVE),
    ],
)
def test_latency_is_judged_beside_what_the_machine_was_worth(report: LoadReport, state: VerdictState) -> None:
    """Noise never spoils a pass, spoils a fail only where it could have caused it, and never hides a slow model."""
    found = judge("latency", PaperTrial(loads=[report]))
    assert found.state is state, found.reason
    assert found.evidence["echo_p99_us"] == report.echo_p99_us


def test_a_noisy_machine_gets_two_more_tries_and_is_named() -> None:
    """Inconclusive: machine, after three measurements; a quiet moment in between decides."""
    noisy = replace(TAIL, echo_p99_us=30_000)
    never = PaperTrial(loads=[noisy])
    assert judge("latency", never).reason.startswith("machine:")
    assert never.asked == 3
    at_last = PaperTrial(loads=[noisy, noisy, QUIET])
    assert judge("latency", at_last).state is PASS


def test_a_graph_that_agrees_with_its_prototype_passes() -> None:
    """The figures of the agreement are the evidence."""
    found = judge("export", PaperTrial(prototype=knowing))
    assert (found.state, found.evidence["flips"], found.evidence["n"]) == (PASS, 0, 400)


def test_a_graph_that_differs_on_one_row_is_refused() -> None:
    """The whole reference is compared, not a sample of it."""

    def off_by_one(columns: Mapping[str, Any]) -> dict[str, Any]:
        probability = knowing(columns)["probability"].copy()
        probability[7] += 2e-5
        return shares(probability)

    found = judge("export", PaperTrial(prototype=knowing, model=off_by_one))
    assert found.state is FAIL
    assert "2e-05" in found.reason


def test_a_flipped_label_is_refused_however_small_the_difference() -> None:
    """A decision that changes is a change."""
    trial = PaperTrial(
        prototype=lambda columns: shares(np.full(len(columns["hour"]), 0.5)),
        model=lambda columns: shares(np.full(len(columns["hour"]), 0.5 - 1e-9)),
    )
    found = judge("export", trial)
    assert found.state is FAIL
    assert found.evidence["flips"] == 400


def test_a_native_model_passes_export_with_the_reason_it_is_native() -> None:
    """Being served natively is a fact to show, not a fault."""
    note = "served by scikit-learn itself, not as ONNX: no converter for KDTree"
    found = judge("export", PaperTrial(candidate=made_candidate(runtime="sklearn", native=False), notes=(note,)))
    assert found.state is PASS
    assert "no converter for KDTree" in found.reason


def test_a_model_that_came_as_a_graph_has_no_prototype_to_disagree_with() -> None:
    """That is said."""
    found = judge("export", PaperTrial(candidate=made_candidate(native=False)))
    assert found.state is PASS
    assert "no prototype" in found.reason


def test_serving_and_training_paths_that_agree_show_no_skew() -> None:
    """Equal answers on the same rows, over JSON."""
    found = judge("skew", PaperTrial(prototype=knowing))
    assert (found.state, found.evidence["differing"]) == (PASS, 0)


def test_a_change_of_preprocessing_is_named_with_its_column() -> None:
    """Missing wind read as 0 in one path and as missing in the other: the rows are counted, the column is named."""

    def imputing(columns: Mapping[str, Any]) -> dict[str, Any]:
        return shares(np.where(np.isnan(columns["wind"]), 0.7, knowing(columns)["probability"]))

    found = judge("skew", PaperTrial(prototype=knowing, served=imputing))
    assert found.state is FAIL
    assert found.evidence["columns"] == ["wind"]
    assert 0 < found.evidence["differing"] < found.evidence["n"]
    assert "wind" in found.reason


def test_a_difference_on_every_row_is_skew_of_no_single_column() -> None:
    """There is nothing to neutralise with; the count says it all."""
    found = judge("skew", PaperTrial(prototype=knowing, served=coin))
    assert found.state is FAIL
    assert "no single column" in found.reason


def test_a_valid_row_without_an_answer_is_skew() -> None:
    """A refusal of a row that training knows is a difference too."""

    class Refusing(PaperTrial):
        def _served(self, row: Mapping[str, Any]) -> dict[str, Any]:
            return {"status": 503} if row["carrier"] == "AA" else super()._served(row)

    assert judge("skew", Refusing(prototype=knowing)).state is FAIL


def test_a_candidate_within_its_interface_keeps_the_contract() -> None:
    """Valid rows are answered, and each kind of bad request is refused."""
    found = judge("contract", PaperTrial())
    assert found.state is PASS
    assert found.evidence["probes"] >= 10


def test_training_data_that_break_the_interface_are_counted_by_field_and_rule() -> None:
    """An interface that its own data break would refuse real callers."""
    rows = made_rows()
    hour = rows.columns["hour"].copy()
    hour[:40] = 30
    found = judge("contract", PaperTrial(rows=replace(rows, columns={**rows.columns, "hour": hour})))
    assert found.state is FAIL
    assert found.evidence["broken"] == {"hour: maximum": 80}
    assert "hour: maximum in 80 rows" in found.reason


def test_a_few_broken_training_rows_are_within_the_allowed_share() -> None:
    """One odd row in a hundred is no reason to refuse; it is still counted."""
    rows = made_rows()
    wind = rows.columns["wind"].copy()
    wind[0] = np.inf
    found = judge("contract", PaperTrial(rows=replace(rows, columns={**rows.columns, "wind": wind})))
    assert found.state is PASS
    assert found.evidence["broken"] == {"wind: finite": 2}


@pytest.mark.parametrize("status", [500, 200])
def test_a_bad_request_that_is_not_refused_breaks_the_contract(status: int) -> None:
    """Neither a server error nor an answer will do; the field and the rule are named."""

    class Lax(PaperTrial):
        def _served(self, row: Mapping[str, Any]) -> dict[str, Any]:
            answer = super()._served(row)
            return {"status": status} if answer["status"] == 422 and row.get("hour", 0) is None else answer

    found = judge("contract", Lax())
    assert found.state is FAIL
    assert f"hour (null): {status}" in found.reason


def test_a_policy_that_flags_violations_may_answer_them() -> None:
    """The contract gate holds the serving path to the policy in force, not to another."""
    policy = Policy(
        owner=Owner(principal="ana", contact="a@example.org"), serve=ServePlan(on_violation=OnViolation.FLAG)
    )
    trial = PaperTrial(system=made_system(policy=policy), status_for_broken=200)
    assert judge("contract", trial).state is PASS


def test_answers_outside_the_interface_break_the_contract() -> None:
    """A probability of 1.5 or a label nobody declared is no answer."""
    too_high = PaperTrial(model=lambda columns: shares(np.full(len(columns["hour"]), 1.5)), served=knowing)
    assert "outside 0..1" in judge("contract", too_high).reason

    def foreign(columns: Mapping[str, Any]) -> dict[str, Any]:
        return {**knowing(columns), "label": np.full(len(columns["hour"]), "maybe", dtype=object)}

    assert "none of the interface's" in judge("contract", PaperTrial(model=foreign, served=knowing)).reason


@pytest.mark.parametrize("gate", plugins.names("gates"))
def test_every_gate_says_what_it_needs_and_its_parameters(gate: str) -> None:
    """`plan` prints them; a gate without words cannot be reviewed."""
    made = plugins.load("gates", gate)
    assert made.name == gate
    assert made.needs
    assert made.defaults
    assert BINARY.features
