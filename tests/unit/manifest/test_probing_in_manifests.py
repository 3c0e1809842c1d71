"""Manifests of kind llm say how often pins are probed, what that may cost, and with which prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.domain.budget import Budget
from roadworthy.domain.moment import HOUR, MINUTE
from roadworthy.domain.system import System
from roadworthy.errors import ManifestError
from roadworthy.manifest import BUILT_IN, load_text
from roadworthy.manifest.resolved import resolved
from roadworthy.stores.codec import to_json

HEAD = """\
roadworthy: 1
system: helper
kind: llm
owner: ana@example.com
decision: what to answer a customer
use: main
prompt: prompt.md
baseline: answer.md
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with the files that the manifests name."""
    for name in ("prompt.md", "answer.md", "probes.txt", "small.gguf"):
        (tmp_path / name).write_text("text")
    return tmp_path


def pins(currency: str = "USD", more: str = "", spare: str = "") -> str:
    """Describe a pin that is paid in this currency, a local one, and perhaps a third."""
    price = f"price: {{input: 1 {currency}, output: 4 {currency}}}"
    main = f"{{provider: openai, url: 'https://api.example.com/v1', model: big, {price}{more}}}"
    return f"pins:\n  main: {main}\n  local: {{provider: gguf, file: small.gguf}}\n{spare}"


def loaded(folder: Path, text: str) -> System:
    """Load a manifest."""
    return load_text(HEAD + text, folder, BUILT_IN)


def findings(folder: Path, text: str) -> str:
    """Return what is wrong."""
    with pytest.raises(ManifestError) as caught:
        loaded(folder, text)
    return "\n".join(str(one) for one in caught.value.findings)


def test_pins_are_probed_without_a_word_in_the_manifest(folder):
    """Every six hours, for ten cents a day, in the currency of the pins' prices."""
    watch = loaded(folder, pins()).policy.watch
    assert (watch.probe_every, watch.probe_budget) == (6 * HOUR, Budget(limit_micros=100_000))
    assert loaded(folder, pins("EUR")).policy.watch.probe_budget == Budget(limit_micros=100_000, currency="EUR")


def test_what_is_said_of_probing_holds_and_reads_back(folder):
    """The resolved form is a manifest of the same system."""
    text = pins(more=", probes: probes.txt") + "watch: {probe_every: 30m, probe_budget: 1 USD per day}\n"
    system = loaded(folder, text)
    assert system.policy.watch.probe_every == 30 * MINUTE
    assert system.policy.watch.probe_budget == Budget(limit_micros=1_000_000)
    assert system.content.llm is not None
    assert [pin.probe_file for pin in system.content.llm.pins if pin.name == "main"] == ["probes.txt"]
    again = load_text(to_json(resolved(system)).decode(), folder, BUILT_IN)
    assert (again.policy.digest, again.content.digest) == (system.policy.digest, system.content.digest)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (pins() + "watch: {probe_every: 10ms}\n", "at least a second apart"),
        (pins() + "watch: {probe_budget: 1 USD per hour}\n", "said per day"),
        (pins() + "watch: {probe_budget: 1 USD per day per key}\n", "said per day"),
        (pins("EUR") + "watch: {probe_budget: 1 USD per day}\n", "pins are paid in EUR, and probing in USD"),
        (pins(more=", probes: nowhere.txt"), "there is no such file"),
        (
            pins("EUR", spare="  other: {provider: openai, url: 'https://b.example.com/v1', model: m, "
                 "price: {input: 1 USD, output: 1 USD}}\n"),
            "pins are paid in EUR and USD",
        ),
    ],
)  # fmt: skip
def test_what_cannot_hold_is_a_finding(folder, text, told):
    """Each with its place and what would be right."""
    assert told in findings(folder, text)


def test_kind_model_has_no_pins_to_probe(folder):
    """A key that nothing enforces is an error."""
    text = HEAD.replace("kind: llm", "kind: model") + "watch: {probe_every: 1h}\n"
    with pytest.raises(ManifestError) as caught:
        load_text(text, folder, BUILT_IN)
    assert "only kind llm has pins to probe" in "\n".join(str(one) for one in caught.value.findings)
