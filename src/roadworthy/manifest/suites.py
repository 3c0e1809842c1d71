"""`suites/*.yaml`: cases with what must be true of their answers, or every mistake in the file at once.

suite: manual                       # the file's name without it
all:                                # asked of every answer, also of live ones
checks: {lacks: as an AI, max_words: 120}
judges:
- {name: helpful, pin: judge, rubric: "Does the answer say what to do next?"}
cases:
- id: gate
question: What does a gate do?
checks: {contains: [candidate, judges]}
passages: [docs/glossary.md]
labels: [{answer: A gate judges a candidate., score: 1, by: ana}]
- {id: weather, question: Will it rain tomorrow?, answerable: false}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic import Field as Key

from roadworthy.errors import Finding, ManifestError
from roadworthy.manifest.findings import validate
from roadworthy.manifest.marked_yaml import Document, Path, read
from roadworthy.manifest.patterns import problem_of
from roadworthy.manifest.reading import nearest
from roadworthy.ports.evaluation import Case, Check, JudgePlan, Label, Suite

EVERY: Final = "any"
"""The id of the case that stands for a question that is none of the suite's."""
MAX_CASES: Final = 5_000
LANGUAGES: Final = ("ar", "de", "el", "en", "es", "fr", "he", "it", "ja", "ko", "nl", "pt", "ru", "zh")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_LONGEST: Final = 20_000


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _checks(value: object) -> object:
    """Take checks as one mapping or as a list of mappings."""
    return [cast("dict[str, Any]", value)] if isinstance(value, dict) else value


Texts = Annotated[list[str], BeforeValidator(_listed)]
Checks = Annotated[list[dict[str, Any]], BeforeValidator(_checks)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TurnShape(_Shape):
    """One message of what was said before."""

    role: Literal["user", "assistant", "system"]
    content: str


class JudgeShape(_Shape):
    """A judge: the pin that is asked, and by which rubric."""

    name: str
    pin: str
    rubric: str = Key(min_length=1, max_length=_LONGEST)


class LabelShape(_Shape):
    """A person's score of a stated answer."""

    answer: str
    score: float = Key(ge=0, le=1)
    by: str = ""
    judge: str = ""


class AllShape(_Shape):
    """What is asked of every answer."""

    checks: Checks = Key(default_factory=list[dict[str, Any]])
    judges: list[JudgeShape] = Key(default_factory=list[JudgeShape])
    tags: Texts = Key(default_factory=list)


class CaseShape(AllShape):
    """One question and what must be true of its answer."""

    id: str
    question: str = Key(min_length=1, max_length=_LONGEST)
    history: list[TurnShape] = Key(default_factory=list[TurnShape])
    inputs: dict[str, Any] = Key(default_factory=dict)
    labels: list[LabelShape] = Key(default_factory=list[LabelShape])
    passages: Texts = Key(default_factory=list)
    answerable: bool = True
    snapshot: bool = False


class SuiteShape(_Shape):
    """A file of cases."""

    suite: str | None = None
    all: AllShape = Key(default_factory=AllShape)
    cases: list[CaseShape] = Key(default_factory=list[CaseShape])


def read_suites(files: Mapping[str, str]) -> tuple[Suite, ...]:
    """Read the suites of several files, in the order of their paths.

    Raises:
        ManifestError: a file is wrong, or two suites have one name; every finding of every file at once.
    """
    findings: list[Finding] = []
    found: list[Suite] = []
    for file, text in sorted(files.items()):
        document = read(text, file)
        suite = suite_of(document)
        if suite is not None and suite.name in {one.name for one in found}:
            document.note(document.mark_of(("suite",)), f"there is another suite called '{suite.name}'")
        findings += sorted(dict.fromkeys(document.findings), key=lambda one: (one.line, one.column, one.message))
        if suite is not None:
            found.append(suite)
    if findings:
        raise ManifestError(findings)
    return tuple(found)


def read_suite(text: str, file: str) -> Suite:
    """Read one suite.

    Raises:
        ManifestError: it is wrong in the places that the findings list.
    """
    return read_suites({file: text})[0]


def suite_of(document: Document) -> Suite | None:
    """Turn a document into a suite, noting what is wrong in the document's findings."""
    if document.findings and not document.value:
        return None
    # No key must be there, so that something is left of every file; what was cut out of it is noted.
    shape: SuiteShape = validate(SuiteShape, document) or SuiteShape()
    name = shape.suite if shape.suite is not None else PurePath(document.file).stem
    if not _ID.fullmatch(name):
        document.note(document.mark_of(("suite",)), f"'{name[:60]}' is not a name for a suite", _NAME_HINT)
    if len(shape.cases) > MAX_CASES:
        document.note(document.mark_of(("cases",), key=True), f"a suite has at most {MAX_CASES:,} cases")
    every = Case(
        id=EVERY, question="", checks=_read_checks(shape.all.checks, ("all", "checks"), document),
        judges=_read_judges(shape.all.judges, ("all", "judges"), document), tags=tuple(shape.all.tags), suite=name,
    )  # fmt: skip
    cases = tuple(_case(one, every, place, document) for place, one in enumerate(shape.cases))
    _check_names(cases, document)
    return Suite(name=name, every=every, cases=cases)


def _case(shape: CaseShape, every: Case, place: int, document: Document) -> Case:
    at: Path = ("cases", place)
    checks = (*every.checks, *_read_checks(shape.checks, (*at, "checks"), document))
    if not shape.answerable and not any(check.name == "abstains" for check in checks):
        checks = (*checks, Check(name="abstains"))
    judges = (*every.judges, *_read_judges(shape.judges, (*at, "judges"), document))
    if not (checks or shape.checks or judges or shape.passages or shape.snapshot):
        hint = "give it checks, judges, passages or snapshot: true"
        document.note(document.mark_of((*at, "id")), f"case '{shape.id[:60]}' asks for nothing", hint)
    names = {judge.name for judge in judges}
    for number, label in enumerate(shape.labels):
        where = (*at, "labels", number, "judge")
        if not judges:
            document.note(document.mark_of(where), "a label shows how far a judge is off, and there is no judge here")
        elif label.judge and label.judge not in names:
            message = f"there is no judge called '{label.judge[:60]}' here"
            document.note(document.mark_of(where), message, nearest(label.judge, names))
    return Case(
        id=shape.id,
        question=shape.question,
        history=tuple(turn.model_dump() for turn in shape.history),
        inputs=dict(shape.inputs),
        checks=checks,
        judges=judges,
        labels=tuple(Label(**label.model_dump()) for label in shape.labels),
        passages=tuple(dict.fromkeys(shape.passages)),
        answerable=shape.answerable,
        tags=(*every.tags, *shape.tags),
        snapshot=shape.snapshot,
        suite=every.suite,
    )


def _check_names(cases: tuple[Case, ...], document: Document) -> None:
    seen: dict[str, int] = {}
    for place, case in enumerate(cases):
        mark = document.mark_of(("cases", place, "id"))
        if not _ID.fullmatch(case.id) or case.id == EVERY:
            document.note(mark, f"'{case.id[:60]}' is not an id for a case", _NAME_HINT)
        if case.id in seen:
            first = document.mark_of(("cases", seen[case.id], "id"))
            document.note(mark, f"the id '{case.id[:60]}' is given twice", f"it is on line {first.line} already")
        seen.setdefault(case.id, place)


def _read_judges(shapes: list[JudgeShape], at: Path, document: Document) -> tuple[JudgePlan, ...]:
    for place, shape in enumerate(shapes):
        if not _ID.fullmatch(shape.name):
            document.note(document.mark_of((*at, place, "name")), f"'{shape.name[:60]}' is not a name", _NAME_HINT)
    return tuple(JudgePlan(name=one.name, pin=one.pin, rubric=one.rubric.strip()) for one in shapes)


def _read_checks(groups: list[dict[str, Any]], at: Path, document: Document) -> tuple[Check, ...]:
    found: list[Check] = []
    for place, group in enumerate(groups):
        here = at if (*at, place) not in document.marks else (*at, place)
        for name, wants in group.items():
            path = (*here, name)
            if name not in _WANTS:
                hint = nearest(name, _WANTS) or f"known: {', '.join(sorted(_WANTS))}"
                document.note(document.mark_of(path, key=True), f"no check called '{name[:60]}'", hint)
            elif problem := _WANTS[name](wants):
                document.note(document.mark_of(path), f"{name}: {problem}")
            else:
                found.append(Check(name=name, wants=wants))
    return tuple(found)


def _text_problem(wants: Any) -> str:
    texts = cast("list[Any]", wants) if isinstance(wants, list) else [wants]
    good = texts and all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in texts)
    return "" if good and all(str(one).strip() for one in texts) else "must be a text or a list of texts"


def _count_problem(wants: Any) -> str:
    return (
        "" if isinstance(wants, int) and not isinstance(wants, bool) and wants > 0 else "must be a whole number above 0"
    )


def _claim_problem(wants: Any) -> str:
    return "" if isinstance(wants, bool) else "must be true or false"


def _pattern_problem(wants: Any) -> str:
    if not isinstance(wants, str) or not wants:
        return "must be a regular expression"
    problem = problem_of(wants)
    return f"is no regular expression of RE2: {problem}" if problem else ""


def _schema_problem(wants: Any) -> str:
    return "" if isinstance(wants, dict) else "must be a JSON Schema, as keys and values"


def _similar_problem(wants: Any) -> str:
    if not isinstance(wants, dict):
        return _text_problem(wants)
    given = cast("dict[str, Any]", wants)
    if unknown := set(given) - {"to", "by", "at_least"}:
        return f"unknown key '{min(unknown)[:60]}'; known: at_least, by, to"
    if "to" not in given or _text_problem(given["to"]):
        return "'to' must be a reference answer or a list of them"
    if given.get("by", "f1") not in ("f1", "rouge"):
        return "'by' must be f1 or rouge"
    least = given.get("at_least")
    good = least is None or (isinstance(least, int | float) and not isinstance(least, bool) and 0 < least <= 1)
    return "" if good else "'at_least' must lie between 0 and 1"


def _language_problem(wants: Any) -> str:
    return "" if wants in LANGUAGES else f"must be one of: {', '.join(LANGUAGES)}"


_NAME_HINT: Final = "letters, digits, . _ and -, beginning with a letter or digit"
_WANTS: Final[Mapping[str, Callable[[Any], str]]] = {
    "contains": _text_problem,
    "contains_any": _text_problem,
    "lacks": _text_problem,
    "matches": _pattern_problem,
    "equals": _text_problem,
    "json_schema": _schema_problem,
    "max_words": _count_problem,
    "max_tokens": _count_problem,
    "cites": _claim_problem,
    "abstains": _claim_problem,
    "similar": _similar_problem,
    "language": _language_problem,
    "finishes": _claim_problem,
}
CHECKS: Final = tuple(sorted(_WANTS))
"""The checks that a suite may ask for."""
