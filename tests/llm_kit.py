"""A system of kind llm for tests: a project with pins at mock providers, built, put in force, and served for real.

`with chatting(folder, pins={"main": pin_of(mock)}) as chat:` gives a running data plane; `chat.client()` is an `openai`
client of it, `chat.ask(...)` one bare HTTP call, `chat.records(n)` what was recorded. The sections of the manifest are
keyword arguments (`serve={...}`, `guards={...}`, `index={...}`); `chat.release(...)` changes some and puts the new
candidate live, `chat.canary(...)` begins its rollout. `up=True` starts `roadworthy up`, with control and budgets.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI, OpenAI

from providers_kit import MockAnthropic, MockOpenAI, MockProvider
from roadworthy.domain.candidate import Candidate
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.llm import TEXT_OUTPUTS
from roadworthy.domain.principal import Actor, Scope
from roadworthy.domain.record import Record
from roadworthy.domain.release import Release
from roadworthy.lifecycle.apply import apply
from roadworthy.lifecycle.build_llm import build_llm
from roadworthy.lifecycle.keys import create_key
from roadworthy.lifecycle.promote import promote
from roadworthy.manifest import load
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.stores.codec import to_doc
from roadworthy.stores.home import create
from roadworthy.stores.snapshots import FileSnapshots
from roadworthy.wiring import catalogue, open_plane, prove_loads
from serving_kit import Reply, until

ANA = Actor(principal="ana")
SYSTEM = "helper"
PROMPT = "# system\nYou are helpful.\n\n# user\n{{ question }}\n"
BASELINE = "Please ask the desk."
PRICE = {"input": "0.15 USD", "output": "0.60 USD"}


def pin_of(provider: MockProvider, **changes: Any) -> dict[str, Any]:
    """Describe a pin at a mock provider as the manifest does; personal data and keys may go there unless told not."""
    kind = "anthropic" if isinstance(provider, MockAnthropic) else "openai"
    stated = {"provider": kind, "url": provider.url, "model": "mock-1", "price": PRICE, "allows": ["pii", "secrets"]}
    return {name: value for name, value in (stated | changes).items() if value is not None}


@dataclass
class Chat:
    """A project and its running data plane."""

    folder: Path
    sections: dict[str, Any]
    plane: Plane
    key: str = ""
    url: str = ""
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    workers: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)

    # Building and releasing

    def build(self, **sections: Any) -> Candidate:
        """Write the manifest with some sections changed, put its policy in force, build; return the candidate."""
        self.sections |= sections
        stated = {name: value for name, value in self.sections.items() if value is not None}
        text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in stated.items())
        (self.folder / "system.yaml").write_text(text)
        system = load(self.folder / "system.yaml", catalogue())
        apply(self.plane, system, actor=ANA, reason="for the test")
        built = build_llm(self.folder, system, self.plane, ANA)
        if built.baseline is not None:
            self._admit(built.baseline)
        return built.candidate

    def release(self, **sections: Any) -> Candidate:
        """Build with some sections changed and put the candidate live at once, past its gates."""
        candidate = self.build(**sections)
        self._promote(candidate.id, force=True)
        return candidate

    def canary(self, **sections: Any) -> Candidate:
        """Build with some sections changed and begin the manifest's rollout of the candidate, past its gates."""
        candidate = self.build(**sections)
        self._admit(candidate)
        self._promote(candidate.id, force=False)
        return candidate

    def _promote(self, release: str, *, force: bool) -> None:
        promote(
            self.plane, SYSTEM, release, actor=ANA, prove_loads=prove_loads(self.plane, probes=False), force=force,
            reason="the test needs it live",
        )  # fmt: skip
        self.wait_applied()

    def _admit(self, candidate: Candidate) -> None:
        if self.plane.ledger.state(Noun.RELEASE, candidate.id) is not None:
            return
        numbers = [int(one["number"]) for one in self.plane.ledger.states(Noun.RELEASE, SYSTEM).values()]
        release = Release(
            id=candidate.id, system=SYSTEM, number=0 if candidate.is_baseline else max(numbers) + 1,
            candidate=candidate, policy="", run="", admitted_at=self.plane.clock.now(), admitted_by="ana",
        )  # fmt: skip
        decision = Decide(
            kind="release.admitted", system=SYSTEM, noun=Noun.RELEASE, subject=release.id, after=to_doc(release),
            actor=ANA,
        )  # fmt: skip
        self.plane.ledger.commit([decision])

    def new_key(self, principal: str = "ana", *scopes: Scope, systems: tuple[str, ...] = ()) -> str:
        """Make a further key; it may do everything at the data plane unless scopes are named."""
        wanted = scopes or (Scope.PREDICT, Scope.OUTCOME, Scope.READ)
        text = create_key(self.plane, principal, wanted, ANA, systems=systems).text
        self.wait_applied()
        return text

    # Running

    def start(self, *, up: bool = False) -> None:
        """Start the data plane, or everything, and wait until it serves what is in force."""
        settings = {
            "ROADWORTHY_HOME": str(self.plane.home.root), "ROADWORTHY_PORT": "0", "ROADWORTHY_CONTROL_PORT": "0",
            "ROADWORTHY_WORKERS": str(self.workers), **self.environment,
        }  # fmt: skip
        self.plane.home.serve_file.unlink(missing_ok=True)
        module = ["roadworthy", "up"] if up else ["roadworthy.serving.serve"]
        with (self.plane.home.logs / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *module], env={**os.environ, **settings}, cwd=self.folder, stdout=log, stderr=log
            )
        until(lambda: self.plane.home.serve_file.exists() or self.process.poll() is not None, "the data plane listens")
        assert self.process.poll() is None, self.log()
        self.url = json.loads(self.plane.home.serve_file.read_text())["url"]
        self.port = int(self.url.rsplit(":", 1)[1])
        self.wait_applied()

    def wait_applied(self) -> None:
        """Wait until every worker serves the newest snapshot; nothing to wait for before the start."""
        if self.process is None:
            return
        snapshots = FileSnapshots(self.plane.home.snapshot, self.plane.home.workers)

        def applied() -> bool:
            words = snapshots.acknowledgements()
            return len(words) == self.workers and all(word.version >= snapshots.version() for word in words)

        until(applied, f"the newest snapshot is served; log: {self.log()}")

    def stop(self) -> None:
        """End what was started, in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(40)

    def log(self) -> str:
        """Return what every process said."""
        return "\n".join(file.read_text(errors="replace") for file in sorted(self.plane.home.logs.glob("*.log")))

    # Asking

    def client(self, key: str | None = None, **more: Any) -> OpenAI:
        """Return an `openai` client of the gateway that never asks twice by itself."""
        stated: dict[str, Any] = {"max_retries": 0, "timeout": 30, **more}
        return OpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, **stated)

    def async_client(self, key: str | None = None, **more: Any) -> AsyncOpenAI:
        """Return its async twin."""
        stated: dict[str, Any] = {"max_retries": 0, "timeout": 30, **more}
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, **stated)

    def ask(
        self, question: Any = "How are you?", *, key: str | None = None, headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Reply:  # fmt: skip
        """Ask by a bare HTTP call: a text as the user's question, or a list of messages."""
        messages = [{"role": "user", "content": question}] if isinstance(question, str) else question
        document = {"model": SYSTEM, "messages": messages, **options}
        return self.http("POST", "/v1/chat/completions", document, key=key, headers=headers)

    def http(
        self, method: str, path: str, body: Any = None, *, key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:  # fmt: skip
        """Send one request on a connection of its own and read the answer to its end."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"authorization": f"Bearer {key or self.key}", "content-type": "application/json", **(headers or {})}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            line.request(method, path, content, sent)
            answer = line.getresponse()
            return Reply(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
        finally:
            line.close()

    # Looking

    def records(self, at_least: int = 1, where: Callable[[Record], bool] = lambda _: True) -> list[Record]:
        """Return the records that are not yet compacted, oldest first, once there are so many."""
        found: list[Record] = []

        def there() -> bool:
            found[:] = [one for one in self.plane.records.tail().records if where(one)]
            return len(found) >= at_least

        until(there, f"{at_least} records; log: {self.log()}")
        return found

    def record(self, record_id: str) -> Record:
        """Return one record by its id."""
        return self.records(1, lambda one: one.id == record_id)[0]


@dataclass
class House:
    """Two providers and the system in front of them; `in_use` is the one that its release asks."""

    openai: MockOpenAI
    anthropic: MockAnthropic
    chat: Chat
    in_use: MockProvider


def events_of(reply: Reply) -> list[dict[str, Any]]:
    """Return the documents of a stream that was read to its end; the last word is left out."""
    lines = reply.body.decode().split("\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line and line != "data: [DONE]"]


def text_of(reply: Reply) -> str:
    """Return the text of an answer, streamed or whole."""
    if "event-stream" not in reply.headers.get("content-type", ""):
        return str(reply.json["choices"][0]["message"]["content"] or "")
    choices = [choice for event in events_of(reply) for choice in event.get("choices") or ()]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def outputs_of(record: Record) -> dict[str, Any]:
    """Return what a record says came out, by name."""
    return dict(zip(TEXT_OUTPUTS, record.outputs, strict=True))


def make_chat(
    folder: Path,
    pins: Mapping[str, Mapping[str, Any]],
    *,
    files: Mapping[str, str] | None = None,
    workers: int = 1,
    environment: Mapping[str, str] | None = None,
    **sections: Any,
) -> Chat:
    """Make the project and its home and put a release in force; nothing is started yet.

    Args:
        folder: an empty place of the test's own.
        pins: name → pin (see `pin_of`); the first one answers unless `use` says otherwise.
        files: further files of the project by path; `prompt.md` and `baseline.md` are there.
        workers: how many workers are started.
        environment: further variables of the processes, such as a provider's key.
        sections: what the manifest says besides; None leaves a default out.
    """
    project = folder / "project"
    for name, text in {"prompt.md": PROMPT, "baseline.md": BASELINE, **(files or {})}.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    defaults: dict[str, Any] = {
        "roadworthy": 1, "system": SYSTEM, "kind": "llm", "owner": "ana@example.org",
        "decision": "what to tell a caller", "use": next(iter(pins)), "pins": dict(pins), "prompt": "prompt.md",
        "baseline": "baseline.md", "serve": {"deadline": "20s"},
    }  # fmt: skip
    plane = open_plane(Settings(home=create(project / ".roadworthy").root))
    chat = Chat(project, defaults | sections, plane, workers=workers, environment=environment or {})
    try:
        chat.release()
        chat.key = chat.new_key()
    except BaseException:
        plane.close()
        raise
    return chat


@contextmanager
def chatting(
    folder: Path, pins: Mapping[str, Mapping[str, Any]], *, up: bool = False, **sections: Any
) -> Iterator[Chat]:
    """Make a project, serve it, and end what was started whatever happens. See `make_chat`."""
    chat = make_chat(folder, pins, **sections)
    try:
        chat.start(up=up)
        yield chat
    finally:
        chat.stop()
        chat.plane.close()
