"""The loader is total: whatever it is given, it answers with a system or with findings, never with a traceback."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.errors import ManifestError
from roadworthy.manifest import BUILT_IN, load_text, read_interface
from roadworthy.manifest.marked_yaml import MAX_BYTES, MAX_DEPTH

MANIFEST = """\
roadworthy: 1
system: flights
kind: model
owner: {name: ana, contact: ana@example.com, backup: ben@example.com}
decision: {what: whom to call, tier: standard, sponsor: eva, cost_of_failure: 1000 EUR}
use: model.skops
data: {table: flights.parquet, target: late, time: departs, holdout: 20%}
baseline: baseline.sql
goals: {G1: {text: fewer late calls, measured_by: [quality]}}
assumptions: {A1: {text: calm, when: drift(temp) > 0.2 for 1d}}
gates: {latency: {p99_ms: 20ms}, quality: {metric: auc, at_least: 0.7}}
serve: {deadline: 100ms, default: {probability: 0.2, label: late}}
rollout: [shadow: 200 records, canary: 10% for 500 records and 100 outcomes, full]
watch:
  objectives:
    errors: errors > 2% for 5m
    blind: no_data(outcomes) for 3d
failure:
  - {when: errors, do: [rollback, page]}
  - {when: auc < 0.6 for 2d, do: [fallback]}
keep: {payload: false}
"""
SPLICES = (
    "",
    "\x00",
    "\t",
    "\n",
    "\r",
    " ",
    ": ",
    "- ",
    "&a ",
    "*a",
    "!!python/object:os.system ",
    "!t ",
    "{",
    "}",
    "[",
    "]",
    "'",
    '"',
    "#",
    "%",
    "@",
    "|",
    ">",
    "?",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "<<: ",
    "\u2028",
    "\ufeff",
    "\ud800",
    "\U0001f600",
    "no",
    "null",
    "~",
    "9" * 5000,
    "1e999",
    "-0",
    ".nan",
    "0x10",
    "[" * 60,
    "{a: " * 60,
    "a" * 3000,
    "../",
    "/",
    "é",
    "\x85",
    "roadworthy",
    "true",
    "2013-01-01",
    "%",
    "for",
    "()",
    ">=",
    "errors",
    "? [a] : b\n",
    "\\",
    "~/x",
)


def _mutate(text: str, chance: random.Random) -> str | bytes:
    for _ in range(chance.randint(1, 4)):
        kind, place = chance.randrange(7), chance.randrange(len(text) + 1)
        other = chance.randrange(len(text) + 1)
        first, last = min(place, other), max(place, other)
        lines = text.splitlines(keepends=True) or [""]
        if kind == 0:
            text = text[:place] + chance.choice(SPLICES) + text[place:]
        elif kind == 1:
            text = text[:first] + text[min(last, first + 12) :]
        elif kind == 2:
            text = (
                text[:place] + chr(chance.choice((chance.randrange(128), chance.randrange(0x3000)))) + text[place + 1 :]
            )
        elif kind == 3:
            chance.shuffle(lines)
            text = "".join(lines)
        elif kind == 4:
            text = text + chance.choice(lines)
        elif kind == 5:
            words = text.split(" ")
            words[chance.randrange(len(words))] = chance.choice(SPLICES)
            text = " ".join(words)
        else:
            text = text.replace("  ", chance.choice((" ", "   ", "\t")), chance.randint(1, 3))
    if chance.random() < 0.1:
        raw = bytearray(text.encode("utf-8", "surrogatepass"))
        for _ in range(chance.randint(1, 8)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        return bytes(raw)
    return text


def _findings_of(text: str | bytes, folder: Path) -> int:
    try:
        load_text(text, folder, BUILT_IN)
    except ManifestError as error:
        found = error.findings
    else:
        return 0
    assert found
    assert all(one.line >= 1 and one.column >= 1 and one.message for one in found)
    return len(found)


def test_ten_thousand_mutated_manifests_never_end_in_a_traceback(folder):
    """Each mutant is a system or a list of findings, every one of them with a line."""
    chance = random.Random(20130101)
    refused = sum(_findings_of(_mutate(MANIFEST, chance), folder) > 0 for _ in range(10_000))
    assert 5_000 < refused < 10_000


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(st.text(), st.binary()))
def test_any_text_and_any_bytes_are_findings(folder, text):
    """Binary garbage is not a manifest, and says so."""
    assert _findings_of(text, folder) > 0


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.binary()))
def test_any_text_is_an_interface_or_findings(text):
    """The interface's file is read as totally as the manifest."""
    with pytest.raises(ManifestError):
        read_interface(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("just text", "must hold keys and values"),
        ("- a\n", "must hold keys and values"),
        ("*a\n", "must hold keys and values"),
        ("a: " + "[" * (MAX_DEPTH + 1), "nested deeper"),
        ("[" * 100_000, "must hold keys and values"),
        ("a: " + "{a: " * 100_000, "nested deeper"),
        ("x" * (MAX_BYTES + 1), "more than the"),
        (b"a: \xff\n", "not UTF-8"),
        (b"a: 1\nb: \xff\n", "not UTF-8"),
        ("a: 1\n\ud800", "not UTF-8"),
        ("a: \x00", "not allowed"),
        ("a: 1\n\tb: 2", "this is not YAML"),
        ("a: 'x", "this is not YAML"),
        ("a: 1\n---\nb: 1\n", "a second document"),
        ("a: &x 1\nb: *x\n", "an anchor (&x)"),
        ("a: &x 1\nb: *x\n", "an alias (*x)"),
        ("a: !!python/object:os.system 1\n", "a tag ("),
        ("%TAG ! tag:x,2000:\n---\na: 1\n", "tag directives"),
        ("? [a]\n: b\n", "a key must be plain text"),
        ("a: 1\na: 2\n", "'a' is given twice"),
        ("a: {b: 1}\na: {b: 1, c: [1]}\n", "'a' is given twice"),
    ],
)
def test_what_yaml_allows_and_a_manifest_does_not_is_named(folder, text, message):
    """Anchors, tags, double keys, several documents, depth and size have a sentence each."""
    with pytest.raises(ManifestError) as caught:
        load_text(text, folder, BUILT_IN)
    assert message in str(caught.value)


def test_the_line_of_broken_bytes_is_named(folder):
    """Where a file stops being text is where one looks."""
    with pytest.raises(ManifestError) as caught:
        load_text(b"roadworthy: 1\nsystem: \xff\n", folder, BUILT_IN)
    assert caught.value.findings[0].line == 2
    with pytest.raises(ManifestError) as caught:
        load_text("roadworthy: 1\nsystem: \x07\n", folder, BUILT_IN)
    assert (caught.value.findings[0].line, caught.value.findings[0].column) == (2, 9)


def test_a_byte_order_mark_is_not_a_mistake(folder, minimal):
    """Editors on some systems write one."""
    assert load_text("\ufeff" + minimal, folder, BUILT_IN) == load_text(minimal.encode(), folder, BUILT_IN)
