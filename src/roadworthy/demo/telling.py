"""What every story of the demo has: steps told in the terminal, claims, and a table that another script recomputes."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from roadworthy.demo.project import Project, free
from roadworthy.errors import InputError, UnavailableError

REFUSED: Final = 2
PATIENCE_S: Final = 30.0


@dataclass(slots=True, kw_only=True)
class Story:
    """One telling: where it happens, what was claimed so far, which step is to be spoiled, and what was started."""

    project: Project
    out: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    sabotage: str = ""
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    started: list[subprocess.Popen[bytes]] = field(default_factory=list["subprocess.Popen[bytes]"])
    started_at: float = field(default_factory=time.monotonic)

    def say(self, text: str, style: str = "") -> None:
        """Print one line of the story."""
        self.out.print(f"  [{style}]{escape(text)}[/]" if style else f"  {escape(text)}")

    def title(self, text: str) -> None:
        """Begin a step."""
        self.out.print(f"\n[bold]{escape(text)}[/]  [dim]{time.monotonic() - self.started_at:.0f} s[/]")

    def wait(self, holds: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until something holds.

        Raises:
            UnavailableError: it does not in time, or a process that was started has ended.
        """
        deadline = time.monotonic() + patience_s
        while not holds():
            if time.monotonic() > deadline or any(one.poll() is not None for one in self.started):
                raise UnavailableError(f"waited in vain for {what}", hint=f"see {self.project.folder / 'up.log'}")
            time.sleep(0.2)

    def up(self) -> None:
        """Start everything, and wait until the workers answer.

        Raises:
            UnavailableError: they do not in time.
        """
        project = self.project
        # Free when the story began is not free now: another may have been told meanwhile.
        project.port, project.control_port = free(project.port), free(project.control_port)
        self.started.append(project.start("up"))
        self.wait(self._is_ready, "the workers to answer")
        self.say(f"console: http://127.0.0.1:{project.control_port}/  (sign in with {project.key})", "bold")

    def _is_ready(self) -> bool:
        try:
            status, _ = self.project.call(self.project.port, "GET", "/v2/health/ready")
        except UnavailableError:
            return False
        return status == 200  # noqa: PLR2004

    def begin(self) -> None:
        """Put the manifest in force, which makes the home, and make a key."""
        self.project.run("apply", "--reason", "begin")
        made = self.project.ask("keys", "create", "replay", "--scopes", "admin")
        self.project.key = str(made["key"])

    def release(self, *, expect_refusal: bool) -> dict[str, Any]:
        """Ask for a release of what lies there; show each verdict, or every reason of the refusal."""
        done = self.project.run("release", "--json", "--reason", "the story", check=False)
        document: dict[str, Any] = json.loads(done.stdout)
        error = document.get("error")
        if error is None:
            for one in document["verdicts"]:
                self.say(f"{one['state']:<6} {one['gate']:<9} {one['reason']}", "red" if expect_refusal else "green")
        else:
            for line in str(error["message"]).splitlines():
                self.say(line, "red")
        if expect_refusal:
            told = f"exit code {done.returncode}, and nothing was changed" if error else "it was admitted"
            self.say(told, "dim" if error else "red")
        elif error is not None:
            raise UnavailableError(f"the release was refused: {error['message']}")
        return document

    def status(self) -> dict[str, Any]:
        """Return the system's page."""
        return self.project.look(f"/systems/{self.project.system}.json")

    def champion(self, key: str = "id") -> str:
        """Name the champion: its `id`, or its `release` as people spell it."""
        return next(str(arm[key]) for arm in self.status()["route"]["arms"] if arm["role"] == "champion")

    def incidents(self, objective: str) -> list[dict[str, Any]]:
        """Return the incidents of an objective."""
        found = self.project.look("/incidents.json")
        return [one for one in (*found["open"], *found["closed"]) if one["objective"] == objective]


Told = TypeVar("Told", bound=Story)


def tell_story(story: Told, steps: Sequence[Callable[[Told], None]], stay: Callable[[Told], None] | None = None) -> int:
    """Tell a story; return 0 when every claim of its closing table was recomputed and holds, else 1.

    Raises:
        UnavailableError: a process did not answer.
    """
    # Told to end, the story ends what it started.
    signal.signal(signal.SIGTERM, _end)
    try:
        for step in steps:
            step(story)
        close(story)
        holds = verdict(story)
        if stay is not None and not story.sabotage:
            stay(story)
    except KeyboardInterrupt:
        return 0
    else:
        return 0 if holds else 1
    finally:
        for process in reversed(story.started):
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


def known_step(sabotage: str, steps: Sequence[str]) -> None:
    """Refuse a step that the story does not have.

    Raises:
        InputError: there is no such step to sabotage.
    """
    if sabotage and sabotage not in steps:
        raise InputError(f"no step called '{sabotage}' to sabotage", hint=f"one of: {', '.join(steps)}")


def explain(story: Story, record: str) -> None:
    """Trace one answer back to release, prompt or code, data, gates and who approved."""
    if story.sabotage == "explain":
        record = "0" * 32
    done = story.project.run("explain", record, check=False)
    for line in (done.stdout or done.stderr).splitlines()[:24]:
        story.say(line)
    story.claims["the last answer is explained"] = record
    story.facts["record"] = record


def close(story: Story) -> None:
    """Claim what holds of every story, and spoil the ledger if asked."""
    story.claims["answers without a record"] = 0
    story.claims["answers = records + counted losses"] = True
    story.claims["ledger entries that do not hold"] = 0
    story.claims["state changes carried out twice"] = 0
    if story.sabotage == "ledger":
        with sqlite3.connect(story.project.home / "control.sqlite", timeout=30) as database:
            database.execute("update ledger set reason = 'nothing happened' where seq = 5")
        database.close()


def verdict(story: Story) -> bool:
    """Have the claims recomputed by a script that knows only the files and the ports."""
    story.title("Recomputed from the ledger and over HTTP")
    project = story.project
    claims = {
        "system": project.system, "port": project.port, "control_port": project.control_port, "key": project.key,
        **story.facts, "claims": story.claims,
    }  # fmt: skip
    path = project.folder / "claims.json"
    path.write_text(json.dumps(claims, indent=2), encoding="utf-8")
    script = Path(__file__).with_name("recompute.py")
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(project.home), str(path)], capture_output=True, text=True, check=False
    )
    sheet = Table(box=None, pad_edge=False, show_header=False)
    *lines, sum_of_them = done.stdout.splitlines() or [""]
    for line in lines:
        mark, _, rest = line.partition(" ")
        sheet.add_row(f"[{'green' if mark == 'holds' else 'bold red'}]{escape(mark)}[/]", escape(rest.strip()))
    story.out.print(sheet)
    story.out.print(escape(sum_of_them))
    if done.stderr:
        story.say(done.stderr.strip(), "red")
    return done.returncode == 0


def _end(*_: object) -> None:
    sys.exit(1)
