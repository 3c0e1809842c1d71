"""Suites: what a file of cases means, and every mistake in it at once."""

from __future__ import annotations

import pytest

from roadworthy.errors import ManifestError
from roadworthy.manifest.patterns import matches
from roadworthy.manifest.suites import CHECKS, LANGUAGES, read_suite, read_suites
from roadworthy.runtimes.scoring import checks, languages

GOOD = """
suite: manual
all:
  checks: {lacks: as an AI, max_words: 120}
  judges:
    - {name: helpful, pin: judge, rubric: Does it help?}
  tags: house
cases:
  - id: gate
    question: What does a gate do?
    history: [{role: user, content: Hello}]
    inputs: {tone: short}
    checks: [{contains: [candidate, judges]}, {contains: verdict}]
    passages: docs/glossary.md
    labels: [{answer: It judges., score: 1, by: ana}]
    snapshot: true
  - {id: rain, question: Will it rain?, answerable: false}
"""


def test_a_case_takes_over_what_is_asked_of_every_answer() -> None:
    """What holds for all answers is written once."""
    suite = read_suite(GOOD, "suites/x.yaml")
    gate, rain = suite.cases
    assert [check.name for check in gate.checks] == ["lacks", "max_words", "contains", "contains"]
    assert [check.name for check in rain.checks] == ["lacks", "max_words", "abstains"]
    assert gate.judges[0].pin == rain.judges[0].pin == "judge"
    assert (gate.name, gate.passages, gate.tags, gate.snapshot) == (
        "manual/gate",
        ("docs/glossary.md",),
        ("house",),
        True,
    )
    assert gate.labels[0].score == 1.0
    assert suite.case_for("Will it rain?") is rain
    assert suite.case_for("Who am I?") is suite.every


def test_a_suite_is_named_by_its_file_where_it_names_itself_not() -> None:
    """Most projects never write the key."""
    assert read_suite("cases: [{id: a, question: b, checks: {contains: c}}]", "suites/faq.yaml").name == "faq"


def test_every_mistake_is_found_at_once_with_file_line_and_column() -> None:
    """One run of the gate shows all that is to be mended."""
    text = """all: {checks: {contians: x}}
cases:
  - {id: a, question: q, checks: {max_words: -1}}
  - {id: a, question: q, checks: {matches: "(?=x)"}}
  - {id: b, question: q}
  - {id: c c, question: q, checks: {similar: {to: x, at_least: 2}, language: xx}}
  - {id: d, question: q, checks: {contains: x}, labels: [{answer: x, score: 1}]}
"""
    with pytest.raises(ManifestError) as caught:
        read_suites({"suites/bad.yaml": text, "suites/worse.yaml": "suite: 7\nunknown: 1\n"})
    told = [str(finding) for finding in caught.value.findings]
    assert "suites/bad.yaml:1:16: no check called 'contians' (did you mean 'contains'?)" in told
    assert "suites/bad.yaml:3:46: max_words: must be a whole number above 0" in told
    assert any(one.startswith("suites/bad.yaml:4:10: the id 'a' is given twice") for one in told)
    assert any("is no regular expression of RE2" in one for one in told)
    assert any("bad.yaml:5:10: case 'b' asks for nothing" in one for one in told)
    assert any("'c c' is not an id" in one for one in told)
    assert any("'at_least' must lie between 0 and 1" in one for one in told)
    assert any("language: must be one of" in one for one in told)
    assert any("there is no judge here" in one for one in told)
    assert any(one.startswith("suites/worse.yaml:") for one in told)


def test_two_suites_of_one_name_are_a_mistake() -> None:
    """A case's name says which case."""
    one = "suite: s\ncases: [{id: a, question: b, checks: {contains: c}}]"
    with pytest.raises(ManifestError, match="another suite called 's'"):
        read_suites({"a.yaml": one, "b.yaml": one})


def test_every_check_that_a_suite_may_name_can_be_run() -> None:
    """The reader promises nothing that no scorer keeps."""
    assert sorted(checks._CHECKS) == list(CHECKS)
    assert {*languages._COMMON, *languages._SCRIPTS} == set(LANGUAGES)


def test_a_pattern_that_would_never_end_elsewhere_ends_here() -> None:
    """A suite's pattern cannot stop the process that scores live answers."""
    assert not matches("(a|a)*(a*)*b$", "a" * 20_000)
