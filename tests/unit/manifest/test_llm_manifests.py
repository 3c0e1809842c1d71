"""Manifests of kind llm: pins and their terms, budgets, guards; what is wrong is named where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy import plugins
from roadworthy.domain.budget import Budget, Period, Whose
from roadworthy.domain.llm import chat_interface
from roadworthy.domain.pin import Pin, Price
from roadworthy.domain.system import Kind
from roadworthy.errors import ManifestError
from roadworthy.manifest import BUILT_IN, load_text
from roadworthy.manifest.catalogue import Catalogue
from roadworthy.manifest.defaults_llm_v1 import GUARD_PARAMETERS
from roadworthy.manifest.loader import load_text as load_with
from roadworthy.manifest.resolved import resolved
from roadworthy.stores.codec import to_json

HEAD = """\
roadworthy: 1
system: helper
kind: llm
owner: ana@example.com
decision: what to answer a customer
"""
BODY = """\
use: main
pins:
  main: {provider: openai, url: "https://api.example.com/v1", model: big, key: "env:BIG_KEY",
         price: {input: 1 USD, output: 4 USD}}
  spare: {provider: anthropic, url: "http://127.0.0.1:9", model: small, otherwise: pass, allows: [pii], region: eu,
          price: {input: 0.25 USD, output: 1.25 USD, cached_input: 0.03 USD, per_call: 0.001 USD}, lookup: true}
  local: {provider: gguf, file: small.gguf}
prompt: prompt.md
index: {files: "*.txt", words: 60, overlap: 10, top: 3, abstain: never}
baseline: passage
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with the files that the manifests name."""
    for name in ("prompt.md", "a.txt", "small.gguf", "tools.json", "answer.md", "model.onnx"):
        (tmp_path / name).write_text("text")
    (tmp_path / "chat.yaml").write_text("task: text\ninputs:\n  question: string\n  language: string [de, en]\n")
    (tmp_path / "other.yaml").write_text("task: regression\ninputs: {x: number}\n")
    return tmp_path


def findings(folder: Path, more: str = "", *, body: str = BODY, catalogue: Catalogue = BUILT_IN) -> list[str]:
    """Return what is wrong, as people read it."""
    with pytest.raises(ManifestError) as caught:
        load_with(HEAD + body + more, folder, catalogue)
    return [str(one) for one in caught.value.findings]


def test_a_whole_manifest_becomes_a_system(folder):
    """What is written is what is in force."""
    system = load_text(
        HEAD + BODY + "serve: {budgets: [20 USD per day, 1 USD per hour per key], cache: 5m}\n", folder, BUILT_IN
    )
    assert system.kind is Kind.LLM
    assert system.content.interface == chat_interface()
    plan = system.content.llm
    assert plan is not None
    assert [pin.name for pin in plan.pins] == ["local", "main", "spare"]
    assert plan.pin("nobody") is None
    assert plan.index is not None
    assert (plan.index.top, plan.index.abstain) == (3, None)
    assert system.policy.serve.fallback == ("local", "spare", "previous", "baseline", "default")
    assert system.policy.serve.budgets == (
        Budget(limit_micros=20_000_000),
        Budget(limit_micros=1_000_000, period=Period.HOUR, whose=Whose.KEY),
    )
    assert system.policy.keep.mask == ("pii", "secrets")
    assert [guard.name for guard in plan.guards] == ["canary", "limits"]


def test_terms_of_a_pin_are_policy_and_no_new_release(folder):
    """A new price or key changes what is paid, not what is released; a new model does."""
    before = load_text(HEAD + BODY, folder, BUILT_IN)
    dearer = load_text(
        HEAD + BODY.replace("input: 1 USD", "input: 2 USD").replace("BIG_KEY", "NEW_KEY"), folder, BUILT_IN
    )
    other = load_text(HEAD + BODY.replace("model: big", "model: bigger"), folder, BUILT_IN)
    assert dearer.content.digest == before.content.digest
    assert dearer.policy.digest != before.policy.digest
    assert other.content.digest != before.content.digest


def test_the_resolved_form_reads_back(folder):
    """What `plan` prints is a manifest with the same digests."""
    more = (
        "serve: {budgets: [20 USD per day], cap_per_call: 0.5 USD, tries: 3}\n"
        "guards: {egress: {hosts: [a.example]}, canary: off}\nkeep: {mask: []}\n"
    )
    system = load_text(HEAD + BODY + more, folder, BUILT_IN)
    again = load_text(to_json(resolved(system)), folder, BUILT_IN)
    assert again.content.digest == system.content.digest
    assert again.policy.digest == system.policy.digest


def test_a_local_model_may_come_from_an_installed_package(folder):
    """A package that ships a model need not be unpacked into the project; `build` looks for it."""
    body = BODY.replace("file: small.gguf", 'file: "package:small_model/small.gguf"')
    plan = load_text(HEAD + body, folder, BUILT_IN).content.llm
    assert plan is not None
    assert plan.pins[0].model == "small"


def test_an_interface_of_its_own(folder):
    """A prompt with more inputs has a file of typed ones."""
    system = load_text(HEAD + BODY + "interface: chat.yaml\ntools: tools.json\n", folder, BUILT_IN)
    assert [field.name for field in system.content.interface.inputs] == ["question", "language"]
    assert resolved(system)["interface"] == "interface.yaml"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("use: main", "use: mian"), "no pin called 'mian'"),
        (('key: "env:BIG_KEY"', "key: sk-abc"), "a secret is named, never written here"),
        (('url: "https://api.example.com/v1", ', ""), "pin 'main' has no url"),
        (("https://api.example.com", "https://me:secret@api.example.com"), "is not an address"),
        (("model: big,", ""), "pin 'main' names no model"),
        (("file: small.gguf", 'file: small.gguf, url: "https://a.example"'), "runs on this machine and has no url"),
        (("{provider: gguf, file: small.gguf}", "{provider: gguf}"), "pin 'local' has no file"),
        (("file: small.gguf", "file: small.bin"), "is not a .gguf file"),
        (("file: small.gguf", "file: gone.gguf"), "there is no such file"),
        (("model: big,", "model: big, file: small.gguf,"), "only a gguf pin has a file"),
        (("  local:", "  Local!:"), "is not a name for a pin"),
        (("  local:", "  default:"), "is not a name for a pin"),
        (("output: 4 USD", "output: 4 EUR"), "one price has one currency"),
        (("baseline: passage", "baseline: gone.md"), "there is no such file"),
        (("baseline: passage", "baseline: a.sql"), "is no baseline of kind llm"),
        (("baseline: passage\n", ""), "'baseline' is missing"),
        (("baseline: passage", "baseline:"), "baseline"),
        (("prompt: prompt.md\n", ""), "'prompt' is missing"),
        (("prompt: prompt.md", "prompt: ../prompt.md"), "stays inside the project's folder"),
        (('files: "*.txt"', 'files: "/etc/*"'), "stays inside the project's folder"),
        (('files: "*.txt"', 'files: ["*.rst"]'), "names no file of the project"),
        (("overlap: 10", "overlap: 60"), "cannot share as many words"),
        (("abstain: never", "abstain: never, embed: gone.onnx"), "there is no such file"),
    ],
)
def test_each_mistake_is_named(folder, change, message):
    """A finding says what is wrong and where."""
    found = findings(folder, body=BODY.replace(*change))
    assert any(message in one for one in found), found


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("serve: {fallback: [spaer]}\n", "no fallback called 'spaer'"),
        ("serve: {fallback: [spare, spare]}\n", "a fallback is named twice"),
        ("serve: {budgets: [plenty]}\n", "is not a budget"),
        ("serve: {budgets: [20 EUR per day]}\n", "is paid in USD and a budget is in EUR"),
        ("serve: {default: {text: 3}}\n", "text must be text"),
        ("serve: {default: {label: a}}\n", "is no output of a text task"),
        ("guards: {egres: {}}\n", "no guard called 'egres'"),
        ("guards: {egress: {host: a}}\n", "the guard 'egress' has no parameter 'host'"),
        ("interface: other.yaml\n", "an llm system answers with text"),
        ("interface: gone.yaml\n", "there is no such file"),
        ("data: {table: a.csv}\n", "kind llm has no 'data'"),
        ("code: [a.py]\n", "kind llm has no 'code'"),
    ],
)
def test_each_mistake_beside_the_pins_is_named(folder, more, message):
    """Serving, guards and interface are checked too."""
    found = findings(folder, more)
    assert any(message in one for one in found), found


def test_the_best_passage_needs_an_index(folder):
    """A baseline that quotes must have something to quote."""
    body = BODY.replace('index: {files: "*.txt", words: 60, overlap: 10, top: 3, abstain: never}\n', "")
    assert any("needs an index" in one for one in findings(folder, body=body))
    fixed = load_text(HEAD + body.replace("baseline: passage", "baseline: answer.md"), folder, BUILT_IN)
    assert fixed.content.baseline == "answer.md"
    assert fixed.content.llm is not None
    assert fixed.content.llm.index is None
    assert "index" not in resolved(fixed)


def test_a_waived_baseline_may_be_missing(folder):
    """Who answers for it and until when is on the record."""
    waiver = "waivers: [{gate: baseline, by: ana, why: none yet, until: 2099-01-01}]\n"
    assert load_text(HEAD + BODY.replace("baseline: passage\n", "") + waiver, folder, BUILT_IN).content.baseline == ""


def test_an_unknown_price_is_refused_under_a_budget_unless_a_call_is_capped(folder):
    """No cap can hold over what nobody can price."""
    body = BODY.replace(
        """,
         price: {input: 1 USD, output: 4 USD}""",
        "",
    )
    assert any(
        "what 'main' costs is not known" in one
        for one in findings(folder, "serve: {budgets: [20 USD per day]}\n", body=body)
    )
    capped = load_text(HEAD + body + "serve: {budgets: [20 USD per day], cap_per_call: 0.01 USD}\n", folder, BUILT_IN)
    assert capped.policy.serve.cap_per_call_micros == 10_000
    assert resolved(capped)["serve"]["cap_per_call"] == "0.01 USD"


def test_a_known_price_need_not_be_stated(folder):
    """The list of prices is asked for a pin without one, and never for a model on this machine."""
    asked: list[str] = []

    def price_of(pin: Pin) -> Price | None:
        asked.append(pin.name)
        return Price(input=7, output=9, version="list 1")

    catalogue = Catalogue.of(
        gates=BUILT_IN.gates, monitors=BUILT_IN.monitors, actions=BUILT_IN.actions, runtimes=BUILT_IN.runtimes,
        guards=BUILT_IN.guards, price_of=price_of,
    )  # fmt: skip
    body = BODY.replace(
        """,
         price: {input: 1 USD, output: 4 USD}""",
        "",
    )
    system = load_with(HEAD + body, folder, catalogue)
    terms = {one.name: one for one in system.policy.pins}
    assert asked == ["main"]
    assert terms["main"].price == Price(input=7, output=9, version="list 1")
    assert terms["local"].price is not None
    assert terms["local"].price.input == 0


def test_keys_of_kind_llm_are_refused_in_a_model(folder):
    """A key that nothing enforces is a mistake."""
    (folder / "interface.yaml").write_text("task: regression\ninputs: {x: number}\n")
    body = "use: model.onnx\ndata: {table: a.csv, target: y}\nbaseline: b.sql\nprompt: prompt.md\n"
    text = (HEAD + body).replace("kind: llm", "kind: model")
    with pytest.raises(ManifestError, match="'prompt' belongs to kind llm"):
        load_text(text, folder, BUILT_IN)


@pytest.mark.parametrize("name", sorted(GUARD_PARAMETERS))
def test_the_frozen_defaults_of_guards_are_those_in_force(name):
    """A manifest is read without loading a guard, so its defaults are written down twice."""
    assert dict(plugins.load("guards", name).defaults) == GUARD_PARAMETERS[name]
