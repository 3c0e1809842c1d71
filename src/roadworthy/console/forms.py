"""Forms: each calls one verb and leads back to the page that shows what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.responses import RedirectResponse, Response

from roadworthy.console.pages import show_ledger
from roadworthy.console.sign_in import enter, leave, show
from roadworthy.console.visit import Visit
from roadworthy.domain.moment import HOUR, Micros
from roadworthy.errors import InputError
from roadworthy.lifecycle import incidents, pause, roll_back
from roadworthy.lifecycle.approve import approve
from roadworthy.lifecycle.promote import promote
from roadworthy.lifecycle.roll_out import pause_rollout, resume_rollout
from roadworthy.lifecycle.verify_ledger import verify_ledger

SILENCES: Final[dict[str, Micros]] = {"1h": HOUR, "4h": 4 * HOUR, "1d": 24 * HOUR}


def acknowledge_incident(visit: Visit) -> Response:
    """Take an incident in hand."""
    incidents.acknowledge(visit.plane, visit.path("incident"), actor=visit.actor, reason=_text(visit, "reason"))
    return _to_incident(visit)


def close_incident(visit: Visit) -> Response:
    """Close an incident with the test that would have caught it, or the reason why there is none."""
    incidents.close(
        visit.plane,
        visit.path("incident"),
        actor=visit.actor,
        new_test=_text(visit, "new_test"),
        no_test=_text(visit, "no_test"),
    )
    return _to_incident(visit)


def silence_incident(visit: Visit) -> Response:
    """Send no pages for a while."""
    span = SILENCES.get(_text(visit, "span"))
    if span is None:
        raise InputError("how long to silence it is missing", hint=f"one of: {', '.join(SILENCES)}")
    until = visit.plane.clock.now() + span
    incidents.silence(
        visit.plane, visit.path("incident"), until=until, actor=visit.actor, reason=_text(visit, "reason")
    )
    return _to_incident(visit)


def pause_system(visit: Visit) -> Response:
    """Stop a system's automation, or hold only its rollout."""
    name, reason = visit.path("system"), _text(visit, "reason")
    if _text(visit, "what") == "rollout":
        pause_rollout(visit.plane, name, actor=visit.actor, reason=reason)
    else:
        pause.pause(visit.plane, name, actor=visit.actor, reason=reason)
    return _to_system(visit)


def resume_system(visit: Visit) -> Response:
    """Let automation, or the rollout on hold, go on."""
    name, reason = visit.path("system"), _text(visit, "reason")
    if _text(visit, "what") == "rollout":
        resume_rollout(visit.plane, name, actor=visit.actor, reason=reason)
    else:
        pause.resume(visit.plane, name, actor=visit.actor, reason=reason)
    return _to_system(visit)


def roll_back_system(visit: Visit) -> Response:
    """Abort the rollout under way, or make an earlier release champion again."""
    roll_back.roll_back(
        visit.plane,
        visit.path("system"),
        _text(visit, "to"),
        actor=visit.actor,
        reason=_needed(visit, "reason", "rolling back needs a reason"),
        prove_loads=visit.desk.prove_loads,
    )
    return _to_system(visit)


def promote_release(visit: Visit) -> Response:
    """Begin the rollout of a release."""
    promote(
        visit.plane,
        visit.path("system"),
        _needed(visit, "release", "which release?"),
        actor=visit.actor,
        prove_loads=visit.desk.prove_loads,
        reason=_text(visit, "reason"),
    )
    return _to_system(visit)


def start_system(visit: Visit) -> Response:
    """Put the champion back in front after a stop or a fallback."""
    pause.restore(visit.plane, visit.path("system"), actor=visit.actor, reason=_text(visit, "reason"))
    return _to_system(visit)


def approve_candidate(visit: Visit) -> Response:
    """Record a person's yes to a candidate."""
    candidate = _needed(visit, "candidate", "which candidate?")
    approve(visit.plane, visit.path("system"), candidate, actor=visit.actor, reason=_text(visit, "reason"))
    return RedirectResponse(f"/systems/{visit.path('system')}/releases/{candidate}", status_code=303)


def check_ledger(visit: Visit) -> Response:
    """Verify every entry and say what was found."""
    return show_ledger(visit, verify_ledger(visit.plane.ledger))


def _to_incident(visit: Visit) -> Response:
    return RedirectResponse(f"/incidents/{visit.path('incident')}", status_code=303)


def _to_system(visit: Visit) -> Response:
    return RedirectResponse(f"/systems/{visit.path('system')}", status_code=303)


def _text(visit: Visit, name: str) -> str:
    return visit.form.get(name, "").strip()


def _needed(visit: Visit, name: str, complaint: str) -> str:
    text = _text(visit, name)
    if not text:
        raise InputError(complaint, hint=f"fill in '{name}'")
    return text


FORMS: dict[str, Callable[[Visit], Response]] = {
    "GET /sign-in": show,
    "POST /sign-in": enter,
    "POST /sign-out": leave,
    "POST /incidents/{incident}/ack": acknowledge_incident,
    "POST /incidents/{incident}/close": close_incident,
    "POST /incidents/{incident}/silence": silence_incident,
    "POST /systems/{system}/pause": pause_system,
    "POST /systems/{system}/resume": resume_system,
    "POST /systems/{system}/rollback": roll_back_system,
    "POST /systems/{system}/promote": promote_release,
    "POST /systems/{system}/start": start_system,
    "POST /systems/{system}/approve": approve_candidate,
    "POST /ledger/verify": check_ledger,
}
