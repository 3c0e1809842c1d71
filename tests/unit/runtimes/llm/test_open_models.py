"""From a pin to what speaks to it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from roadworthy.domain.pin import Pin, Provider
from roadworthy.errors import PluginError
from roadworthy.runtimes.llm.models import open_model


@pytest.mark.parametrize("provider", Provider)
def test_every_provider_has_its_model(provider: Provider, tmp_path: Path) -> None:
    """One line of the manifest decides who is asked, and opening a pin reaches nobody yet."""
    pin = Pin(name="p", provider=provider, model="m", artifact="sha256:ab")
    assert open_model(pin, secret=str, sockets=tmp_path).pin is pin


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever lacks the optional parts is told what to install."""
    monkeypatch.setitem(sys.modules, "roadworthy.runtimes.llm.openai", None)
    with pytest.raises(PluginError, match=r"roadworthy\[llm\]"):
        open_model(Pin(name="p", provider=Provider.OPENAI, model="m"), secret=str, sockets=tmp_path)
