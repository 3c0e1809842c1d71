"""The simple endpoint: a real server, real models, real HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from roadworthy.domain.principal import Scope
from roadworthy.domain.record import Flag
from roadworthy.domain.route import Arm, ArmRole, Route, Shadow
from roadworthy.domain.system import NonGoal, OnViolation
from roadworthy.stores.records import open_records
from serving_kit import ROW, Plane, make_key, open_plane, release, served, solo, sql_candidate, until

LIMIT = 20_000
"""The body limit of the shared server, in bytes."""


def records_of(plane: Plane):
    """Return everything the log holds."""
    return open_records(plane.home.records, plane.home.counters).tail().records


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Plane]:
    """One server with one release, for the tests that only look."""
    plane = open_plane(tmp_path_factory.mktemp("shared"))
    candidate = sql_candidate(plane.artifacts, "case when hour > 12 then 0.9 else 0.1 end")
    system = served(
        solo(candidate.id), release(candidate, "flights@v1"), max_body_bytes=LIMIT,
        non_goals=(NonGoal(id="n1", text="no decisions about crew", purpose="staffing"),),
    )  # fmt: skip
    plane.publish(system)
    plane.start()
    plane.wait_applied()
    yield plane
    plane.stop()


def test_an_answer_names_its_record_and_its_release(shared):
    """A caller can ask later why this answer was given, and by what."""
    reply = shared.predict({**ROW, "hour": 13})
    assert reply.status == 200
    assert reply.json["outputs"] == {"probability": 0.9, "label": "late"}
    assert reply.json["release"] == "flights@v1"
    assert reply.json["fallback"] is None
    assert reply.headers["x-roadworthy-record"] == reply.json["record"]
    assert reply.headers["x-roadworthy-release"] == "flights@v1"


def test_a_list_of_rows_gets_one_answer_and_one_record_each(shared):
    """Rows of one request are explained one by one."""
    reply = shared.predict([{**ROW, "hour": hour} for hour in (9, 13, 23)])
    assert [answer["label"] for answer in reply.json["outputs"]] == ["on_time", "late", "late"]
    assert len(set(reply.json["record"])) == 3
    assert reply.json["release"] == "flights@v1"


def test_a_record_holds_what_was_asked_and_answered(shared):
    """The record is the answer's memory: inputs, outputs, event time, feature age, key and trace."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    row = {**ROW, "when": "2013-02-01T06:00:00Z", "tail": "N77"}
    reply = shared.predict(row, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    (record,) = [one for one in records_of(shared) if one.id == reply.json["record"]]
    assert record.inputs[:4] == (500.0, 9, "JFK", 12.5)
    assert record.outputs == (0.1, "on_time")
    assert record.event_time == 1_359_698_400_000_000
    assert record.ages_ms == (30 * 60_000,)
    assert record.entity == "N77"
    assert len(record.subject) == 32
    assert record.key == shared.keys[0].id
    assert record.trace == trace
    assert record.route_version == 1


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"hour": 24}, "hour", "maximum"),
        ({"distance": -1}, "distance", "minimum"),
        ({"origin": "ZZZ"}, "origin", "category"),
        ({"hour": "nine"}, "hour", "type"),
        ({"hour": 9.5}, "hour", "type"),
        ({"hour": None}, "hour", "null"),
        ({"distance": True}, "distance", "type"),
        ({"when": "yesterday"}, "when", "type"),
        ({"when": 12}, "when", "type"),
        ({"distnace": 1}, "distnace", "unknown"),
        ({"origin": ["JFK"]}, "origin", "type"),
        ({"hour": 10**30}, "hour", "range"),
    ],
)
def test_each_broken_rule_is_named_with_field_value_and_rule(shared, change, field, rule):
    """A caller who breaks the interface learns which field broke which rule."""
    reply = shared.predict({**ROW, **change})
    assert reply.status == 422
    error = reply.json["error"]
    assert (error["field"], error["rule"], error["code"]) == (field, rule, "RW200")
    assert error["message"]
    assert error["hint"]


def test_every_violation_of_a_request_is_told_at_once(shared):
    """A caller mends a request once, not once per field."""
    error = shared.predict([{**ROW, "hour": 30, "origin": "X"}, {"distance": 1}]).json["error"]
    told = {(one["row"], one["field"], one["rule"]) for one in error["violations"]}
    assert told == {
        (0, "hour", "maximum"), (0, "origin", "category"), (1, "hour", "missing"), (1, "origin", "missing"),
        (1, "wind", "missing"), (1, "tail", "missing"),
    }  # fmt: skip


def test_a_misspelt_field_is_told_what_was_meant(shared):
    """An unknown field comes with the nearest known one."""
    message = shared.predict({**ROW, "distnace": 1}).json["error"]["message"]
    assert "did you mean 'distance'?" in message


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "empty"),
        (b"{", 400, "not JSON"),
        (b"[1]", 422, "object with 'inputs'"),
        (b'{"input": {}}', 422, "'inputs' is missing"),
        (b'{"inputs": []}', 422, "no rows"),
        (b'{"inputs": 5}', 422, "must be an object or a list"),
        (b'{"inputs": {"a": "\xff"}}', 400, "not UTF-8"),
        (b'{"inputs": {"a": "\\ud800"}}', 400, "surrogate"),
        (b"[" * 15_000, 400, "nested too deeply"),
        (b'{"inputs":' + b'{"a":' * 3_000 + b"1" + b"}" * 3_001, 400, "nested too deeply"),
        (b"9" * 10_000, 400, "too many digits"),
        (b"x" * (LIMIT + 1), 413, "larger than"),
    ],
)
def test_a_body_that_cannot_be_read_gets_the_right_status_and_a_sentence(shared, body, status, words):
    """Broken bodies are the caller's to mend: a 4xx that says how, never a traceback."""
    reply = shared.ask("POST", "/v1/systems/flights/predict", body)
    assert reply.status == status
    assert words in reply.json["error"]["message"]
    assert b"Traceback" not in reply.body


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused_by_name(shared, literal):
    """NaN is no JSON and no distance."""
    body = json.dumps({"inputs": {**ROW, "distance": 0}}).replace('"distance": 0', f'"distance": {literal}')
    reply = shared.ask("POST", "/v1/systems/flights/predict", body.encode())
    assert reply.status == 422
    assert (reply.json["error"]["field"], reply.json["error"]["rule"]) == ("distance", "finite")


def test_a_field_given_twice_is_refused(shared):
    """Two values for one field have no meaning that both sides share."""
    body = json.dumps({"inputs": ROW})[:-2] + ', "hour": 23}}'
    reply = shared.ask("POST", "/v1/systems/flights/predict", body.encode())
    assert reply.status == 422
    assert reply.json["error"]["rule"] == "duplicate"


def test_a_duplicate_is_seen_behind_colons_in_texts_and_absent_fields(shared):
    """What counts duplicates on the fast path is not fooled by times, colons in texts or fields left out."""
    fine = {**ROW, "when": "2013-02-01T06:00:00Z", "tail": "a:b:c"}
    assert shared.predict(fine).status == 200
    del fine["weather_age"]
    assert shared.predict(fine).status == 200
    twice = json.dumps({"inputs": fine})[:-2] + ', "hour": 23}}'
    assert shared.ask("POST", "/v1/systems/flights/predict", twice.encode()).status == 422


def test_fifty_megabytes_are_refused_by_their_announced_length(shared):
    """A body that is too large is refused before it is read, and the server stays well."""
    with socket.create_connection(("127.0.0.1", shared.port), timeout=20) as line:
        head = (
            "POST /v1/systems/flights/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {shared.key}\r\ncontent-length: 52428800\r\n\r\n"
        )
        line.sendall(head.encode() + b"x" * 1000)
        assert line.recv(4096).startswith(b"HTTP/1.1 413")
    assert shared.predict(ROW).status == 200


def test_a_stream_without_a_length_is_cut_at_the_limit(shared):
    """Chunked bodies are counted while they come in."""
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=20)
    chunks = (b"x" * 1000 for _ in range(LIMIT // 1000 + 5))
    headers = {"authorization": f"Bearer {shared.key}", "content-type": "application/json"}
    connection.request("POST", "/v1/systems/flights/predict", chunks, headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/systems/flights/predict", 405),
        ("PUT", "/healthz", 405),
        ("POST", "/v1/systems/nothing/predict", 404),
        ("GET", "/v1/systems", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/v2/models/nothing", 404),
        ("GET", "/v2/models/flights/versions/7/ready", 404),
    ],
)
def test_unknown_paths_and_methods_say_so(shared, method, path, status):
    """Nothing is served by accident."""
    reply = shared.ask(method, path, {} if method in ("POST", "PUT") else None)
    assert reply.status == status
    assert reply.json["error"]


def test_a_near_miss_of_a_system_is_named(shared):
    """A typo in a system's name costs one look."""
    message = shared.ask("POST", "/v1/systems/flight/predict", {}).json["error"]["message"]
    assert "did you mean 'flights'?" in message


@pytest.mark.parametrize("key", ["", "rw_x_y", "nonsense", "rw_", "Bearer"])
def test_a_missing_or_wrong_key_is_refused(shared, key):
    """Keys are on by default."""
    reply = shared.predict(ROW, key=key)
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == "Bearer"


def test_the_other_header_carries_a_key_too(shared):
    """Clients that cannot set Authorization use x-api-key."""
    headers = {"authorization": "", "x-api-key": shared.key}
    assert shared.predict(ROW, headers=headers).status == 200


def test_only_json_is_taken(shared):
    """Content types are allow-listed."""
    assert shared.predict(ROW, headers={"content-type": "text/xml"}).status == 415
    assert shared.predict(ROW, headers={"content-encoding": "gzip"}).status == 415
    assert shared.predict(ROW, headers={"content-type": "application/json; charset=utf-8"}).status == 200


def test_a_forbidden_purpose_is_refused_and_recorded(shared):
    """A declared non-goal is not served, and the attempt is on record."""
    reply = shared.predict(ROW, headers={"x-roadworthy-purpose": "staffing"})
    assert reply.status == 403
    assert "no decisions about crew" in reply.json["error"]["message"]
    (record,) = [one for one in records_of(shared) if one.id == reply.headers["x-roadworthy-record"]]
    assert record.flags & Flag.FORBIDDEN_USE
    assert shared.predict(ROW, headers={"x-roadworthy-purpose": "rebooking"}).status == 200


def test_an_unknown_environment_is_not_the_live_one(shared):
    """A caller that names an environment gets that one or nothing."""
    assert shared.predict(ROW, headers={"x-roadworthy-environment": "staging"}).status == 404


def test_many_requests_on_one_connection_are_answered_in_order(shared):
    """Keep-alive works through success and refusal alike."""
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=20)
    headers = {"authorization": f"Bearer {shared.key}", "content-type": "application/json"}
    for hour, status in ((9, 200), (99, 422), (13, 200)):
        connection.request(
            "POST", "/v1/systems/flights/predict", json.dumps({"inputs": {**ROW, "hour": hour}}), headers
        )
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()


def test_before_the_first_snapshot_the_server_lives_and_says_why_it_is_not_ready(plane):
    """An empty home is no crash: health is live, readiness and predictions are 503 with the reason."""
    plane.start()
    until(lambda: plane.ask("GET", "/healthz").status == 200, "health answers")
    assert plane.ask("GET", "/healthz").json["ready"] is False
    assert plane.ask("GET", "/v2/health/live").status == 200
    assert plane.ask("GET", "/v2/health/ready").status == 503
    reply = plane.predict(ROW)
    assert reply.status == 503
    assert "no snapshot" in reply.json["error"]["message"]


def test_keys_carry_scopes_systems_and_an_end(plane):
    """A key opens what it was made for, no longer than it was made for."""
    candidate = sql_candidate(plane.artifacts, "0.5")
    reader, reads = make_key(Scope.READ)
    elsewhere, other = make_key(Scope.PREDICT, systems=("loans",))
    expired, old = make_key(Scope.PREDICT, expires_at=1)
    revoked, gone = make_key(Scope.PREDICT, revoked=True)
    admin, everything = make_key(Scope.ADMIN)
    plane.publish(
        served(solo(candidate.id), release(candidate, "flights@v1")), keys=(reader, elsewhere, expired, revoked, admin)
    )
    plane.start()
    plane.wait_applied()
    texts = {"reader": reads, "elsewhere": other, "expired": old, "revoked": gone, "admin": everything}
    statuses = {name: plane.predict(ROW, key=text).status for name, text in texts.items()}
    assert statuses == {"reader": 403, "elsewhere": 403, "expired": 401, "revoked": 401, "admin": 200}
    assert plane.ask("GET", "/metrics", key=reads).status == 200
    assert plane.ask("GET", "/metrics", key=other).status == 403


def test_a_canary_takes_its_share_and_keeps_its_entities(plane):
    """The same entity meets the same release, and a growing share only adds entities."""
    champion, challenger = sql_candidate(plane.artifacts, "0.1"), sql_candidate(plane.artifacts, "0.9")
    named = (release(champion, "flights@v1"), release(challenger, "flights@v2"))

    def split(share: float, version: int) -> Route:
        arms = (
            Arm(role=ArmRole.CHAMPION, release=champion.id, share=1 - share),
            Arm(role=ArmRole.CHALLENGER, release=challenger.id, share=share),
        )
        return Route(system="flights", arms=arms, version=version)

    plane.publish(served(split(0.3, 1), *named))
    plane.start()
    plane.wait_applied()
    rows = [{**ROW, "tail": f"N{at}"} for at in range(400)]
    first = plane.predict(rows).json["release"]
    again = [plane.predict(row).json["release"] for row in rows[:20]]
    assert again == first[:20]
    assert 80 < Counter(first)["flights@v2"] < 160
    plane.publish(served(split(0.6, 2), *named))
    plane.wait_applied()
    wider = plane.predict(rows).json["release"]
    assert {at for at, name in enumerate(first) if name == "flights@v2"} <= {
        at for at, name in enumerate(wider) if name == "flights@v2"
    }


def test_a_shadow_sees_requests_and_is_recorded_but_never_answers(plane):
    """A release can be watched on real requests without a caller noticing."""
    champion, shadow = sql_candidate(plane.artifacts, "0.1"), sql_candidate(plane.artifacts, "0.8")
    route = solo(champion.id, shadow=Shadow(release=shadow.id, rate=1.0))
    plane.publish(served(route, release(champion, "flights@v1"), release(shadow, "flights@v2")))
    plane.start()
    plane.wait_applied()
    ids = [plane.predict(ROW).json["record"] for _ in range(10)]

    def shadows():
        return [record for record in records_of(plane) if record.flags & Flag.SHADOW]

    until(lambda: len(shadows()) == 10, "ten shadow records")
    assert {record.shadow_of for record in shadows()} == set(ids)
    assert {record.outputs for record in shadows()} == {(0.8, "late")}
    assert {record.arm for record in shadows()} == {"shadow"}


@pytest.mark.parametrize(("policy", "recorded"), [(OnViolation.DEFAULT, None), (OnViolation.FLAG, 30)])
def test_softer_policies_answer_and_record_the_violation(plane, policy, recorded):
    """A system may choose to answer a request that breaks its interface; the record says that it did."""
    candidate = sql_candidate(plane.artifacts, "0.5")
    plane.publish(served(solo(candidate.id), release(candidate, "flights@v1"), on_violation=policy))
    plane.start()
    plane.wait_applied()
    reply = plane.predict({**ROW, "wind": "strong", "hour": 9})
    assert reply.status == 200
    (record,) = records_of(plane)
    assert record.flags & Flag.VIOLATED
    assert record.violations == (("wind", "type"),)
    assert record.inputs[3] is None
    if policy is OnViolation.FLAG:
        flagged = plane.predict({**ROW, "hour": recorded})
        assert flagged.status == 200
    else:
        assert plane.predict({**ROW, "hour": 30}).status == 422


def test_a_stopped_system_says_why(plane):
    """Stopped on purpose is told apart from broken."""
    candidate = sql_candidate(plane.artifacts, "0.5")
    route = solo(candidate.id, stopped=True, stopped_for="the airport is closed")
    plane.publish(served(route, release(candidate, "flights@v1")))
    plane.start()
    plane.wait_applied()
    reply = plane.predict(ROW)
    assert reply.status == 503
    assert "the airport is closed" in reply.json["error"]["message"]


def test_more_than_the_limit_in_flight_is_shed_with_429(plane):
    """A system that is full says so at once instead of queueing without end."""
    candidate = sql_candidate(plane.artifacts, "0.5")
    plane.publish(served(solo(candidate.id), release(candidate, "flights@v1"), max_in_flight=2))
    plane.start()
    plane.wait_applied()
    head = (
        "POST /v1/systems/flights/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {plane.key}\r\ncontent-length: 100\r\n\r\n"
    ).encode()
    held = [socket.create_connection(("127.0.0.1", plane.port), timeout=20) for _ in range(2)]
    for line in held:
        line.sendall(head)
    until(lambda: plane.predict(ROW).status == 429, "the third is shed")
    reply = plane.predict(ROW)
    assert reply.headers["retry-after"] == "1"
    for line in held:
        line.close()
    until(lambda: plane.predict(ROW).status == 200, "places are free again")
    shed = [record for record in records_of(plane) if record.flags & Flag.SHED]
    assert shed
    assert {record.status for record in shed} == {429}


def test_a_classified_field_leaves_no_value_behind(plane):
    """Values of classified fields appear in no record and no error, and an entity only as a keyed digest."""
    from dataclasses import replace

    plain = sql_candidate(plane.artifacts, "0.5")
    fields = tuple(
        replace(one, classes=("pii",)) if one.name in ("tail", "hour") else one for one in plain.interface.inputs
    )
    candidate = replace(plain, interface=replace(plain.interface, inputs=fields))
    plane.publish(served(solo(candidate.id), release(candidate, "flights@v1")))
    plane.start()
    plane.wait_applied()
    assert plane.predict({**ROW, "tail": "SECRET-1"}).status == 200
    refused = plane.predict({**ROW, "hour": 7777})
    assert b"7777" not in refused.body
    posted = plane.ask(
        "POST", "/v1/systems/flights/outcomes",
        {"entity": "SECRET-1", "event_time": "2013-01-01T00:00:00Z", "value": "late"},
    )  # fmt: skip
    assert posted.status == 202
    plane.stop()
    kept = b"".join(path.read_bytes() for path in (plane.home.records / "segments").glob("*.seg"))
    assert b"SECRET-1" not in kept
    assert b"late" in kept
    assert "SECRET-1" not in plane.log()


def test_without_payload_a_record_keeps_no_inputs(plane):
    """A system may keep no payload at all; the envelope stays."""
    candidate = sql_candidate(plane.artifacts, "0.5")
    plane.publish(served(solo(candidate.id), release(candidate, "flights@v1"), keep_payload=False))
    plane.start()
    plane.wait_applied()
    plane.predict(ROW)
    (record,) = records_of(plane)
    assert record.inputs == ()
    assert record.outputs == (0.5, "late")


def test_the_books_balance_and_the_metrics_equal_what_was_sent(plane):
    """Prometheus' own parser reads the metrics, and they count what the clients saw."""
    from prometheus_client.parser import text_string_to_metric_families

    candidate = sql_candidate(plane.artifacts, "0.5")
    plane.publish(served(solo(candidate.id), release(candidate, "flights@v1")))
    plane.start(workers=2)
    plane.wait_applied(workers=2)
    for _ in range(30):
        plane.predict(ROW)
    for _ in range(5):
        plane.predict({**ROW, "hour": 77})
    plane.predict([ROW] * 4)
    plane.predict(ROW, key="rw_no_no")
    text = plane.ask("GET", "/metrics").body.decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    requests = {
        (one.labels["release"], one.labels["status"]): one.value
        for one in families["roadworthy_requests"].samples
    }  # fmt: skip
    assert requests == {("flights@v1", "200"): 31, ("none", "422"): 5}
    durations = families["roadworthy_request_duration_seconds"].samples
    assert [one.value for one in durations if one.name.endswith("_count")] == [36]
    books = ("answers", "records", "unrecorded", "unauthenticated")
    assert [families[f"roadworthy_{name}"].samples[0].value for name in books] == [39, 39, 0, 1]
    assert families["roadworthy_violations"].samples[0].value == 5
    assert len(records_of(plane)) == 39


def test_outcomes_are_in_the_log_before_the_caller_hears_so(plane):
    """202 means kept: by record, by entity and time, one or many, the same content under the same key."""
    candidate = sql_candidate(plane.artifacts, "0.5")
    plane.publish(served(solo(candidate.id), release(candidate, "flights@v1")))
    plane.start()
    plane.wait_applied()
    record = plane.predict(ROW).json["record"]
    path = "/v1/systems/flights/outcomes"
    assert plane.ask("POST", path, {"record": record, "value": "late"}).json == {"accepted": 1}
    many = [
        {"record": record, "value": "late"},
        {"entity": "N1", "event_time": "2013-01-01T00:00:00Z", "value": 12.5, "scorer": "delay"},
        {"record": record, "value": True, "key": "mine", "known_at": "2013-03-01T00:00:00Z"},
    ]
    reply = plane.ask("POST", path, many)
    assert (reply.status, reply.json) == (202, {"accepted": 3})
    first, same, by_entity, keyed = open_records(plane.home.records, plane.home.counters).tail().outcomes
    assert first.key == same.key
    assert (by_entity.entity, by_entity.scorer, by_entity.value) == ("N1", "delay", 12.5)
    assert (keyed.key, keyed.known_at) == ("mine", 1_362_096_000_000_000)


@pytest.mark.parametrize(
    ("outcome", "field", "rule"),
    [
        ({"value": 1}, "record", "missing"),
        ({"record": "nope", "value": 1}, "record", "format"),
        ({"record": "0" * 32}, "value", "missing"),
        ({"record": "0" * 32, "value": None}, "value", "null"),
        ({"record": "0" * 32, "value": {}}, "value", "type"),
        ({"record": "0" * 32, "value": 1, "known_at": "soon"}, "known_at", "type"),
        ({"record": "0" * 32, "value": 1, "vlaue": 1}, "vlaue", "unknown"),
        ([], "outcomes", "empty"),
        ([3], "outcomes", "type"),
    ],
)
def test_an_outcome_that_makes_no_sense_is_refused_by_name(shared, outcome, field, rule):
    """A list with one bad outcome is refused whole, so that the caller can send it again whole."""
    reply = shared.ask("POST", "/v1/systems/flights/outcomes", outcome)
    assert reply.status == 422
    assert (reply.json["error"]["field"], reply.json["error"]["rule"]) == (field, rule)


def test_a_port_in_use_is_one_clear_error(shared, plane):
    """The data plane says which address it cannot have, and ends."""
    plane.extra_environment = {"ROADWORTHY_PORT": str(shared.port)}
    with pytest.raises(AssertionError, match=r"cannot listen on 127\.0\.0\.1"):
        plane.start()
    assert "Traceback" not in plane.log()
    assert plane.process is not None
    assert plane.process.returncode == 1


def test_requests_that_came_together_share_a_call(shared):
    """Micro-batching answers a burst of connections without a timer, each with its own record."""
    lines = [socket.create_connection(("127.0.0.1", shared.port), timeout=20) for _ in range(32)]
    body = json.dumps({"inputs": ROW}).encode()
    head = (
        "POST /v1/systems/flights/predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        "content-type: application/json\r\n"
        f"authorization: Bearer {shared.key}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    for line in lines:
        line.sendall(head + body)
    answers = []
    for line in lines:
        content = b""
        until_closed = time.monotonic() + 20
        while chunk := line.recv(65536):
            content += chunk
            assert time.monotonic() < until_closed
        answers.append(content)
        line.close()
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    ids = {json.loads(answer.split(b"\r\n\r\n", 1)[1])["record"] for answer in answers}
    assert len(ids) == 32
