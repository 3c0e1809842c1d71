"""The reference holds what the code holds: commands, settings, errors, ledger entries, files, statuses, words."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from docs_kit import CLI_PAGE, DOCS, ROOT, cli_page
from roadworthy import errors
from roadworthy.console.access import ACCESS, Kind
from roadworthy.domain.interface import FieldType, Task
from roadworthy.domain.ledger import Event, Noun
from roadworthy.domain.record import Flag, Outcome, Record
from roadworthy.settings import Settings, from_environment, to_environment

SOURCES = [path for path in (ROOT / "src" / "roadworthy").rglob("*.py") if "testing" not in path.parts]
REFERENCE = DOCS / "reference"


def text(name: str) -> str:
    """Return a page of the reference."""
    return (REFERENCE / name).read_text(encoding="utf-8")


def kinds_written() -> set[str]:
    """Find the kinds of ledger entries that the code writes: in full, or by noun and past participle."""
    found: set[str] = set()
    nouns = "|".join(Noun)
    for path in SOURCES:
        code = path.read_text(encoding="utf-8")
        found |= set(re.findall(rf'kind="((?:{nouns})\.[a-z]+)"', code))
        found |= set(re.findall(rf'_decide\(\s*"((?:{nouns})\.[a-z]+)"', code))
    return found


def test_the_command_line_page_is_what_the_app_writes() -> None:
    """A new command or option is in the reference from the first day."""
    assert CLI_PAGE.read_text(encoding="utf-8") == cli_page(), "run: python tests/docs_kit.py"


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_every_setting_is_described(name: str) -> None:
    """What a process can be told by its environment stands on one page, with its default."""
    assert f"| `ROADWORTHY_{name.upper()}` |" in text("settings.md")


def test_no_setting_is_described_that_nothing_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page names no variable that does not exist."""
    named = set(re.findall(r"^\| `(ROADWORTHY_\w+)`", text("settings.md"), re.MULTILINE))
    assert named == set(to_environment(from_environment()))


def test_every_error_code_is_described_with_its_class_and_exit_code() -> None:
    """Whoever searches for a code finds what it means."""
    page = text("errors.md")
    classes = [
        one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.RoadworthyError)
    ]
    rows = [f"| `{one.code}` | `{one.__name__}` | {one.exit_code} |" for one in classes]
    assert [row for row in rows if row not in page] == []


def test_every_code_in_the_source_is_described() -> None:
    """Also codes that are written where no class is raised, as over HTTP."""
    used = {code for path in SOURCES for code in re.findall(r'"(RW\d{3})"', path.read_text(encoding="utf-8"))}
    described = set(re.findall(r"^\| `(RW\d{3})`", text("errors.md"), re.MULTILINE))
    assert used <= described


def test_every_kind_of_ledger_entry_is_described() -> None:
    """Whoever reads a ledger finds what each entry is about."""
    described = set(re.findall(r"`([a-z]+\.[a-z]+)`", text("ledger.md")))
    found = kinds_written()
    assert len(found) >= 10
    assert found <= described


def test_every_kind_that_is_described_is_written_somewhere() -> None:
    """The page names no entry that nothing writes."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    described = set(re.findall(r"`([a-z]+\.[a-z]+)`", text("ledger.md").partition("## Kinds")[2]))
    unwritten = [
        kind for kind in described if kind not in code and not re.search(rf"""["']{kind.partition(".")[2]}["']""", code)
    ]
    assert unwritten == []


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("ledger.md", [field.name for field in fields(Event)]),
        ("records.md", [*Record._fields, *Outcome._fields, *(str(flag.name) for flag in Flag if flag)]),
        ("interface.md", [str(task) for task in Task]),
        ("manifest.md", [str(kind) for kind in FieldType]),
    ],
)
def test_every_field_is_described(page: str, words: list[str]) -> None:
    """What is kept of an answer, an outcome or a decision has its line."""
    assert [word for word in words if f"`{word}`" not in text(page)] == []


def test_every_verb_and_page_of_control_is_described() -> None:
    """The control API's page names every address but those of the console's own forms and files."""
    page = text("http.md")
    paths = [
        route.partition(" ")[2].removesuffix(".json")
        for route, rule in ACCESS.items()
        if rule.kind in (Kind.VERB, Kind.PAGE)
    ]
    missing = [path for path in paths if f"`{path}" not in page and f"`/{path.rpartition('/')[2]}`" not in page]
    assert missing == []


def test_every_status_of_the_data_plane_is_described() -> None:
    """Every status that an answer may have stands in the table, with its code."""
    used = {
        status
        for path in (ROOT / "src" / "roadworthy" / "serving").rglob("*.py")
        for status in re.findall(r"(?:Problem|Flagged)\(\s*(\d{3})", path.read_text(encoding="utf-8"))
    }
    described = set(re.findall(r"\d{3}", " ".join(re.findall(r"^\| ([\d, ]+) \|", text("http.md"), re.MULTILINE))))
    assert used
    assert used <= described


def test_every_part_of_a_home_is_described(tmp_path: Path) -> None:
    """A new home holds no file or folder that the page does not name."""
    from roadworthy.stores.home import create

    home = create(tmp_path / "home")
    page = text("home.md")
    unnamed = [path.name for path in home.root.iterdir() if path.name not in page and not path.name.startswith(".")]
    assert unnamed == []


def test_every_word_of_the_glossary_is_used() -> None:
    """The glossary has the house's words, each explained once."""
    page = (DOCS / "explanation" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"\*\*([A-Za-z ]+)\*\*", page)
    assert len(terms) == len({term.lower() for term in terms})
    nouns = {noun.value for noun in Noun} - {"key", "run", "route", "trust"}
    assert [noun for noun in nouns if noun not in {term.lower().removesuffix(" revision") for term in terms}] == []
