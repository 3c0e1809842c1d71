"""People and keys through the command line, as their home's administrator types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from roadworthy.stores.home import create


class Desk:
    """A home and the commands typed in it."""

    def __init__(self, folder: Path) -> None:
        create(folder / ".roadworthy")
        self.folder = folder

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one command."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ROADWORTHY_")}
        return subprocess.run(
            [sys.executable, "-m", "roadworthy", *words], cwd=self.folder, env=environment, text=True,
            capture_output=True, check=False,
        )  # fmt: skip

    def ask(self, *words: str) -> Any:
        """Run one command and read what it printed."""
        done = self.type(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a new home."""
    return Desk(tmp_path)


def test_someone_who_left_is_listed_as_gone_and_their_keys_open_nothing(desk: Desk) -> None:
    """Leaving is one command, and ends every key at once; so is coming back."""
    desk.ask("people", "put", "ben", "--contact", "ben@example.com")
    key = desk.ask("keys", "create", "ben", "--scopes", "admin")["key"]
    assert desk.ask("people", "list") == [
        {"principal": "ben", "kind": "person", "state": "here", "contact": "ben@example.com"}
    ]
    desk.ask("people", "gone", "ben", "--reason", "moved")
    assert desk.ask("people", "list")[0]["state"] == "left"
    refused = desk.type("keys", "create", "ben")
    assert refused.returncode == 2
    assert "roadworthy people back ben" in refused.stderr
    desk.ask("people", "back", "ben")
    assert desk.ask("people", "list")[0]["state"] == "here"
    assert "ben@example.com" not in desk.type("ledger", "show").stdout
    assert key not in desk.type("ledger", "show").stdout


def test_keys_are_listed_without_their_secrets(desk: Desk) -> None:
    """Who looks after keys sees whose they are, what they open and when they end."""
    made = desk.ask("keys", "create", "ben", "--systems", "flights", "--days", "90")
    listed = desk.type("keys", "list")
    assert listed.returncode == 0
    assert made["id"] in listed.stdout
    assert "flights" in listed.stdout
    assert made["key"].rpartition("_")[2] not in listed.stdout
    desk.ask("keys", "revoke", made["id"], "--reason", "rotated")
    assert "revoked" in desk.type("keys", "list").stdout


def test_a_name_that_nobody_has_is_met_with_the_nearest_one(desk: Desk) -> None:
    """A slip of the pen is no new person."""
    desk.ask("people", "put", "benjamin")
    done = desk.type("people", "gone", "benjamim")
    assert done.returncode == 1
    assert "did you mean 'benjamin'?" in done.stderr
    assert "Traceback" not in done.stderr
