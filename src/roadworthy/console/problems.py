"""Errors as answers: a page with a sentence, or a JSON document; never a traceback."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from roadworthy.console.gatekeeper import SignInNeeded
from roadworthy.console.visit import Desk
from roadworthy.console.words import json_answer
from roadworthy.errors import (
    ArtifactError,
    EnvironmentMismatch,
    InputError,
    NotFoundError,
    NotPermitted,
    RefusedError,
    RoadworthyError,
    StoreError,
    UnavailableError,
)

_STATUS: Final[tuple[tuple[type[RoadworthyError], int], ...]] = (
    (SignInNeeded, 401),
    (NotPermitted, 403),
    (RefusedError, 409),
    (InputError, 422),
    (NotFoundError, 404),
    (ArtifactError, 409),
    (EnvironmentMismatch, 409),
    (StoreError, 503),
    (UnavailableError, 503),
)
_TITLES: Final = {
    400: "That request could not be read",
    401: "Sign in first",
    403: "Not permitted",
    404: "Not found",
    405: "Not possible here",
    409: "Refused",
    413: "Too large",
    415: "Not this kind of content",
    422: "Something is missing",
    429: "Too many tries",
    500: "Something broke on our side",
    503: "Not available now",
}


class BadRequest(InputError):
    """A request that cannot be read; `status` says how."""

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


def status_of(error: RoadworthyError) -> int:
    """Return the HTTP status that an error of ours has."""
    if isinstance(error, BadRequest):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def wants_json(request: Request) -> bool:
    """Tell whether this caller reads JSON: verbs and `.json` pages do."""
    path = request.url.path
    return path.startswith("/v1/") or path.endswith(".json")


def answer_for(desk: Desk, request: Request, error: RoadworthyError) -> Response:
    """Turn an error into the answer its caller can act on."""
    status = status_of(error)
    is_page = request.method in ("GET", "HEAD") and "x-fragment" not in request.headers
    if status == 401 and is_page and not wants_json(request):  # noqa: PLR2004 (unauthorised)
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?next={quote(here)}", status_code=303)
    headers = {"www-authenticate": 'Bearer realm="roadworthy"'} if status == 401 else {}  # noqa: PLR2004
    return answer_with(desk, request, status, error.message, error.hint, code=error.code, headers=headers)


def answer_with(
    desk: Desk,
    request: Request,
    status: int,
    message: str,
    hint: str = "",
    *,
    code: str = "",
    headers: dict[str, str] | None = None,
) -> Response:
    """Write a problem as JSON or as a page."""
    if wants_json(request):
        document: dict[str, Any] = {"error": {"code": code, "message": message, "hint": hint}}
        return json_answer(document, status, headers)
    title = _TITLES.get(status, "Not possible")
    page = desk.templates.get_template("problem.html")
    text = page.render(title=title, message=message, hint=hint, code=code, status=status, nav=None, token="")
    return HTMLResponse(text, status, headers=headers)
