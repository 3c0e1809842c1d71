"""Suites that are wrong: each finding says what, with the line and column where it stands."""

from __future__ import annotations

import pytest

from roadworthy.errors import ManifestError
from roadworthy.manifest.suites import MAX_CASES, read_suite, read_suites

GOOD = "cases: [{id: a, question: b, checks: {contains: c}}]\n"


def told(text: str, file: str = "suites/bad.yaml") -> list[str]:
    """Return what is wrong with a suite, as people read it."""
    with pytest.raises(ManifestError) as caught:
        read_suite(text, file)
    return [str(finding) for finding in caught.value.findings]


def asking(checks: str) -> str:
    """Write a suite whose one case, on line 3, asks for these checks."""
    return f"suite: one\ncases:\n  - {{id: a, question: q, checks: {checks}}}\n"


@pytest.mark.parametrize(
    ("checks", "column", "message"),
    [
        ("{contains: []}", 45, "contains: must be a text or a list of texts"),
        ("{contains: [yes, true]}", 45, "contains: must be a text or a list of texts"),
        ('{lacks: " "}', 42, "lacks: must be a text or a list of texts"),
        ("{max_words: 0}", 46, "max_words: must be a whole number above 0"),
        ("{max_tokens: true}", 47, "max_tokens: must be a whole number above 0"),
        ("{cites: often}", 42, "cites: must be true or false"),
        ("{finishes: 1}", 45, "finishes: must be true or false"),
        ("{matches: 7}", 44, "matches: must be a regular expression"),
        ('{matches: ""}', 44, "matches: must be a regular expression"),
        ("{json_schema: object}", 48, "json_schema: must be a JSON Schema, as keys and values"),
        ("{similar: []}", 44, "similar: must be a text or a list of texts"),
        ("{similar: {to: x, least: 1}}", 44, "similar: unknown key 'least'; known: at_least, by, to"),
        ("{similar: {by: f1}}", 44, "similar: 'to' must be a reference answer or a list of them"),
        ("{similar: {to: true}}", 44, "similar: 'to' must be a reference answer or a list of them"),
        ("{similar: {to: x, by: bleu}}", 44, "similar: 'by' must be f1 or rouge"),
        ("{similar: {to: x, at_least: 0}}", 44, "similar: 'at_least' must lie between 0 and 1"),
        ("{similar: {to: x, at_least: true}}", 44, "similar: 'at_least' must lie between 0 and 1"),
        ("{language: tlh}", 45, "language: must be one of: ar, de, el, en"),
    ],
)
def test_a_check_that_cannot_be_meant_is_named_where_it_stands(checks, column, message):
    """What a check wants is looked at when the file is read, not when the first answer comes."""
    (only,) = told(asking(checks))
    assert only.startswith(f"suites/bad.yaml:3:{column}: {message}")


@pytest.mark.parametrize(
    "checks",
    [
        "{contains: [refund, 30]}",
        "{cites: false}",
        '{matches: "refund|money back"}',
        "{json_schema: {type: object}}",
        "{similar: [a refund, your money back]}",
        "{similar: {to: a refund}}",
        "{similar: {to: [a refund], by: rouge, at_least: 1}}",
        "{language: de}",
    ],
)
def test_a_check_that_can_be_meant_is_taken_as_it_is_written(checks):
    """Only mistakes are refused."""
    (case,) = read_suite(asking(checks), "suites/good.yaml").cases
    (check,) = case.checks
    assert checks.startswith(f"{{{check.name}: ")


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "missing )"),
        ("(?=refund)", "invalid perl operator"),
        ("a" * 1_001, "at most 1,000 characters"),
    ],
)
def test_a_pattern_that_cannot_be_matched_in_bounded_time_is_refused(pattern, problem):
    """A pattern is one of RE2 and of bounded length, so that no answer keeps a scorer busy."""
    (only,) = told(asking(f'{{matches: "{pattern}"}}'))
    assert only.startswith("suites/bad.yaml:3:44: matches: is no regular expression of RE2: ")
    assert problem in only


def test_a_name_that_could_not_be_a_suite_s_is_refused():
    """A suite's name stands in file names and in records."""
    (stated,) = told("# Cases\nsuite: two words\n" + GOOD)
    assert stated.startswith("suites/bad.yaml:2:8: 'two words' is not a name for a suite (letters, digits")
    (by_file,) = told(GOOD, "suites/-faq.yaml")
    assert by_file.startswith("suites/-faq.yaml:1:1: '-faq' is not a name for a suite")


def test_a_suite_has_a_bounded_number_of_cases():
    """What a gate runs through is bounded before the first question is asked."""
    cases = "".join(f"- {{id: c{number}, question: q}}\n" for number in range(MAX_CASES + 1))
    (only,) = told("all: {checks: {cites: true}}\ncases:\n" + cases)
    assert only == "suites/bad.yaml:2:1: a suite has at most 5,000 cases"


def test_a_label_names_a_judge_that_is_there():
    """A label of nobody's would silently correct nothing."""
    text = """all:
  judges: [{name: helpful, pin: judge, rubric: Does it help?}]
cases:
  - id: a
    question: q
    labels:
      - {answer: x, score: 1, judge: helpful}
      - {answer: x, score: 0}
      - {answer: x, score: 1, judge: helpfull}
"""
    assert told(text) == [
        "suites/bad.yaml:9:38: there is no judge called 'helpfull' here (did you mean 'helpful'?)",
    ]


def test_a_judge_s_name_is_one_word():
    """Judges are told apart by name in every report."""
    text = "cases:\n- id: a\n  question: q\n  judges:\n  - {name: very kind, pin: judge, rubric: Is it kind?}\n"
    (only,) = told(text)
    assert only.startswith("suites/bad.yaml:5:12: 'very kind' is not a name (letters, digits")


def test_a_file_that_is_no_mapping_hides_no_mistake_of_another():
    """All files are told at once, also where nothing can be made of one."""
    with pytest.raises(ManifestError) as caught:
        read_suites(
            {
                "suites/a.yaml": "- just\n- a list\n",
                "suites/b.yaml": "",
                "suites/c.yaml": GOOD,
                "suites/d.yaml": asking("{cites: often}"),
            }
        )
    places = [str(one).split(": ")[0] for one in caught.value.findings]
    assert places == ["suites/a.yaml:1:1", "suites/b.yaml:1:1", "suites/d.yaml:3:42"]


def test_what_is_left_of_a_wrong_suite_is_still_looked_at():
    """A wrong key hides none of the mistakes beside it."""
    text = "cases: 3\nall: {checks: {contians: x}}\nsuit: x\n"
    assert [one.split(": ")[0] for one in told(text)] == [
        "suites/bad.yaml:1:8",
        "suites/bad.yaml:2:16",
        "suites/bad.yaml:3:1",
    ]
