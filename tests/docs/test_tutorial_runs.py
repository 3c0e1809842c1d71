"""The tutorial is run as it stands: each block in one shell, its output held to what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from docs_kit import DOCS, Block, blocks

PATIENCE_S = 400
_PAGE = DOCS / "tutorial" / "first-system.md"
_MARK = "=== the block ends here ==="


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def pattern(line: str) -> re.Pattern[str]:
    """Turn a line of expected output into a pattern: `…` stands for anything."""
    return re.compile(".*".join(re.escape(part) for part in line.strip().split("…")))


def script(found: list[Block], port: str, control_port: str) -> str:
    """Join the shell blocks, with a mark after each."""
    text = f"\necho '{_MARK}'\n".join(one.text for one in found if one.language == "sh")
    return "set -e\n" + text.replace("8080", port).replace("8081", control_port)


def expected(found: list[Block]) -> list[list[str]]:
    """Return the lines that are expected of each shell block."""
    wanted: list[list[str]] = []
    for one in found:
        if one.language == "sh":
            wanted.append([])
        elif one.language == "text":
            wanted[-1] += [line for line in one.text.splitlines() if line.strip()]
    return wanted


@pytest.mark.long
def test_every_block_of_the_tutorial_runs_and_prints_what_the_page_shows(tmp_path: Path) -> None:
    """A newcomer who types the tutorial sees what the tutorial says."""
    found = blocks(_PAGE)
    port, control_port = str(free_port()), str(free_port())
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ROADWORTHY_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "ROADWORTHY_PORT": port,
        "ROADWORTHY_CONTROL_PORT": control_port,
        "GIT_AUTHOR_NAME": "You", "GIT_AUTHOR_EMAIL": "you@example.com",
        "GIT_COMMITTER_NAME": "You", "GIT_COMMITTER_EMAIL": "you@example.com",
        "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200",
    }  # fmt: skip
    bash = shutil.which("bash")
    assert bash is not None
    run = subprocess.Popen(
        [bash, "-c", script(found, port, control_port)], cwd=tmp_path, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        printed, _ = run.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        printed, _ = run.communicate()
    finally:
        # A block that fails leaves what the blocks before it started.
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGTERM)
    assert run.returncode == 0, printed
    for number, (lines, part) in enumerate(zip(expected(found), printed.split(_MARK), strict=True), start=1):
        missing = [line for line in lines if not any(pattern(line).search(said) for said in part.splitlines())]
        assert missing == [], f"block {number} printed:\n{part}"
