"""Incidents and rollouts as state machines: whatever is done to them in whatever order, their invariants hold."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from roadworthy.domain.exposure import answering, first_route, promoted, under_trial, without_trial
from roadworthy.domain.incident import (
    ActionTaken,
    Incident,
    IncidentState,
    Severity,
    acknowledge,
    close,
    recover,
    relapse,
    severity_of,
    silence,
    took,
)
from roadworthy.domain.objective import Light
from roadworthy.domain.rollout import (
    Harm,
    Move,
    Progress,
    Rollout,
    RolloutState,
    Stage,
    StagePlan,
    advance,
    end,
    enter,
)
from roadworthy.domain.system import Decision, Tier

MOMENTS = st.integers(min_value=1, max_value=10**9)


def blank() -> Incident:
    """Build an incident that just opened."""
    return Incident(
        id="loans-1",
        system="loans",
        objective="errors",
        severity=Severity.SEV2,
        state=IncidentState.OPEN,
        opened_at=1,
        title="errors of loans@v2",
        owner="ada",
    )


class IncidentMachine(RuleBasedStateMachine):
    """An incident under people, breaches and recoveries in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.incident = blank()
        self.closed: Incident | None = None

    @rule()
    def someone_takes_it(self) -> None:
        """A person acknowledges it."""
        self._change(lambda: acknowledge(self.incident, "ada"))

    @rule(moment=MOMENTS)
    def someone_silences_it(self, moment: int) -> None:
        """A person silences it."""
        self._change(lambda: silence(self.incident, moment))

    @rule(moment=MOMENTS, test=st.sampled_from(["", "  ", "tests/test_leak.py"]))
    def someone_closes_it(self, moment: int, test: str) -> None:
        """A person closes it, with or without a test."""
        self._change(lambda: close(self.incident, "ada", test, moment))

    @rule(moment=MOMENTS)
    def it_is_over(self, moment: int) -> None:
        """The objective is ok again."""
        self.incident = recover(self.incident, moment)

    @rule()
    def it_comes_back(self) -> None:
        """The breach comes back."""
        before = self.incident
        self.incident = relapse(before, "errors 0.4")
        assert self.incident.episode - before.episode in (0, 1)

    @rule(moment=MOMENTS, outcome=st.sampled_from(["done", "failed"]))
    def automation_acts(self, moment: int, outcome: str) -> None:
        """Automation adds an action to the story."""
        if not self.incident.is_closed:
            self.incident = took(self.incident, ActionTaken(action="page", at=moment, outcome=outcome))

    def _change(self, change: object) -> None:
        try:
            self.incident = change()  # type: ignore[operator]
        except ValueError:
            return
        if self.incident.is_closed:
            self.closed = self.incident

    @invariant()
    def a_closed_incident_names_its_test_and_stays_as_it_is(self) -> None:
        """Nothing changes a closed incident."""
        if self.incident.is_closed:
            assert self.incident == self.closed
            assert self.incident.new_test
            assert self.incident.closed_by == "ada"

    @invariant()
    def its_cause_and_beginning_never_change(self) -> None:
        """It stays the same story."""
        assert self.incident.cause == blank().cause
        assert self.incident.opened_at == 1
        assert self.incident.handle.startswith("loans-1")
        assert len(set(self.incident.actions)) == len(self.incident.actions)


PLAN = (
    StagePlan(stage=Stage.SHADOW, share=0.5, records=5),
    StagePlan(stage=Stage.CANARY, share=0.2, records=5, outcomes=5),
    StagePlan(stage=Stage.FULL, share=1.0),
)


class RolloutMachine(RuleBasedStateMachine):
    """A rollout under any signals and any switching by people."""

    def __init__(self) -> None:
        super().__init__()
        self.route = promoted(first_route("loans", "live", "b"), "v1", ("previous", "baseline"), "b", ())
        begun = Rollout(
            id="loans/live/3",
            system="loans",
            release="v2",
            replaces="v1",
            policy="p",
            plan=PLAN,
            started_at=0,
            started_by="ada",
        )
        self.rollout = enter(begun, 0, 0)
        self.route = under_trial(self.route, "v2", self.rollout.stage)
        self.now = 0
        self.went_on = 0
        self.harmed = False

    @precondition(lambda self: self.rollout.state is RolloutState.RUNNING)
    @rule(
        records=st.integers(0, 9),
        outcomes=st.integers(0, 9),
        low=st.floats(-0.2, 0.1),
        width=st.floats(0.0, 0.2),
        ratio_ok=st.booleans(),
        breach=st.booleans(),
    )
    def signals_arrive(
        self, records: int, outcomes: int, low: float, width: float, ratio_ok: bool, breach: bool
    ) -> None:
        """Any signals lead to exactly the step that the rule says."""
        harm = Harm(metric="loss", low=low, high=low + width, margin=0.05, n=outcomes)
        progress = Progress(
            records=records,
            outcomes=outcomes,
            harm=(harm,),
            sample_ratio_ok=ratio_ok,
            breaches=("errors",) if breach else (),
        )
        self.now += 1
        step = advance(self.rollout, progress, self.now)
        assert step.reason
        must_abort = breach or low > 0 or not ratio_ok
        assert (step.move is Move.ABORT) == must_abort
        if step.move is Move.ABORT:
            self.harmed = True
            self.rollout = end(self.rollout, RolloutState.ABORTED, step.reason, self.now)
            self.route = without_trial(self.route)
        elif step.move is Move.GO_ON:
            assert records >= self.rollout.stage.records
            assert outcomes >= self.rollout.stage.outcomes
            self.went_on += 1
            self.rollout = enter(self.rollout, self.rollout.stage_index + 1, self.now)
            if self.rollout.has_ended:
                self.route = promoted(self.route, "v2", ("previous", "baseline"), "b", ())
            else:
                self.route = under_trial(self.route, "v2", self.rollout.stage)

    @rule()
    def someone_ends_it_twice(self) -> None:
        """Ending an ended rollout changes nothing."""
        if self.rollout.has_ended:
            assert end(self.rollout, RolloutState.ABORTED, "again", self.now) == self.rollout

    @invariant()
    def exposure_follows_the_stage(self) -> None:
        """Callers get exactly what the stage says."""
        answers = answering(self.route)
        if self.rollout.state is RolloutState.DONE:
            assert answers == ("v2",)
            assert self.went_on == 2
            assert self.route.last_good == "v1"
        elif self.rollout.state is RolloutState.ABORTED:
            assert answers == ("v1",)
            assert self.harmed
        elif self.rollout.stage.stage is Stage.SHADOW:
            assert answers == ("v1",)
        else:
            assert answers == ("v1", "v2")


TestIncidents = IncidentMachine.TestCase
TestIncidents.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestRollouts = RolloutMachine.TestCase
TestRollouts.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)


@pytest.mark.parametrize(
    ("decision", "light", "answering_now", "severity"),
    [
        (Decision(tier=Tier.HIGH), Light.OPERATIONS, True, Severity.SEV1),
        (Decision(), Light.DECISION, True, Severity.SEV3),
        (Decision(cost_of_failure_micros=99_999_999), Light.DECISION, True, Severity.SEV3),
        (Decision(cost_of_failure_micros=100_000_000), Light.DECISION, True, Severity.SEV2),
        (Decision(cost_of_failure_micros=1_000_000_000), Light.DECISION, True, Severity.SEV1),
        (Decision(), Light.OPERATIONS, True, Severity.SEV2),
        (Decision(cost_of_failure_micros=100_000_000), Light.OPERATIONS, True, Severity.SEV1),
        (Decision(tier=Tier.STANDARD), Light.DECISION, True, Severity.SEV2),
        (Decision(tier=Tier.STANDARD), Light.OPERATIONS, True, Severity.SEV1),
        (Decision(tier=Tier.HIGH), Light.DECISION, False, Severity.SEV3),
    ],
)
def test_severity_comes_from_cost_light_and_who_is_reached(
    decision: Decision, light: Light, answering_now: bool, severity: Severity
) -> None:
    """What costs more is more severe; what reached few callers is never above sev3."""
    assert severity_of(decision, light, answering=answering_now) is severity


def test_a_closed_incident_refuses_every_change() -> None:
    """It is kept as it was closed."""
    closed = close(blank(), "ada", "tests/test_leak.py", 2)
    for change in (
        lambda: acknowledge(closed, "ben"),
        lambda: silence(closed, 9),
        lambda: close(closed, "ben", "other", 3),
    ):
        with pytest.raises(ValueError, match="is closed"):
            change()
    with pytest.raises(ValueError, match="needs the new test"):
        close(blank(), "ada", " ", 2)


def test_a_rollout_without_stages_before_full_is_done_at_once() -> None:
    """Entering full, or going past the last stage, ends it."""
    rollout = Rollout(
        id="r",
        system="loans",
        release="v2",
        replaces="v1",
        policy="p",
        plan=(StagePlan(stage=Stage.CANARY, share=0.1),),
        started_at=0,
        started_by="ada",
    )
    assert enter(rollout, 1, 5).state is RolloutState.DONE
    assert enter(rollout, 1, 5).ended_at == 5
