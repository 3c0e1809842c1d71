"""The release verb: what it refuses and for how many reasons, what it admits, what doing it twice changes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path
from typing import Any

import pytest

from paper_trial import BINARY, PaperTrial, coin, knowing, made_rows, shares
from roadworthy.domain.candidate import Candidate, Environment, Run
from roadworthy.domain.failure_plan import FailurePlan, Rule
from roadworthy.domain.interface import Interface
from roadworthy.domain.ledger import Decide, Noun, verify
from roadworthy.domain.moment import DAY
from roadworthy.domain.principal import Actor, Assurance
from roadworthy.domain.release import Release
from roadworthy.domain.rollout import Stage, StagePlan
from roadworthy.domain.system import (
    Content,
    DataPlan,
    Decision,
    GatePlan,
    Kind,
    Owner,
    Policy,
    StatedWaiver,
    System,
    Tier,
)
from roadworthy.domain.verdict import VerdictState
from roadworthy.errors import (
    ArtifactError,
    Conflict,
    InconclusiveError,
    NotPermitted,
    PluginError,
    RefusedError,
    ReleaseRefused,
    UnavailableError,
)
from roadworthy.lifecycle import present
from roadworthy.lifecycle.admit import ReleaseRequest, admit
from roadworthy.lifecycle.apply import apply
from roadworthy.lifecycle.approve import approve
from roadworthy.lifecycle.check import VERDICT_LASTS, check
from roadworthy.lifecycle.completeness import unknowns
from roadworthy.lifecycle.keys import put_principal
from roadworthy.lifecycle.release import release
from roadworthy.ports.gate import LoadReport, TestReport
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.stores.clock import ReplayClock
from roadworthy.stores.codec import from_doc, to_doc
from roadworthy.stores.home import create
from roadworthy.wiring import open_plane, prove_loads

ANA, EVA = Actor(principal="ana"), Actor(principal="eva", assurance=Assurance.AUTHENTICATED)
START = 1_700_000_000_000_000
GATES = ("baseline", "contract", "latency", "quality", "tests")
QUIET = LoadReport(requests=150, errors=0, p50_us=900, p99_us=2_000, echo_p50_us=300, echo_p99_us=900)
POLICY = Policy(
    owner=Owner(principal="ana", contact="ana@example.org"),
    gates=tuple(GatePlan(name=name) for name in GATES),
    rollout=(StagePlan(stage=Stage.CANARY, share=0.25, records=10), StagePlan(stage=Stage.FULL, share=1.0)),
    failure=FailurePlan(rules=(Rule(objective="errors", do=()),)),
)
CONTENT = Content(
    use="model.sql",
    data=DataPlan(table="rows.csv", target="late"),
    baseline="baseline.sql",
    interface=BINARY,
)
MODEL = "select case when hour >= 12 then 0.9 else 0.1 end as probability from input order by rw_row"
BASELINE = "select 0.5 as probability from input order by rw_row"


@dataclass
class Desk:
    """A project, its home, and trials on paper that tests can spoil. `asked` lists who was put on trial."""

    folder: Path
    plane: Plane
    system: System = System(name="flights", kind=Kind.MODEL, content=CONTENT, policy=POLICY)
    spoiled: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @contextmanager
    def trial_for(self, plane: Plane, system: System, candidate: Candidate, folder: Path, **more: Any) -> Iterator[Any]:
        """Put a candidate on paper."""
        self.asked.append("baseline" if candidate.is_baseline else "candidate")
        given = {"report": TestReport(passed=2, failed=0, seconds=0.1), "loads": [QUIET], "prototype": knowing}
        given |= {"model": coin} if candidate.is_baseline else self.spoiled
        yield PaperTrial(system=system, candidate=candidate, **given)

    def policy(self, **changes: Any) -> None:
        """Change the manifest's policy."""
        self.system = replace(self.system, policy=replace(self.system.policy, **changes))

    def check(self) -> Any:
        """Check the project."""
        return check(self.plane, self.folder, self.system, ANA, trial_for=self.trial_for, tell=self.told.append)

    def release(self, actor: Actor = ANA, prove: Any = None, **more: Any) -> Any:
        """Release the project."""
        return release(
            self.plane, self.folder, self.system, actor, trial_for=self.trial_for,
            prove_loads=prove or prove_loads(self.plane), tell=self.told.append, **more,
        )  # fmt: skip

    def releases(self) -> dict[str, Release]:
        """Return the releases by name."""
        return {one.name: one for one in present.releases(self.plane, "flights").values()}

    def edit(self) -> None:
        """Make another candidate of the project."""
        (self.folder / "model.sql").write_text(MODEL.replace("0.9", "0.91"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an empty home whose clock the tests move."""
    folder = tmp_path_factory.mktemp("desk") / "project"
    (folder / "tests").mkdir(parents=True)
    rows = made_rows(300)
    columns = zip(rows.columns["hour"], rows.columns["carrier"], rows.columns["wind"], rows.target, strict=True)
    lines = [f"{hour},{carrier},{'' if isnan(wind) else wind},{late}" for hour, carrier, wind, late in columns]
    (folder / "rows.csv").write_text("\n".join(["hour,carrier,wind,late", *lines]) + "\n")
    (folder / "model.sql").write_text(MODEL)
    (folder / "baseline.sql").write_text(BASELINE)
    (folder / "tests" / "test_one.py").write_text("def test_one():\n    pass\n")
    create(folder / ".roadworthy", "replay", now=START)
    return folder


@pytest.fixture
def desk(template: Path, tmp_path: Path) -> Iterator[Desk]:
    """A copy of it, open."""
    folder = Path(shutil.copytree(template, tmp_path / "project"))
    plane = open_plane(Settings(home=folder / ".roadworthy"))
    yield Desk(folder=folder, plane=plane)
    plane.close()


def pass_by(desk: Desk, duration: int) -> None:
    """Let time pass in the home."""
    clock = desk.plane.clock
    assert isinstance(clock, ReplayClock)
    clock.set(clock.now() + duration)


def test_the_baseline_is_admitted_first_and_serves_until_the_first_release_has_passed(desk: Desk) -> None:
    """Refusing the candidate leaves the baseline in front, not nothing."""
    desk.spoiled = {"report": TestReport(passed=1, failed=1, seconds=1, failures=("t::x",))}
    with pytest.raises(ReleaseRefused):
        desk.release()
    route = present.route(desk.plane, "flights", "live")
    assert route is not None
    assert desk.releases()["flights@baseline"].id == route.champion
    assert list(desk.releases()) == ["flights@baseline"]


def test_a_refusal_names_every_gate_that_failed(desk: Desk) -> None:
    """An owner sees all failures at once, not one per attempt."""
    desk.spoiled = {
        "model": coin,
        "report": TestReport(passed=1, failed=1, seconds=1, failures=("t::x",)),
        "loads": [replace(QUIET, p50_us=115_000, p99_us=140_000)],
    }
    with pytest.raises(ReleaseRefused) as refusal:
        desk.release()
    text = str(refusal.value)
    assert "refused by 3 of 5 gates" in text
    assert all(f"{gate}: fail (" in text for gate in ("baseline", "latency", "tests"))
    assert refusal.value.exit_code == 2


def test_too_little_evidence_is_no_pass_and_no_failure(desk: Desk) -> None:
    """Exit code 3: someone may come back with more rows or a quieter machine."""
    desk.spoiled = {"loads": [replace(QUIET, p99_us=60_000, echo_p99_us=40_000)]}
    with pytest.raises(InconclusiveError) as refusal:
        desk.release()
    assert refusal.value.exit_code == 3
    assert "latency: inconclusive (machine:" in str(refusal.value)
    desk.edit()
    desk.spoiled |= {"model": coin}
    with pytest.raises(ReleaseRefused):
        desk.release()


def test_an_admitted_release_carries_its_verdicts_and_begins_its_rollout(desk: Desk) -> None:
    """Admission, rollout and route stand in a ledger that verifies."""
    done = desk.release(reason="spring")
    assert done.release.name == "flights@v1"
    assert sorted(name.split("/")[-1] for name in done.release.verdicts) == sorted(GATES)
    assert done.promotion.rollout.release == done.release.id
    assert done.promotion.route.challenger == done.release.id
    assert verify(desk.plane.ledger.events()).holds
    assert "canary at 25%" in done.sentence


def test_releasing_the_same_content_twice_is_a_no_op(desk: Desk) -> None:
    """The same id, and not one more entry in the ledger."""
    first = desk.release()
    before = desk.plane.ledger.head()
    again = desk.release()
    assert desk.plane.ledger.head() == before
    assert (again.release.id, again.already, again.sentence) == (
        first.release.id,
        True,
        "already released as flights@v1",
    )


def test_one_changed_byte_is_another_release_that_waits_for_the_rollout_under_way(desk: Desk) -> None:
    """It is admitted under the next number; nobody's rollout is cut short by it."""
    first = desk.release()
    desk.edit()
    second = desk.release()
    assert (second.release.name, second.promotion) == ("flights@v2", None)
    assert "the rollout of flights@v1 is under way" in second.sentence
    running = present.running(desk.plane, "flights", "live")
    assert running is not None
    assert running.release == first.release.id


def test_a_release_whose_admission_was_the_last_thing_a_process_did_is_rolled_out_by_the_next(desk: Desk) -> None:
    """A kill between admission and rollout loses nothing and doubles nothing."""
    calls = []

    def dying(candidate: Candidate) -> None:
        calls.append(candidate.is_baseline)
        if not candidate.is_baseline:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.release(prove=dying)
    assert "flights@v1" in desk.releases()
    assert present.running(desk.plane, "flights", "live") is None
    done = desk.release()
    assert done.promotion.rollout.release == desk.releases()["flights@v1"].id
    assert len(desk.releases()) == 2


def test_a_check_admits_nothing_and_its_passes_count_for_the_release(desk: Desk) -> None:
    """The same candidate under the same policy is not judged twice."""
    found = desk.check()
    assert found.passed
    assert not desk.releases()
    # The route to the baseline changes what a verdict rests on, so the release judges once more, and then not again.
    desk.spoiled = {"report": TestReport(passed=0, failed=1, seconds=1, failures=("t::x",))}
    with pytest.raises(ReleaseRefused):
        desk.release()
    asked = len(desk.asked)
    again = desk.check()
    assert sorted(again.reused) == sorted(set(GATES) - {"tests"})
    assert len(desk.asked) == asked + 1
    assert any("as judged before" in line for line in desk.told)


def test_a_verdict_expires(desk: Desk) -> None:
    """What was true a month ago is judged again."""
    desk.check()
    assert len(desk.check().reused) == len(GATES)
    pass_by(desk, VERDICT_LASTS)
    assert desk.check().reused == ()


def test_an_edited_test_is_judged_again(desk: Desk) -> None:
    """The verdict names the files it rests on."""
    desk.check()
    (desk.folder / "tests" / "test_one.py").write_text("def test_one():\n    assert False\n")
    assert desk.check().reused == ()


def test_another_policy_is_judged_again(desk: Desk) -> None:
    """A verdict is bound to the policy revision it was given under."""
    desk.check()
    desk.policy(decision=Decision(what="something else"))
    assert desk.check().reused == ()


def test_a_waiver_opens_a_gate_by_name_and_only_until_its_date(desk: Desk) -> None:
    """The verdict says who waived it and why; the day after, the gate is shut again."""
    desk.spoiled = {"loads": [replace(QUIET, p50_us=115_000, p99_us=140_000)]}
    until = START + DAY
    desk.policy(waivers=(StatedWaiver(gate="latency", by="ana", why="new machine on Monday", until=until),))
    assert desk.check().passed
    pass_by(desk, DAY)
    found = desk.check()
    assert [one.gate for one in found.verdicts if one.state is VerdictState.FAIL] == ["latency"]
    with pytest.raises(ReleaseRefused):
        desk.release()


def test_a_waived_release_shows_the_waiver_in_its_verdict(desk: Desk) -> None:
    """What was excused stays visible."""
    desk.spoiled = {"loads": [replace(QUIET, p50_us=115_000, p99_us=140_000)]}
    desk.policy(waivers=(StatedWaiver(gate="latency", by="ana", why="new machine", until=START + DAY),))
    done = desk.release()
    verdict = next(one for one in done.check.verdicts if one.gate == "latency")
    assert verdict.state is VerdictState.WAIVED
    assert "waived by ana: new machine" in verdict.reason
    assert verdict.expires_at == START + DAY


def test_the_policy_is_put_in_force_by_the_first_release_and_noted(desk: Desk) -> None:
    """Nothing is judged under a policy that is not in force."""
    done = desk.release()
    assert desk.plane.ledger.state(Noun.POLICY, "flights") is not None
    assert any("was put in force" in note for note in done.notes)


def test_at_tier_low_a_changed_policy_is_applied_and_the_decision_written_down(desk: Desk) -> None:
    """One step for someone alone; the ledger knows it."""
    desk.release()
    desk.policy(decision=Decision(what="another purpose"))
    done = desk.release()
    assert any("in force" in note for note in done.notes)
    assert [event.kind for event in desk.plane.ledger.events()].count("policy.applied") == 2


@pytest.mark.parametrize(("before", "after"), [(Tier.STANDARD, Tier.STANDARD), (Tier.HIGH, Tier.LOW)])
def test_a_careful_tier_refuses_to_release_under_another_policy_than_the_one_in_force(
    desk: Desk, before: Tier, after: Tier
) -> None:
    """Lowering the tier in a branch is no way around it."""
    desk.policy(decision=Decision(what="x", tier=before))
    apply(desk.plane, desk.system, actor=ANA)
    desk.policy(decision=Decision(what="y", tier=after))
    with pytest.raises(RefusedError, match="policy in force") as refusal:
        desk.release()
    assert "roadworthy apply" in refusal.value.hint


@pytest.fixture
def committed(desk: Desk) -> Desk:
    """The same at tier standard, in a repository, with a sponsor."""
    from roadworthy.lifecycle import checkout

    (desk.folder / ".gitignore").write_text(".roadworthy/\n")
    checkout.start(desk.folder, ["."], "Begin")
    owner = Owner(principal="ana", contact="ana@example.org", backup="ben", backup_contact="ben@example.org")
    desk.policy(owner=owner, decision=Decision(what="x", tier=Tier.STANDARD, sponsor="eva@example.org"))
    return desk


def test_a_careful_tier_needs_a_proven_approval_and_first_of_all_the_sponsors(committed: Desk) -> None:
    """Both are named as missing; the sponsor's own proven yes settles both."""
    with pytest.raises(ReleaseRefused) as refusal:
        committed.release()
    assert "passed its 5 gates but is refused" in str(refusal.value)
    assert "sponsor, eva" in str(refusal.value)
    approve(committed.plane, "flights", "candidate", actor=Actor(principal="bob", assurance=Assurance.AUTHENTICATED))
    with pytest.raises(ReleaseRefused) as refusal:
        committed.release()
    assert str(refusal.value).count("approval:") == 1
    approve(committed.plane, "flights", "candidate", actor=EVA, reason="worth it")
    done = committed.release()
    assert set(done.release.approved_by) == {"bob", "eva"}


def test_a_yes_given_without_proof_at_a_lower_tier_is_named_and_does_not_count(committed: Desk) -> None:
    """Raising the tier raises what a yes must be: the refusal names who gave one unproven, the release does not."""
    careful = committed.system.policy.decision
    committed.policy(decision=Decision(what="x", sponsor="eva@example.org"))
    committed.spoiled = {"report": TestReport(passed=1, failed=1, seconds=1, failures=("t::x",))}
    with pytest.raises(ReleaseRefused):
        committed.release()
    approve(committed.plane, "flights", "candidate", actor=Actor(principal="bob"))
    committed.policy(decision=careful)
    apply(committed.plane, committed.system, actor=ANA)
    committed.spoiled = {}
    with pytest.raises(ReleaseRefused, match="bob approved without proving who they are"):
        committed.release()
    approve(committed.plane, "flights", "candidate", actor=EVA)
    assert committed.release().release.approved_by == ("eva",)


def test_who_left_releases_nothing_and_their_approval_counts_no_more(committed: Desk) -> None:
    """A name in the ledger is not a person at work."""
    with pytest.raises(ReleaseRefused):
        committed.release()
    approve(committed.plane, "flights", "candidate", actor=EVA)
    put_principal(committed.plane, "eva", ANA, active=False)
    with pytest.raises(ReleaseRefused, match="sponsor"):
        committed.release()
    with pytest.raises(NotPermitted):
        committed.release(actor=EVA)


def _parts(desk: Desk) -> tuple[Candidate, Run]:
    done = desk.release()
    run = desk.plane.ledger.state(Noun.RUN, done.release.run)
    assert run is not None
    return done.release.candidate, from_doc(Run, run)


def _refusing(candidate: Candidate) -> None:
    raise ArtifactError("its bytes are altered")


def test_each_of_the_five_unknowns_is_a_reason_of_its_own(desk: Desk) -> None:
    """Artifact, environment, data inputs, interface and way back: remove each in turn."""
    candidate, run = _parts(desk)
    prove = prove_loads(desk.plane)
    assert unknowns(desk.plane, candidate, run, prove) == ()
    bare = Interface(inputs=(), task=candidate.interface.task, labels=("0", "1"), positive="1")
    cases = {
        "artifact": (replace(candidate, artifacts=candidate.artifacts[1:]), run, prove),
        "environment": (replace(candidate, environment=Environment(python="", platform="")), run, prove),
        "data inputs": (candidate, replace(run, data={}), prove),
        "serving interface": (replace(candidate, interface=bare), run, prove),
        "rollback path": (candidate, run, _refusing),
    }
    for name, (changed, made, proof) in cases.items():
        found = unknowns(desk.plane, changed, replace(made, candidate=changed.id), proof)
        assert [text.split(" unknown")[0] for text in found] == [name]


def test_a_candidate_with_an_unknown_is_refused_before_anyone_judges_it(desk: Desk) -> None:
    """A way back that does not load is found before it is needed."""
    tried = []

    def once(candidate: Candidate) -> None:
        tried.append(candidate)
        if len(tried) > 1:
            raise ArtifactError("its bytes are altered")

    with pytest.raises(ReleaseRefused, match=re.escape("rollback path unknown: flights@baseline does not load here")):
        desk.release(prove=once)
    assert desk.asked == ["baseline"]


def test_a_baseline_that_breaks_its_contract_serves_nobody(desk: Desk) -> None:
    """The fallback of last resort is judged too."""

    @contextmanager
    def bad(plane: Plane, system: System, candidate: Candidate, folder: Path, **more: Any) -> Iterator[Any]:
        yield PaperTrial(system=system, candidate=candidate, model=lambda columns: shares(columns["hour"] * 7.0))

    desk.trial_for = bad  # type: ignore[method-assign]
    with pytest.raises(ReleaseRefused, match="the baseline of flights is refused: contract"):
        desk.release()
    assert not desk.releases()
    assert present.route(desk.plane, "flights", "live") is None


def test_a_gate_that_breaks_is_a_fault_of_the_gate_and_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither a pass nor a traceback."""
    from roadworthy.gates.tests import TestsGate

    monkeypatch.setattr(TestsGate, "judge", lambda *_: 1 / 0)
    with pytest.raises(PluginError, match="the gate 'tests' broke"):
        desk.check()


def test_a_baseline_that_cannot_be_measured_is_inconclusive(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pass, no failure, and nobody is served by it meanwhile."""
    from roadworthy.gates.contract import ContractGate

    def busy(*_: object) -> None:
        raise UnavailableError("the machine has no port left")

    monkeypatch.setattr(ContractGate, "judge", busy)
    with pytest.raises(InconclusiveError, match=r"refused: contract \(it could not be measured: the machine has"):
        desk.release()
    assert not desk.releases()


def test_a_system_without_a_baseline_has_no_way_back_at_first(desk: Desk) -> None:
    """A waiver lets it do without one, but the first release then has nothing to return to."""
    waiver = StatedWaiver(gate="baseline", by="ana", why="there is no simple rule", until=START + DAY)
    desk.system = replace(desk.system, content=replace(CONTENT, baseline=""))
    desk.policy(waivers=(waiver,))
    with pytest.raises(ReleaseRefused, match="neither an earlier release nor a baseline to return to"):
        desk.release()
    assert desk.asked == []


def test_two_admissions_at_once_never_share_a_number(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes second looks again; the same candidate admitted twice is the same release."""
    first = desk.release()
    asked = ReleaseRequest(
        plane=desk.plane, folder=desk.folder, system=desk.system, actor=ANA, trial_for=desk.trial_for,
        prove_loads=prove_loads(desk.plane), reason="", environment="live", tell=desk.told.append,
    )  # fmt: skip
    run = from_doc(Run, desk.plane.ledger.state(Noun.RUN, first.release.run) or {})
    assert admit(asked, first.release.candidate, run, first.check) == first.release
    desk.edit()
    found = desk.check()
    seen = present.releases
    monkeypatch.setattr(present, "releases", lambda *_: {})
    with pytest.raises(Conflict, match="flights@v1 was admitted by someone else meanwhile"):
        admit(asked, found.candidate, found.run, found)
    monkeypatch.setattr(present, "releases", seen)
    assert admit(asked, found.candidate, found.run, found).name == "flights@v2"


def test_content_that_changed_under_the_same_policy_is_written_down(desk: Desk) -> None:
    """What the manifest describes is in the ledger before it is built."""
    desk.release()
    desk.system = replace(desk.system, content=replace(CONTENT, seed=7))
    done = desk.release()
    assert done.notes[0] == "the content that the manifest describes was written down"


def test_a_release_that_was_taken_back_is_not_released_again(desk: Desk) -> None:
    """The sentence says for what, and what to do instead."""
    done = desk.release()
    withdrawn = replace(done.release, withdrawn_for=("quality",))
    desk.plane.ledger.commit(
        [
            Decide(
                kind="release.withdrawn", system="flights", noun=Noun.RELEASE, subject=withdrawn.id,
                after=to_doc(withdrawn), actor=ANA,
            )
        ]
    )  # fmt: skip
    again = desk.release()
    assert again.already
    assert again.sentence == "already released as flights@v1, and taken back for quality; build a better candidate"


def test_an_unknown_is_told_in_its_own_words(desk: Desk) -> None:
    """Which digest, which reference, which labels: the sentence says what to look for."""
    candidate, run = _parts(desk)
    prove = prove_loads(desk.plane)
    blind = replace(candidate, artifacts=tuple(one for one in candidate.artifacts if one.role != "reference"))
    shapes = {
        "rows.csv without a version digest": (candidate, replace(run, data={"rows.csv": ""})),
        "has no reference": (blind, replace(run, candidate=blind.id)),
        "a binary task without labels": (replace(candidate, interface=replace(BINARY, labels=())), run),
        "positive class is none of the labels": (replace(candidate, interface=replace(BINARY, positive="2")), run),
    }
    for said, (changed, made) in shapes.items():
        (found,) = unknowns(desk.plane, changed, replace(made, candidate=changed.id), prove)
        assert said in found
