"""The failure plan's rules: from breaches to intents. Pure; lifecycle carries the intents out, each exactly once.

Automation lowers exposure at any time and never raises it. It rolls back at most once per system and cool-down, and
only to a release that loads, was not withdrawn for the same cause and is not in breach of that objective; where it
may not, the fallback answers and a person is paged. A breach without a rule pages, and does nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from roadworthy.domain.digest import Digest
from roadworthy.domain.exposure import Role, role_of
from roadworthy.domain.failure_plan import ActionKind, FailurePlan, Intent
from roadworthy.domain.moment import Micros, spell_duration
from roadworthy.domain.route import Route

DEFAULT_ACTIONS: Final = (ActionKind.PAGE,)
EXPOSURE: Final = frozenset({ActionKind.FALLBACK, ActionKind.ROLLBACK, ActionKind.STOP})
DRILL_PREFIX: Final = "drill-"
"""Environments of this name are made by drills: their breaches are real, what follows from them stays inside."""
_ANSWERING: Final = frozenset({Role.CHAMPION, Role.FALLBACK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """An objective in breach, handled by an open incident. An empty release means the whole system."""

    objective: str
    incident: str
    release: Digest = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the rules look at besides the plan.

    `withdrawn` holds, per release, the objectives it was rolled back for. `in_breach` are the (objective, release)
    pairs in breach now. `unloadable` are releases that a live worker refused or that were not proven to load.
    `taken` are the keys of intents that were carried out, refused or failed. `last_rollback` is when automation
    last rolled this system back, in any environment.
    """

    system: str
    route: Route
    now: Micros
    environment: str = "live"
    paused: bool = False
    taken: Collection[str] = frozenset()
    withdrawn: Mapping[Digest, Collection[str]] = field(default_factory=dict[Digest, "Collection[str]"])
    in_breach: Collection[tuple[str, Digest]] = frozenset()
    unloadable: Collection[Digest] = frozenset()
    last_rollback: Micros | None = None
    has_stated_default: bool = False


def is_drill(environment: str) -> bool:
    """Tell whether an environment belongs to a drill."""
    return environment.startswith(DRILL_PREFIX)


def intent_key(
    system: str, environment: str, objective: str, release: Digest, action: ActionKind, incident: str
) -> str:
    """Name an intent: the same breach of the same incident asks for the same action under one key only."""
    return f"{system}/{environment}/{objective}/{release or '-'}/{action}/{incident}"


def respond(plan: FailurePlan, breaches: Sequence[Breach], seen: Situation) -> tuple[Intent, ...]:
    """Say what the failure plan wants done now, in order; nothing that was done already.

    At most one intent of a call changes the route: the next call sees the route that follows from it. Rules are
    read in the plan's order, so the first rule has precedence. A paused system only pages.
    """
    due: dict[str, Intent] = {}
    exposed = False
    for breach in _in_plan_order(plan, breaches):
        for intent in _wanted(plan, breach, seen):
            moves = intent.action in EXPOSURE
            held = (seen.paused and intent.action is not ActionKind.PAGE) or (moves and exposed)
            if held or intent.key in seen.taken or intent.key in due:
                continue
            exposed = exposed or moves
            due[intent.key] = intent
    return tuple(due.values())


def actions_for(plan: FailurePlan, objective: str) -> tuple[ActionKind, ...]:
    """Return what the plan does when this objective is in breach; without a rule it pages.

    So input drift never rolls a system back unless its owner wrote that rule.
    """
    return next((rule.do for rule in plan.rules if rule.objective == objective), DEFAULT_ACTIONS)


def rollback_target(objective: str, release: Digest, seen: Situation) -> Digest:
    """Choose the release to go back to, the last good one first; empty when automation may go to none of them."""
    named = dict.fromkeys((seen.route.last_good, *seen.route.fallback))
    return next((name for name in named if _may_answer(name, objective, release, seen)), "")


def _in_plan_order(plan: FailurePlan, breaches: Sequence[Breach]) -> list[Breach]:
    order = {rule.objective: place for place, rule in enumerate(plan.rules)}
    last = len(order)
    return sorted(breaches, key=lambda breach: (order.get(breach.objective, last), breach.objective, breach.release))


def _wanted(plan: FailurePlan, breach: Breach, seen: Situation) -> Iterator[Intent]:
    for action in actions_for(plan, breach.objective):
        match action:
            case ActionKind.ROLLBACK:
                yield from _rollback(plan, breach, seen)
            case ActionKind.FALLBACK:
                yield from _fallback(breach, seen, breach.reason)
            case ActionKind.STOP:
                yield from _stop(breach, seen)
            case _:
                yield _intent(breach, seen, action, breach.reason)


def _rollback(plan: FailurePlan, breach: Breach, seen: Situation) -> Iterator[Intent]:
    """Go back to a good release, or fall back and page, saying why going back is not possible."""
    role = role_of(seen.route, breach.release)
    if seen.route.stopped or role not in _ANSWERING or _key(breach, seen, ActionKind.ROLLBACK) in seen.taken:
        # Its own rollback starts the cool-down: a process that reads the route late must not fall back for it.
        return
    refusal, target = "", rollback_target(breach.objective, breach.release, seen)
    if role is Role.FALLBACK:
        refusal = "the release that answers is a fallback already"
    elif seen.last_rollback is not None and seen.now - seen.last_rollback < plan.cool_down:
        refusal = f"automation rolled back within the last {spell_duration(plan.cool_down)}"
    elif not target:
        refusal = "no earlier release loads and is clear of this cause"
    if not refusal:
        yield _intent(breach, seen, ActionKind.ROLLBACK, breach.reason, target=target)
        return
    reason = f"{breach.reason}; no rollback: {refusal}"
    yield from _fallback(breach, seen, reason)
    yield _intent(breach, seen, ActionKind.PAGE, reason)


def _fallback(breach: Breach, seen: Situation, reason: str) -> Iterator[Intent]:
    """Put the first usable fallback in front of the champion, or page when there is nothing to answer instead."""
    route = seen.route
    role = role_of(route, breach.release)
    if route.stopped or role not in _ANSWERING or (route.degraded_by and role is Role.CHAMPION):
        return
    usable = (name for name in route.fallback if _may_answer(name, breach.objective, breach.release, seen))
    target = next(usable, "")
    if target or seen.has_stated_default:
        yield _intent(breach, seen, ActionKind.FALLBACK, reason, target=target)
    else:
        yield _intent(breach, seen, ActionKind.PAGE, f"{reason}; there is nothing to fall back to")


def _stop(breach: Breach, seen: Situation) -> Iterator[Intent]:
    if seen.route.stopped or role_of(seen.route, breach.release) not in _ANSWERING:
        return
    yield _intent(breach, seen, ActionKind.STOP, breach.reason)


def _may_answer(name: Digest, objective: str, broken: Digest, seen: Situation) -> bool:
    return bool(
        name
        and name not in (seen.route.champion, broken)
        and name not in seen.unloadable
        and objective not in seen.withdrawn.get(name, ())
        and (objective, name) not in seen.in_breach
    )


def _key(breach: Breach, seen: Situation, action: ActionKind) -> str:
    return intent_key(seen.system, seen.environment, breach.objective, breach.release, action, breach.incident)


def _intent(breach: Breach, seen: Situation, action: ActionKind, reason: str, target: Digest = "") -> Intent:
    return Intent(
        key=_key(breach, seen, action),
        system=seen.system,
        environment=seen.environment,
        action=action,
        objective=breach.objective,
        release=breach.release,
        incident=breach.incident,
        target=target,
        reason=reason,
    )
