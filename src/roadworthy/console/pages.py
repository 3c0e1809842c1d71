"""The pages, each with its JSON twin: gather a view, then write it as HTML or as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from roadworthy.console.problems import BadRequest
from roadworthy.console.views.incident import incident_view, incidents_view
from roadworthy.console.views.ledger import ledger_view
from roadworthy.console.views.record import record_view
from roadworthy.console.views.release import release_view
from roadworthy.console.views.system import system_view
from roadworthy.console.views.systems import systems_view
from roadworthy.console.visit import Visit
from roadworthy.console.words import json_answer
from roadworthy.domain.ledger import Verification

_LARGEST = 2**62


def home(_: Visit) -> Response:
    """Send a visitor to the list of systems."""
    return RedirectResponse("/systems", status_code=303)


def health(visit: Visit) -> Response:
    """Say that the control process answers, and whether it leads; no key needed, nothing else told."""
    found = visit.desk.health()
    return JSONResponse({"status": "ok", "leads": found.leads, "looks": found.looks})


def static(visit: Visit) -> Response:
    """Answer with a static file named by its digest."""
    found = visit.desk.assets.answer(visit.path("digest"), visit.path("name"))
    if found is None:
        raise BadRequest(404, "there is no such file; reload the page for its newest address")
    return found


def systems(visit: Visit) -> Response:
    """All systems the caller may see."""
    # What control could not do names systems; only a key of the whole home may read it.
    problems = visit.desk.health().problems if visit.caller.sees("") else ()
    return _show(
        visit,
        "systems.html",
        systems_view(visit.plane, visit.caller.sees, problems=problems),
        "systems",
        "systems_live.html",
    )


def system(visit: Visit) -> Response:
    """One system."""
    view = system_view(visit.plane, visit.path("system"), visit.asks("environment", "live"))
    return _show(visit, "system.html", view, "systems", "system_live.html")


def release(visit: Visit) -> Response:
    """A release or candidate with its evidence."""
    view = release_view(visit.plane, visit.path("system"), visit.path("release"), visit.asks("environment", "live"))
    return _show(visit, "release.html", view, "systems")


def incidents(visit: Visit) -> Response:
    """All incidents the caller may see."""
    return _show(visit, "incidents.html", incidents_view(visit.plane, visit.caller.sees), "incidents")


def incident(visit: Visit) -> Response:
    """One incident's story, with what a person may do about it."""
    return _show(visit, "incident.html", incident_view(visit.plane, visit.path("incident")), "incidents")


def find_record(visit: Visit) -> Response:
    """Send who typed a record's id to its page, or show where to type it."""
    wanted = visit.asks("id").strip()
    if wanted:
        return RedirectResponse(f"/records/{quote(wanted, safe='')}", status_code=303)
    page = visit.desk.templates.get_template("find_record.html")
    return HTMLResponse(page.render(title="Explain a record", nav="records", visit=visit, token=visit.token))


def record(visit: Visit) -> Response:
    """One answer explained."""
    return _show(visit, "record.html", record_view(visit.plane, visit.path("record")), "records")


def ledger(visit: Visit) -> Response:
    """A page of the ledger."""
    return show_ledger(visit, None)


def show_ledger(visit: Visit, verification: Verification | None) -> Response:
    """Show the ledger, and what its verification found."""
    before = visit.asks("before", "0")
    if not before.isascii() or not before.isdigit() or int(before) > _LARGEST:
        raise BadRequest(422, f"'{before[:40]}' is no entry of the ledger", hint="before is a whole number")
    asked = visit.asks("system")
    view = ledger_view(visit.plane, visit.caller.sees, system=asked, before=int(before), verification=verification)
    return _show(visit, "ledger.html", view, "ledger")


def _show(visit: Visit, template: str, view: Any, nav: str, live: str = "") -> Response:
    """Write a view: JSON for a `.json` address, only the live part for a refresh, else the whole page."""
    if visit.request.url.path.endswith(".json"):
        return json_answer(view)
    is_refresh = bool(live) and "x-fragment" in visit.request.headers
    values = {"view": view, "title": view.title, "nav": nav, "visit": visit, "token": visit.token}
    page = visit.desk.templates.get_template(live if is_refresh else template)
    return HTMLResponse(page.render(values))


PAGES: dict[str, Callable[[Visit], Response]] = {
    "GET /": home,
    "GET /healthz": health,
    "GET /static/{digest}/{name}": static,
    "GET /systems": systems,
    "GET /systems.json": systems,
    "GET /systems/{system}.json": system,
    "GET /systems/{system}": system,
    "GET /systems/{system}/releases/{release}.json": release,
    "GET /systems/{system}/releases/{release}": release,
    "GET /incidents": incidents,
    "GET /incidents.json": incidents,
    "GET /incidents/{incident}.json": incident,
    "GET /incidents/{incident}": incident,
    "GET /records": find_record,
    "GET /records/{record}.json": record,
    "GET /records/{record}": record,
    "GET /ledger": ledger,
    "GET /ledger.json": ledger,
}
"""Each page by its route. A `.json` address stands before the page whose pattern would swallow it."""
