"""The plan: all that would be in force under a manifest, and exactly what `apply` would change. Reads only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from roadworthy.domain.digest import Digest
from roadworthy.domain.ledger import Noun
from roadworthy.domain.moment import Micros, iso, spell_duration
from roadworthy.domain.objective import Objective
from roadworthy.domain.rollout import RolloutState
from roadworthy.domain.system import Content, Policy, System, Tier
from roadworthy.errors import RoadworthyError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.apply import standing_in_the_way
from roadworthy.lifecycle.references import References
from roadworthy.manifest import resolved, resolved_content, resolved_interface, resolved_policy
from roadworthy.monitors.harm import promise, worst_case
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc

_CONTENT: Final = "in the next candidate: run build and release; what serves now stays as it is"
_NEXT_VERDICTS: Final = "with the next verdicts: earlier ones were given under the revision before and no longer count"
_NEXT_SNAPSHOT: Final = "in every worker as soon as it has read the next snapshot"
_TAKES_EFFECT: Final[Mapping[str, str]] = {
    "owner": "at once",
    "failure": "at once",
    "watch": "at control's next look",
    "assumptions": "at control's next look",
    "serve": _NEXT_SNAPSHOT,
    "non_goals": _NEXT_SNAPSHOT,
    "rollout": "with the next rollout; one under way ends under the revision it began with",
    "gates": _NEXT_VERDICTS,
    "waivers": _NEXT_VERDICTS,
    "decision": _NEXT_VERDICTS,
    "keep": _NEXT_SNAPSHOT,
    "goals": "at once",
    "glossary": "at once",
}
_TERM: Final = re.compile(r"`([^`]{1,80})`")
_SOON: Final[Micros] = 14 * 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key that would change, by its dotted name, and when that takes effect. None: not there."""

    key: str
    before: Any
    after: Any
    effect: str

    @property
    def section(self) -> str:
        """Return the key's first part."""
        return self.key.split(".", 1)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How soon the harm rule must fire for one release: `n` bad outcomes in a row, whatever came before them.

    `n` is None for a release without a reference; the sentence says why.
    """

    release: Digest
    name: str
    n: int | None
    promised_loss: float | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleInForce:
    """One rule of the failure plan in plain words."""

    objective: str
    when: str
    do: tuple[str, ...]
    sentence: str
    bounds: tuple[Bound, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is in force under a manifest, what `apply` would change, and what stands in the way.

    `in_force` is the resolved manifest with every default. `refused` is why apply would say no.
    """

    system: str
    is_new: bool
    policy: Digest
    policy_before: Digest
    content: Digest
    content_before: Digest
    in_force: Mapping[str, Any]
    changes: tuple[Change, ...]
    rules: tuple[RuleInForce, ...]
    under_way: tuple[str, ...]
    warnings: tuple[str, ...]
    refused: tuple[str, ...]

    @property
    def changes_nothing(self) -> bool:
        """Claim that all of it is in force already."""
        return not self.changes and not self.is_new

    @property
    def needs_candidate(self) -> bool:
        """Claim that the content differs from what is in force, so that a new candidate must be built."""
        return self.content != self.content_before


def plan(plane: Plane, system: System) -> Plan:
    """Say what applying this manifest would do, without doing any of it.

    Raises:
        StoreError: what is in force cannot be read.
    """
    policy_before, content_before = in_force(plane, system.name)
    return Plan(
        system=system.name,
        is_new=policy_before is None,
        policy=system.policy.digest,
        policy_before=policy_before.digest if policy_before else "",
        content=system.content.digest,
        content_before=content_before.digest if content_before else "",
        in_force=resolved(system),
        changes=tuple(_changes(policy_before, content_before, system)),
        rules=tuple(_rules(plane, system)),
        under_way=tuple(_under_way(plane, system)),
        warnings=tuple(_warnings(system, plane.clock.now())),
        refused=standing_in_the_way(plane, system),
    )


def in_force(plane: Plane, system: str) -> tuple[Policy | None, Content | None]:
    """Return the policy and the content that `apply` put in force, with the contacts that are kept apart."""
    known = plane.ledger.state(Noun.POLICY, system) is not None
    content = present.standing(plane, system).get("content")
    return (present.policy(plane, system) if known else None, from_doc(Content, content) if content else None)


def _changes(policy: Policy | None, content: Content | None, system: System) -> Iterator[Change]:
    before = (_flat_content(content) if content else {}) | (_flat_policy(policy) if policy else {})
    after = _flat_content(system.content) | _flat_policy(system.policy)
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            effect = _TAKES_EFFECT.get(key.split(".", 1)[0], _CONTENT)
            yield Change(key=key, before=before.get(key), after=after.get(key), effect=effect)


def _flat_policy(policy: Policy) -> dict[str, Any]:
    document = resolved_policy(policy)
    document["failure"]["rules"] = {rule.objective: [str(one) for one in rule.do] for rule in policy.failure.rules}
    document["failure"]["order"] = [rule.objective for rule in policy.failure.rules]
    document["waivers"] = {
        f"{waiver['gate']} until {waiver['until']}": f"{waiver['by']}: {waiver['why']}"
        for waiver in document["waivers"]
    }
    return dict(_flat(document))


def _flat_content(content: Content) -> dict[str, Any]:
    return dict(_flat(resolved_content(content) | {"interface": resolved_interface(content.interface)}))


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping) and (item or not prefix):
            yield from _flat(cast("Mapping[str, Any]", item), f"{name}.")
        else:
            yield name, item


def _rules(plane: Plane, system: System) -> Iterator[RuleInForce]:
    objectives = {objective.name: objective for objective in system.policy.watch.objectives}
    for rule in system.policy.failure.rules:
        objective = objectives[rule.objective]
        do = tuple(str(action) for action in rule.do)
        bounds = tuple(_bounds(plane, system)) if objective.when.monitor == "harm" else ()
        yield RuleInForce(
            objective=rule.objective, when=str(objective.when), do=do, sentence=_sentence(objective, do), bounds=bounds
        )


def _sentence(objective: Objective, do: tuple[str, ...]) -> str:
    done = ", then ".join(do) if do else "open an incident and do nothing else"
    grace = objective.when.grace
    held = f" has held for {spell_duration(grace)} without a break" if grace else " is first seen"
    what = str(replace(objective.when, grace=0))
    return f"once {what}{held}: {done}"


def _bounds(plane: Plane, system: System) -> Iterator[Bound]:
    """Say for each release that answers or is under trial how many bad outcomes in a row must set the rule off."""
    known, references = present.releases(plane, system.name), References(plane)
    routed = dict.fromkeys(name for route in present.routes(plane, system.name) for name in route.releases)
    for name in routed:
        if name in known:
            yield _bound(references, known[name].name, name, system)


def _bound(references: References, name: str, release: Digest, system: System) -> Bound:
    try:
        found = references.get(release)
    except RoadworthyError as error:
        why = f"{name}: no bound, its reference cannot be read ({error.message})"
        return Bound(release=release, name=name, n=None, promised_loss=None, sentence=why)
    if found is None or found.reference is None:
        why = f"{name}: no bound, it was never judged on a hold-out"
        return Bound(release=release, name=name, n=None, promised_loss=None, sentence=why)
    watch = system.policy.watch
    loss = promise(found.reference, watch)
    n = worst_case(loss, watch.harm_alpha)
    sentence = f"{name} promised a mean loss of at most {loss:.3f}: {n} bad outcomes in a row set it off at the latest"
    return Bound(release=release, name=name, n=n, promised_loss=loss, sentence=sentence)


def _under_way(plane: Plane, system: System) -> Iterator[str]:
    known = present.releases(plane, system.name)
    for subject in plane.ledger.states(Noun.ROLLOUT, system.name):
        rollout = present.rollout(plane, system.name, subject.rpartition("/")[2])
        if rollout is not None and rollout.state in (RolloutState.RUNNING, RolloutState.PAUSED):
            name = present.name_of(known, rollout.release)
            yield f"the rollout of {name} in {rollout.environment} ends under the revision it began with"


def _warnings(system: System, now: Micros) -> Iterator[str]:
    policy = system.policy
    yield from _undefined_terms(policy)
    if not policy.owner.backup:
        yield f"{policy.owner.principal or 'the owner'} is the only one who can be paged: name a backup"
    for waiver in policy.waivers:
        if waiver.until <= now:
            yield f"the waiver of {waiver.gate} ended {iso(waiver.until)} and excuses nothing"
        elif waiver.until - now < _SOON:
            yield f"the waiver of {waiver.gate} ends soon, {iso(waiver.until)}"
    if policy.decision.tier is not Tier.LOW:
        yield from _careful(policy)
    ruled = {rule.objective for rule in policy.failure.rules}
    for objective in policy.watch.objectives:
        if objective.name not in ruled:
            yield f"no rule names the objective '{objective.name}': a breach of it pages, and does nothing else"


def _careful(policy: Policy) -> Iterator[str]:
    tier = policy.decision.tier
    if all(address.startswith("file:") for address in policy.failure.pager):
        yield f"pages go to a file only, which wakes nobody (tier {tier})"
    if not policy.failure.runbook:
        yield f"there is no runbook for whoever is woken (tier {tier})"
    if not policy.decision.cost_of_failure_micros:
        yield f"the cost of a failure is not stated, so every incident weighs the same (tier {tier})"


def _undefined_terms(policy: Policy) -> Iterator[str]:
    texts = [(goal.id, goal.text) for goal in (*policy.goals, *policy.non_goals, *policy.assumptions)]
    for name, text in texts:
        for term in dict.fromkeys(_TERM.findall(text)):
            if term not in policy.glossary:
                yield f"{name} uses the term `{term}`, which the glossary does not define"
