"""Stages as people write them, upgrades of old manifests, and the exported schema."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.domain.rollout import Stage, StagePlan
from roadworthy.errors import ManifestError
from roadworthy.manifest import BUILT_IN, defaults_v1, json_schema, load_text, resolved, upgrade
from roadworthy.manifest.stages import parse_stage, spell_stage

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize(
    ("written", "plan"),
    [
        ("full", StagePlan(stage=Stage.FULL, share=1.0)),
        ({"shadow": "200 records"}, StagePlan(stage=Stage.SHADOW, share=1.0, records=200)),
        ({"shadow": "5% for 1,000 records"}, StagePlan(stage=Stage.SHADOW, share=0.05, records=1000)),
        (
            {"canary": "10% for 500 records and 100 outcomes"},
            StagePlan(stage=Stage.CANARY, share=0.1, records=500, outcomes=100),
        ),
        (
            {"canary": "10%, 1 record, 1 outcome, 2h"},
            StagePlan(stage=Stage.CANARY, share=0.1, records=1, outcomes=1, hold=7_200_000_000),
        ),
        ({"canary": "1h and 50%"}, StagePlan(stage=Stage.CANARY, share=0.5, hold=3_600_000_000)),
    ],
)
def test_stages_are_read_as_they_are_said(written, plan):
    """A stage says its share and what ends it."""
    assert parse_stage(written) == plan


@given(
    st.builds(
        StagePlan,
        stage=st.sampled_from((Stage.SHADOW, Stage.CANARY)),
        share=st.integers(1, 99).map(lambda percent: percent / 100),
        records=st.integers(1, 10**9),
        outcomes=st.integers(0, 10**9),
        hold=st.integers(0, 10**12),
    )
)
def test_a_stage_reads_back_from_its_own_words(plan):
    """What a plan prints is what the rollout does."""
    assert parse_stage(spell_stage(plan)) == plan


def test_the_newest_version_stays_as_it_is():
    """Upgrading twice is upgrading once, and comments stay."""
    text = "roadworthy: 1  # first\nsystem: x\n"
    assert upgrade(text).text == text
    assert upgrade(text).changes == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("roadworthy: 2\n", "newer than this roadworthy"),
        ("roadworthy: 0\n", "there is no schema version 0"),
        ("roadworthy: true\n", "there is no schema version True"),
        ("roadworthy: one\n", "there is no schema version one"),
        ("system: x\n", "the schema version is missing"),
        ("- x\n", "must hold keys and values"),
        ("", "the file is empty"),
    ],
)
def test_an_unknown_version_is_a_clear_error(text, message):
    """A manifest from the future is not guessed at."""
    with pytest.raises(ManifestError) as caught:
        upgrade(text)
    assert message in str(caught.value)


def test_the_exported_schema_is_the_one_in_force():
    """Editors check manifests with the file in the docs, so it is never behind."""
    exported = json.loads((REFERENCE / "manifest.schema.json").read_text())
    assert exported == json.loads(json.dumps(json_schema()))


def _keys(schema: dict, every: dict, path: str = "") -> set[str]:
    """Name each key of a schema whose named parts are `every`; building the schema is slow, so it is handed in."""
    if "$ref" in schema:
        return _keys(every[schema["$ref"].rsplit("/", 1)[1]], every, path)
    found: set[str] = set()
    for option in schema.get("anyOf", []):
        found |= _keys(option, every, path)
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            found |= _keys(inner, every, f"{path}…." if path else path)
    for name, inner in schema.get("properties", {}).items():
        found |= {f"{path}{name}"} | _keys(inner, every, f"{path}{name}.")
    return found


def test_every_key_of_the_schema_is_on_the_reference_page():
    """Whoever looks a key up finds it."""
    page = (REFERENCE / "manifest.md").read_text()
    schema = json_schema()
    keys = _keys(schema, schema["$defs"])
    assert {"system", "watch.window", "pins.….model"} <= keys
    missing = sorted(key for key in keys if f"`{key}`" not in page)
    assert missing == []


def test_every_key_has_a_description():
    """An editor that shows the schema explains each key."""

    def check(schema: dict) -> None:
        for inner in (*schema.get("anyOf", []), *schema.get("$defs", {}).values()):
            check(inner)
        for name, inner in schema.get("properties", {}).items():
            assert inner.get("description") or "$ref" in inner, name

    check(json_schema())


def test_the_schema_speaks_the_manifest_s_own_units():
    """Defaults in the schema are spelled as one would write them."""
    assert json_schema()["$defs"]["WatchShape"]["properties"]["window"]["default"] == "5m"
    assert json_schema()["$defs"]["FailureShape"]["anyOf"][1]["properties"]["cool_down"]["default"] == "1h"
    assert json_schema()["properties"]["roadworthy"]["const"] == 1


def _examples() -> list[str]:
    page = (REFERENCE / "manifest.md").read_text()
    return re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)


def test_every_example_on_the_page_is_legal(folder, minimal):
    """What one copies from the page works."""
    smallest, *examples, interface = _examples()
    (folder / "interface.yaml").write_text(interface)
    assert load_text(smallest, folder, BUILT_IN).name == "flights"
    (folder / "features").mkdir()
    for name in ("models/small.gguf", "prompt.md", "docs/a.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("text")
    for example in examples:
        keys = set(re.findall(r"^(\w+):", example, flags=re.MULTILINE))
        keys |= {"data"} if "pins" in keys else set()
        rest = "".join(line for line in minimal.splitlines(keepends=True) if line.split(":")[0] not in keys)
        load_text(rest + example, folder, BUILT_IN)


def test_the_defaults_on_the_page_are_those_in_force(folder, minimal):
    """The page says what `plan` would print."""
    page = (REFERENCE / "manifest.md").read_text()
    for tier in defaults_v1.TIERS.values():
        for stage in tier.rollout:
            spelled = spell_stage(stage)
            assert (spelled if isinstance(spelled, str) else ": ".join(*spelled.items())) in page
        assert all(f"`{text}" in page for text in tier.objectives.values() if "{" not in text)
    for gate, parameters in defaults_v1.GATE_PARAMETERS.items():
        rows = (f"| `{gate}` | all |", f"| `{gate}` | standard, high |")
        line = next(line for line in page.splitlines() if line.startswith(rows))
        assert all(f"`{name}" in line for name in parameters)
    serve = resolved(load_text(minimal, folder, BUILT_IN))["serve"]
    for key in ("deadline", "max_in_flight", "max_body", "on_violation"):
        line = next(line for line in page.splitlines() if line.startswith(f"| `serve.{key}` |"))
        assert f"`{serve[key]}`" in line
