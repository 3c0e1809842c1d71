"""What one locked set installs, another may not replace: `make demo-llm` after `make demo` leaves it as it was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[3] / "requirements"
WHOLE = "dev"


def locked(name: str) -> set[tuple[str, str]]:
    """Return the names and versions of a set."""
    return set(re.findall(r"^([a-z0-9.-]+)==(\S+)", (REQUIREMENTS / f"{name}.txt").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", ["base", "demo", "demo-llm"])
def test_each_set_holds_the_versions_of_the_whole_one(name):
    """With other versions the set that comes second would break what the first one brought."""
    own = locked(name)
    assert len(own) > 20
    assert own <= locked(WHOLE)
