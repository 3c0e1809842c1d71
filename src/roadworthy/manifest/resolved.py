"""The resolved form: a system with every default spelled out, in the manifest's own words.

It is what `plan` prints and compares, and it reads back: loading it gives a system with the same digests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roadworthy.domain.llm import IndexPlan, LlmPlan, chat_interface
from roadworthy.domain.moment import MILLISECOND, iso, spell_duration
from roadworthy.domain.pin import PICO, Pin, PinTerms, Price
from roadworthy.domain.system import (
    Content,
    DataPlan,
    Decision,
    Owner,
    Policy,
    ScorePlan,
    ServePlan,
    System,
    WatchPlan,
)
from roadworthy.manifest.defaults_llm_v1 import GUARDS
from roadworthy.manifest.stages import spell_stage
from roadworthy.manifest.units import spell_budget, spell_money, spell_share, spell_size


def resolved(system: System, *, interface: str = "interface.yaml") -> dict[str, Any]:
    """Return the whole manifest with every default in force. `interface` is where the typed inputs are written."""
    head = {"roadworthy": system.schema_version, "system": system.name, "kind": str(system.kind)}
    content = resolved_content(system.content)
    if system.content.llm is None or system.content.interface != chat_interface():
        content["interface"] = interface
    for terms in system.policy.pins:
        content["pins"][terms.name] |= _terms(terms)
    return head | content | resolved_policy(system.policy)


def resolved_content(content: Content) -> dict[str, Any]:
    """Return the content sections, without the typed inputs, which have a file of their own."""
    if content.llm is not None:
        return _resolved_llm(content, content.llm)
    document: dict[str, Any] = {
        "use": content.use,
        "data": _data(content.data),
        "baseline": content.baseline,
        "code": list(content.code),
        "seed": content.seed,
        "parameters": dict(content.parameters),
        "trust": list(content.trusted_types),
    }
    return _without_nothing(document, ("baseline",))


def _resolved_llm(content: Content, plan: LlmPlan) -> dict[str, Any]:
    """Return the content of kind llm; the terms of its pins are added by `resolved`."""
    document: dict[str, Any] = {
        "use": content.use,
        "pins": {pin.name: _pin(pin) for pin in plan.pins},
        "prompt": plan.prompt,
        "baseline": content.baseline,
        "tools": plan.tools,
        "output_schema": plan.schema,
        "seed": content.seed,
        "parameters": dict(plan.parameters),
        "guards": dict.fromkeys(GUARDS, "off") | {guard.name: dict(guard.parameters) for guard in plan.guards},
    }
    return _without_nothing(document) | ({} if plan.index is None else {"index": _index(plan.index)})


def _pin(pin: Pin) -> dict[str, Any]:
    texts = _without_nothing(
        {"model": pin.model, "url": pin.url, "file": pin.file, "version": pin.version, "probes": pin.probe_file}
    )
    numbers = {"context": pin.context, "max_output": pin.max_output, "parameters": dict(pin.parameters)}
    return {"provider": str(pin.provider), **texts, **numbers}


def _index(plan: IndexPlan) -> dict[str, Any]:
    document: dict[str, Any] = {
        "files": list(plan.files),
        "words": plan.words,
        "overlap": plan.overlap,
        "top": plan.top,
        "embed": plan.embed,
        "abstain": "never" if plan.abstain is None else spell_share(plan.abstain),
    }
    return _without_nothing(document)


def _terms(terms: PinTerms) -> dict[str, Any]:
    document: dict[str, Any] = {
        "key": terms.key,
        "region": terms.region,
        "allows": list(terms.allows),
        "otherwise": "mask" if terms.masks else "pass",
        "lookup": terms.lookup,
    }
    return _without_nothing(document) | ({} if terms.price is None else {"price": _price(terms.price)})


def _price(price: Price) -> dict[str, Any]:
    parts = {"input": price.input, "output": price.output, "cached_input": price.cached_input}
    found = {name: spell_money(micros, price.currency) for name, micros in parts.items() if micros is not None}
    per_call = spell_money(price.per_call // PICO, price.currency)
    return found | ({"per_call": per_call} if price.per_call else {}) | {"version": price.version}


def resolved_policy(policy: Policy) -> dict[str, Any]:
    """Return the policy sections with every default in force."""
    stated = {objective.name: objective for objective in policy.watch.objectives}
    document: dict[str, Any] = {
        "owner": _owner(policy.owner),
        "decision": _decision(policy.decision),
        "goals": {goal.id: {"text": goal.text, "measured_by": list(goal.measured_by)} for goal in policy.goals},
        "non_goals": {
            goal.id: _without_nothing({"text": goal.text, "purpose": goal.purpose}) for goal in policy.non_goals
        },
        "assumptions": {
            assumption.id: {"text": assumption.text, "when": str(stated[assumption.objective].when)}
            for assumption in policy.assumptions
        },
        "glossary": dict(policy.glossary),
        "gates": {gate.name: dict(gate.parameters) for gate in policy.gates},
        "serve": _serve(policy.serve),
        "rollout": [spell_stage(stage) for stage in policy.rollout],
        "watch": _watch(policy.watch) | (_probing(policy.watch) if policy.pins else {}),
        "failure": {
            "rules": [
                {"when": rule.objective, "do": [str(action) for action in rule.do]} for rule in policy.failure.rules
            ],
            "cool_down": spell_duration(policy.failure.cool_down),
            "pager": list(policy.failure.pager),
            **({"runbook": policy.failure.runbook} if policy.failure.runbook else {}),
        },
        "keep": {"payload": policy.keep.payload} | ({"mask": list(policy.keep.mask)} if policy.pins else {}),
        "waivers": [
            {"gate": waiver.gate, "by": waiver.by, "why": waiver.why, "until": iso(waiver.until)}
            for waiver in policy.waivers
        ],
    }
    return document


def _without_nothing(document: Mapping[str, Any], keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """Leave out what is not there: empty texts, or only those of the given keys."""
    return {key: value for key, value in document.items() if value != "" or (keys and key not in keys)}


def _owner(owner: Owner) -> dict[str, Any]:
    return _without_nothing(
        {
            "name": owner.principal,
            "contact": owner.contact,
            "backup": owner.backup,
            "backup_contact": owner.backup_contact,
        }
    )


def _decision(decision: Decision) -> dict[str, Any]:
    cost = spell_money(decision.cost_of_failure_micros, decision.currency)
    return _without_nothing(
        {"what": decision.what, "tier": str(decision.tier), "cost_of_failure": cost, "sponsor": decision.sponsor}
    )


def _data(data: DataPlan) -> dict[str, Any]:
    return _without_nothing(
        {
            "table": data.table,
            "target": data.target,
            "time": data.time,
            "entity": data.entity,
            "holdout": spell_share(data.holdout),
        }
    )


def _serve(serve: ServePlan) -> dict[str, Any]:
    document: dict[str, Any] = {
        "deadline": spell_duration(round(serve.deadline_ms * MILLISECOND)),
        "max_in_flight": serve.max_in_flight,
        "max_body": spell_size(serve.max_body_bytes),
        "on_violation": str(serve.on_violation),
        "breaker": {
            "errors": spell_share(serve.breaker_errors),
            "window": serve.breaker_window,
            "cool_down": spell_duration(serve.breaker_cool_down),
        },
        "fallback": list(serve.fallback),
    }
    if serve.budgets:
        document["budgets"] = [spell_budget(cap) for cap in serve.budgets]
    if serve.cap_per_call_micros:
        currency = serve.budgets[0].currency if serve.budgets else "USD"
        document["cap_per_call"] = spell_money(serve.cap_per_call_micros, currency)
    if (serve.tries, serve.cache_for) != (2, 0):
        document |= {"tries": serve.tries, "cache": spell_duration(serve.cache_for)}
    return document if serve.stated_default is None else document | {"default": dict(serve.stated_default)}


def _watch(watch: WatchPlan) -> dict[str, Any]:
    return {
        "objectives": {one.name: str(one.when) for one in watch.objectives if not one.assumption},
        "harm_margin": spell_share(watch.harm_margin),
        "harm_alpha": spell_share(watch.harm_alpha),
        "window": spell_duration(watch.window),
        "drift_window": spell_duration(watch.drift_window),
        "drill_every": spell_duration(watch.drill_every),
    } | ({} if watch.score is None else {"score": _score(watch.score)})


def _probing(watch: WatchPlan) -> dict[str, Any]:
    return {"probe_every": spell_duration(watch.probe_every), "probe_budget": spell_budget(watch.probe_budget)}


def _score(plan: ScorePlan) -> dict[str, Any]:
    found = {"suite": plan.suite, "share": spell_share(plan.share)}
    return found | ({"judge_budget": spell_money(plan.cap_picos // PICO, plan.currency)} if plan.cap_picos else {})
