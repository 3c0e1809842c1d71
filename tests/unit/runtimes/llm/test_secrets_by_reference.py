"""Secrets are named in the manifest and read when they are used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roadworthy.ports.chat import ProviderTrouble, Trouble
from roadworthy.runtimes.llm.secrets import Secrets


def test_a_secret_comes_from_the_environment_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both references give the key without the blanks around it."""
    monkeypatch.setenv("MY_KEY", " sk-1\n")
    (tmp_path / "key").write_text("sk-2\n")
    secrets = Secrets(tmp_path)
    assert secrets("env:MY_KEY") == "sk-1"
    assert secrets("file:key") == "sk-2"
    assert secrets(f"file:{tmp_path}/key") == "sk-2"


def test_a_rotated_secret_is_seen(tmp_path: Path) -> None:
    """A key that was replaced on disk is the one of the next call."""
    path = tmp_path / "key"
    path.write_text("old")
    secrets = Secrets(tmp_path)
    assert secrets("file:key") == "old"
    path.write_text("new")
    os.utime(path, ns=(1, 1))
    assert secrets("file:key") == "new"


@pytest.mark.parametrize("reference", ["env:NOT_THERE", "file:not/there", "sk-abcdef", "env:", "file:.", "file:odd"])
def test_a_missing_secret_is_a_trouble_of_its_own(reference: str, tmp_path: Path) -> None:
    """Without its key a provider is not asked, and the message names the reference only."""
    (tmp_path / "odd").write_text("sk-1\nsk-2: injected")
    with pytest.raises(ProviderTrouble) as caught:
        Secrets(tmp_path)(reference)
    assert caught.value.trouble is Trouble.NO_SECRET
    assert "injected" not in str(caught.value)


def test_a_kept_secret_does_not_show(tmp_path: Path) -> None:
    """Nothing that prints the reader prints a key."""
    (tmp_path / "key").write_text("sk-2")
    secrets = Secrets(tmp_path)
    secrets("file:key")
    assert "sk-2" not in repr(secrets)
