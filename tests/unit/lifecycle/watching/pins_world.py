"""A home with one system of kind llm on a provider that is a function; the watch on its pins is the real one."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from roadworthy.domain.candidate import Artifact, Candidate, Environment
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.llm import Assistant, chat_interface
from roadworthy.domain.moment import MINUTE, Micros
from roadworthy.domain.pin import Pin, PinTerms, Price, Provider, Usage
from roadworthy.domain.pin_watch import PinWatch
from roadworthy.domain.principal import Actor
from roadworthy.domain.release import Release
from roadworthy.domain.route import Arm, ArmRole, Route
from roadworthy.domain.system import Owner, Policy, ServePlan, WatchPlan
from roadworthy.lifecycle.ask_pins import Heard
from roadworthy.lifecycle.pin_books import PinBooks
from roadworthy.lifecycle.watch_pins import PinWatcher
from roadworthy.ports.chat import Completion, Document, ProviderTrouble
from roadworthy.ports.plane import Plane
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.codec import to_doc, to_json
from roadworthy.stores.metadata import Metadata
from roadworthy.stores.observations import SqlObservations
from roadworthy.testing import FixedClock, memory_plane

ANA = Actor(principal="ana")
PRICE = Price(input=150_000, output=600_000)
MAIN = Pin(name="main", provider=Provider.OPENAI, model="big", url="http://127.0.0.1:1/v1")
SPARE = replace(MAIN, name="spare", model="small")
LOCAL = Pin(name="local", provider=Provider.GGUF, model="tiny", file="tiny.gguf")
WORDS = [f"w{n}" for n in range(24)]


@dataclass
class Thinker:
    """A provider: log-probabilities by model and prompt, with noise of each call and of each day."""

    seed: int = 1
    noise: float = 0.01
    day_noise: float = 0.0
    lists: bool = True
    sharp: float = 2.0
    model: str = "big-1"
    fingerprint: str = "fp"
    trouble: ProviderTrouble | None = None
    calls: int = 0
    requests: list[Document] = field(default_factory=list)
    day: int = 0
    luck: random.Random = field(default_factory=lambda: random.Random(7))

    def __call__(self, pin: Pin, requests: Sequence[Document]) -> Heard:
        """Answer until trouble comes."""
        self.day += 1
        answers: list[Completion] = []
        for request in requests:
            self.calls += 1
            self.requests.append(request)
            if self.trouble is not None:
                known = [one.usage for one in answers] + ([self.trouble.usage] if self.trouble.usage else [])
                return Heard(answers=answers, usages=known, calls=len(answers) + 1, trouble=self.trouble)
            answers.append(self.answer(pin, request))
        return Heard(answers=answers, usages=[one.usage for one in answers], calls=len(answers))

    def answer(self, pin: Pin, request: Document) -> Completion:
        """Answer one token."""
        prompt = request["messages"][0]["content"]
        own, today = random.Random(f"{self.seed}/{pin.model}/{prompt}"), random.Random(f"{self.day}/{prompt}")
        scores = [own.gauss(0, self.sharp) + today.gauss(0, self.day_noise) for _ in WORDS]
        total = math.log(sum(math.exp(one) for one in scores))
        shown = [one - total + self.luck.gauss(0, self.noise) for one in scores]
        best = sorted(zip(WORDS, shown, strict=True), key=lambda pair: -pair[1])[:20]
        choice: dict[str, Any] = {"message": {"content": self.sample(shown, request["temperature"])}, "logprobs": None}
        if self.lists and request.get("logprobs"):
            listed = [{"token": token, "logprob": value} for token, value in best]
            choice["logprobs"] = {"content": [{"token": best[0][0], "top_logprobs": listed}]}
        return Completion(
            document={"choices": [choice]}, usage=Usage(input=10, output=1), model=self.model,
            fingerprint=self.fingerprint,
        )  # fmt: skip

    def sample(self, shown: Sequence[float], temperature: float) -> str:
        """Draw the first token."""
        top = max(shown)
        weights = [math.exp((one - top) / max(temperature, 1e-3)) for one in shown]
        return self.luck.choices(WORDS, weights)[0]


@dataclass
class World:
    """The system `desk`, whose release v1 rests on `main` and falls back to `spare` and `local`."""

    plane: Plane
    clock: FixedClock
    provider: Thinker
    policy: Policy
    watcher: PinWatcher
    wall: Micros = 0
    releases: dict[str, Release] = field(default_factory=dict)

    @property
    def books(self) -> PinBooks:
        """Open the books anew, as another process does."""
        return PinBooks(self.plane)

    def watch(self, pin: Pin = MAIN) -> PinWatch:
        """Return where the watch on a pin stands."""
        return self.books.watch("desk", pin)

    def steps(self, n: int, apart: Micros = 6 * 60 * MINUTE) -> PinWatch:
        """Let time pass and look, n times; return where the watch on the main pin stands."""
        for _ in range(n):
            self.clock.pass_by(apart)
            self.wall += apart
            self.watcher.watch()
        return self.watch()

    def apply(self, **changes: Any) -> None:
        """Put a policy in force."""
        self.policy = replace(self.policy, **changes)
        self.decide(Noun.POLICY, "desk", to_doc(self.policy))

    def admit(self, name: str, assistant: Assistant, number: int) -> Release:
        """Admit a release of these pins."""
        content = to_json(assistant)
        artifact = Artifact(role="model", format="llm", digest=self.plane.artifacts.put(content), size=len(content))
        candidate = Candidate(
            system="desk", recipe=f"sha256:{number:064x}", artifacts=(artifact,), interface=chat_interface(),
            runtime="llm", environment=Environment(python="3.11", platform="linux"), is_baseline=not assistant.pins,
        )  # fmt: skip
        release = Release(
            id=candidate.id, system="desk", number=number, candidate=candidate, policy="p", run="r",
            admitted_at=self.clock.now(), admitted_by="ana",
        )  # fmt: skip
        self.decide(Noun.RELEASE, release.id, to_doc(release))
        self.releases[name] = release
        return release

    def route(self, champion: str, *fallback: str) -> None:
        """Put a release in front, others behind it."""
        front = self.releases[champion].id
        route = Route(
            system="desk", environment="live", version=1, last_good=front,
            arms=(Arm(role=ArmRole.CHAMPION, release=front, share=1.0),),
            fallback=tuple(self.releases[name].id for name in fallback),
        )  # fmt: skip
        self.decide(Noun.ROUTE, "desk/live", to_doc(route))

    def decide(self, noun: Noun, subject: str, after: Mapping[str, Any]) -> None:
        """Commit the state of one subject."""
        self.plane.ledger.commit(
            [Decide(kind=f"{noun}.set", system="desk", noun=noun, subject=subject, after=after, actor=ANA)]
        )


def make_world(folder: Path, provider: Thinker | None = None, *, price: Price | None = PRICE) -> World:
    """Make the home; nothing was probed yet."""
    clock = FixedClock()
    metadata = Metadata(folder / "control.sqlite")
    metadata.create()
    plane = memory_plane(
        clock, artifacts=FileArtifacts(folder / "artifacts"), observations=SqlObservations(metadata),
        close=metadata.close,
    )  # fmt: skip
    policy = Policy(
        owner=Owner(principal="ana", contact=""),
        serve=ServePlan(fallback=("spare", "local", "baseline")),
        watch=WatchPlan(),
        pins=tuple(PinTerms(name=name, price=price) for name in ("main", "spare", "local")),
    )
    provider = provider or Thinker()
    made = World(plane, clock, provider, policy, PinWatcher(plane, provider))
    made.watcher = PinWatcher(plane, provider, wall=lambda: made.wall)
    made.apply()
    made.admit("v1", Assistant(prompt="p", use="main", pins=(MAIN,)), 1)
    made.admit("baseline", Assistant(text="no"), 0)
    made.route("v1", "baseline")
    return made
