"""Keys and personal values in a question, wherever they stand, leave no trace on disk and do not reach the provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guards_kit import PERSONAL, keys
from llm_kit import SYSTEM, Chat, chatting, pin_of
from providers_kit import Ask, MockOpenAI, Reply

KEYS = keys()
SECRETS = [*KEYS.values(), *(value for some in PERSONAL.values() for value in some)]


def ways(secret: str) -> Iterator[dict[str, Any]]:
    """Go through the places of a request where a value may stand."""
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "note", "arguments": json.dumps({"a": f"x\n{secret}"})},
    }
    tool = {
        "type": "function",
        "function": {"name": "note", "description": f"such as {secret} or so", "parameters": {}},
    }
    yield {"messages": [{"role": "user", "content": f"my value is {secret} ok?"}]}
    yield {"messages": [{"role": "user", "content": [{"type": "text", "text": f"one\n{secret}\ntwo"}]}], "stream": True}
    yield {
        "messages": [
            {"role": "system", "content": f"use {secret} always"}, {"role": "user", "content": f"a\n{secret}"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": json.dumps({"found": f"b\n{secret}"})},
        ]
    }  # fmt: skip
    yield {
        "messages": [{"role": "user", "content": "hello"}], "tools": [tool], "tool_choice": "none",
        "metadata": {"note": f"for {secret} only"}, "user": f"whom {secret}", "stop": [f"at {secret} end"],
    }  # fmt: skip
    yield {"messages": [{"role": "user", "content": f"too hot for {secret} here"}], "temperature": 9}
    yield {"messages": [{"role": "user", "content": f"see {secret} now"}], "user": secret[:200], "stream": True}


def found_in(data: bytes, secrets: list[str]) -> list[str]:
    """Return the secrets whose bytes, plain or as JSON spells them, are in the data."""
    return [one for one in secrets if one.encode() in data or json.dumps(one)[1:-1].encode() in data]


def bytes_of(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Go through every file below a folder, but for the template's own."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


def cli(chat: Chat, *words: str) -> bytes:
    """Return what a command says."""
    environment = {**os.environ, "ROADWORTHY_HOME": str(chat.plane.home.root)}
    done = subprocess.run(
        [sys.executable, "-m", "roadworthy", *words], cwd=chat.folder, env=environment, capture_output=True, check=True
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Chat, MockOpenAI, bytes]]:
    """A home whose system was asked with every secret in every place, then stopped and compacted."""
    with MockOpenAI() as provider, MockOpenAI() as second:
        provider.script = lambda ask: Reply(text=f"I repeat: {ask.last}")
        second.script = lambda ask: Reply(text=f"My own: {SECRETS[len(ask.last) % len(SECRETS)]} it is")
        pins = {"main": pin_of(provider, allows=None), "other": pin_of(second, allows=None)}
        serve = {"deadline": "20s", "cache": "10m", "fallback": ["other", "baseline"], "breaker": {"cool_down": "10ms"}}
        with chatting(tmp_path_factory.mktemp("secrets"), pins, up=True, serve=serve) as chat:
            told = b""
            for at, secret in enumerate(SECRETS):
                provider.script = _failing if at % 7 == 3 else lambda ask: Reply(text=f"I repeat: {ask.last}")
                for way in ways(secret):
                    chat.http("POST", "/v1/chat/completions", {"model": SYSTEM, **way})
                chat.http("POST", f"/v1/systems/{SYSTEM}/predict", {"inputs": {"question": f"is {secret} ok"}})
                chat.http("POST", "/v1/embeddings", {"model": SYSTEM, "input": f"vector of {secret} please"})
            record = chat.records(10)[0].id
            told += cli(chat, "status", "--json") + cli(chat, "explain", record, "--json")
            told += chat.http("GET", "/metrics").body
            chat.stop()
            chat.plane.records.compact()
            told += b"".join(json.dumps(one).encode() for one in (*provider.requests, *second.requests))
            yield chat, provider, told


def _failing(ask: Ask) -> Reply:
    raise RuntimeError(ask.last)


def test_the_whole_home_holds_no_secret(asked: tuple[Chat, MockOpenAI, bytes]) -> None:
    """Records, Parquet, logs, counters, the database, snapshots: the raw bytes of every file."""
    chat, _, _ = asked
    leaks = {str(path): found for path, data in bytes_of(chat.plane.home.root) if (found := found_in(data, SECRETS))}
    assert leaks == {}
    assert any(path.suffix == ".parquet" for path, _ in bytes_of(chat.plane.home.root))


def test_parquet_holds_no_secret_when_it_is_read(asked: tuple[Chat, MockOpenAI, bytes]) -> None:
    """Compressed columns too: every record is read back and looked through."""
    chat, _, _ = asked
    rows = json.dumps(chat.plane.records.query("select * from records"), default=str).encode()
    assert len(rows) > 10_000
    assert b"I repeat" in rows
    assert found_in(rows, SECRETS) == []


def test_a_provider_that_is_not_allowed_the_class_never_sees_it(asked: tuple[Chat, MockOpenAI, bytes]) -> None:
    """What was sent there, and what commands and metrics say, is masked."""
    _, provider, told = asked
    assert len(provider.requests) > 200
    assert any("[email]" in json.dumps(one) for one in provider.requests)
    assert found_in(told, SECRETS) == []


def test_a_pin_that_may_not_be_masked_for_is_passed_over(tmp_path: Path) -> None:
    """With `otherwise: pass` the question goes to whoever may see it, and to nobody else."""
    with MockOpenAI() as strict, MockOpenAI() as trusted:
        pins = {"strict": pin_of(strict, allows=None, otherwise="pass"), "trusted": pin_of(trusted)}
        with chatting(tmp_path, pins) as chat:
            answer = chat.ask("write to ann@example.org")
            assert answer.headers["x-roadworthy-fallback"] == "trusted"
            assert strict.requests == []
            assert "ann@example.org" in json.dumps(trusted.requests)
            stated = chat.ask("no value here", headers={"x-roadworthy-classes": "health"})
            assert stated.headers["x-roadworthy-fallback"] == "baseline"
            assert len(trusted.requests) == 1
            assert chat.ask("no value here").headers.get("x-roadworthy-fallback") is None
