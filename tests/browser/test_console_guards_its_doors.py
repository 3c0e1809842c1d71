"""Signing in, scopes, tokens, hosts and limits, against the real application and a real home."""

from __future__ import annotations

import json
from typing import Any

import pytest

from roadworthy.console.access import ACCESS, Kind
from roadworthy.console.sessions import COOKIE, IDLE
from roadworthy.domain.ledger import Noun
from roadworthy.domain.principal import Actor
from roadworthy.lifecycle import present
from roadworthy.lifecycle.keys import put_principal, revoke_key
from roadworthy.ports.plane import Plane

Visitor = Any
Seeded = Any
SECRET = "Grace Hopper"
GUARDED = [name for name, rule in ACCESS.items() if rule.kind is not Kind.OPEN]


def filled(name: str, seeded: Seeded) -> tuple[str, str]:
    """Fill a route's pattern with names that exist."""
    method, _, path = name.partition(" ")
    parts = {"system": "flights", "release": "v2", "incident": "flights-1", "record": seeded.records[0]}
    for part, value in {**parts, "digest": "0" * 12, "name": "console.css"}.items():
        path = path.replace("{" + part + "}", value)
    return method, path


def test_nobody_gets_in_without_a_key(visit: Visitor, seeded: Seeded) -> None:
    """Each route but the door itself asks for a key: pages lead to the sign-in, everything else answers 401."""
    for name in GUARDED:
        _must_ask_for_a_key(visit, seeded, name)


def _must_ask_for_a_key(visit: Visitor, seeded: Seeded, name: str) -> None:
    method, path = filled(name, seeded)
    content_type = "application/json" if path.startswith("/v1/") else "application/x-www-form-urlencoded"
    answer = visit.http.request(
        method, path, headers={"content-type": content_type} if method == "POST" else {}, follow_redirects=False
    )
    if method == "GET" and not path.endswith(".json"):
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in?next=/")
    else:
        assert answer.status_code == 401
        assert "www-authenticate" in answer.headers


def test_a_key_that_only_predicts_sees_nothing(visit: Visitor, seeded: Seeded) -> None:
    """The keys that callers hold open no page and no verb."""
    for name in GUARDED:
        method, path = filled(name, seeded)
        answer = visit.http.request(method, path, headers=visit.bearer("caller"), json={} if method == "POST" else None)
        assert answer.status_code in (401, 403), name


def test_a_key_that_reads_changes_nothing(visit: Visitor, seeded: Seeded) -> None:
    """Each verb asks for the scope of its rule."""
    for name in (name for name in ACCESS if name.startswith("POST /v1/")):
        method, path = filled(name, seeded)
        answer = visit.http.request(method, path, headers=visit.bearer("reader"), json={})
        assert answer.status_code == (200 if path == "/v1/ledger/verify" else 403), name


def test_a_key_of_one_system_finds_nothing_of_another(visit: Visitor, seeded: Seeded) -> None:
    """What the key does not open is not found, and no other name is told."""
    visit.sign_in("loans-only")
    for name in (name for name in GUARDED if "{" in name):
        method, path = filled(name, seeded)
        if ACCESS[name].kind is Kind.FORM:
            answer = visit.http.post(path, data={"csrf": "x"})
        else:
            answer = visit.http.request(method, path, headers=visit.bearer("loans-only"), json={})
        assert answer.status_code == (403 if ACCESS[name].scope == "approve" else 404), name
        assert "claims" not in answer.text


def test_lists_hold_only_what_the_key_opens(visit: Visitor) -> None:
    """The lists of a key for one system name no other, and no books of the whole home."""
    found = visit.http.get("/systems.json", headers=visit.bearer("loans-only")).json()
    assert [row["name"] for row in found["systems"]] == ["loans"]
    assert found["books"] is None
    assert visit.http.get("/incidents.json", headers=visit.bearer("loans-only")).json()["open"] == []
    entries = visit.http.get("/ledger.json", headers=visit.bearer("loans-only")).json()["entries"]
    assert {one["system"] for one in entries} == {"loans"}


def test_signing_in_gives_a_cookie_no_script_and_no_other_site_can_use(visit: Visitor) -> None:
    """The cookie is HttpOnly and SameSite=Strict, and holds no key."""
    answer = visit.sign_in("operator", "/systems/flights")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/systems/flights"
    cookie = next(text for text in answer.headers.get_list("set-cookie") if text.startswith(COOKIE))
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert visit.keys["operator"] not in cookie
    assert visit.http.get("/systems/flights").status_code == 200


@pytest.mark.parametrize("key", ["", "rw_x_y", "nonsense", "rw_é_é", "caller"])
def test_a_wrong_key_is_told_so_and_signs_nobody_in(visit: Visitor, key: str) -> None:
    """The form comes back with a sentence."""
    answer = visit.sign_in(key)
    assert answer.status_code == 403
    assert "That key is" in answer.text
    assert visit.http.get("/systems", follow_redirects=False).status_code == 303


def test_failed_sign_ins_are_slowed_down(visit: Visitor) -> None:
    """After five failures even the right key waits; the answer says how long."""
    for _ in range(5):
        assert visit.sign_in("wrong").status_code == 403
    held = visit.sign_in("operator")
    assert held.status_code == 429
    assert held.headers["retry-after"] == "10"
    visit.times.seconds += 10
    assert visit.sign_in("operator").status_code == 303


@pytest.mark.parametrize(
    "to", ["https://evil.example", "//evil.example", "/\\evil.example", "/a//b", "javascript:alert(1)", "/sign-out"]
)
def test_signing_in_never_leads_elsewhere(visit: Visitor, to: str) -> None:
    """The address to go on to is a path of ours or the list of systems."""
    assert visit.sign_in("operator", to).headers["location"] == "/systems"


def test_the_sign_in_form_needs_its_own_token(visit: Visitor) -> None:
    """Nobody can be signed in by a form on another site."""
    answer = visit.http.post("/sign-in", data={"csrf": "0" * 64, "key": visit.keys["operator"], "next": "/"})
    assert answer.status_code == 403
    assert COOKIE not in visit.http.cookies


def test_a_revoked_key_ends_its_sessions_at_once(visit: Visitor, plane: Plane) -> None:
    """A session is as good as its key is now."""
    visit.sign_in("operator")
    assert visit.http.get("/systems.json").status_code == 200
    revoke_key(plane, visit.keys["operator"].split("_")[1], Actor(principal="ana"))
    assert visit.http.get("/systems.json").status_code == 401
    assert visit.http.get("/systems.json", headers=visit.bearer("operator")).status_code == 401


def test_who_left_is_signed_out(visit: Visitor, plane: Plane) -> None:
    """A holder who is no longer active has no session."""
    visit.sign_in("reader")
    put_principal(plane, "ben", Actor(principal="ana"), active=False)
    assert visit.http.get("/systems.json").status_code == 401


def test_an_idle_session_ends_and_a_used_one_is_renewed(visit: Visitor) -> None:
    """Using pages keeps a session; a page that refreshes itself does not."""
    visit.sign_in("reader")
    visit.times.wall += IDLE - 1
    assert "set-cookie" not in visit.http.get("/systems", headers={"x-fragment": "1"}).headers
    assert "set-cookie" in visit.http.get("/systems").headers
    visit.times.wall += IDLE - 1
    assert visit.http.get("/systems.json").status_code == 200
    visit.times.wall += 2 * IDLE
    assert visit.http.get("/systems.json").status_code == 401


def test_signing_out_ends_every_copy_of_the_cookie(visit: Visitor) -> None:
    """A stolen cookie is worth nothing after its owner signed out."""
    visit.sign_in("reader")
    stolen = visit.http.cookies[COOKIE]
    assert visit.post("/sign-out", "/systems").status_code == 303
    visit.http.cookies.set(COOKIE, stolen)
    assert visit.http.get("/systems.json").status_code == 401


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_a_form_without_its_token_changes_nothing(visit: Visitor, plane: Plane, token: str) -> None:
    """A form from another site cannot know the token."""
    visit.sign_in("operator")
    before = plane.ledger.head().seq
    answer = visit.http.post("/incidents/flights-2/ack", data={"csrf": token})
    assert answer.status_code == 403
    assert plane.ledger.head().seq == before


def test_a_cookie_calls_no_verb_and_a_key_sends_no_form(visit: Visitor) -> None:
    """What a browser sends by itself never suffices for `/v1`; forms are for people who signed in."""
    visit.sign_in("operator")
    assert visit.http.post("/v1/systems/flights/pause", json={"reason": "x"}).status_code == 401
    visit.http.cookies.clear()
    answer = visit.http.post("/incidents/flights-2/ack", data={"csrf": "x"}, headers=visit.bearer("operator"))
    assert answer.status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", ""])
def test_another_host_name_is_refused_before_anything_is_read(visit: Visitor, host: str) -> None:
    """A page on another site that points its own name here gets nothing (DNS rebinding)."""
    answer = visit.http.get("/systems.json", headers={"host": host, **visit.bearer("operator")})
    assert answer.status_code == 421
    assert "flights" not in answer.text


@pytest.mark.parametrize("path", ["/systems", "/sign-in", "/nothing", "/v1/clock", "/healthz"])
def test_every_answer_carries_the_headers_that_protect_it(visit: Visitor, path: str) -> None:
    """Policy, no sniffing, no storing, no framing; also on errors and redirects."""
    headers = visit.http.get(path, follow_redirects=False).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_static_files_are_kept_by_browsers(visit: Visitor) -> None:
    """A page names its style by digest, and the answer may be kept for a year."""
    page = visit.http.get("/sign-in").text
    url = page.split('rel="stylesheet" href="')[1].split('"')[0]
    answer = visit.http.get(url)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert visit.http.get(url.replace(url.split("/")[2], "0" * 12)).status_code == 404


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 30_000, "application/json", 400),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b" " * 70_000, "application/json", 413),
        (b'{"reason": 3}', "application/json", 422),
        (b"{}", "application/json", 422),
    ],
)
def test_a_body_that_cannot_be_read_is_one_clear_sentence(
    visit: Visitor, body: bytes, content_type: str, status: int
) -> None:
    """Too long, too deep, no JSON, the wrong type: a status and a sentence, never a traceback."""
    headers = {"content-type": content_type, **visit.bearer("operator")}
    answer = visit.http.post("/v1/systems/flights/pause", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "path", ["/systems/flihgts", "/incidents/flights-9", "/records/zzz", "/nowhere", "/records/" + "0" * 32]
)
def test_what_is_not_there_is_a_page_with_a_sentence(visit: Visitor, path: str) -> None:
    """A wrong address names what there is, as a page or as JSON."""
    visit.sign_in("operator")
    page = visit.http.get(path)
    assert page.status_code == 404
    assert "<h1>Not found</h1>" in page.text
    twin = visit.http.get(path + ".json")
    assert twin.status_code == 404
    assert json.loads(twin.content)["error"]["message"]


def test_our_own_mistake_is_a_page_without_a_traceback(visit: Visitor, plane: Plane, monkeypatch: Any) -> None:
    """What broke stands in the log, under a mark that the page names."""
    visit.sign_in("operator")

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr("roadworthy.console.pages.systems_view", broken)
    answer = visit.http.get("/systems")
    assert answer.status_code == 500
    assert "mistake of ours" in answer.text
    assert "a secret detail" not in answer.text
    assert "ZeroDivisionError" not in answer.text


def test_classified_values_are_on_no_page(visit: Visitor, seeded: Seeded) -> None:
    """A record's page names the field and its class, never its value, also where the record holds one."""
    visit.sign_in("operator")
    for path in (f"/records/{seeded.records[0]}", f"/records/{seeded.records[0]}.json", "/systems/flights.json"):
        text = visit.http.get(path).text
        assert SECRET not in text
    assert "classified: pii" in visit.http.get(f"/records/{seeded.records[0]}").text


def test_texts_of_others_are_escaped(visit: Visitor, plane: Plane) -> None:
    """A reason in the ledger that looks like markup is shown as it was typed."""
    visit.sign_in("operator")
    visit.post("/systems/flights/pause", "/systems/flights", reason="<img src=x onerror=alert(1)>")
    page = visit.http.get("/systems/flights").text
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert present.standing(plane, "flights")["paused_by"] == "ana"


def test_head_follows_get(visit: Visitor) -> None:
    """A HEAD is admitted by the rule of its GET."""
    assert visit.http.head("/systems.json").status_code == 401
    assert visit.http.head("/systems.json", headers=visit.bearer("reader")).status_code == 200


def test_the_actor_of_a_form_has_proven_who_they_are(visit: Visitor, plane: Plane) -> None:
    """What somebody who signed in decides is authenticated in the ledger."""
    visit.sign_in("operator")
    visit.post("/incidents/flights-2/ack", "/incidents/flights-2")
    newest = [event for event in plane.ledger.events() if event.noun == Noun.INCIDENT][-1]
    assert (newest.kind, newest.actor, newest.assurance) == ("incident.acknowledged", "ana", "authenticated")
