"""The demo's project: a folder with the prototype, a home with a replayed clock, the command line as a user runs it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

from roadworthy.demo.data import ExampleFiles, write_flights
from roadworthy.errors import RoadworthyError, UnavailableError

START = "2013-04-01T04:00:00Z"
_FILES = ("system.yaml", "interface.yaml", "train.py", "baseline.sql")
TEST = '''"""What must stay true of every candidate, whoever trained it."""


def test_missing_weather_still_gets_an_answer(predict, rows):
    """A station that reports nothing must not stop a passenger from being warned."""
    weather = ("dewp", "humid", "wind_speed", "precip", "visib", "pressure")
    for answer in predict([{**row, **dict.fromkeys(weather)} for row in rows]):
        assert 0 <= answer["probability"] <= 1
'''


@dataclass(slots=True)
class Project:
    """A folder that a user might have, and what it takes to run commands in it."""

    folder: Path
    port: int
    control_port: int
    files: ExampleFiles
    key: str = ""
    log: list[str] = field(default_factory=list[str])

    @property
    def home(self) -> Path:
        """Return the folder of the home."""
        return self.folder / ".roadworthy"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment that commands run in."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("ROADWORTHY_")},
            "ROADWORTHY_CLOCK": f"replay:{START}",
            "ROADWORTHY_PORT": str(self.port),
            "ROADWORTHY_CONTROL_PORT": str(self.control_port),
            "ROADWORTHY_ACTOR": "ana",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *words: str, check: bool = True, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run one command as a user types it, and remember its line.

        Raises:
            UnavailableError: it ended with an error that the story does not expect.
        """
        self.log.append("roadworthy " + " ".join(words))
        command = [sys.executable, "-m", "roadworthy", *words]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
            timeout=timeout_s,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise UnavailableError(
                f"`roadworthy {' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()}"
            )
        return done

    def ask(self, *words: str) -> Any:
        """Run one command with --json and return what it printed."""
        return json.loads(self.run(*words, "--json").stdout)

    def look(self, path: str) -> Any:
        """Get a document from the control process, as the console does.

        Raises:
            UnavailableError: it does not answer, or not with a document.
        """
        line = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=30)
        try:
            line.request("GET", path, headers={"authorization": f"Bearer {self.key}"})
            answer = line.getresponse()
            body = answer.read()
        except OSError as error:
            raise UnavailableError(f"the control process does not answer: {error}") from error
        finally:
            line.close()
        if answer.status != HTTPStatus.OK:
            raise UnavailableError(f"GET {path} answered {answer.status}")
        return json.loads(body)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command that goes on; its output goes to `up.log`."""
        self.log.append("roadworthy " + " ".join(words))
        with (self.folder / "up.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "roadworthy", *words],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def blind_to_drift(self) -> None:
        """Set an objective for drift that nothing can break."""
        path = self.folder / "system.yaml"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("watch: {", "watch: {objectives: {drift: drift > 1000}, "), encoding="utf-8")
        self.commit("Look away")

    def train_with(self, prototype: str, message: str) -> None:
        """Put another prototype in the place of `train.py` and commit it, as a colleague's change would be."""
        source = files("roadworthy.demo.flights").joinpath(prototype)
        (self.folder / "train.py").write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
        self.commit(message)

    def commit(self, message: str) -> None:
        """Commit everything in the project."""
        _git(self.folder, "add", "-A")
        _git(self.folder, "commit", "-q", "--allow-empty", "-m", message)


def lay_out(folder: Path, port: int, control_port: int) -> Project:
    """Make the project anew: data, prototype, manifest, a first commit and a home whose clock is replayed.

    Raises:
        UnavailableError: the folder holds something that the demo did not make.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / ".made-by-demo").is_file():
        raise UnavailableError(f"{folder} is not empty", hint="choose another with --folder")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tests").mkdir(parents=True)
    (folder / ".made-by-demo").touch()
    made = write_flights(folder / "data")
    for name in _FILES:
        shutil.copyfile(str(files("roadworthy.demo.flights").joinpath(name)), folder / name)
    (folder / "tests" / "test_system.py").write_text(TEST, encoding="utf-8")
    (folder / ".gitignore").write_text(".roadworthy/\ndata/\n*.log\n*.jsonl\n__pycache__/\n", encoding="utf-8")
    _git(folder, "init", "-q")
    project = Project(folder=folder, port=free(port), control_port=free(control_port), files=made)
    project.commit("Begin with the prototype")
    return project


def free(port: int) -> int:
    """Return this port if nobody listens on it, else one that is free."""
    for wanted in (port, 0):
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(trial.getsockname()[1])
    raise UnavailableError("no port is free on 127.0.0.1")


def _git(folder: Path, *words: str) -> None:
    identity: Mapping[str, str] = {
        "GIT_AUTHOR_NAME": "Ana", "GIT_AUTHOR_EMAIL": "ana@example.org",
        "GIT_COMMITTER_NAME": "Ana", "GIT_COMMITTER_EMAIL": "ana@example.org",
    }  # fmt: skip
    command: Sequence[str] = ["git", *words]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **identity}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RoadworthyError(f"git {words[0]} failed: {done.stderr.strip()}", hint="apt-get install git")
