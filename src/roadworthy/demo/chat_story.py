"""A chatbot over this project's own documentation, told step by step: refuse, release, explain, spend, compare, alarm.

The model is SmolLM2 behind a provider of the demo's own, a process that keeps its own books. Everything is done as a
user does it: commands are run, questions go over HTTP. The closing table is recomputed by `recompute.py` from the
ledger, the data plane's metrics and the provider's books; it imports nothing of this package.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from roadworthy.demo import telling
from roadworthy.demo.chatbot.corpus import write_corpus
from roadworthy.demo.chatbot.model import model_file, write_twin
from roadworthy.demo.project import Project, free, lay_out
from roadworthy.demo.telling import known_step, tell_story
from roadworthy.errors import UnavailableError
from roadworthy.manifest.suites import read_suite

STEPS: Final = ("refuse", "release", "explain", "budget", "dearer", "change", "ledger")
TWIN: Final = "Q4_0"
"""Half a bit less a weight than what was released. Its answers look the same; its probabilities do not."""
_FILES: Final = ("system.yaml", "prompt.md", "suites/lines.yaml")
_PORT: Final = 8090
_MANIFEST_PORT: Final = "127.0.0.1:8090"
_OK: Final = 200
_BUDGET: Final = "1 USD per day"
_SPARE_PICOS: Final = 40_000_000_000
"""What the spent budget leaves beyond what is spent already: 0.04 USD."""
_MOST_QUESTIONS: Final = 120
_EXAMPLE: Final = "How many times a second does the control process look?"


@dataclass(slots=True)
class Tally:
    """What a client saw: answers by who gave them, and those that were no answers."""

    sent: int = 0
    failed: int = 0
    by: Counter[str] = field(default_factory=Counter[str])


@dataclass(slots=True, kw_only=True)
class Story(telling.Story):
    """The chatbot's story: what is asked, what was seen, and which release is the good one."""

    questions: Iterator[str]
    good: str = ""
    seen: Tally = field(default_factory=Tally)
    provider_pid: int = 0

    def ask(self, question: str = "") -> dict[str, Any]:
        """Ask one question as any client of OpenAI's API does; return the answer, empty when there is none."""
        body = {
            "model": self.project.system, "messages": [{"role": "user", "content": question or next(self.questions)}],
        }  # fmt: skip
        self.seen.sent += 1
        status, document = self.project.call(self.project.port, "POST", "/v1/chat/completions", body)
        if status != _OK:
            self.seen.failed += 1
            return {}
        told = document["roadworthy"]
        self.seen.by["the model" if document["usage"]["completion_tokens"] else _who(told)] += 1
        return document


def _who(told: Mapping[str, Any]) -> str:
    """Say who gave an answer that no model wrote."""
    if told["abstained"]:
        return "nobody: not in the docs"
    return f"the best passage ({told['fallback']})" if told["fallback"] else "the best passage"


def tell(folder: Path, *, stay: bool, sabotage: str, port: int, control_port: int) -> int:
    """Tell the story; return 0 when every claim of its closing table was recomputed and holds, else 1.

    Raises:
        InputError: there is no such step to sabotage.
        PluginError: the model's packages are not installed.
        UnavailableError: the folder is not the demo's, or a process did not answer.
    """
    known_step(sabotage, STEPS)
    weights = model_file()
    provider = free(_PORT)
    project = Project(
        folder=folder.absolute(), system="docs", port=free(port), control_port=free(control_port)
    )  # fmt: skip
    lay_out(project, lambda folder: write_project(folder, f"127.0.0.1:{provider}"))
    story = Story(project=project, sabotage=sabotage, questions=questions())

    def begin(story: Story) -> None:
        prepare(story, weights, provider)

    steps = (begin, refuse, release, explain, spend, dearer, change)
    return tell_story(story, steps, go_on if stay else None)


def write_project(folder: Path, provider: str) -> None:
    """Write the project: manifest, prompt, cases, and the docs that answers rest on.

    Args:
        folder: where.
        provider: host and port of the provider that the manifest's pin names.
    """
    (folder / "suites").mkdir()
    for name in _FILES:
        shutil.copyfile(str(_part(name)), folder / name)
    manifest = folder / "system.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(_MANIFEST_PORT, provider), encoding="utf-8")
    write_corpus(folder / "docs")
    (folder / ".gitignore").write_text(".roadworthy/\nprovider/\n*.log\n*.jsonl\nclaims.json\n", encoding="utf-8")


def prepare(story: Story, weights: Path, port: int) -> None:
    """Start the provider, show what there is to begin with, and make a home."""
    project = story.project
    story.title("A prompt, a small model, and a folder of documentation")
    pages = sorted((project.folder / "docs").rglob("*.md"))
    story.say(f"{len(pages)} pages of Roadworthy's own docs; {weights.stem}, served by a provider on port {port}")
    story.say("wanted: one line that answers. rival and fallback: the best passage, quoted")
    story.say(f"the project: {project.folder}")
    place = project.folder / "provider"
    place.mkdir()
    (place / "model.gguf").symlink_to(weights)
    story.facts["books"] = str(place / "books.jsonl")
    started = project.spawn(
        "-m", "roadworthy.demo.chatbot.provider", "--file", "provider/model.gguf", "--port", str(port),
        "--books", "provider/books.jsonl",
    )  # fmt: skip
    story.started.append(started)
    story.provider_pid = started.pid
    story.wait(lambda: _answers(project, port), "the provider to answer")
    story.begin()


def refuse(story: Story) -> None:
    """A colleague makes the prompt friendlier, and the passages get lost. The gates refuse it."""
    story.title("A worse prompt is refused")
    story.project.write("prompt.md", "Be friendlier", _part("prompt_worse.md").read_text(encoding="utf-8"))
    if story.sabotage == "refuse":
        for gate in ("suite", "baseline"):
            story.project.run("waive", gate, "--why", "sabotage", "--until", "2099-12-31")
    story.release(expect_refusal=True)
    story.facts["worse"] = str(story.project.ask("build")["candidate"])
    story.claims["gates that refused the worse prompt"] = "baseline, suite"


def release(story: Story) -> None:
    """The good prompt passes its gates and takes traffic through a canary."""
    story.title("The good prompt is released, through a canary")
    story.project.write("prompt.md", "Show the passage again", _part("prompt.md").read_text(encoding="utf-8"))
    if story.sabotage == "release":
        story.project.edit("system.yaml", "Trust it", {"[canary: 50% for 10 records, full]": "[full]"})
    done = story.release(expect_refusal=False)
    story.facts["good"] = story.good = str(done["release"]["id"])
    story.up()
    for _ in range(_MOST_QUESTIONS):
        if story.champion() == story.good:
            break
        story.ask()
    story.say(f"questions answered by: {_told(story.seen.by)}", "green")
    story.claims["stages the good release went through"] = "canary, full"


def explain(story: Story) -> None:
    """One answer, traced back to release, prompt, passages, gates and cost."""
    story.title("One answer explained")
    answer = story.ask(_EXAMPLE)
    story.say(f"{_EXAMPLE}  {answer['choices'][0]['message']['content']}", "bold")
    telling.explain(story, str(answer["roadworthy"]["record"]))


def spend(story: Story) -> None:
    """Spend a budget to its end: the best passage answers, nobody gets an error, and the cap holds."""
    project = story.project
    story.title("A budget is spent to its end")
    spent = _spent(project)
    cap = spent + _SPARE_PICOS
    if story.sabotage != "budget":
        _set_budget(project, _BUDGET, f"{cap / 1e12:.6f} USD per day")
    before = Counter(story.seen.by)
    for _ in range(_MOST_QUESTIONS):
        told: dict[str, Any] = story.ask().get("roadworthy", {})
        if told.get("fallback") and not told.get("abstained"):
            break
    for _ in range(5):
        story.ask()
    story.say(f"the cap: {cap / 1e12:.4f} USD a day, of which {spent / 1e12:.4f} were spent already")
    story.say(f"then answered: {_told(story.seen.by - before)}", "green")
    story.say(f"requests that failed: {story.seen.failed} of {story.seen.sent}; spent {_spent(project) / 1e12:.4f} USD")
    story.facts |= {"cap_picos": cap, "spent_until": time.time_ns() // 1_000}
    story.claims["the budget was spent to its end"] = True
    story.claims["what the provider billed stayed within the cap"] = True
    if story.sabotage != "budget":
        _set_budget(project, f"{cap / 1e12:.6f} USD per day", _BUDGET)


def dearer(story: Story) -> None:
    """The same model under a dearer name: equal answers, so the cheaper one stays."""
    project = story.project
    story.title("An equal one that costs more is refused")
    manifest = (project.folder / "system.yaml").read_text(encoding="utf-8")
    main = next(line for line in manifest.splitlines() if line.startswith("  main: "))
    price = "{input: 1 USD, output: 4 USD}" if story.sabotage == "dearer" else "{input: 30 USD, output: 120 USD}"
    plus = main.replace("main:", "plus:").replace("smollm2", "smollm2-plus")
    plus = plus.replace("{input: 10 USD, output: 40 USD}", price)
    project.edit("system.yaml", "Pay for the better model", {"use: main": "use: plus", main: f"{main}\n{plus}"})
    story.release(expect_refusal=True)
    story.facts["dearer"] = str(project.ask("build")["candidate"])
    story.claims["gates that refused the dearer model"] = "champion"
    project.write("system.yaml", "Keep the model we have", manifest)
    # A refused release changes no answers, but its manifest's policy is in force: take that back too.
    project.run("apply", "--reason", "keep the model we have")


def change(story: Story) -> None:
    """The provider puts a smaller twin in the place of the model. Its name, address and fingerprint stay."""
    project = story.project
    story.title("The model is changed behind its back")
    story.wait(lambda: _watch(project)["state"] == "as it was", "the watch to have its reference", 60)
    calm = _watch(project)
    story.say(f"before: {calm['why'] or 'no change'}", "green")
    place = project.folder / "provider"
    write_twin(place / "model.gguf", place / "twin.gguf", TWIN)
    changed_at = time.monotonic()
    story.facts["changed_at"] = time.time_ns() // 1_000
    if story.sabotage != "change":
        (place / "next").symlink_to("twin.gguf")
        (place / "next").replace(place / "model.gguf")
        os.kill(story.provider_pid, signal.SIGHUP)
    story.say(f"the provider now answers with a {TWIN} twin, under the same name and fingerprint")
    answer = _after_fallback(story, changed_at + telling.PATIENCE_S)
    found = story.incidents("model_change")
    if answer and found:
        story.say(f"noticed after {time.monotonic() - changed_at:.1f} s: {_watch(project)['why']}", "yellow")
        story.say(f"callers now get the best passage: {answer['choices'][0]['message']['content']}", "green")
        story.say(f"incident {found[0]['id']} is open, ana was paged, `roadworthy start` puts the model in front again")
    story.claims["the hidden change was noticed, and the fallback put in front by"] = "roadworthy"
    story.claims["alarms before the change"] = 0
    story.claims["names and fingerprints the provider gave"] = 1
    story.claims["requests that failed"] = 0


def _after_fallback(story: Story, deadline: float) -> dict[str, Any]:
    """Ask until the fallback answers for a model that was found changed; return its answer, empty if it never does."""
    while time.monotonic() < deadline:
        answer = story.ask(_EXAMPLE)
        told: dict[str, Any] = answer.get("roadworthy", {})
        if told.get("fallback") and not answer["usage"]["completion_tokens"]:
            return answer
        time.sleep(0.2)
    return {}


def go_on(story: Story) -> None:
    """Keep questions coming until the reader has seen enough."""
    project = story.project
    story.title("The system stays up and questions go on: Ctrl-C ends it")
    story.say(f"console: http://127.0.0.1:{project.control_port}/systems/docs  key: {project.key}", "bold")
    story.say(f"ask: OPENAI_BASE_URL=http://127.0.0.1:{project.port}/v1 OPENAI_API_KEY={project.key}, model docs")
    while True:
        story.ask()
        time.sleep(2)


def _part(name: str) -> Path:
    return Path(str(files("roadworthy.demo.chatbot").joinpath(name)))


def questions() -> Iterator[str]:
    """Return the questions of the cases, over and over."""
    suite = read_suite(_part("suites/lines.yaml").read_text(encoding="utf-8"), "suites/lines.yaml")
    return itertools.cycle([case.question for case in suite.cases])


def _answers(project: Project, port: int) -> bool:
    try:
        return project.call(port, "GET", "/v1/models")[0] == _OK
    except UnavailableError:
        return False


def _told(by: Mapping[str, int]) -> str:
    return ", ".join(f"{who} {count}" for who, count in sorted(by.items(), key=lambda one: -one[1]))


def _spent(project: Project) -> int:
    """Return what the day's budget has spent, in picounits."""
    return sum(int(one["spent"]) for one in project.ask("budget"))


def _set_budget(project: Project, old: str, new: str) -> None:
    project.edit("system.yaml", "Another budget", {old: new})
    project.run("apply", "--reason", "another budget")


def _watch(project: Project) -> dict[str, Any]:
    return next(one for one in project.ask("pins") if one["pin"] == "main")
