"""Signing in and out: a key is traded for a session cookie; failed tries are slowed down."""

from __future__ import annotations

import math
import re
import secrets
from typing import Final

from starlette.responses import HTMLResponse, RedirectResponse, Response

from roadworthy.console.access import may_sign_in
from roadworthy.console.gatekeeper import key_of
from roadworthy.console.sessions import COOKIE, FIRST_COOKIE, Session
from roadworthy.console.visit import Visit

_LOCAL_PATH: Final = re.compile(r"/[A-Za-z0-9][A-Za-z0-9/_.@:?&=%~-]*|/")


def show(visit: Visit) -> Response:
    """Show the form; a nonce in a cookie ties its token to this browser."""
    return _form(visit, 200, "", _next(visit.asks("next")))


def enter(visit: Visit) -> Response:
    """Trade a valid key for a session, or show the form again with what is wrong."""
    to = _next(visit.form.get("next", ""))
    address = visit.request.client.host if visit.request.client else ""
    seconds = visit.desk.seconds()
    wait = visit.desk.limit.wait_s(address, seconds)
    if wait > 0:
        answer = _form(visit, 429, f"Too many failed tries. Wait {math.ceil(wait)} seconds, then try again.", to)
        answer.headers["retry-after"] = str(math.ceil(wait))
        return answer
    if not visit.desk.sessions.is_token(visit.request.cookies.get(FIRST_COOKIE, ""), visit.form.get("csrf", "")):
        return _form(visit, 403, "This form is too old, or it came from elsewhere. Try again.", to)
    key = key_of(visit.plane, visit.form.get("key", "").strip())
    if key is None or not may_sign_in(key):
        visit.desk.limit.failed(address, seconds)
        why = (
            "That key is not valid: it is unknown, expired, revoked, or its holder left."
            if key is None
            else "That key is valid, but not for the console: it carries none of read, operate, approve, admin."
        )
        return _form(visit, 403, why, to)
    answer = RedirectResponse(to, status_code=303)
    set_session(visit, answer, visit.desk.sessions.begin(key.id, visit.desk.wall()))
    answer.delete_cookie(FIRST_COOKIE, path="/sign-in")
    return answer


def leave(visit: Visit) -> Response:
    """End the session here and in every copy of its cookie."""
    if visit.who and visit.who.session:
        visit.desk.sessions.end(visit.who.session, visit.desk.wall())
    answer = RedirectResponse("/sign-in", status_code=303)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer


def set_session(visit: Visit, answer: Response, session: Session) -> None:
    """Write the session cookie: no script reads it, no other site sends it."""
    answer.set_cookie(
        COOKIE,
        visit.desk.sessions.write(session),
        path="/",
        httponly=True,
        samesite="strict",
        secure=visit.request.url.scheme == "https",
    )


def _form(visit: Visit, status: int, complaint: str, to: str) -> Response:
    nonce = secrets.token_hex(16)
    page = visit.desk.templates.get_template("sign_in.html")
    text = page.render(
        title="Sign in", complaint=complaint, to=to, form_token=visit.desk.sessions.token(nonce), nav=None, token=""
    )
    answer = HTMLResponse(text, status)
    answer.set_cookie(
        FIRST_COOKIE,
        nonce,
        path="/sign-in",
        max_age=3600,
        httponly=True,
        samesite="strict",
        secure=visit.request.url.scheme == "https",
    )
    return answer


def _next(text: str) -> str:
    """Return a path of ours to go on to; anything that could lead elsewhere becomes the list of systems."""
    return text if _LOCAL_PATH.fullmatch(text) and "//" not in text and not text.startswith("/sign") else "/systems"
