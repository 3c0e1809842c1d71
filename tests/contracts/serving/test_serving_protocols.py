"""Other people's clients: tritonclient for V2, schemathesis for the OpenAPI document, uvicorn for the ASGI twin."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from roadworthy.stores.records import open_records
from serving_kit import ROW, Plane, open_plane, release, served, solo, sql_candidate


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Plane]:
    """One server with one release."""
    plane = open_plane(tmp_path_factory.mktemp("protocols"))
    candidate = sql_candidate(plane.artifacts, "case when hour > 12 then 0.9 else 0.1 end")
    plane.publish(served(solo(candidate.id), release(candidate, "flights@v1"), deadline_ms=10_000))
    plane.start()
    plane.wait_applied()
    yield plane
    plane.stop()


@pytest.fixture
def client(shared) -> Iterator[triton.InferenceServerClient]:
    """A Triton client."""
    made = triton.InferenceServerClient(f"127.0.0.1:{shared.port}")
    yield made
    made.close()


def tensors(rows: list[dict], *, binary: bool) -> list[triton.InferInput]:
    """Spell rows as tensors."""
    kinds = {"distance": ("FP64", np.float64), "hour": ("INT64", np.int64), "origin": ("BYTES", object),
             "wind": ("FP64", np.float64), "tail": ("BYTES", object)}  # fmt: skip
    made = []
    for name, (datatype, dtype) in kinds.items():
        values = np.array([row[name] for row in rows], dtype=dtype)
        tensor = triton.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        made.append(tensor)
    return made


def test_triton_sees_health_and_metadata(shared, client):
    """A Triton client finds out what is served without being told."""
    headers = {"authorization": f"Bearer {shared.key}"}
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("flights", headers=headers)
    assert client.get_server_metadata()["name"] == "roadworthy"
    metadata = client.get_model_metadata("flights", headers=headers)
    assert [one["name"] for one in metadata["inputs"]][:3] == ["distance", "hour", "origin"]
    assert [one["datatype"] for one in metadata["inputs"]][:3] == ["FP64", "INT64", "BYTES"]
    assert [one["name"] for one in metadata["outputs"]] == ["probability", "label"]
    assert metadata["versions"] == ["flights@v1"]


@pytest.mark.parametrize("binary", [False, True])
def test_triton_predicts_with_json_and_with_binary_tensors(shared, client, binary):
    """The same rows give the same answers through V2, and leave the same records."""
    rows = [{**ROW, "hour": hour} for hour in (9, 13)]
    outputs = [triton.InferRequestedOutput(name, binary_data=False) for name in ("probability", "label")]
    result = client.infer(
        "flights", tensors(rows, binary=binary), outputs=outputs, request_id="r7",
        headers={"authorization": f"Bearer {shared.key}"},
    )  # fmt: skip
    assert result.as_numpy("probability").tolist() == [0.1, 0.9]
    assert result.as_numpy("label").tolist() == ["on_time", "late"]
    response = result.get_response()
    assert (response["id"], response["model_version"]) == ("r7", "flights@v1")
    ids = response["parameters"]["record"].split(",")
    kept = {one.id: one for one in open_records(shared.home.records, shared.home.counters).tail().records}
    assert [kept[one].inputs[1] for one in ids] == [9, 13]


def test_triton_gets_its_errors_as_one_sentence(shared, client):
    """V2 errors are `{"error": "…"}` and still name field and rule."""
    headers = {"authorization": f"Bearer {shared.key}"}
    with pytest.raises(InferenceServerException, match="'hour' must be at most 23"):
        client.infer("flights", tensors([{**ROW, "hour": 99}], binary=False), headers=headers)
    with pytest.raises(InferenceServerException, match="'hour' is missing"):
        client.infer("flights", tensors([ROW], binary=False)[:1], headers=headers)
    with pytest.raises(InferenceServerException, match="key is needed"):
        client.infer("flights", tensors([ROW], binary=False))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "list of tensors"),
        ({"inputs": [{"name": "hour"}]}, "has no 'data'"),
        ({"inputs": [{"name": "hour", "shape": [2], "datatype": "INT64", "data": [1]}]}, "shape asks for 2"),
        ({"inputs": [{"name": "hour", "shape": "x", "datatype": "INT64", "data": [1]}]}, "needs a 'shape'"),
        ({"inputs": [{"name": "hour", "shape": [0], "datatype": "INT64", "data": []}]}, "same number of elements"),
        ({"inputs": [3]}, "each tensor needs"),
        ([1], "must be an object"),
        (
            {"inputs": [{"name": "hour", "shape": [1], "datatype": "INT64", "parameters": {"binary_data_size": 8}}]},
            "beyond the body",
        ),
    ],
)
def test_tensors_that_make_no_sense_are_refused(shared, body, words):
    """A broken tensor is a 400 with a sentence."""
    reply = shared.ask("POST", "/v2/models/flights/infer", body)
    assert reply.status == 400
    assert words in reply.json["error"]


def test_the_openapi_document_is_valid_and_lists_what_the_key_may_see(shared):
    """A key sees the systems it may call; the document is OpenAPI 3.1."""
    document = shared.ask("GET", "/openapi.json").json
    assert document["openapi"] == "3.1.0"
    assert "/v1/systems/flights/predict" in document["paths"]
    row = document["components"]["schemas"]["flights.Row"]
    assert row["properties"]["hour"] == {"type": "integer", "minimum": 0, "maximum": 23}
    assert row["required"] == ["distance", "hour", "origin", "wind", "tail"]
    assert row["additionalProperties"] is False
    assert shared.ask("GET", "/openapi.json", key="").status == 401


@pytest.mark.slow
@pytest.mark.parametrize(
    "selection",
    [
        ("--exclude-path-regex", "infer$"),
        ("--include-path-regex", "infer$", "--exclude-checks", "unsupported_method,positive_data_acceptance"),
    ],
    ids=["ours", "v2-infer"],
)
def test_schemathesis_finds_nothing_against_the_document(shared, tmp_path, selection):
    """What the document promises, the server keeps: statuses, schemas, content types, refusals, keys.

    Left out: `unsupported_method` (the HTTP library answers TRACE before us); and for V2's infer
    `positive_data_acceptance`: that a tensor's data fits its shape cannot be written as a schema.
    """
    (tmp_path / "openapi.json").write_bytes(shared.ask("GET", "/openapi.json").body)
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", str(tmp_path / "openapi.json"), "--url", shared.url,
            "-H", f"Authorization: Bearer {shared.key}", "--max-examples", "40", "--seed", "7",
            "--exclude-checks", "unsupported_method", *selection, "--no-color", "--generation-database", "none",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert shared.predict(ROW).status == 200


def test_the_asgi_twin_answers_the_same(plane):
    """Whoever has an ASGI server may run the worker in it."""
    candidate = sql_candidate(plane.artifacts, "0.5")
    plane.publish(served(solo(candidate.id), release(candidate, "flights@v1"), deadline_ms=10_000))
    from roadworthy.serving.asgi import Asgi
    from roadworthy.serving.worker import Start

    async def talk() -> tuple[httpx.Response, httpx.Response]:
        inbox: asyncio.Queue[dict] = asyncio.Queue()
        outbox: asyncio.Queue[dict] = asyncio.Queue()
        app = Asgi(Start(home=plane.home.root))
        life = asyncio.create_task(app({"type": "lifespan"}, inbox.get, outbox.put))
        await inbox.put({"type": "lifespan.startup"})
        assert (await outbox.get())["type"] == "lifespan.startup.complete"
        transport = httpx.ASGITransport(app=app)
        headers = {"authorization": f"Bearer {plane.key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as asker:
            while (await asker.get("/v2/health/ready")).status_code != 200:  # noqa: ASYNC110 (it is another worker)
                await asyncio.sleep(0.02)
            good = await asker.post("/v1/systems/flights/predict", json={"inputs": ROW})
            bad = await asker.post("/v1/systems/flights/predict", json={"inputs": {**ROW, "hour": 99}})
        await inbox.put({"type": "lifespan.shutdown"})
        await life
        return good, bad

    good, bad = asyncio.run(talk())
    assert good.json()["outputs"] == {"probability": 0.5, "label": "late"}
    assert bad.status_code == 422
    assert len(open_records(plane.home.records, plane.home.counters).tail().records) == 2
