"""Promote a release: begin its rollout under the policy in force, or force it to all traffic by a person's word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import Digest
from roadworthy.domain.exposure import first_route, promoted, under_trial
from roadworthy.domain.objective import Watch
from roadworthy.domain.principal import Actor
from roadworthy.domain.release import Release
from roadworthy.domain.rollout import Rollout, RolloutState, Stage, StagePlan, enter
from roadworthy.domain.route import Route
from roadworthy.domain.system import Policy
from roadworthy.errors import RefusedError, RoadworthyError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.admit_by_force import find_or_admit
from roadworthy.lifecycle.change_route import rollout_aborted, rollout_changed, route_changed
from roadworthy.lifecycle.incidents import begin_again
from roadworthy.lifecycle.publish import publish
from roadworthy.ports.plane import Plane

ProveLoads = Callable[[Candidate], None]
"""Loads a candidate as a worker would, or raises; given by wiring."""

_AT_ONCE = (StagePlan(stage=Stage.FULL, share=1.0),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What a promotion did. `rollout` is None when the release was champion already."""

    route: Route
    rollout: Rollout | None
    release: Release
    rollback_target: Digest
    changed: bool = True
    sentence: str = ""


def promote(
    plane: Plane,
    system: str,
    release: str,
    *,
    actor: Actor,
    prove_loads: ProveLoads,
    reason: str = "",
    environment: str = "live",
    force: bool = False,
) -> Promotion:
    """Begin the rollout of a release, or with `force` route it to all traffic at once.

    Both the release and what one would roll back to are proven to load before anything changes; force does not
    spare that. Force is a person's word with a reason: it passes failed gates, a rollout under way and a withdrawal.

    Raises:
        NotFoundError: no such system or release.
        RefusedError: a rollout is under way, the release was withdrawn, or force lacks a reason; says which.
        NotPermitted: force by someone who is no active person.
        ArtifactError, EnvironmentMismatch: the release or the rollback target does not load.
    """
    if force:
        present.must_be_a_person(plane, actor, "force a release live")
        if not reason.strip():
            raise RefusedError("forcing a release live needs a reason", hint='--reason "why it cannot wait"')
    return present.settle(
        lambda: _attempt(
            plane, system, release, actor=actor, prove=prove_loads, reason=reason, environment=environment, force=force
        )
    )


def _attempt(
    plane: Plane,
    system: str,
    text: str,
    *,
    actor: Actor,
    prove: ProveLoads,
    reason: str,
    environment: str,
    force: bool,
) -> Promotion:
    route_seq = present.route_seq(plane, system, environment)
    rollout_seq = present.rollout_seq(plane, system, environment)
    policy, now = present.policy(plane, system), plane.clock.now()
    known = present.releases(plane, system)
    release, admission = find_or_admit(plane, known, system, text, actor, reason, force=force)
    baseline = _baseline(known, system)
    before = present.route(plane, system, environment) or first_route(system, environment, baseline)
    under_way = present.running(plane, system, environment)
    _refuse(release, under_way, known, force=force)
    if before.champion == release.id and route_seq and not under_way:
        sentence = f"{release.name} is champion already"
        return Promotion(
            route=before,
            rollout=None,
            release=release,
            rollback_target=before.last_good,
            changed=False,
            sentence=sentence,
        )
    _prove(prove, release, _targets(before, release, known, baseline))
    revision = present.policy_digest(plane, system)
    plan = _AT_ONCE if force else policy.rollout or _AT_ONCE
    rollout = _rollout(system, environment, release, before, plan, revision, actor, now)
    bad = present.withdrawn(known) | ({before.champion} if before.degraded_by else frozenset[Digest]())
    route = exposed(before, rollout, policy, baseline, bad)
    why = reason or f"promote {release.name}"
    decisions = [*admission, *begin_again(plane, system, environment, release.id)]
    if under_way:
        decisions.append(
            rollout_aborted(under_way, actor, f"replaced by {release.name}", now=now, expected=rollout_seq)
        )
    kind = "done" if rollout.has_ended else "started"
    decisions += [
        rollout_changed(rollout, kind, actor, why, expected=None if under_way else rollout_seq),
        route_changed(route, actor, why, expected=route_seq),
    ]
    plane.ledger.commit(decisions)
    forget_watches(plane, system, environment, release.id)
    publish(plane)
    sentence = _sentence(release, rollout, known, route)
    return Promotion(route=route, rollout=rollout, release=release, rollback_target=route.last_good, sentence=sentence)


def exposed(route: Route, rollout: Rollout, policy: Policy, baseline: Digest, bad: frozenset[Digest]) -> Route:
    """Give a rollout's release the exposure of the stage it is in."""
    if rollout.state is RolloutState.DONE:
        return promoted(route, rollout.release, policy.serve.fallback, baseline, bad)
    return under_trial(route, rollout.release, rollout.stage)


def forget_watches(plane: Plane, system: str, environment: str, release: Digest) -> None:
    """Judge a release afresh after it was put in front: an old breach does not speak about new answers."""
    old = {
        key: Watch(objective=key.objective, release=release)
        for key in plane.observations.watches(system, environment)
        if key.release == release
    }
    if old:
        present.settle(lambda: _save_watches(plane, old))


def _save_watches(plane: Plane, watches: object) -> None:
    cursor = plane.observations.cursor()
    plane.observations.save(before=cursor, cursor=cursor, watches=watches)  # pyright: ignore[reportArgumentType]


def _baseline(known: dict[Digest, Release], system: str) -> Digest:
    baseline = present.baseline(known)
    if not baseline:
        raise RefusedError(
            f"{system} has no baseline to fall back to, so nothing can go live",
            hint="roadworthy release, which admits the baseline too",
        )
    return baseline


def _refuse(release: Release, under_way: Rollout | None, known: dict[Digest, Release], *, force: bool) -> None:
    if force:
        return
    if under_way is not None:
        name = present.name_of(known, under_way.release)
        raise RefusedError(
            f"the rollout of {name} is under way ({under_way.stage.stage}: {under_way.waiting_for or 'just begun'})",
            hint="wait for it, or roadworthy rollback to end it",
        )
    if release.withdrawn_for:
        raise RefusedError(
            f"{release.name} was taken back for {', '.join(release.withdrawn_for)}",
            hint="build a better candidate, or a person may force it: --force --reason",
        )


def _targets(
    route: Route, release: Release, known: dict[Digest, Release], baseline: Digest
) -> list[tuple[str, Candidate]]:
    """Name what must load for this promotion to be safe: the champion to be replaced and the baseline."""
    names = dict.fromkeys((route.champion, route.last_good, baseline))
    return [
        (known[name].name, known[name].candidate) for name in names if name and name != release.id and name in known
    ]


def _prove(prove: ProveLoads, release: Release, targets: list[tuple[str, Candidate]]) -> None:
    prove(release.candidate)
    for name, candidate in targets:
        try:
            prove(candidate)
        except RoadworthyError as error:
            error.args = (f"{release.name} is not promoted: its rollback target {name} does not load: {error.message}",)
            error.message = error.args[0]
            raise


def _rollout(
    system: str,
    environment: str,
    release: Release,
    route: Route,
    plan: tuple[StagePlan, ...],
    revision: Digest,
    actor: Actor,
    now: int,
) -> Rollout:
    begun = Rollout(
        id=f"{system}/{environment}/{route.version + 1}",
        system=system,
        environment=environment,
        release=release.id,
        replaces=route.champion,
        policy=revision,
        plan=plan,
        started_at=now,
        started_by=actor.principal,
        stage_started_at=now,
    )
    return enter(begun, 0, now)


def _sentence(release: Release, rollout: Rollout, known: dict[Digest, Release], route: Route) -> str:
    back = f"rollback target {present.name_of(known, route.last_good)}, proven to load"
    if rollout.has_ended:
        return f"{release.name} has all traffic; {back}"
    stage = rollout.stage
    return f"{release.name} is in {stage.stage} at {stage.share:.0%}; {back}"
