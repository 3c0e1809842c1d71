"""Admission: a release enters the ledger under a number of its own; the baseline before all others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from roadworthy.domain.candidate import Candidate, Run
from roadworthy.domain.digest import Digest
from roadworthy.domain.exposure import first_route
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import Actor
from roadworthy.domain.release import Release
from roadworthy.domain.system import GatePlan, Kind, System
from roadworthy.domain.verdict import Verdict, VerdictState
from roadworthy.errors import Conflict, InconclusiveError, ReleaseRefused
from roadworthy.lifecycle import present
from roadworthy.lifecycle.approve import counting
from roadworthy.lifecycle.build import BuildResult
from roadworthy.lifecycle.change_route import route_changed
from roadworthy.lifecycle.check import Case, CheckResult, Tell, TrialFor, give
from roadworthy.lifecycle.promote import ProveLoads
from roadworthy.lifecycle.publish import publish
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import to_doc

_CONTRACT: Final = "contract"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRequest:
    """What every step of one release needs."""

    plane: Plane
    folder: Path
    system: System
    actor: Actor
    trial_for: TrialFor
    prove_loads: ProveLoads
    reason: str
    environment: str
    tell: Tell


def baseline_first(asked: ReleaseRequest, built: BuildResult) -> None:
    """Admit the baseline of this content, and put it in front where nothing serves yet."""
    baseline = built.baseline
    if baseline is None:
        return
    if baseline.id not in present.releases(asked.plane, asked.system.name):
        verdicts = _judged(asked, baseline) if asked.system.kind is Kind.MODEL else ()
        asked.prove_loads(baseline)
        asked.plane.ledger.commit([_admission(asked, _baseline_release(asked, baseline, verdicts))])
        asked.tell(f"{asked.system.name}@baseline is admitted")
    _serve_baseline(asked, baseline.id)


def _judged(asked: ReleaseRequest, baseline: Candidate) -> tuple[str, ...]:
    """Judge a baseline of kind model by the contract; one of kind llm only quotes, and is judged as the rival.

    Raises:
        ReleaseRefused: it breaks the interface.
        InconclusiveError: that could not be said.
    """
    asked.tell("judging the baseline")
    verdict = _contract_of(asked, baseline)
    if verdict.state not in (VerdictState.PASS, VerdictState.WAIVED):
        message = f"the baseline of {asked.system.name} is refused: {verdict.gate} ({verdict.reason})"
        if verdict.state is VerdictState.INCONCLUSIVE:
            raise InconclusiveError(message, hint="run it again once that is mended")
        raise ReleaseRefused(message, hint=f"mend {asked.system.content.baseline}")
    return (f"{baseline.id}/{verdict.gate}",)


def _contract_of(asked: ReleaseRequest, baseline: Candidate) -> Verdict:
    plans = {plan.name: plan for plan in asked.system.policy.gates}
    plan = plans.get(_CONTRACT, GatePlan(name=_CONTRACT))
    case = Case(plane=asked.plane, folder=asked.folder, system=asked.system, candidate=baseline, actor=asked.actor)
    with asked.trial_for(asked.plane, asked.system, baseline, asked.folder, baseline=baseline) as trial:
        return give(case, plan, trial, {})


def _baseline_release(asked: ReleaseRequest, baseline: Candidate, verdicts: tuple[str, ...]) -> Release:
    runs = asked.plane.ledger.states(Noun.RUN, asked.system.name)
    run = next((name for name, document in runs.items() if document["candidate"] == baseline.id), "")
    return Release(
        id=baseline.id,
        system=asked.system.name,
        number=0,
        candidate=baseline,
        policy=asked.system.policy.digest,
        run=run,
        admitted_at=asked.plane.clock.now(),
        admitted_by=asked.actor.principal,
        verdicts=verdicts,
    )


def _serve_baseline(asked: ReleaseRequest, baseline: Digest) -> None:
    plane, system, environment = asked.plane, asked.system.name, asked.environment

    def attempt() -> bool:
        expected = present.route_seq(plane, system, environment)
        if present.route(plane, system, environment) is not None:
            return False
        route = first_route(system, environment, baseline)
        why = "the baseline serves until the first release has passed"
        plane.ledger.commit([route_changed(route, asked.actor, why, expected=expected)])
        return True

    if present.settle(attempt):
        publish(plane)
        asked.tell(f"{system}@baseline serves until the first release has passed")


def admit(asked: ReleaseRequest, candidate: Candidate, run: Run, found: CheckResult) -> Release:
    """Admit a candidate under the next number. The number is part of the key, so two releases never share one.

    Raises:
        Conflict: someone else took the number or admitted the same candidate; look again.
    """
    known = present.releases(asked.plane, asked.system.name)
    if candidate.id in known:
        return known[candidate.id]
    given = counting(asked.plane, candidate, asked.system.policy.decision.tier)
    admitted = Release(
        id=candidate.id,
        system=asked.system.name,
        number=1 + max((one.number for one in known.values()), default=0),
        candidate=candidate,
        policy=asked.system.policy.digest,
        run=run.id,
        admitted_at=asked.plane.clock.now(),
        admitted_by=asked.actor.principal,
        verdicts=tuple(f"{candidate.id}/{verdict.gate}" for verdict in found.verdicts),
        approved_by=tuple(one.by for one in given),
    )
    if not asked.plane.ledger.commit([_admission(asked, admitted)]):
        raise Conflict(f"{admitted.name} was admitted by someone else meanwhile")
    return admitted


def _admission(asked: ReleaseRequest, admitted: Release) -> Decide:
    number = f"v{admitted.number}" if admitted.number else f"baseline/{admitted.id}"
    return Decide(
        kind="release.admitted",
        system=admitted.system,
        noun=Noun.RELEASE,
        subject=admitted.id,
        after=to_doc(admitted),
        actor=asked.actor,
        reason=asked.reason or f"admitted as {admitted.name}",
        expected=0,
        key=f"release.admitted/{admitted.system}/{number}",
    )
