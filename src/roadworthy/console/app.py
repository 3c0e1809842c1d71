"""The control process's HTTP: console pages, forms and the control API as one Starlette application."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import parse_qsl

import jinja2
import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from roadworthy.console.access import ACCESS, Kind, Rule
from roadworthy.console.assets import Assets
from roadworthy.console.forms import FORMS
from roadworthy.console.gatekeeper import admit, recognise
from roadworthy.console.pages import PAGES
from roadworthy.console.problems import BadRequest, answer_for, answer_with
from roadworthy.console.sessions import Sessions, SignInLimit
from roadworthy.console.shield import Shield
from roadworthy.console.sign_in import set_session
from roadworthy.console.verbs import VERBS
from roadworthy.console.visit import Desk, Visit
from roadworthy.console.words import FILTERS
from roadworthy.domain.moment import Micros
from roadworthy.errors import NotPermitted, RoadworthyError
from roadworthy.lifecycle.control import Health
from roadworthy.lifecycle.promote import ProveLoads
from roadworthy.ports.plane import Plane
from roadworthy.stores.home import secret_of
from roadworthy.wiring import prove_loads as prove_loads_of

LOG: Final = logging.getLogger("roadworthy.console")
MOST_BYTES: Final = 64 * 1024
_MOST_FIELDS: Final = 40
_TEMPLATES: Final = Path(__file__).parent / "templates"
_FORM: Final = "application/x-www-form-urlencoded"
Handler = Callable[[Visit], Response]


def app(
    plane: Plane,
    *,
    hosts: Collection[str] = (),
    prove_loads: ProveLoads | None = None,
    wall: Callable[[], Micros] | None = None,
    seconds: Callable[[], float] = time.monotonic,
    health: Callable[[], Health] = Health,
) -> Starlette:
    """Build the application for one open home; wiring serves it beside the control loop.

    Args:
        plane: the open home. Handlers run in threads, as its adapters allow.
        hosts: host names it answers to besides those of this machine.
        prove_loads: loads a candidate as a worker would; default: by its runtime.
        wall: wall time in µs, which sessions live by; default: the machine's.
        seconds: monotonic seconds, which slow failed sign-ins down.
        health: how the control loop is, which the list of systems tells when it is not well.

    Raises:
        StoreError: the home's secret cannot be read.
    """
    assets = Assets()
    desk = Desk(
        plane=plane,
        sessions=Sessions(secret_of(plane.home)),
        limit=SignInLimit(),
        assets=assets,
        templates=templates(assets),
        prove_loads=prove_loads or prove_loads_of(plane),
        wall=wall or _wall,
        seconds=seconds,
        health=health,
    )
    found = Starlette(
        routes=routes(desk, {**PAGES, **FORMS, **VERBS}, ACCESS),
        middleware=[Middleware(Shield, hosts=hosts)],
        exception_handlers={HTTPException: _unknown(desk)},
    )
    # A trailing slash is another address; sending callers elsewhere would lose what they posted.
    found.router.redirect_slashes = False
    return found


def routes(desk: Desk, handlers: Mapping[str, Handler], access: Mapping[str, Rule]) -> list[Route]:
    """Join handlers to their rules.

    Raises:
        RuntimeError: a route has no rule, or a rule no route: nothing is served that nobody decided about.
    """
    if handlers.keys() != access.keys():
        odd = ", ".join(sorted(handlers.keys() ^ access.keys()))
        raise RuntimeError(f"these routes and rules do not match: {odd}")
    return [_route(desk, name, handler, access[name]) for name, handler in handlers.items()]


def templates(assets: Assets) -> jinja2.Environment:
    """Return the page templates: everything is escaped, and a name that is not there is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shelves: Any = environment  # its types leave these two dictionaries open
    shelves.filters.update(FILTERS)
    shelves.globals["asset"] = assets.url
    return environment


def _route(desk: Desk, name: str, handler: Handler, rule: Rule) -> Route:
    method, _, path = name.partition(" ")

    async def endpoint(request: Request) -> Response:
        try:
            content = await _body(request) if method == "POST" else b""
        except RoadworthyError as error:
            return answer_for(desk, request, error)
        return await run_in_threadpool(_serve, desk, request, rule, handler, content)

    return Route(path, endpoint, methods=[method], name=name)


def _serve(desk: Desk, request: Request, rule: Rule, handler: Handler, content: bytes) -> Response:
    """Admit a request, call its handler, and turn whatever goes wrong into an answer."""
    try:
        who = recognise(desk, request, rule)
        admit(desk, request, rule, who)
        visit = Visit(desk=desk, request=request, who=who)
        if request.method == "POST":
            _read(visit, rule, content)
        answer = handler(visit)
        _renew(visit, rule, answer)
    except RoadworthyError as error:
        return answer_for(desk, request, error)
    except Exception:
        mark = secrets.token_hex(4)
        LOG.exception("a request to %s broke (%s)", request.url.path, mark)
        text = "This is a mistake of ours, not yours. Nothing more is known here; the log has the details."
        return answer_with(desk, request, 500, text, f"look for {mark} in the control process's log", code="RW000")
    return answer


def _read(visit: Visit, rule: Rule, content: bytes) -> None:
    """Read what was posted: a form with its token, or a JSON object."""
    kind = visit.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if rule.kind is Kind.VERB:
        if kind != "application/json" and content:
            raise BadRequest(415, f"this call takes JSON, not '{kind[:60]}'", hint="Content-Type: application/json")
        visit.body = _json_object(content)
        return
    if kind != _FORM:
        raise BadRequest(415, f"this is no form: '{kind[:60]}'", hint=f"Content-Type: {_FORM}")
    visit.form = _form_fields(content)
    session = visit.who.session if visit.who else None
    if rule.kind is Kind.FORM and (
        session is None or not visit.desk.sessions.is_token(session.nonce, visit.form.get("csrf", ""))
    ):
        raise NotPermitted("this form is too old, or it came from elsewhere", hint="open the page again and resend it")


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        found: Any = msgspec.json.decode(content) if content else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise BadRequest(400, "the body is no JSON", hint='send an object like {"reason": "…"}') from problem
    if not isinstance(found, dict):
        raise BadRequest(400, "the body is no JSON object", hint='send an object like {"reason": "…"}')
    return cast("dict[str, Any]", found)


def _form_fields(content: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(content.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError as problem:
        raise BadRequest(400, "the form could not be read") from problem
    return dict(pairs)


async def _body(request: Request) -> bytes:
    """Read a body of at most 64 KiB; no form or verb needs more."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise BadRequest(413, f"the body is larger than {MOST_BYTES // 1024} KiB")
        parts.append(part)
    return b"".join(parts)


def _renew(visit: Visit, rule: Rule, answer: Response) -> None:
    """Let a session that a person uses last longer; a page that refreshes itself does not count as use."""
    session = visit.who.session if visit.who else None
    if session is None or rule.kind is not Kind.PAGE or "x-fragment" in visit.request.headers:
        return
    renewed = visit.desk.sessions.renew(session, visit.desk.wall())
    if renewed is not None:
        set_session(visit, answer, renewed)


def _unknown(desk: Desk) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, HTTPException)
        texts = {404: "There is no page at this address.", 405: "This address does not take that method."}
        text = texts.get(problem.status_code, str(problem.detail))
        headers = dict(problem.headers or {})
        return answer_with(desk, request, problem.status_code, text, "/systems", code="RW400", headers=headers)

    return answer


def _wall() -> Micros:
    return time.time_ns() // 1_000
