"""Pages and their JSON twins say what the ledger and observation know; forms and verbs do what they say."""

from __future__ import annotations

from typing import Any

import pytest

from roadworthy.domain.incident import IncidentState
from roadworthy.domain.ledger import Noun
from roadworthy.lifecycle import present
from roadworthy.lifecycle.incidents import incident
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import to_doc

Visitor = Any
Seeded = Any


@pytest.fixture
def ana(visit: Visitor) -> Visitor:
    """Sign in as who may operate."""
    assert visit.sign_in("operator").status_code == 303
    return visit


def test_the_list_puts_trouble_first(ana: Visitor) -> None:
    """One sees at once that one of three systems needs somebody, and which light says so."""
    page = ana.http.get("/systems").text
    assert "<title>Systems: 1 of 3 need somebody · Roadworthy</title>" in page
    rows = ana.http.get("/systems.json").json()["systems"]
    assert [row["name"] for row in rows] == ["flights", "claims", "loans"]
    assert [[light["state"] for light in row["lights"]] for row in rows] == [
        ["broken", "ok"],
        ["no data", "no data"],
        ["ok", "ok"],
    ]
    assert (rows[0]["owner"], rows[0]["release"], rows[0]["incidents"]) == ("ana", "flights@v2", 2)
    assert "waits for 412 of 2,000 records; outcomes for 38 of 400" in rows[0]["rollout"]
    assert rows[2]["answers_per_minute"] > 200


def test_a_system_names_state_cause_and_next_step(ana: Visitor) -> None:
    """Who sees the page for the first time can say what is wrong, why, and what to do."""
    page = ana.http.get("/systems/flights").text
    assert "<title>flights: operations broken, decision ok" in page
    found = ana.http.get("/systems/flights.json").json()
    why = found["lights"][0]["why"]
    assert "violations of flights@v2 is in breach for 17 min" in why
    assert "origin: category" in why
    assert "Incident flights-2 is open and nobody has it in hand" in found["next"]["text"]
    assert found["next"]["url"] == "/incidents/flights-2"
    assert found["is_replay"]
    assert "Replay clock." in page


def test_a_system_shows_its_signals_with_limit_interval_and_gaps(ana: Visitor) -> None:
    """Each signal has its past, its limit, n and interval; without data it says why."""
    found = ana.http.get("/systems/flights.json").json()["signals"]
    broken = next(one for one in found["first"] if one["name"] == "violations")
    assert broken["state"] == "broken"
    assert broken["n"] == 1260
    assert broken["limits"][0]["value"] == 0.1
    assert len(broken["points"]) > 50
    blind = next(one for one in found["others"] if one["name"] == "auc")
    assert (blind["value"], blind["state"]) == (None, "no data")
    page = ana.http.get("/systems/flights").text
    assert "no data: 212 outcomes, 300 needed for an interval" in page
    assert page.count('class="chart"') == len(found["first"]) + len(found["trial"]) + len(found["others"]) - 1
    assert {one["release"] for one in found["trial"]} == {"flights@v4"}


def test_a_system_shows_route_rollout_releases_drill_and_decisions(ana: Visitor) -> None:
    """Who answers with which share, what the rollout waits for, what was refused, when it was drilled."""
    found = ana.http.get("/systems/flights.json").json()
    assert [(part["release"], part["share"]) for part in found["route"]["arms"]] == [
        ("flights@v2", 0.75),
        ("flights@v4", 0.25),
    ]
    assert [stage["place"] for stage in found["rollout"]["stages"]] == ["past", "now", "ahead"]
    states = {row["name"]: row["state"] for row in found["releases"]}
    assert states["flights@v3"] == "withdrawn for harm"
    assert "refused" in states.values()
    assert not found["drill"]["stale"]
    assert [entry["seq"] for entry in found["entries"]] == sorted(
        (one["seq"] for one in found["entries"]), reverse=True
    )
    assert "/v1/systems/flights/predict" in found["example"]
    assert '"passenger": "…"' in found["example"]


def test_a_system_that_was_never_promoted_says_what_to_do(ana: Visitor) -> None:
    """An empty page still has a next step."""
    found = ana.http.get("/systems/claims.json").json()
    assert [light["why"] for light in found["lights"]] == ["nothing was promoted yet"] * 2
    assert "release a candidate" in found["next"]["text"]
    assert ana.http.get("/systems/claims").status_code == 200


def test_a_stale_drill_is_marked(ana: Visitor) -> None:
    """A failure plan that nobody has seen work is no proof."""
    assert ana.http.get("/systems/loans.json").json()["drill"]["stale"]
    page = ana.http.get("/systems/loans").text
    assert "stale" in page
    assert "Drill the failure plan" in page


def test_the_refresh_gets_the_live_part_only(ana: Visitor) -> None:
    """A fragment is the page's own part, so both always say the same."""
    whole = ana.http.get("/systems/flights").text
    part = ana.http.get("/systems/flights", headers={"x-fragment": "1"}).text
    assert "<html" not in part
    assert part.strip() in whole


def test_a_release_shows_its_whole_proof(ana: Visitor) -> None:
    """Gates with figures beside the baseline's, recipe, data, environment, approvals, expiry."""
    page = ana.http.get("/systems/flights/releases/v2").text
    for text in ("7 of 7 passed", "4f1c2d9e8b7a", "train.parquet", "onnxruntime", "<strong>ben</strong> approved"):
        assert text in page
    found = ana.http.get("/systems/flights/releases/v2.json").json()
    gate = next(one for one in found["gates"] if one["gate"] == "baseline")
    assert gate["sides"] == ["candidate", "baseline"]
    assert ["0.758", "0.641"] in [row["cells"] for row in gate["compared"]]
    assert gate["expires_at"] > found["now"]
    metric = next(one for one in found["run"]["metrics"] if one["name"] == "auc")
    assert (metric["model"], metric["baseline"]) == (0.758, 0.641)


def test_a_refused_candidate_has_a_page_with_every_reason(ana: Visitor) -> None:
    """All failures at once, those that stand in the way first; inconclusive is no pass."""
    rows = ana.http.get("/systems/flights.json").json()["releases"]
    url = next(row["url"] for row in rows if row["state"] == "refused")
    found = ana.http.get(url + ".json").json()
    assert found["sentence"].startswith("refused by 3 of 7 gates (baseline, latency, skew)")
    assert [gate["state"] for gate in found["gates"][:3]] == ["fail", "inconclusive", "fail"]
    assert "Refused by 3 of 7 gates" in ana.http.get(url).text


def test_an_expired_verdict_is_shown_as_no_proof(ana: Visitor, plane: Plane) -> None:
    """A verdict counts until it expires."""
    now = plane.clock.now()
    answer = ana.http.post("/v1/clock", json={"now": "2013-08-01T00:00:00Z"}, headers=ana.bearer("operator"))
    assert answer.json() == {"now": "2013-08-01T00:00:00Z"}
    assert plane.clock.now() > now
    assert "Expired" in ana.http.get("/systems/flights/releases/v2").text


def test_the_baseline_has_a_page_without_gates(ana: Visitor) -> None:
    """What candidates are measured against is judged by none."""
    assert "no gate judges it" in ana.http.get("/systems/flights/releases/baseline").text


def test_an_incident_tells_its_story(ana: Visitor) -> None:
    """What broke, what was done by itself, what changed before, newest first, and the chart around it."""
    found = ana.http.get("/incidents/flights-1.json").json()
    assert found["state"] == "recovered"
    assert [(one["action"], one["outcome"]) for one in found["actions"]] == [("rollback", "done"), ("page", "done")]
    assert "the campaign starts today" in found["changed_before"][0]["what"]
    times = [one["at"] for one in found["changed_before"]]
    assert times == sorted(times, reverse=True)
    assert found["signal"]["mark"] == found["incident"]["opened_at"]
    page = ana.http.get("/incidents/flights-1").text
    for text in ("flights@v2 replaces flights@v3", "https://wiki.example.org/runbooks/flights", 'class="mark"'):
        assert text in page


def test_the_list_of_incidents_shows_open_ones_first(ana: Visitor) -> None:
    """Two are open, none was closed."""
    found = ana.http.get("/incidents.json").json()
    assert [one["id"] for one in found["open"]] == ["flights-2", "flights-1"]
    assert "Incidents: 2 open" in ana.http.get("/incidents").text


def test_a_person_takes_an_incident_in_hand_silences_and_closes_it(ana: Visitor, plane: Plane) -> None:
    """Each form is one verb; closing asks for the new test."""
    page = "/incidents/flights-2"
    assert ana.post(page + "/ack", page).headers["location"] == page
    assert incident(plane, "flights-2").acknowledged_by == "ana"
    assert "ana has it in hand" in ana.http.get(page).text
    assert ana.post(page + "/silence", page, span="4h", reason="upstream knows").status_code == 303
    assert "no pages until" in ana.http.get(page).text
    assert ana.post(page + "/silence", page, span="9y").status_code == 422
    refused = ana.post(page + "/close", page, new_test="", no_test="")
    assert refused.status_code == 422
    assert "needs the new test" in refused.text
    assert ana.post(page + "/close", page, new_test="tests/test_origin.py", no_test="").status_code == 303
    closed = incident(plane, "flights-2")
    assert (closed.state, closed.new_test) == (IncidentState.CLOSED, "tests/test_origin.py")
    assert "<form" not in ana.http.get(page).text.partition("<main")[2]
    twice = ana.http.post("/v1/incidents/flights-2/ack", json={}, headers=ana.bearer("operator"))
    assert twice.status_code == 409


def test_a_record_is_traced_back_and_on(ana: Visitor, seeded: Seeded) -> None:
    """Route, release, code, data, gates, approver, age of features, outcome."""
    wanted = seeded.records[0]
    answer = ana.http.get("/records", params={"id": wanted}, follow_redirects=False)
    assert answer.headers["location"] == f"/records/{wanted}"
    page = ana.http.get(f"/records/{wanted}").text
    for text in (
        "flights@v2 answered as champion",
        "commit 4f1c2d9e",
        "train.parquet",
        "7 of 7 passed",
        "30 min",
        "late",
    ):
        assert text in page
    found = ana.http.get(f"/records/{wanted}.json").json()
    assert found["outcomes"][0]["value"] == "late"
    assert found["explained"]["release"]["name"] == "flights@v2"
    assert "Explain a record" in ana.http.get("/records").text


def test_the_ledger_is_read_page_by_page_and_verified(ana: Visitor, plane: Plane) -> None:
    """Newest first, back to the first entry; the button says whether every entry is as it was written."""
    seen: list[int] = []
    before = 0
    while True:
        found = ana.http.get("/ledger.json", params={"before": before}).json()
        seen += [one["seq"] for one in found["entries"]]
        before = found["older"]
        if not before:
            break
    assert seen == list(range(plane.ledger.head().seq, 0, -1))
    assert "It holds." in ana.post("/ledger/verify", "/ledger").text
    assert ana.http.get("/ledger", params={"before": "x"}).status_code == 422
    only = ana.http.get("/ledger.json", params={"system": "loans"}).json()["entries"]
    assert {one["system"] for one in only} == {"loans"}


def test_an_edited_ledger_is_named(ana: Visitor, plane: Plane) -> None:
    """The button finds the first entry that was edited."""
    import sqlite3

    with sqlite3.connect(plane.home.database) as database:
        database.execute("update ledger set reason = 'another' where seq = 7")
    database.close()
    page = ana.post("/ledger/verify", "/ledger").text
    assert "It does not hold." in page
    assert "entry 7" in page
    answer = ana.http.post("/v1/ledger/verify", json={}, headers=ana.bearer("operator"))
    assert (answer.status_code, answer.json()["holds"]) == (409, False)


def test_a_person_operates_a_system_by_forms(ana: Visitor, plane: Plane) -> None:
    """Roll back, pause, resume, promote, approve: the page shows what became of it."""
    page = "/systems/flights"
    assert ana.post(page + "/rollback", page, reason="").status_code == 422
    assert ana.post(page + "/rollback", page, reason="not today").status_code == 303
    rollout = present.rollout(plane, "flights", "live")
    assert rollout is not None
    assert (rollout.state, rollout.ended_for) == ("aborted", "not today")
    ana.post(page + "/pause", page, reason="we look")
    assert "Automation is paused by ana: we look" in ana.http.get(page).text
    ana.post(page + "/resume", page, reason="done")
    assert not present.standing(plane, "flights")["paused"]
    assert ana.post(page + "/promote", page, release="v4", reason="again").status_code == 303
    assert present.running(plane, "flights", "live") is not None
    refused = ana.post(page + "/promote", page, release="v3", reason="again")
    assert refused.status_code == 409
    assert "is under way" in refused.text
    assert ana.post(page + "/pause", page, what="rollout", reason="slowly").status_code == 303
    assert "is on hold in" in ana.http.get(page).text
    assert ana.post(page + "/resume", page, what="rollout").status_code == 303
    candidate = present.find_release(present.releases(plane, "flights"), "v4", "flights").id
    assert ana.post(page + "/approve", "/systems/flights/releases/v4", candidate=candidate).status_code == 303
    assert plane.ledger.state(Noun.APPROVAL, f"{candidate}/ana") is not None


def test_a_program_operates_a_system_by_verbs(visit: Visitor, plane: Plane) -> None:
    """The same verbs as the command line's, as JSON with a key."""
    headers = visit.bearer("operator")

    def call(path: str, **body: Any) -> Any:
        return visit.http.post(f"/v1/systems/flights/{path}", json=body, headers=headers)

    assert "aborted" in call("rollback", reason="not today").json()["sentence"]
    assert call("promote", release="v1", force=True).status_code == 409
    done = call("promote", release="v1", force=True, reason="try").json()
    assert done["sentence"].startswith("flights@v1 has all traffic")
    assert call("rollback", to="v2", reason="back").json()["route"]["arms"][0]["share"] == 1.0
    assert call("stop", reason="drill").json()["route"]["stopped"]
    page = visit.http.get("/systems/flights.json", headers=headers).json()
    assert [light["state"] for light in page["lights"]] == ["stopped", "stopped"]
    assert call("start").json()["route"]["stopped"] is False
    assert call("pause", reason="look").json() == {"paused": True, "system": "flights"}
    assert call("resume").json() == {"paused": False, "system": "flights"}
    candidate = present.find_release(present.releases(plane, "flights"), "v4", "flights").id
    assert call("approve", candidate=candidate, reason="yes").json()["by"] == "ana"
    assert call("promote", release="v9").status_code == 404
    until = {"until": "2030-01-01T00:00:00Z", "reason": "known"}
    assert visit.http.post("/v1/incidents/flights-2/silence", json=until, headers=headers).json()["silenced_until"]
    closed = visit.http.post("/v1/incidents/flights-2/close", json={"no_test": "upstream"}, headers=headers).json()
    assert closed["new_test"] == "none: upstream"


def test_the_head_of_a_ledger_can_be_checked_over_http(visit: Visitor, plane: Plane) -> None:
    """An exported head proves a truncation also from afar."""
    head = plane.ledger.head()
    headers = visit.bearer("operator")
    good = visit.http.post("/v1/ledger/verify", json={"head": to_doc(head)}, headers=headers)
    assert good.json()["holds"]
    later = {**to_doc(head), "seq": head.seq + 5}
    cut = visit.http.post("/v1/ledger/verify", json={"head": later}, headers=headers)
    assert "truncated" in cut.json()["problem"]
    assert visit.http.post("/v1/ledger/verify", json={"head": 3}, headers=headers).status_code == 422


def test_only_a_replay_home_lets_its_clock_be_driven(visit: Visitor) -> None:
    """Time never goes back, and nonsense is no time."""
    headers = visit.bearer("operator")
    back = visit.http.post("/v1/clock", json={"now": "2001-01-01T00:00:00Z"}, headers=headers)
    assert back.json()["now"].startswith("2013-04-12")
    assert visit.http.post("/v1/clock", json={"now": "soon"}, headers=headers).status_code == 422


def test_what_control_could_not_do_is_told_to_who_may_know(visit: Visitor) -> None:
    """A loop that cannot work says so in the list; health says only that it lives and leads."""
    visit.times.problems = ("flights: the disk is full",)
    assert visit.http.get("/healthz").json() == {"status": "ok", "leads": True, "looks": 3}
    page = visit.http.get("/systems", headers=visit.bearer("reader")).text
    assert "Control could not do this: flights: the disk is full." in page or "Flights: the disk is full." in page
    assert "disk is full" not in visit.http.get("/systems", headers=visit.bearer("loans-only")).text
