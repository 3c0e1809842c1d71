"""A provider changes its model without a word: it is found, told, answered by the failure plan and accepted.

Real processes throughout: `roadworthy up` with control and a worker, providers on sockets of their own.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_kit import ANA, SYSTEM, Chat, chatting, pin_of, text_of
from providers_kit import Ask, Fault, MockOpenAI, Reply
from roadworthy.domain.exposure import answering
from roadworthy.domain.incident import Incident
from roadworthy.domain.objective import Signal
from roadworthy.domain.pin_watch import PinWatch
from roadworthy.lifecycle import present
from roadworthy.lifecycle.accept_pin import accept_pin, pins_of
from roadworthy.lifecycle.pause import restore
from roadworthy.lifecycle.verify_ledger import verify_ledger
from serving_kit import until

OFTEN = {"probe_every": "2s"}
WORDS = [f"w{n}" for n in range(12)]


@dataclass
class Model:
    """What a mock provider's model thinks: log-probabilities of first tokens by prompt, with a call's own noise."""

    seed: int = 1
    noise: float = 0.01
    lists: bool = True
    asked: list[str] = field(default_factory=list)
    _luck: random.Random = field(default_factory=lambda: random.Random(5))

    def __call__(self, ask: Ask) -> Reply:
        """Answer one token as this model would; anything longer is plain text."""
        if ask.max_tokens > 1:
            return Reply(text="the model answers")
        self.asked.append(ask.last)
        own = random.Random(f"{self.seed}/{ask.last}")
        scores = [own.gauss(0, 2) for _ in WORDS]
        total = math.log(sum(math.exp(one) for one in scores))
        found = sorted(
            ((w, one - total + self._luck.gauss(0, self.noise)) for w, one in zip(WORDS, scores, strict=True)),
            key=lambda pair: -pair[1],
        )
        return Reply(text=found[0][0], logprobs=[found] if self.lists else None)


@contextmanager
def watched(folder: Path, provider: MockOpenAI, **more: Any) -> Iterator[Chat]:
    """Run a system on a provider whose pin is probed every two seconds."""
    sections: dict[str, Any] = {"pins": {"main": pin_of(provider)}, "watch": OFTEN} | more
    with chatting(folder, up=True, **sections) as chat:
        yield chat


def watch_of(chat: Chat, name: str = "main") -> PinWatch:
    """Return where the watch on a pin stands."""
    return next(one.watch for one in pins_of(chat.plane, SYSTEM) if one.pin.name == name)


def signal_of(chat: Chat, name: str = "model_change") -> Signal | None:
    """Return the champion's newest signal of this name."""
    route = present.route(chat.plane, SYSTEM, "live")
    assert route is not None
    found = [one for one in chat.plane.observations.signals(SYSTEM) if one.name == name]
    return next((one for one in found if one.release == route.champion), None)


def incidents(chat: Chat) -> list[Incident]:
    """Return the incidents of a changed model."""
    return [one for one in present.incidents(chat.plane, SYSTEM) if one.objective == "model_change"]


def has_reference(chat: Chat) -> None:
    """Wait until the first check was made."""
    until(lambda: watch_of(chat).finding is not None, f"a first check; log: {chat.log()}")


def test_a_silent_change_opens_one_incident_and_the_fallback_answers(tmp_path):
    """Other log-probabilities under the same name: alarm, incident, page, fallback, until a person accepts."""
    with MockOpenAI(script=Model()) as provider, watched(tmp_path, provider) as chat:
        has_reference(chat)
        assert text_of(chat.ask()) == "the model answers"
        found = signal_of(chat)
        assert found is not None
        assert (found.value, found.alarm) == (0.0, False)
        provider.script = Model(seed=2)
        until(lambda: bool(incidents(chat)), f"an incident; log: {chat.log()}")
        until(lambda: present.route(chat.plane, SYSTEM, "live").degraded_by != "", "the fallback is in force")
        until(lambda: chat.ask().headers.get("x-roadworthy-fallback") == "baseline", "the fallback answers")
        assert text_of(chat.ask()) == "Please ask the desk."
        (incident,) = incidents(chat)
        assert "main changed" in incident.title
        assert "roadworthy check" in incident.title
        until((chat.plane.home.root / "pages.jsonl").is_file, "a page")
        assert "main changed" in (chat.plane.home.root / "pages.jsonl").read_text()
        checks = watch_of(chat).asked_at
        until(lambda: watch_of(chat).asked_at > checks + 5_000_000, "two more checks")
        assert len(incidents(chat)) == 1
        accept_pin(chat.plane, SYSTEM, "main", actor=ANA, why="the suite passes with it")
        restore(chat.plane, SYSTEM, actor=ANA)
        until(lambda: text_of(chat.ask()) == "the model answers", "the model answers again")
        until(lambda: (signal_of(chat).value, watch_of(chat).rounds >= 3) == (0.0, True), "a new reference")
        assert answering(present.route(chat.plane, SYSTEM, "live")) == (
            present.route(chat.plane, SYSTEM, "live").champion,
        )
        assert verify_ledger(chat.plane.ledger).holds


def test_another_model_name_in_live_answers_is_an_incident_within_a_look(tmp_path):
    """A switch in the middle of a day, long before the next probe: three answers under another name are enough."""
    quiet = {"probe_every": "1h"}
    with MockOpenAI(script=Model()) as provider, watched(tmp_path, provider) as chat:
        has_reference(chat)
        chat.build(watch=quiet)
        until(lambda: chat.ask().status == 200, "an answer")
        asked = len(provider.script.asked)
        provider.fault = Fault.WRONG_MODEL
        for _ in range(4):
            assert chat.ask().status == 200
        until(lambda: bool(incidents(chat)), f"an incident; log: {chat.log()}")
        assert "another-model" in incidents(chat)[0].title
        assert len(provider.script.asked) - asked <= 10


def test_noise_and_trouble_of_a_provider_are_no_alarm(tmp_path):
    """Clean checks with noise, another fingerprint, a provider that is down for a while: told, and no incident."""
    with MockOpenAI(script=Model(noise=0.02)) as provider, watched(tmp_path, provider) as chat:
        has_reference(chat)
        provider.fingerprint = "fp_new"
        until(lambda: "fp_new" in watch_of(chat).finding.reason, f"the fingerprint is told; log: {chat.log()}")
        provider.fault = Fault.FAILING
        until(lambda: signal_of(chat).value is None, "no data while the provider is in trouble")
        assert "could not be probed" in signal_of(chat).reason
        provider.fault = None
        until(lambda: signal_of(chat).value == 0.0, "data again")
        assert incidents(chat) == []


def test_the_next_pin_answers_when_the_first_one_changed(tmp_path):
    """With a second pin in the manifest the same prompt goes on with it, before any baseline."""
    with MockOpenAI(script=Model()) as first, MockOpenAI(script=Model(seed=3)) as second:
        pins = {"main": pin_of(first), "spare": pin_of(second, model="mock-2")}
        with watched(tmp_path, first, pins=pins) as chat:
            has_reference(chat)
            first.script = Model(seed=2)
            until(lambda: chat.ask().headers.get("x-roadworthy-fallback") == "spare", f"spare; log: {chat.log()}")
            assert {one.release for one in incidents(chat)} == {present.route(chat.plane, SYSTEM, "live").champion}
            assert watch_of(chat, "spare").has_reference
