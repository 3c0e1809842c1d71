"""The reference pages of gates and monitors say what is installed, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from roadworthy import plugins
from roadworthy.manifest.catalogue import GATE_PARAMETERS
from roadworthy.manifest.conditions import parse

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PARAMETER = re.compile(r"^\| `(\w+)` \| ([^|]+) \|", re.MULTILINE)


@pytest.mark.parametrize("group", ["gates", "monitors"])
def test_every_installed_plugin_has_a_page_and_every_page_a_plugin(group: str) -> None:
    """A page of something that is gone misleads; something without a page cannot be reviewed."""
    assert sorted(page.stem for page in (REFERENCE / group).glob("*.md")) == sorted(plugins.names(group))


@pytest.mark.parametrize("gate", plugins.names("gates"))
def test_a_gate_page_lists_its_parameters_with_their_defaults(gate: str) -> None:
    """What the page says is in force is what the code has in force."""
    told = dict(PARAMETER.findall((REFERENCE / "gates" / f"{gate}.md").read_text()))
    assert sorted(told) == sorted(GATE_PARAMETERS[gate])
    for name, default in GATE_PARAMETERS[gate].items():
        shown = told[name].strip()
        if isinstance(default, list):
            assert shown == ", ".join(f"`{one}`" for one in default)
        else:
            assert float(shown) == default if isinstance(default, int | float) else shown == "none"


@pytest.mark.parametrize("gate", plugins.names("gates"))
def test_a_gate_page_says_what_each_verdict_means_and_shows_one(gate: str) -> None:
    """An owner who is refused finds the sentence on the page."""
    page = (REFERENCE / "gates" / f"{gate}.md").read_text()
    assert all(f"**{state}**" in page for state in ("pass", "fail", "inconclusive"))
    assert re.search(rf"^    {gate}: (pass|fail|inconclusive) \(", page, re.MULTILINE)


@pytest.mark.parametrize("monitor", plugins.names("monitors"))
def test_a_monitor_page_shows_a_condition_that_parses(monitor: str) -> None:
    """What can be copied from the page can be put into a manifest."""
    page = (REFERENCE / "monitors" / f"{monitor}.md").read_text()
    example = re.search(r"^    when: (.+)$", page, re.MULTILINE)
    assert example is not None
    assert parse(example[1]).monitor == monitor
