"""The control API: verbs as `POST /v1/…` with a key; the same functions as the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from starlette.responses import Response

from roadworthy.console.visit import Visit
from roadworthy.console.words import json_answer
from roadworthy.domain.ledger import Head
from roadworthy.domain.moment import iso, parse_iso
from roadworthy.errors import InputError
from roadworthy.lifecycle import incidents, pause, roll_back
from roadworthy.lifecycle.approve import approve
from roadworthy.lifecycle.promote import promote
from roadworthy.lifecycle.roll_out import pause_rollout, resume_rollout
from roadworthy.lifecycle.verify_ledger import verify_ledger
from roadworthy.stores.clock import set_clock
from roadworthy.stores.codec import from_doc


def set_time(visit: Visit) -> Response:
    """Move a replay home's time forward: `{"now": "2013-04-01T06:00:00Z"}`; an earlier time changes nothing."""
    now = set_clock(visit.plane.home, _moment(visit, "now"))
    return json_answer({"now": iso(now)})


def verify(visit: Visit) -> Response:
    """Verify the ledger, against an exported `{"head": {…}}` if one is sent."""
    head = visit.body.get("head")
    if head is not None and not isinstance(head, dict):
        raise InputError("'head' must be an object", hint="send what roadworthy ledger head --to FILE wrote")
    exported = from_doc(Head, cast("dict[str, Any]", head)) if head else None
    found = verify_ledger(visit.plane.ledger, exported)
    return json_answer(
        {"holds": found.holds, "entries": found.entries, "problem": found.problem, "head": found.head},
        200 if found.holds else 409,
    )


def promote_release(visit: Visit) -> Response:
    """Begin a rollout: `{"release": "v2", "reason": …, "force": false}`."""
    done = promote(
        visit.plane,
        visit.path("system"),
        _needed(visit, "release"),
        actor=visit.actor,
        prove_loads=visit.desk.prove_loads,
        reason=_text(visit, "reason"),
        environment=_environment(visit),
        force=_flag(visit, "force"),
    )
    return json_answer({"sentence": done.sentence, "changed": done.changed, "route": done.route})


def roll_back_system(visit: Visit) -> Response:
    """Abort the rollout under way, or go back: `{"to": "v1", "reason": …}`, `to` optional."""
    done = roll_back.roll_back(
        visit.plane,
        visit.path("system"),
        _text(visit, "to"),
        actor=visit.actor,
        reason=_text(visit, "reason"),
        environment=_environment(visit),
        prove_loads=visit.desk.prove_loads,
    )
    return json_answer({"sentence": done.sentence, "left": done.left, "route": done.route})


def pause_system(visit: Visit) -> Response:
    """Stop automation, or with `{"rollout": true}` hold only the rollout; `reason` is needed."""
    name, reason = visit.path("system"), _needed(visit, "reason")
    if _flag(visit, "rollout"):
        return json_answer(
            pause_rollout(visit.plane, name, actor=visit.actor, reason=reason, environment=_environment(visit))
        )
    pause.pause(visit.plane, name, actor=visit.actor, reason=reason)
    return json_answer({"system": name, "paused": True})


def resume_system(visit: Visit) -> Response:
    """Let automation, or with `{"rollout": true}` the rollout on hold, go on."""
    name, reason = visit.path("system"), _text(visit, "reason")
    if _flag(visit, "rollout"):
        return json_answer(
            resume_rollout(visit.plane, name, actor=visit.actor, reason=reason, environment=_environment(visit))
        )
    pause.resume(visit.plane, name, actor=visit.actor, reason=reason)
    return json_answer({"system": name, "paused": False})


def stop_system(visit: Visit) -> Response:
    """Answer 503 on purpose: `{"reason": …}`."""
    route = pause.stop(
        visit.plane,
        visit.path("system"),
        actor=visit.actor,
        reason=_needed(visit, "reason"),
        environment=_environment(visit),
    )
    return json_answer({"route": route})


def start_system(visit: Visit) -> Response:
    """Answer again after a stop, or put the champion back in front after a fallback."""
    route = pause.restore(
        visit.plane,
        visit.path("system"),
        actor=visit.actor,
        reason=_text(visit, "reason"),
        environment=_environment(visit),
    )
    return json_answer({"route": route})


def approve_candidate(visit: Visit) -> Response:
    """Record the key holder's yes: `{"candidate": "sha256:…", "reason": …}`."""
    candidate = _needed(visit, "candidate")
    return json_answer(
        approve(visit.plane, visit.path("system"), candidate, actor=visit.actor, reason=_text(visit, "reason"))
    )


def acknowledge_incident(visit: Visit) -> Response:
    """Take an incident in hand."""
    return json_answer(
        incidents.acknowledge(visit.plane, visit.path("incident"), actor=visit.actor, reason=_text(visit, "reason"))
    )


def close_incident(visit: Visit) -> Response:
    """Close an incident: `{"new_test": …}`, or `{"no_test": why there is none}`."""
    return json_answer(
        incidents.close(
            visit.plane,
            visit.path("incident"),
            actor=visit.actor,
            new_test=_text(visit, "new_test"),
            no_test=_text(visit, "no_test"),
            reason=_text(visit, "reason"),
        )
    )


def silence_incident(visit: Visit) -> Response:
    """Send no pages for an incident until a time: `{"until": "2026-11-23T12:00:00Z"}`."""
    until = _moment(visit, "until")
    return json_answer(
        incidents.silence(
            visit.plane, visit.path("incident"), until=until, actor=visit.actor, reason=_text(visit, "reason")
        )
    )


def _text(visit: Visit, name: str) -> str:
    value = visit.body.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"'{name}' must be text")
    return value


def _needed(visit: Visit, name: str) -> str:
    text = _text(visit, name).strip()
    if not text:
        raise InputError(f"'{name}' is missing", hint=f'send {{"{name}": "…"}}')
    return text


def _flag(visit: Visit, name: str) -> bool:
    value = visit.body.get(name, False)
    if not isinstance(value, bool):
        raise InputError(f"'{name}' must be true or false")
    return value


def _environment(visit: Visit) -> str:
    return _text(visit, "environment") or "live"


def _moment(visit: Visit, name: str) -> int:
    text = _needed(visit, name)
    try:
        return parse_iso(text)
    except (ValueError, OverflowError) as problem:
        raise InputError(f"'{name}' is no time: '{text[:60]}'", hint="write it like 2026-11-23T09:30:00Z") from problem


VERBS: dict[str, Callable[[Visit], Response]] = {
    "POST /v1/clock": set_time,
    "POST /v1/ledger/verify": verify,
    "POST /v1/systems/{system}/promote": promote_release,
    "POST /v1/systems/{system}/rollback": roll_back_system,
    "POST /v1/systems/{system}/pause": pause_system,
    "POST /v1/systems/{system}/resume": resume_system,
    "POST /v1/systems/{system}/stop": stop_system,
    "POST /v1/systems/{system}/start": start_system,
    "POST /v1/systems/{system}/approve": approve_candidate,
    "POST /v1/incidents/{incident}/ack": acknowledge_incident,
    "POST /v1/incidents/{incident}/close": close_incident,
    "POST /v1/incidents/{incident}/silence": silence_incident,
}
