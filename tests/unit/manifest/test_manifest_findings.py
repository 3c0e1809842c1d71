"""Every mistake in a manifest is named with line, column and what to write, all at once."""

from __future__ import annotations

import pytest

from roadworthy.errors import ManifestError
from roadworthy.manifest import BUILT_IN, Catalogue, load_text

TEN_MISTAKES = """\
roadworthy: 1
system: Flights
kind: magic
ownr: ana@example.com
decision: {what: x, teir: low}
use: model.pkl
data: {table: ../flights.parquet, target: hour, target: b}
goals: {G3: be good}
watch:
  objectives:
    slow: latancy > 3ms
    many: errors > 3ms
failure:
  - {when: quality >, do: [rolback]}
gates: {latncy: {}, latency: {p99: 3}}
rollout: [canary: 10% for x]
keep: {payload: 5}
"""


def test_all_mistakes_are_named_at_once(findings):
    """An owner mends a manifest in one go, not one mistake per attempt."""
    found = {(one.line, one.column): one for one in findings(text=TEN_MISTAKES)}
    lines = sorted({line for line, _ in found})
    assert lines == [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17]
    assert found[4, 1].hint == "did you mean 'owner'?"
    assert found[5, 21].hint == "did you mean 'tier'?"
    assert "skops" in found[6, 6].hint
    assert "given twice" in found[7, 49].message
    assert "no monitor called 'latancy'; installed: auc, brier, " in found[11, 11].message
    assert found[11, 11].hint == "did you mean 'latency'?"
    assert found[14, 28].hint == "did you mean 'rollback'?"
    assert found[15, 9].hint == "did you mean 'latency'?"
    assert found[15, 31].hint == "did you mean 'p99_ms'?"


@pytest.mark.parametrize(
    ("more", "without", "message"),
    [
        ("", "roadworthy", "the schema version is missing"),
        ("roadworthy: 2\n", "roadworthy", "schema version 2 is newer"),
        ("roadworthy: 0\n", "roadworthy", "there is no schema version 0"),
        ("roadworthy: one\n", "roadworthy", "must be a whole number"),
        ("", "system", "'system' is missing"),
        ("system:\n", "system", "'system' is empty"),
        ("system: 5\n", "system", "must be text"),
        ("system: a_b\n", "system", "is not a name"),
        (f"system: {'a' * 64}\n", "system", "is not a name"),
        ("", "kind", "'kind' is missing"),
        ("kind: search\n", "kind", "not served by this version"),
        ("", "owner", "'owner' is missing"),
        ("owner: {name: ana}\n", "owner", "the owner has no contact"),
        ("owner: {contact: 'ana b@example.com'}\n", "owner", "not a principal's id"),
        ("owner: {contact: a@x.com, backup: a@x.com}\n", "owner", "same person"),
        ("owner: [a]\n", "owner", "must hold keys and values"),
        ("", "decision", "'decision' is missing"),
        ("decision: {tier: low}\n", "decision", "does not say what it is"),
        ("decision: {what: x, tier: hihg}\n", "decision", "must be one of: low, standard, high"),
        ("decision: {what: x, cost_of_failure: 5}\n", "decision", "not an amount"),
        ("", "use", "'use' is missing"),
        ("use: model.joblib\n", "use", "is a pickle"),
        ("use: model.txt\n", "use", "is none of"),
        ("use: absent.skops\n", "use", "no such file"),
        ("use: /etc/model.skops\n", "use", "relative to the project's folder"),
        ("use: ~/model.skops\n", "use", "relative to the project's folder"),
        ('use: "mo\\0del.skops"\n', "use", "relative to the project's folder"),
        ("use: a/../model.skops\n", "use", "stays inside"),
        ("", "data", "'data' is missing"),
        ("data: {target: late}\n", "data", "names no table"),
        ("data: flights.xls\n", "data", "neither .parquet nor .csv"),
        ("data: {table: flights.xls}\n", "data", "neither .parquet nor .csv"),
        ("data: {table: f.csv, holdout: 0}\n", "data", "more than 0%"),
        ("data: {table: f.csv, holdout: 120%}\n", "data", "is not a share"),
        ("data: {table: f.csv, target: hour}\n", "data", "'hour' is the target"),
        ("", "baseline", "'baseline' is missing"),
        ("baseline:\n", "baseline", "'baseline' is missing"),
        ("baseline: model.skops\n", "baseline", "is not a SQL file"),
        ("interface: absent.yaml\n", "", "no such file"),
        ("interface: 5\n", "", "must be text"),
        ("code: [../x]\n", "", "stays inside"),
        ("code: x\n", "", "must be a list"),
        ("seed: -1\n", "", "greater than or equal to 0"),
        ("parameters: {a: [1]}\n", "", "must be text, a number, true, false or nothing"),
        ("goals: {G1: {text: x}}\n", "", "goal G1 is measured by no gate and no objective"),
        ("goals: {G1: {measured_by: [latency]}}\n", "", "'text' is missing in goals.G1"),
        ("goals: {G1: {text: x, measured_by: [latancy]}}\n", "", "no gate or objective called 'latancy'"),
        ("goals: {one: {text: x, measured_by: [latency]}}\n", "", "'one' is not an id here; they are G1, G2, …"),
        ("non_goals: {G1: x}\n", "", "they are N1, N2, …"),
        ("assumptions: {A0: {text: x, when: errors > 1%}}\n", "", "they are A1, A2, …"),
        ("assumptions: {A1: {text: x}}\n", "", "'when' is missing in assumptions.A1"),
        ("assumptions: {A1: {text: x, when: 5}}\n", "", "a condition is text"),
        ("assumptions: {A1: {text: x, when: drift(humidity) > 1}}\n", "", "no such field to watch"),
        ("assumptions: {A1: {text: x, when: freshness(temp) > 1h}}\n", "", "no such field to watch"),
        (
            "assumptions: {A1: {text: x, when: errors > 1%}}\nwatch: {objectives: {A1: errors > 2%}}\n",
            "",
            "the name of an assumption already",
        ),
        ("gates: {skew: off}\n", "", "not switched off without a waiver"),
        ("gates: {skew: false}\n", "", "not switched off without a waiver"),
        ("gates: {skew: 5}\n", "", "must hold parameters"),
        ("gates: {contract: {rows: 2.5}}\n", "", "must be a whole number"),
        ("gates: {latency: {p99_ms: soon}}\n", "", "is not a duration"),
        ("serve: {deadline: 0s}\n", "", "longer than nothing"),
        ("serve: {deadline: 250}\n", "", "write it with its unit"),
        ("serve: {fallback: [default, default]}\n", "", "named twice"),
        ("serve: {fallback: [basline]}\n", "", "no fallback called 'basline'"),
        ("serve: {max_in_flight: 0}\n", "", "greater than or equal to 1"),
        ("serve: {max_body: 0}\n", "", "is not a size"),
        ("rollout: []\n", "", "ends with the stage 'full'"),
        ("rollout: [full, full]\n", "", "a second 'full'"),
        ("rollout: [canary: 10% for 5 records, shadow: 5 records, full]\n", "", "'shadow' comes before 'canary'"),
        ("rollout: [canary: 20% for 5 records, canary: 10% for 5 records, full]\n", "", "a larger share"),
        ("rollout: [experiment: 5 records, full]\n", "", "no stage called 'experiment'"),
        ("rollout: [canary: 10%, full]\n", "", "nothing ends this stage"),
        ("rollout: [canary: 5 records, full]\n", "", "a share of the traffic"),
        ("rollout: [canary: 100% for 5 records, full]\n", "", "a share of the traffic"),
        ("rollout: [full: 5 records]\n", "", "says nothing more"),
        ("rollout: [[full]]\n", "", "a stage is one name"),
        ("rollout: [canary: 5]\n", "", "say in words"),
        ("watch: {objectives: {a b: errors > 1%}}\n", "", "not a name for an objective"),
        ("watch: {window: 0s}\n", "", "longer than nothing"),
        ("watch: {harm_alpha: 0}\n", "", "between 0% and 100%"),
        ("failure: [{when: errors, do: [page, page]}]\n", "", "given twice"),
        ("failure: [{when: errors, do: [retrain]}]\n", "", "no action called 'retrain'"),
        ("failure: [{when: errors, do: [page]}, {when: errors, do: [stop]}]\n", "", "two rules for 'errors'"),
        ("failure: [{when: erors, do: [page]}]\n", "", "neither an objective"),
        ("failure: {pager: []}\n", "", "nobody is paged"),
        ("failure: {pager: [ftp://x]}\n", "", "no address for pages"),
        ("failure: {pager: ['http://example.com']}\n", "", "no address for pages"),
        ("failure: {pager: ['file:../pages']}\n", "", "leads out of the home"),
        ("failure: {pager: ['file:/etc/pages']}\n", "", "leads out of the home"),
        ("keep: {payload: never}\n", "", "must be true or false"),
        ("keep: {records: 90d}\n", "", "unknown key 'records' in keep"),
        ("watch: {lateness: 1h}\n", "", "unknown key 'lateness' in watch"),
        ("waivers: [{gate: skw, by: ana, why: x, until: 2026-12-31}]\n", "", "no gate called 'skw'"),
        ("waivers: [{gate: skew, by: ana, why: x, until: soon}]\n", "", "is not a date"),
        ("waivers: [{gate: skew, by: ana, until: 2026-12-31}]\n", "", "'why' is missing in waivers.0"),
        ('owner: "a\\nb"\n', "owner", "must be one line"),
        ('owner: ""\n', "owner", "must not be empty"),
    ],
)
def test_each_mistake_has_its_sentence_and_its_line(findings, more, without, message):
    """A finding says what is wrong where, in words that do not name a library."""
    found = findings(more, without=without)
    assert message in " ".join(str(one) for one in found)
    assert all(one.line >= 1 and one.column >= 1 for one in found)
    assert "pydantic" not in str(found)


def test_careful_tiers_ask_for_more_people(findings):
    """Above tier low an owner alone is not enough."""
    decision = "decision: {what: x, tier: standard}\n"
    messages = " ".join(one.message for one in findings(decision, without="decision"))
    assert "backup" in messages
    assert "sponsor" in messages


def test_a_waiver_replaces_a_baseline_or_lets_a_gate_be_off(read):
    """An exception with a name and an end date is a way to say no."""
    waivers = "waivers: [{gate: baseline, by: ana, why: the model is a rule, until: 2026-12-31}]\n"
    assert read(waivers, without="baseline").content.baseline == ""
    off = "gates: {skew: off}\nwaivers: [{gate: skew, by: ana, why: no path, until: 2026-12-31}]\n"
    assert "skew" in {gate.name for gate in read(off).policy.gates}


def test_findings_of_the_interface_name_its_file(folder, findings):
    """Two files, one report: each line belongs to its file."""
    with (folder / "interface.yaml").open("a") as file:
        file.write("  wind: nmber\n")
    found = findings("extra: 1\n")
    assert [(one.file, one.line) for one in found] == [("", 9), ("interface.yaml", 8)]


def test_an_unknown_runtime_is_named(folder, minimal):
    """A prototype whose runtime is not installed is refused before anything is built."""
    bare = Catalogue.of(gates=BUILT_IN.gates, monitors=BUILT_IN.monitors, actions=BUILT_IN.actions, runtimes=["onnx"])
    with pytest.raises(ManifestError) as caught:
        load_text(minimal, folder, bare)
    assert [one.message for one in caught.value.findings] == [
        "no runtime called 'sklearn'; installed: onnx",
        "no runtime called 'sql'; installed: onnx",
    ]


def test_a_rule_on_an_objective_uses_it_however_it_is_written(read):
    """A condition that an objective states already means that objective."""
    plan = read("failure: [{when: errors > 0.05 for 30s, do: [stop]}]\n").policy.failure
    assert plan.rules[0].objective == "errors"
    assert [rule.objective for rule in plan.rules].count("errors") == 1


def test_a_condition_in_a_rule_becomes_an_objective(read):
    """What a rule waits for is watched, under the name of its words."""
    policy = read("failure: [{when: quality > 0.5 for 1d, do: [page]}]\n").policy
    assert "quality > 0.5 for 1d" in {objective.name for objective in policy.watch.objectives}


def test_a_mistake_inside_an_item_hides_no_other_section(findings):
    """One wrong item takes only its own list out of the further judgement."""
    text = "rollout: [canary: x, full]\ngates: {nope: {}}\nfailure: [{when: errors, do: 5}]\nsystems: x\n"
    assert sorted(one.line for one in findings(text)) == [9, 10, 11, 12]
