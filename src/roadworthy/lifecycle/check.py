"""Check a project: build its candidate if need be, and have every gate in force judge it. Releases nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from roadworthy import plugins
from roadworthy.domain.candidate import Candidate, Run
from roadworthy.domain.digest import Digest, digest
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import DAY, Micros
from roadworthy.domain.principal import Actor
from roadworthy.domain.system import GatePlan, Kind, System, Tier
from roadworthy.domain.verdict import Judgement, Verdict, VerdictState, Waiver, standing_in_the_way, under_waivers
from roadworthy.errors import PluginError, RoadworthyError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.apply import waiver_of
from roadworthy.lifecycle.approve import waivers
from roadworthy.lifecycle.build import BuildResult, build
from roadworthy.lifecycle.run_tests import suite_digest
from roadworthy.lifecycle.table import digest_file
from roadworthy.ports.gate import AnyTrial, Gate
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc, to_doc

VERDICT_LASTS: Final[Micros] = 30 * DAY
_BESIDE: Final = "beside"


class TrialFor(Protocol):
    """Puts a candidate on trial; given by wiring, which has the real serving path."""

    def __call__(
        self,
        plane: Plane,
        system: System,
        candidate: Candidate,
        folder: Path,
        *,
        baseline: Candidate | None = None,
        notes: tuple[str, ...] = (),
    ) -> AbstractContextManager[AnyTrial]:
        """Return the trial of the system's kind as a block: whatever it started ends with it."""
        ...


Tell = Callable[[str], None]
"""Told in a sentence what happens next or has just happened, for someone who waits."""


def quietly(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What the gates in force said. `in_the_way` is empty when nothing keeps the candidate from release.

    `reused` names the gates whose earlier verdict still counts; `undecided` those whose only trouble is too little
    evidence.
    """

    candidate: Candidate
    run: Run
    baseline: Candidate | None
    verdicts: tuple[Verdict, ...]
    in_the_way: tuple[str, ...]
    reused: tuple[str, ...] = ()
    built_before: bool = False

    @property
    def passed(self) -> bool:
        """Claim that every gate in force is open."""
        return not self.in_the_way

    @property
    def undecided(self) -> bool:
        """Claim that no gate failed, but some could not say."""
        states = {verdict.state for verdict in self.verdicts}
        return VerdictState.INCONCLUSIVE in states and VerdictState.FAIL not in states


def check(
    plane: Plane, folder: Path, system: System, actor: Actor, *, trial_for: TrialFor, tell: Tell = quietly
) -> CheckResult:
    """Build the candidate if its recipe is new, judge it by every gate in force, and write the verdicts down.

    A verdict on the same candidate, policy, tests, baseline and champion that passed and has not expired counts again.

    Raises:
        InputError, ArtifactError: the project cannot be built; see `build`.
        PluginError: a gate is not installed, or broke.
    """
    tell("building the candidate")
    built = build(folder, system, plane, actor)
    tell("the same recipe was built before" if built.reused else f"built in {built.run.seconds:.1f} s")
    return judge(plane, folder, system, built, actor, trial_for=trial_for, tell=tell)


def judge(
    plane: Plane,
    folder: Path,
    system: System,
    built: BuildResult,
    actor: Actor,
    *,
    trial_for: TrialFor,
    tell: Tell = quietly,
) -> CheckResult:
    """Have every gate in force judge a built candidate; see `check`."""
    case = Case(plane=plane, folder=folder, system=system, candidate=built.candidate, actor=actor, tell=tell)
    beside = _beside(plane, folder, system, built)
    exceptions = _waivers_in_force(plane, system)
    verdicts, reused = list[Verdict](), list[str]()
    with ExitStack() as stack:
        trial: AnyTrial | None = None
        for plan in system.policy.gates:
            known = _standing(case, plan.name, beside)
            if known is not None:
                verdicts.append(known)
                reused.append(plan.name)
                tell(f"{plan.name}: {known.state}, as judged before: {known.reason}")
                continue
            if trial is None:
                made = trial_for(plane, system, built.candidate, folder, baseline=built.baseline, notes=built.run.notes)
                trial = stack.enter_context(made)
            verdicts.append(give(case, plan, trial, beside, exceptions))
    now = plane.clock.now()
    names = [plan.name for plan in system.policy.gates]
    return CheckResult(
        candidate=built.candidate,
        run=built.run,
        baseline=built.baseline,
        verdicts=tuple(verdicts),
        in_the_way=standing_in_the_way(names, verdicts, built.candidate.id, system.policy.digest, now),
        reused=tuple(reused),
        built_before=built.reused,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Whom the gates judge, for whom, and who is told."""

    plane: Plane
    folder: Path
    system: System
    candidate: Candidate
    actor: Actor
    tell: Tell = field(default=quietly)


def give(
    case: Case, plan: GatePlan, trial: AnyTrial, beside: Mapping[str, Any], exceptions: Sequence[Waiver] = ()
) -> Verdict:
    """Let one gate judge, and write its verdict into the ledger, under the waivers in force.

    Raises:
        NotFoundError: no such gate is installed.
        PluginError: the gate broke instead of judging.
    """
    case.tell(f"{plan.name}: judging")
    judgement = _judgement(plan, trial)
    now, system = case.plane.clock.now(), case.system
    verdict = Verdict(
        gate=plan.name,
        candidate=case.candidate.id,
        policy=system.policy.digest,
        state=judgement.state,
        reason=judgement.reason,
        evidence={**judgement.evidence, _BESIDE: dict(beside)},
        at=now,
        expires_at=now + VERDICT_LASTS,
    )
    verdict = under_waivers(verdict, exceptions, now)
    given = Decide(
        kind="verdict.given",
        system=system.name,
        noun=Noun.VERDICT,
        subject=f"{case.candidate.id}/{plan.name}",
        after=to_doc(verdict),
        actor=case.actor,
        reason=f"{verdict.state}: {verdict.reason}",
    )
    case.plane.ledger.commit([given])
    case.tell(f"{plan.name}: {verdict.state}: {verdict.reason}")
    return verdict


def _judgement(plan: GatePlan, trial: AnyTrial) -> Judgement:
    gate: Gate = plugins.load("gates", plan.name)
    try:
        return gate.judge(trial, plan.parameters)
    except RoadworthyError as error:
        reason = f"it could not be measured: {error.message}"
        return Judgement(state=VerdictState.INCONCLUSIVE, reason=reason)
    except Exception as error:
        raise PluginError(
            f"the gate '{plan.name}' broke instead of judging: {type(error).__name__}: {error}",
            hint="a gate turns a bad model into a verdict; this is a fault of the gate",
        ) from error


def _standing(case: Case, gate: str, beside: Mapping[str, Any]) -> Verdict | None:
    """Return an earlier pass that still counts: same candidate, policy and company, not expired."""
    document = case.plane.ledger.state(Noun.VERDICT, f"{case.candidate.id}/{gate}")
    if document is None:
        return None
    found = from_doc(Verdict, document)
    same = found.policy == case.system.policy.digest and found.evidence.get(_BESIDE) == dict(beside)
    fresh = found.state is VerdictState.PASS and case.plane.clock.now() < found.expires_at
    return found if same and fresh else None


def _beside(plane: Plane, folder: Path, system: System, built: BuildResult) -> dict[str, Digest]:
    """Name what a verdict rests on besides candidate and policy."""
    route = present.route(plane, system.name, "live")
    known = {
        "tests": suite_digest(folder),
        "baseline": built.baseline.id if built.baseline else "",
        "champion": route.champion if route else "",
    }
    return known | _suites_beside(plane, folder, system) if system.kind is Kind.LLM else known


def _suites_beside(plane: Plane, folder: Path, system: System) -> dict[str, Digest]:
    """Name the cases that the gates ask, and the wordings that people approved."""
    patterns = {str(one) for plan in system.policy.gates for one in plan.parameters.get("files", ())}
    files = {path.relative_to(folder).as_posix(): path for pattern in patterns for path in folder.glob(pattern)}
    approved = plane.ledger.state(Noun.WORDING, system.name) or {}
    return {
        "suites": digest({name: digest_file(path) for name, path in files.items() if path.is_file()}),
        "wordings": approved.get("artifact", ""),
    }


def _waivers_in_force(plane: Plane, system: System) -> tuple[Waiver, ...]:
    """Return the waivers that count: those of the ledger, and at tier low those that the manifest is about to add."""
    now = plane.clock.now()
    stated = [waiver_of(system.name, one, now) for one in system.policy.waivers if now < one.until]
    known = waivers(plane, system.name)
    ended = {one.id for one in stated if plane.ledger.seq_of(Noun.WAIVER, one.id)}
    new = [one for one in stated if one.id not in ended] if system.policy.decision.tier is Tier.LOW else []
    return (*known, *new)
