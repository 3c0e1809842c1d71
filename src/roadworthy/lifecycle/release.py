"""Release: build, judge, admit and begin the rollout, or refuse naming everything that is in the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import Digest, short
from roadworthy.domain.ledger import Noun
from roadworthy.domain.principal import Actor
from roadworthy.domain.release import Release
from roadworthy.domain.system import Policy, System, Tier
from roadworthy.domain.verdict import missing_approval
from roadworthy.errors import InconclusiveError, NotPermitted, RefusedError, ReleaseRefused
from roadworthy.lifecycle import present
from roadworthy.lifecycle.admit import ReleaseRequest, admit, baseline_first
from roadworthy.lifecycle.apply import apply
from roadworthy.lifecycle.approve import counting
from roadworthy.lifecycle.build import build
from roadworthy.lifecycle.check import CheckResult, Tell, TrialFor, judge, quietly
from roadworthy.lifecycle.completeness import unknowns
from roadworthy.lifecycle.promote import Promotion, ProveLoads, promote
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseResult:
    """What was released. `already` says that the same content had been released before and nothing changed.

    `promotion` is None when no rollout began; `sentence` says why, or how it began. `notes` are decisions that were
    taken on the way, such as putting the policy in force.
    """

    release: Release
    check: CheckResult | None
    promotion: Promotion | None
    already: bool
    sentence: str
    notes: tuple[str, ...] = ()


def release(
    plane: Plane,
    folder: Path,
    system: System,
    actor: Actor,
    *,
    trial_for: TrialFor,
    prove_loads: ProveLoads,
    reason: str = "",
    environment: str = "live",
    tell: Tell = quietly,
) -> ReleaseResult:
    """Return the release, or refuse it naming every gate that failed and everything else that is missing.

    Releasing the same content twice is a no-op. The baseline is admitted first, and serves until the first release
    has passed.

    Args:
        plane: the home.
        folder: the project.
        system: its resolved manifest.
        actor: who asks.
        trial_for: puts candidates on trial; from wiring.
        prove_loads: loads a candidate as a worker would, or raises; from wiring.
        reason: why, for the ledger.
        environment: where the rollout begins.
        tell: told what happens, sentence by sentence.

    Raises:
        ReleaseRefused: gates failed, an approval is missing, or one of the five things to know is unknown.
        InconclusiveError: no gate failed, but some could not say.
        RefusedError: the policy in force is another than the manifest's (tier standard and high).
        NotPermitted: the actor has left.
        InputError, ArtifactError: the project cannot be built.
    """
    if not present.principal(plane, actor.principal).active:
        raise NotPermitted(f"{actor.principal} is not active and may not release")
    asked = ReleaseRequest(
        plane=plane, folder=folder, system=system, actor=actor, trial_for=trial_for, prove_loads=prove_loads,
        reason=reason, environment=environment, tell=tell,
    )  # fmt: skip
    notes = _put_policy_in_force(asked)
    tell("building the candidate")
    built = build(folder, system, plane, actor)
    tell("the same recipe was built before" if built.reused else f"built in {built.run.seconds:.1f} s")
    known = present.releases(plane, system.name).get(built.candidate.id)
    if known is not None:
        return _already(asked, known, notes)
    baseline_first(asked, built)
    missing = unknowns(plane, built.candidate, built.run, prove_loads, environment=environment)
    if missing:
        raise ReleaseRefused(
            f"{_spoken(built.candidate)} is refused, because not everything about it is known:\n" + _lines(missing),
            hint="roadworthy check",
        )
    found = judge(plane, folder, system, built, actor, trial_for=trial_for, tell=tell)
    _refuse(asked, found)
    admitted = present.settle(lambda: admit(asked, built.candidate, built.run, found))
    tell(f"admitted as {admitted.name}")
    return _begin(asked, admitted, found, notes)


def _put_policy_in_force(asked: ReleaseRequest) -> tuple[str, ...]:
    """Judge under the policy that is in force: put the manifest's there first, where the tier lets a release do so."""
    plane, system = asked.plane, asked.system
    document = plane.ledger.state(Noun.POLICY, system.name)
    before = None if document is None else from_doc(Policy, document)
    if before is not None and before.digest != system.policy.digest:
        tiers = (before.decision.tier, system.policy.decision.tier)
        if any(tier is not Tier.LOW for tier in tiers):
            raise RefusedError(
                f"the policy in force for {system.name} ({short(before.digest)}) is not the manifest's "
                f"({short(system.policy.digest)})",
                hint="roadworthy plan shows what differs; then: roadworthy apply",
            )
    applied = apply(plane, system, actor=asked.actor, reason=asked.reason or "applied by a release")
    if not applied.changed:
        return ()
    what = "was put in force" if before is None else "in force is the manifest's now"
    note = f"the policy {what} ({short(applied.policy)})"
    if before is not None and before.digest == system.policy.digest:
        note = "the content that the manifest describes was written down"
    asked.tell(note)
    return (note,)


def _already(asked: ReleaseRequest, known: Release, notes: tuple[str, ...]) -> ReleaseResult:
    """Change nothing, but begin the rollout of a release whose admission was the last thing a process lived to do."""
    if known.withdrawn_for:
        causes = ", ".join(known.withdrawn_for)
        sentence = f"already released as {known.name}, and taken back for {causes}; build a better candidate"
    elif _was_rolled_out(asked, known.id):
        sentence = f"already released as {known.name}"
    else:
        return _begin(asked, known, None, (*notes, f"already admitted as {known.name}"))
    asked.tell(sentence)
    return ReleaseResult(release=known, check=None, promotion=None, already=True, sentence=sentence, notes=notes)


def _was_rolled_out(asked: ReleaseRequest, release_id: Digest) -> bool:
    events = asked.plane.ledger.events(system=asked.system.name)
    return any(
        event.noun == Noun.ROLLOUT
        and event.environment == asked.environment
        and (event.after or {}).get("release") == release_id
        for event in events
    )


def _refuse(asked: ReleaseRequest, found: CheckResult) -> None:
    """Refuse for all reasons at once; when nothing failed and some gates could not say, say that instead."""
    people = _missing_approvals(asked, found.candidate)
    if found.passed and not people:
        return
    gates = len(asked.system.policy.gates)
    text = f"{_spoken(found.candidate)} is refused by {len(found.in_the_way)} of {gates} gates"
    if not found.in_the_way:
        text = f"{_spoken(found.candidate)} passed its {gates} gates but is refused"
    message = f"{text}:\n{_lines((*found.in_the_way, *people))}"
    name = short(found.candidate.id)
    if found.undecided and not people:
        raise InconclusiveError(message, hint="inconclusive is no pass: mend what it names and run release again")
    if found.in_the_way:
        raise ReleaseRefused(message, hint="mend what they name, then: roadworthy release")
    who = _sponsor(asked) if _is_first_live(asked) else ""
    raise ReleaseRefused(
        message,
        hint=f"{who or 'who may say yes'} runs: ROADWORTHY_KEY=… roadworthy approve {name}  "
        f"(a key: roadworthy keys create {who or 'NAME'} --scopes approve)",
    )


def _missing_approvals(asked: ReleaseRequest, candidate: Candidate) -> tuple[str, ...]:
    """Say whose yes is missing: at tier standard and high an authenticated one, and first of all the sponsor's."""
    tier = asked.system.policy.decision.tier
    if tier is Tier.LOW:
        return ()
    lacking = missing_approval(counting(asked.plane, candidate, Tier.LOW), candidate.id)
    proven = {one.by for one in counting(asked.plane, candidate, tier)}
    missing = [f"{lacking}; tier {tier} needs the yes of a person who proved who they are"] if lacking else []
    sponsor = _sponsor(asked)
    if _is_first_live(asked) and sponsor not in proven:
        missing.append(f"approval: the first live release needs that of the sponsor, {sponsor or 'who is not named'}")
    return tuple(missing)


def _sponsor(asked: ReleaseRequest) -> str:
    return asked.system.policy.decision.sponsor.split("@", 1)[0]


def _is_first_live(asked: ReleaseRequest) -> bool:
    known = present.releases(asked.plane, asked.system.name).values()
    return all(one.candidate.is_baseline or one.forced_by for one in known)


def _begin(
    asked: ReleaseRequest, admitted: Release, found: CheckResult | None, notes: tuple[str, ...]
) -> ReleaseResult:
    """Begin the rollout under the policy in force; one that is under way keeps its place."""
    promotion: Promotion | None = None
    under_way = present.running(asked.plane, asked.system.name, asked.environment)
    if under_way is not None:
        rival = present.name_of(present.releases(asked.plane, asked.system.name), under_way.release)
        sentence = (
            f"{admitted.name} waits: the rollout of {rival} is under way; then: roadworthy promote {admitted.name}"
        )
    else:
        promotion = promote(
            asked.plane, asked.system.name, admitted.id, actor=asked.actor, prove_loads=asked.prove_loads,
            reason=asked.reason, environment=asked.environment,
        )  # fmt: skip
        sentence = promotion.sentence
    asked.tell(sentence)
    return ReleaseResult(
        release=admitted, check=found, promotion=promotion, already=False, sentence=sentence, notes=notes
    )


def _spoken(candidate: Candidate) -> str:
    return f"{candidate.system} (candidate {short(candidate.id)})"


def _lines(texts: tuple[str, ...]) -> str:
    return "\n".join(f"  {text}" for text in texts)
