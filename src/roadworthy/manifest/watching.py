"""Serving limits, objectives and the failure plan in force."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from roadworthy.domain.budget import Budget, Period, Whose
from roadworthy.domain.condition import Condition
from roadworthy.domain.failure_plan import ActionKind, FailurePlan, Rule
from roadworthy.domain.interface import FieldRole, Interface, Task
from roadworthy.domain.moment import MILLISECOND, SECOND
from roadworthy.domain.objective import Light, Objective
from roadworthy.domain.pin import PICO, PinTerms
from roadworthy.domain.system import Kind, OnViolation, ScorePlan, ServePlan, WatchPlan
from roadworthy.manifest import conditions, defaults_v1
from roadworthy.manifest.conditions import ConditionError
from roadworthy.manifest.contents import inside
from roadworthy.manifest.marked_yaml import Path, read
from roadworthy.manifest.reading import Reading, nearest
from roadworthy.manifest.shape import FailureShape, ManifestShape, RuleShape, ScoreShape, ServeShape, WatchShape
from roadworthy.manifest.suites import suite_of
from roadworthy.manifest.units import spell_number

OPERATIONS: Final = frozenset({
    "errors", "latency", "violations", "traffic", "freshness", "budget", "cache", "cost", "first_token", "guards",
    "tokens",
})  # fmt: skip
QUESTION_FEATURES: Final = ("question_words", "question_non_ascii", "question_abstained", "question_source")
"""What is watched of questions of kind llm, whose texts are not counted."""
_LONGEST_SUITE: Final = 100_000
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_PAGER: Final = re.compile(r"file:[^\s:]+|https://\S+|http://(127\.0\.0\.1|localhost)(:\d{1,5})?(/\S*)?")


KEPT_FALLBACKS: Final = ("previous", "baseline", "default")


def serve_plan(shape: ServeShape, pins: Sequence[str], use: str, reading: Reading) -> ServePlan:
    """Return the limits of the serving path. Without a word on fallbacks every other pin comes first."""
    fallback = tuple(shape.fallback) if shape.fallback is not None else (*_others(pins, use), *KEPT_FALLBACKS)
    for place, name in enumerate(shape.fallback or ()):
        if name not in (*KEPT_FALLBACKS, *pins):
            reading.unknown("fallback", name, (*KEPT_FALLBACKS, *pins), ("serve", "fallback", place))
    if shape.deadline <= 0:
        reading.note(("serve", "deadline"), "the deadline must be longer than nothing")
    if len(set(fallback)) != len(fallback):
        reading.note(("serve", "fallback"), "a fallback is named twice")
    return ServePlan(
        deadline_ms=shape.deadline / MILLISECOND,
        max_in_flight=shape.max_in_flight,
        max_body_bytes=shape.max_body,
        on_violation=OnViolation(shape.on_violation),
        stated_default=None if shape.default is None else dict(sorted(shape.default.items())),
        breaker_errors=shape.breaker.errors,
        breaker_window=shape.breaker.window,
        breaker_cool_down=shape.breaker.cool_down,
        fallback=fallback,
        budgets=tuple(shape.budgets),
        cap_per_call_micros=shape.cap_per_call[0] if shape.cap_per_call else 0,
        tries=shape.tries,
        cache_for=shape.cache,
    )


def _others(pins: Sequence[str], use: str) -> tuple[str, ...]:
    return tuple(name for name in pins if name != use)


def watch_plan(shape: ManifestShape, serve: ServePlan, interface: Interface | None, reading: Reading) -> WatchPlan:
    """Return the objectives in force: the tier's defaults, the manifest's own, and one per assumption."""
    deadline = spell_number(serve.deadline_ms)
    conditions_of: dict[str, tuple[Condition, str]] = {
        name: (conditions.parse(text.format(deadline=deadline)), "")
        for name, text in reading.defaults.objectives.items()
        if name != "budget" or serve.budgets
    }
    for name, condition in shape.watch.objectives.items():
        path = ("watch", "objectives", name)
        if not _NAME.fullmatch(name) and name != str(condition):
            reading.note(path, f"'{name[:60]}' is not a name for an objective", "letters, digits, . _ and -", key=True)
        _check(condition, path, interface, reading)
        conditions_of[name] = (condition, "")
    for name, assumption in shape.assumptions.items():
        if name in shape.watch.objectives:
            reading.note(("watch", "objectives", name), f"'{name}' is the name of an assumption already", key=True)
        _check(assumption.when, ("assumptions", name, "when"), interface, reading)
        conditions_of[name] = (assumption.when, name)
    goals = _goal_of(shape)
    objectives = tuple(
        Objective(name=name, when=when, light=_light(when), assumption=assumption, goal=goals.get(name, ""))
        for name, (when, assumption) in sorted(conditions_of.items())
    )
    watch = shape.watch
    for key, part in (("harm_margin", watch.harm_margin), ("harm_alpha", watch.harm_alpha)):
        if not 0 < part < 1:
            reading.note(("watch", key), f"{key} must lie between 0% and 100%")
    for key, span in (
        ("window", watch.window),
        ("drift_window", watch.drift_window),
        ("drill_every", watch.drill_every),
    ):
        if span <= 0:
            reading.note(("watch", key), f"{key} must be longer than nothing")
    return WatchPlan(
        objectives=objectives,
        harm_margin=watch.harm_margin,
        harm_alpha=watch.harm_alpha,
        window=watch.window,
        drift_window=watch.drift_window,
        drill_every=watch.drill_every,
        **_probing(watch, reading),
        score=_score_plan(watch.score, tuple(shape.pins), reading) if watch.score is not None else None,
    )


def _probing(shape: WatchShape, reading: Reading) -> dict[str, Any]:
    """Return what is said of probing pins, which only kind llm has."""
    stated = {key: getattr(shape, key) for key in ("probe_every", "probe_budget") if getattr(shape, key) is not None}
    for key in stated:
        if reading.kind is not Kind.LLM:
            reading.note(("watch", key), "only kind llm has pins to probe", key=True)
    if shape.probe_every is not None and shape.probe_every < SECOND:
        reading.note(("watch", "probe_every"), "probes are at least a second apart")
    cap: Budget | None = shape.probe_budget
    if cap is not None and (cap.period, cap.whose) != (Period.DAY, Whose.SYSTEM):
        reading.note(("watch", "probe_budget"), "what probing may cost is said per day", "such as 0.10 USD per day")
    return stated


def probed_in(watch: WatchPlan, shape: WatchShape, pins: Sequence[PinTerms], reading: Reading) -> WatchPlan:
    """Give the bound on probing the currency of the pins' prices; one that is stated must have it already."""
    prices = [terms.price for terms in pins if terms.price is not None]
    # What runs on this machine costs nothing in any currency.
    currencies = {price.currency for price in prices if price.input or price.output or price.per_call}
    if currencies <= {watch.probe_budget.currency}:
        return watch
    if shape.probe_budget is None and len(currencies) == 1:
        return replace(watch, probe_budget=replace(watch.probe_budget, currency=currencies.pop()))
    path = ("watch", "probe_budget") if shape.probe_budget is not None else ("pins",)
    message = f"pins are paid in {' and '.join(sorted(currencies))}, and probing in {watch.probe_budget.currency}"
    reading.note(path, message, "give all in one currency", key=True)
    return watch


def _score_plan(shape: ScoreShape, pins: Sequence[str], reading: Reading) -> ScorePlan | None:
    """Read the suite that live answers are scored by; its findings are told with the manifest's."""
    if reading.kind is not Kind.LLM:
        reading.note(("watch", "score"), "only answers of kind llm are scored", key=True)
        return None
    if not 0 < shape.share <= 1:
        reading.note(("watch", "score", "share"), "share must lie above 0% and at most at 100%")
    if not inside(shape.suite, ("watch", "score", "suite"), reading):
        return None
    document = read((reading.folder / shape.suite).read_bytes(), shape.suite)
    reading.others.append(document)
    suite = suite_of(document)
    if suite is None or document.findings:
        return None
    judges = [judge for case in (suite.every, *suite.cases) for judge in case.judges]
    for judge in judges:
        if judge.pin not in pins:
            reading.unknown("pin", judge.pin, pins, ("watch", "score", "suite"))
    limit, currency = shape.judge_budget or (0, "USD")
    text = (reading.folder / shape.suite).read_text(encoding="utf-8")
    if len(text) > _LONGEST_SUITE:
        reading.note(("watch", "score", "suite"), f"a suite for live answers has at most {_LONGEST_SUITE:,} characters")
    return ScorePlan(suite=shape.suite, text=text, share=shape.share, cap_picos=limit * PICO, currency=currency)


def _goal_of(shape: ManifestShape) -> Mapping[str, str]:
    """Name, per objective, the first goal that it measures."""
    return {measure: name for name, goal in sorted(shape.goals.items(), reverse=True) for measure in goal.measured_by}


def _light(condition: Condition) -> Light:
    return Light.OPERATIONS if condition.monitor in OPERATIONS else Light.DECISION


def _check(condition: Condition, path: Path, interface: Interface | None, reading: Reading) -> None:
    """Note a condition on a field that is none."""
    if interface is None or condition.monitor not in ("drift", "freshness"):
        return
    wanted = {field.name for field in interface.inputs}
    if interface.task is Task.TEXT:
        wanted = set(QUESTION_FEATURES)
    if condition.monitor == "freshness":
        wanted = {field.name for field in interface.inputs if field.role is FieldRole.AGE}
    if condition.argument and condition.argument not in wanted:
        message = f"{condition.signal}: the interface has no such field to watch"
        reading.note(path, message, nearest(condition.argument, wanted))


def failure_plan(
    shape: FailureShape, watch: WatchPlan, interface: Interface | None, reading: Reading
) -> tuple[FailurePlan, WatchPlan]:
    """Return the rules in force, the manifest's first, and the objectives with those that inline conditions made."""
    stated: list[Rule] = []
    for place, rule in enumerate(shape.rules):
        objective, watch = _objective(rule, ("failure", "rules", place), watch, interface, reading)
        if objective in {rule.objective for rule in stated}:
            reading.note(_rule_path(place, reading), f"there are two rules for '{objective}'", "put all actions in one")
        stated.append(Rule(objective=objective, do=_actions(rule, place, reading)))
    mine = {rule.objective for rule in stated}
    known = {objective.name for objective in watch.objectives}
    defaults = [rule for rule in reading.defaults.rules if rule.objective in known - mine]
    assumed = [
        Rule(objective=objective.name, do=(ActionKind.PAGE,))
        for objective in watch.objectives
        if objective.assumption and objective.name not in mine
    ]
    pager = tuple(shape.pager) if shape.pager is not None else defaults_v1.PAGER
    _check_pager(pager, reading)
    plan = FailurePlan(
        rules=(*stated, *defaults, *assumed), cool_down=shape.cool_down, pager=pager, runbook=shape.runbook or ""
    )
    return plan, watch


def _rule_path(place: int, reading: Reading) -> Path:
    full: Path = ("failure", "rules", place)
    return full if reading.says(*full) else ("failure", place)


def _objective(
    rule: RuleShape, path: Path, watch: WatchPlan, interface: Interface | None, reading: Reading
) -> tuple[str, WatchPlan]:
    """Return the name of the objective a rule means, and the objectives with it."""
    path = (*_rule_path(int(path[-1]), reading), "when")
    names = {objective.name for objective in watch.objectives}
    if rule.when in names:
        return rule.when, watch
    try:
        condition = conditions.parse(rule.when, reading.catalogue.monitors)
    except ConditionError as error:
        hint = nearest(rule.when, names) or error.hint
        message = f"'{rule.when[:80]}' is neither an objective ({', '.join(sorted(names))}) nor a condition: {error}"
        reading.note(path, message, hint)
        return rule.when, watch
    same = next((objective.name for objective in watch.objectives if objective.when == condition), "")
    if same:
        return same, watch
    _check(condition, path, interface, reading)
    name = str(condition)
    added = Objective(name=name, when=condition, light=_light(condition))
    return name, replace(watch, objectives=tuple(sorted((*watch.objectives, added), key=lambda one: one.name)))


def _actions(rule: RuleShape, place: int, reading: Reading) -> tuple[ActionKind, ...]:
    found: list[ActionKind] = []
    for position, name in enumerate(rule.do):
        path = (*_rule_path(place, reading), "do", position)
        if name not in reading.catalogue.actions or name not in set(ActionKind):
            reading.unknown("action", name, reading.catalogue.actions, path)
        elif ActionKind(name) in found:
            reading.note(path, f"the action '{name}' is given twice")
        else:
            found.append(ActionKind(name))
    return tuple(found)


def _check_pager(pager: tuple[str, ...], reading: Reading) -> None:
    if not pager:
        reading.note(("failure", "pager"), "nobody is paged", "such as pager: [file:pages.jsonl]")
    for place, address in enumerate(pager):
        if not _PAGER.fullmatch(address):
            hint = "file:pages.jsonl, https://… or http://127.0.0.1:…"
            reading.note(("failure", "pager", place), f"'{address[:120]}' is no address for pages", hint)
        elif address.startswith("file:") and (address[5:].startswith(("/", "~")) or ".." in address[5:].split("/")):
            reading.note(("failure", "pager", place), f"'{address[:120]}' leads out of the home's folder")
