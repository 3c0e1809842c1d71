"""A demo's project: a folder as a user has it, a home, and the command line as a user runs it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from roadworthy.errors import RoadworthyError, UnavailableError


@dataclass(slots=True, kw_only=True)
class Project:
    """A folder that a user might have, and what it takes to run commands in it. `variables` are settings of its own."""

    folder: Path
    system: str
    port: int
    control_port: int
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
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
            "ROADWORTHY_PORT": str(self.port),
            "ROADWORTHY_CONTROL_PORT": str(self.control_port),
            "ROADWORTHY_ACTOR": "ana",
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.variables,
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
        status, document = self.call(self.control_port, "GET", path)
        if status != HTTPStatus.OK:
            raise UnavailableError(f"GET {path} answered {status}")
        return document

    def call(self, port: int, method: str, path: str, body: Any = None, *, timeout_s: float = 60) -> tuple[int, Any]:
        """Send one request with the project's key; return its status and its document, None where it has none.

        Raises:
            UnavailableError: nobody answers.
        """
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        try:
            line.request(method, path, None if body is None else json.dumps(body), headers)
            answer = line.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"port {port} does not answer: {error}") from error
        finally:
            line.close()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, None

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command of the package that goes on; its output goes to `up.log`."""
        self.log.append("roadworthy " + " ".join(words))
        return self.spawn("-m", "roadworthy", *words)

    def spawn(self, *words: str) -> subprocess.Popen[bytes]:
        """Start Python on something that goes on; its output goes to `up.log`."""
        with (self.folder / "up.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *words], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )

    def edit(self, name: str, message: str, changes: Mapping[str, str]) -> None:
        """Replace texts in a file of the project, and commit it, as a colleague's change would be.

        Raises:
            UnavailableError: a text to be replaced is not there.
        """
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        for old, new in changes.items():
            if old not in text:
                raise UnavailableError(f"{name} does not say '{old}'")
            text = text.replace(old, new)
        self.write(name, message, text)

    def write(self, name: str, message: str, text: str) -> None:
        """Put a text in the place of a file of the project, and commit it."""
        (self.folder / name).write_text(text, encoding="utf-8")
        self.commit(message)

    def commit(self, message: str) -> None:
        """Commit everything in the project."""
        _git(self.folder, "add", "-A")
        _git(self.folder, "commit", "-q", "--allow-empty", "-m", message)


def lay_out(project: Project, write: Callable[[Path], None]) -> None:
    """Make a project's folder anew: what `write` puts there, and a first commit.

    Raises:
        UnavailableError: the folder holds something that a demo did not make.
    """
    folder = project.folder
    if folder.exists() and any(folder.iterdir()) and not (folder / ".made-by-demo").is_file():
        raise UnavailableError(f"{folder} is not empty", hint="choose another with --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / ".made-by-demo").touch()
    write(folder)
    _git(folder, "init", "-q")
    project.commit("Begin with the prototype")


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
