"""What the smallest manifest means, and what each section changes."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.domain.failure_plan import ActionKind
from roadworthy.domain.interface import Task
from roadworthy.domain.moment import DAY, parse_iso
from roadworthy.domain.objective import Light
from roadworthy.domain.rollout import Stage
from roadworthy.domain.system import OnViolation, Tier
from roadworthy.errors import ManifestError
from roadworthy.manifest import BUILT_IN, Catalogue, defaults_v1, load, load_text, resolved

CAREFUL = """\
owner: {name: ana, contact: ana@example.com, backup: ben@example.com}
decision: {what: whom to call, tier: TIER, sponsor: eva@example.com, cost_of_failure: 1000 EUR}
"""

EVERYTHING = """\
code: [train.py]
seed: 7
parameters: {depth: 3, name: gbm, fast: true, rate: 0.5, none: null}
trust: [my.Type, a.Type]
goals: {G1: {text: "fewer `late` calls", measured_by: [quality, latency]}}
non_goals: {N1: {text: no firing, purpose: staffing}, N2: no pricing}
assumptions: {A1: {text: calm weather, when: drift(temp) > 0.2 for 1d}}
glossary: {late: more than 15 minutes after schedule}
gates: {latency: {p99_ms: 20ms}, quality: {metric: auc, at_least: 0.7}}
serve:
  deadline: 100ms
  max_in_flight: 8
  max_body: 64KiB
  on_violation: flag
  default: {probability: 0.2, label: late}
  breaker: {errors: 30%, window: 10, cool_down: 1m}
  fallback: [baseline, default]
rollout: [shadow: 200 records, canary: 10% for 500 records and 100 outcomes, full]
watch: {objectives: {errors: errors > 2% for 5m, quality: quality > 0.4}, window: 10m, drift_window: 14d}
failure:
  rules: [{when: quality, do: [stop, page]}, {when: auc < 0.6 for 2d, do: [fallback]}]
  cool_down: 2h
  pager: [https://pager.example.com/hook, file:pages.jsonl]
  runbook: https://example.com/runbook
keep: {payload: false}
waivers: [{gate: skew, by: ana, why: no training path, until: 2026-12-31}]
"""


def test_the_smallest_manifest_has_at_most_twelve_lines(read):
    """Eight lines name what only people know; every other key has a default."""
    system = read()
    assert (system.name, system.kind, system.content.use) == ("flights", "model", "model.skops")
    assert system.policy.owner.principal == "ana"
    assert system.policy.owner.contact == "ana@example.com"
    assert system.policy.decision.tier is Tier.LOW
    assert system.content.data.target == "late"


def test_the_default_failure_plan_needs_no_code(read):
    """Without a word on failure, a bad model is rolled back and a person is paged."""
    plan = read().policy.failure
    do = {rule.objective: rule.do for rule in plan.rules}
    assert do["harm"] == do["errors"] == do["latency"] == (ActionKind.ROLLBACK, ActionKind.PAGE)
    assert do["outcomes"] == do["violations"] == (ActionKind.PAGE,)
    assert plan.pager


def test_input_drift_never_rolls_back_by_default(read):
    """Drift alone says that the world moved, not that the answers are wrong."""
    for tier in ("low", "standard", "high"):
        text = _careful(tier)
        do = {rule.objective: rule.do for rule in read(text=text).policy.failure.rules}
        assert ActionKind.ROLLBACK not in do["drift"]
        assert (ActionKind.PAGE in do["drift"]) is (tier != "low")


def _careful(tier: str) -> str:
    return (
        "roadworthy: 1\nsystem: flights\nkind: model\nuse: model.skops\nbaseline: baseline.sql\n"
        "data: {table: flights.parquet, target: late}\n" + CAREFUL.replace("TIER", tier)
    )


def test_defaults_scale_with_the_tier(read):
    """The more depends on a decision, the slower a release takes traffic."""
    low, standard, high = (read(text=_careful(tier)).policy for tier in ("low", "standard", "high"))
    assert [stage.stage for stage in low.rollout] == [Stage.CANARY, Stage.FULL]
    assert standard.rollout[0].stage is high.rollout[0].stage is Stage.SHADOW
    assert sum(s.records for s in low.rollout) < sum(s.records for s in standard.rollout)
    assert sum(s.records for s in standard.rollout) < sum(s.records for s in high.rollout)
    assert {gate.name for gate in low.gates} < {gate.name for gate in standard.gates}


def test_default_objectives_watch_monitors_that_exist():
    """Nothing is promised that no monitor measures."""
    for tier in defaults_v1.TIERS.values():
        for text in tier.objectives.values():
            assert text.replace("no_data(", "").split(")")[0].split(" ")[0] in defaults_v1.MONITORS
        assert {rule.objective for rule in tier.rules} == set(tier.objectives)


def test_every_section_reaches_the_system(read):
    """What the manifest says is what the system is."""
    system = read(EVERYTHING)
    content, policy = system.content, system.policy
    assert content.code == ("train.py",)
    assert (content.seed, content.trusted_types) == (7, ("a.Type", "my.Type"))
    assert content.parameters == {"depth": 3, "name": "gbm", "fast": True, "rate": 0.5, "none": None}
    assert policy.goals[0].measured_by == ("latency", "quality")
    assert [goal.purpose for goal in policy.non_goals] == ["staffing", ""]
    assert policy.assumptions[0].objective == "A1"
    objectives = {objective.name: objective for objective in policy.watch.objectives}
    assert objectives["A1"].assumption == "A1"
    assert str(objectives["A1"].when) == "drift(temp) > 0.2 for 1d"
    assert objectives["quality"].goal == "G1"
    assert objectives["quality"].light is Light.DECISION
    assert objectives["errors"].light is Light.OPERATIONS
    assert str(objectives["errors"].when) == "errors > 0.02 for 5m"
    assert objectives["latency"].when.threshold == 100
    assert objectives["auc < 0.6 for 2d"].when.grace == 2 * DAY
    gates = {gate.name: gate.parameters for gate in policy.gates}
    assert gates["latency"]["p99_ms"] == 20
    assert (gates["quality"]["metric"], gates["quality"]["at_least"]) == ("auc", 0.7)
    serve = policy.serve
    assert (serve.deadline_ms, serve.max_in_flight, serve.max_body_bytes) == (100, 8, 65_536)
    assert serve.on_violation is OnViolation.FLAG
    assert serve.stated_default == {"probability": 0.2, "label": "late"}
    assert (serve.breaker_errors, serve.breaker_window, serve.breaker_cool_down) == (0.3, 10, 60_000_000)
    assert serve.fallback == ("baseline", "default")
    assert [(s.stage, s.share, s.records, s.outcomes) for s in policy.rollout] == [
        ("shadow", 1.0, 200, 0),
        ("canary", 0.1, 500, 100),
        ("full", 1.0, 0, 0),
    ]
    assert (policy.watch.window, policy.watch.drift_window) == (600_000_000, 14 * DAY)
    assert policy.failure.rules[0].objective == "quality"
    assert policy.failure.rules[0].do == (ActionKind.STOP, ActionKind.PAGE)
    assert policy.failure.rules[-1].objective == "A1"
    assert policy.failure.runbook == "https://example.com/runbook"
    assert policy.keep.payload is False
    assert policy.waivers[0].until == parse_iso("2026-12-31")


def test_a_training_script_is_part_of_the_recipe(read):
    """A prototype that is code is code of the recipe without being told."""
    assert read("use: train.py\n", without="use").content.code == ("train.py",)


@pytest.mark.parametrize("tier", ["low", "standard", "high"])
@pytest.mark.parametrize("more", ["", EVERYTHING])
def test_the_resolved_form_reads_back_as_the_same_system(read, tier, more):
    """What `plan` prints is a manifest: every default in it, none lost, none changed."""
    system = read(more, text=_careful(tier))
    text = yaml.safe_dump(resolved(system), sort_keys=False, allow_unicode=True)
    again = read(text=text)
    assert again == system
    assert again.policy.digest == system.policy.digest


def test_digests_do_not_depend_on_comments_order_or_spelling(read):
    """Two spellings of one meaning are one policy and one content."""
    text = (
        "# a comment\nbaseline: 'baseline.sql'\nuse: \"model.skops\"\nkind: model\nsystem: flights\nroadworthy: 1\n"
        "data:\n  target: late\n  table: flights.parquet\n  holdout: 0.20\n"
        "decision:\n  what: whom to call before the flight\n  tier: low\nowner:\n  contact: ana@example.com\n"
        "serve: {deadline: 0.25s}   # the default\nkeep: {payload: true}\nwatch: {harm_margin: 0.05}\n"
    )
    one, other = read(), read(text=text)
    assert one.content.digest == other.content.digest
    assert one.policy.digest == other.policy.digest


@pytest.mark.parametrize(
    ("more", "without", "which"),
    [
        ("serve: {deadline: 251ms}\n", "", "policy"),
        ("glossary: {late: x}\n", "", "policy"),
        ("owner: ben@example.com\n", "owner", "policy"),
        ("seed: 1\n", "", "content"),
        ("use: model.onnx\n", "use", "content"),
    ],
)
def test_digests_depend_on_every_meaning(read, more, without, which):
    """One changed meaning is another revision, of its own half only."""
    one, other = read(), read(more, without=without)
    assert (one.policy.digest != other.policy.digest) is (which == "policy")
    assert (one.content.digest != other.content.digest) is (which == "content")


@pytest.mark.parametrize(
    ("owner", "backup", "contact"),
    [
        ("{contact: ana@x.com}", "", ""),
        ("{contact: ana@x.com, backup: ben@x.com}", "ben", "ben@x.com"),
        ("{contact: ana@x.com, backup: ben}", "ben", ""),
        ("{contact: ana@x.com, backup: ben, backup_contact: b@x.com}", "ben", "b@x.com"),
        ("{contact: ana@x.com, backup_contact: ben@x.com}", "ben", "ben@x.com"),
        ("{contact: ana@x.com, backup: 'https://hook.example.com'}", "flights-team", "https://hook.example.com"),
        ("{contact: ana@x.com, backup_contact: 'file:team.jsonl'}", "flights-team", "file:team.jsonl"),
    ],
)
def test_a_backup_is_a_person_or_the_team_s_address(read, owner, backup, contact):
    """Whoever is paged when the owner is gone has an id in the ledger and a contact beside it."""
    found = read(f"owner: {owner}\n", without="owner").policy.owner
    assert (found.backup, found.backup_contact) == (backup, contact)


def test_contacts_are_no_part_of_the_policy(read):
    """Where people are reached can be erased, so no digest may rest on it."""
    one = read("owner: {name: ana, contact: a@example.com}\n", without="owner")
    other = read("owner: {name: ana, contact: b@example.com}\n", without="owner")
    assert one.policy.digest == other.policy.digest
    assert one.policy.for_ledger.owner.contact == ""


def test_load_reads_a_file_or_the_manifest_of_a_folder(folder):
    """A path to either is enough, and findings name the file."""
    text = (
        "roadworthy: 1\nsystem: flights\nkind: model\nowner: a@example.com\ndecision: x\nuse: model.skops\n"
        "data: {table: t.csv, target: late}\nbaseline: baseline.sql\n"
    )
    (folder / "system.yaml").write_text(text)
    assert load(folder, BUILT_IN) == load(folder / "system.yaml", BUILT_IN)
    (folder / "system.yaml").write_text(text + "extra: 1\n")
    with pytest.raises(ManifestError) as caught:
        load(folder, BUILT_IN)
    assert caught.value.findings[0].file == "system.yaml"


def test_a_manifest_that_is_not_there_is_one_clear_message(tmp_path):
    """A missing or unreadable file ends in a finding, not in a traceback."""
    with pytest.raises(ManifestError, match="No such file"):
        load(tmp_path / "system.yaml", BUILT_IN)
    with pytest.raises(ManifestError, match="roadworthy init"):
        load(tmp_path, BUILT_IN)


def test_a_folder_as_the_interface_is_one_clear_message(folder, findings):
    """A path that is no file is named with its line."""
    found = findings("interface: sub\n")
    assert found[0].line == 9
    assert "no such file" in found[0].message


def test_an_interface_that_may_not_be_read_is_one_clear_message(folder, findings, monkeypatch):
    """Missing rights end in a finding."""

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "cannot be read (Permission denied)" in findings()[0].message


def test_a_third_party_gate_brings_its_own_parameters(folder):
    """A plug-in is configured like a built-in gate: by its defaults, with types."""
    own = {"fairness": {"groups": ["sex"], "ratio": 0.8, "strict": True, "seconds": 3.0, "n": 5, "label": "x"}}
    catalogue = Catalogue.of(
        gates={**{name: {} for name in BUILT_IN.gates}, **own},
        monitors=BUILT_IN.monitors,
        actions=BUILT_IN.actions,
        runtimes=BUILT_IN.runtimes,
    )
    text = (
        "roadworthy: 1\nsystem: f\nkind: model\nowner: a@example.com\ndecision: x\nuse: model.skops\n"
        "data: {table: t.csv, target: late}\nbaseline: baseline.sql\n"
    )
    stated = "gates: {fairness: {ratio: 90%, strict: false, seconds: 500ms, n: 7, label: y, groups: [a, b]}}\n"
    plans = {gate.name: gate.parameters for gate in load_text(text + stated, folder, catalogue).policy.gates}
    assert plans["fairness"] == {
        "groups": ["a", "b"],
        "label": "y",
        "n": 7,
        "ratio": 0.9,
        "seconds": 0.5,
        "strict": False,
    }
    assert plans["latency"]["p99_ms"] == 50
    for bad in ("ratio: x", "strict: 1", "seconds: x", "n: true", "n: 1.5", "label: 3", "groups: a"):
        with pytest.raises(ManifestError):
            load_text(f"{text}gates: {{fairness: {{{bad}}}}}\n", folder, catalogue)


def test_a_gate_without_parameters_is_added_by_its_name_alone(read):
    """`quality:` puts a gate in force with its defaults."""
    for spelling in ("gates: {quality: }\n", "gates: {quality: {}}\n", "gates: {quality: true}\n"):
        assert "quality" in {gate.name for gate in read(spelling).policy.gates}


def test_a_catalogue_of_names_takes_the_frozen_parameters():
    """Wiring may know gates by name only."""
    catalogue = Catalogue.of(gates=["latency", "other"], monitors=[], actions=[], runtimes=[])
    assert catalogue.gates["latency"]["p99_ms"] == 50
    assert catalogue.gates["other"] == {}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.permutations(EVERYTHING.splitlines()[:9]))
def test_the_order_of_sections_means_nothing(read, lines):
    """Sections may stand in any order."""
    rest = "\n".join(EVERYTHING.splitlines()[9:]) + "\n"
    shuffled = read("\n".join(lines) + "\n" + rest)
    assert shuffled.policy.digest == read(EVERYTHING).policy.digest


def test_a_task_decides_what_a_stated_default_may_be(folder, read, findings):
    """The last fallback answers like the model would."""
    assert read("serve: {default: {probability: 1, label: late}}\n").content.interface.task is Task.BINARY
    wrong = {
        "{probability: 2, label: late}": "[0, 1]",
        "{probability: x, label: late}": "must be a number",
        "{probability: true, label: late}": "must be a number",
        "{probability: 0.5, label: never}": "must be one of",
        "{probability: 0.5}": "lacks 'label'",
        "{probability: 0.5, label: late, value: 1}": "no output",
    }
    for text, message in wrong.items():
        assert message in " ".join(str(one) for one in findings(f"serve: {{default: {text}}}\n"))


def test_links_out_of_the_folder_are_refused(folder, findings, tmp_path_factory):
    """A path stays inside the project, also through a link."""
    outside = tmp_path_factory.mktemp("outside") / "model.skops"
    outside.write_text("")
    (folder / "link.skops").symlink_to(outside)
    assert "leads out" in findings("use: link.skops\n", without="use")[0].message
    (folder / "a.skops").symlink_to(folder / "b.skops")
    (folder / "b.skops").symlink_to(folder / "a.skops")
    assert findings("use: a.skops\n", without="use")[0].line == 8


def test_all_tiers_and_all_gates_have_parameters():
    """No gate in force by default lacks its frozen parameters."""
    names = set(itertools.chain.from_iterable(tier.gates for tier in defaults_v1.TIERS.values()))
    assert names <= set(defaults_v1.GATE_PARAMETERS)
