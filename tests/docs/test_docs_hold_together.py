"""Links lead somewhere, commands exist, manifests load, and the site's contents are all pages."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from docs_kit import DOCS, ROOT, blocks, fault_in, named_commands, pages
from roadworthy.errors import ManifestError
from roadworthy.manifest import load_text, read_interface
from roadworthy.manifest.marked_yaml import read
from roadworthy.manifest.suites import read_suite
from roadworthy.wiring import catalogue

_LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|\!\[[^\]]*\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"(?:^|[:`(]\s*|then |run |or )roadworthy ([a-z][^`();,]*)")
_LLM_HEAD = """roadworthy: 1
system: helpdesk
kind: llm
owner: ana@example.com
decision: what a caller is told
use: main
pins: {main: {provider: openai, url: "http://127.0.0.1:1", model: m}}
prompt: prompt.md
index: "docs/*.md"
baseline: passage
"""
_HEAD = """roadworthy: 1
system: flights
kind: model
owner: ana@example.com
decision: whom to call before the flight
use: model.skops
data: {table: flights.parquet, target: late}
baseline: baseline.sql
"""
_INTERFACE = """task: binary
labels: ["no", late]
inputs: {hour: integer 0..23, temp: number?, temp_age: number? age of temp}
"""


def slug(heading: str) -> str:
    """Return the anchor of a heading, as the site and the code host make it."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    """A reader who follows a link arrives, also at the heading it names."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken: list[str] = []
    for match in _LINK.finditer(text):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / unquote(file)).resolve() if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_the_docs_exists(page: Path) -> None:
    """No page tells a reader to type a command or an option that is not there."""
    shells = [block.text for block in blocks(page) if block.language in ("sh", "bash", "text", "")]
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    inline = [f"roadworthy {one}" for one in re.findall(r"`roadworthy ([a-z][^`]*)`", prose)]
    faults = [
        f"{command}: {fault}"
        for text in (*shells, *inline)
        for command in named_commands(text)
        if (fault := fault_in(command))
    ]
    assert faults == []


def test_every_command_in_hints_and_messages_exists() -> None:
    """What an error tells its reader to run next can be run."""
    faults: list[str] = []
    for path in sorted((ROOT / "src" / "roadworthy").rglob("*.py")):
        for text in re.findall(r'(?<!b)"[^"\n]*roadworthy [^"\n]*"', path.read_text(encoding="utf-8")):
            plain = re.sub(r"\{[^{}]*\}", "X", text.strip('"'))
            for words in _COMMAND.findall(plain):
                known = re.split(r" (?:shows|lists|to|prints|with) ", words)[0]
                if fault := fault_in(known):
                    faults.append(f"{path.name}: {known}: {fault}")
    assert faults == []


def manifests() -> list[tuple[str, str]]:
    """Find the YAML blocks that are manifests or parts of them."""
    return [
        (f"{page.name}:{block.line}", block.text)
        for page in pages()
        for block in blocks(page)
        if block.language == "yaml"
        and not re.search(r"^\s*inputs:|^cases:", block.text, re.MULTILINE)
        and not block.text.lstrip().startswith("task:")
    ]


@pytest.mark.parametrize(("place", "text"), manifests(), ids=[place for place, _ in manifests()])
def test_every_manifest_in_the_docs_loads(place: str, text: str, tmp_path: Path) -> None:
    """A reader can paste each example; a part is read within the smallest manifest."""
    whole = text if text.startswith("roadworthy:") else merged(text)
    for name in ("features", "models", "docs", "suites"):
        (tmp_path / name).mkdir()
    for name in ("model.skops", "flights.parquet", "baseline.sql", "train.py", "models/small.gguf", "docs/a.md"):
        (tmp_path / name).touch()
    (tmp_path / "probes.txt").touch()
    (tmp_path / "prompt.md").write_text("# user\n{{ question }}\n")
    (tmp_path / "suites" / "live.yaml").write_text("all: {checks: {max_words: 100}}\n")
    (tmp_path / "interface.yaml").write_text(_INTERFACE)
    (tmp_path / "system.yaml").write_text(whole)
    known = catalogue()
    known = replace(known, gates={**known.gates, "repeatable": {"rows": 100}})  # the one that a page tells how to write
    try:
        load_text(whole, tmp_path, known)
    except ManifestError as error:
        pytest.fail(f"{place}: {error}")


def merged(part: str) -> str:
    """Put a part of a manifest in the place of the smallest manifest's own keys."""
    keys = {line.partition(":")[0] for line in part.splitlines() if re.match(r"[a-z_]+:", line)}
    head = _LLM_HEAD if re.search(r"^kind: llm|^ +score:", part, re.MULTILINE) else _HEAD
    kept = [line for line in head.splitlines() if line.partition(":")[0] not in keys]
    return "\n".join(kept) + "\n" + part


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_interface_and_document_in_the_docs_reads(page: Path) -> None:
    """Interfaces load, and JSON is JSON."""
    for block in blocks(page):
        if block.language == "yaml" and re.search(r"^cases:", block.text, re.MULTILINE):
            read_suite(block.text, "suites/example.yaml")
        elif block.language == "yaml" and "inputs:" in block.text:
            read_interface(block.text)
        if block.language == "json":
            json.loads(block.text)
        if block.language == "toml":
            tomllib.loads(block.text)
        if block.language == "python":
            compile(block.text, f"{page.name}:{block.line}", "exec")


def test_every_page_is_in_the_sites_contents() -> None:
    """No page can be reached only by knowing of it."""
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    named = set(re.findall(r"[\w/.-]+\.md", str(site["project"]["nav"])))
    assert named == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


def test_the_readme_keeps_the_marks_that_figures_are_written_between() -> None:
    """`make bench` finds the place of its table."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.index("<!-- bench:start -->") < text.index("<!-- bench:end -->")
    assert read("a: 1\n").value == {"a": 1}
