"""Reading the docs as data: their pages, their blocks, the commands they name; and the page that the app writes itself.

`python tests/docs_kit.py` writes docs/reference/cli.md anew.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
CLI_PAGE = DOCS / "reference" / "cli.md"
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_EVERYWHERE = frozenset({"--json", "--home", "--as", "--help", "--version"})


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line it begins at."""

    language: str
    text: str
    line: int
    page: Path


def pages() -> list[Path]:
    """Return every page that people read: the docs, the README, and what is beside it."""
    return sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md")])


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(one["language"], one["text"], text.count("\n", 0, one.start()) + 1, page) for one in _FENCE.finditer(text)
    ]


@cache
def commands() -> dict[tuple[str, ...], frozenset[str]]:
    """Return every command of the app with its options, such as ("keys", "create") → {"--scopes", …}."""
    return {
        words: frozenset(name for argument in arguments for name in argument.names) for words, _, arguments in _walk()
    }


@cache
def _places() -> dict[tuple[str, ...], int]:
    """Return how many words each command takes that are no options."""
    return {words: sum(one.index is not None for one in arguments) for words, _, arguments in _walk()}


def named_commands(text: str) -> Iterator[str]:
    """Find what a shell text runs of ours: each `roadworthy …` up to the end of that command."""
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        for match in re.finditer(r"(?:^|(?<!from)[\s(;&|`])roadworthy ([^|;&`()>\n]*)", line):
            yield match[1].split(" #")[0].strip()


def fault_in(command: str) -> str:
    """Say what is wrong with a command line of ours, or nothing."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    words = [word.strip(".,:'\"") for word in words]
    known = commands()
    path = max((name for name in known if tuple(words[: len(name)]) == name), key=len, default=None)
    if path is None:
        groups = {name[0] for name in known if len(name) > 1}
        if words and (words[0] in groups or words[0].startswith("-")):
            return "" if len(words) == 1 or words[0].startswith("-") else f"no command '{' '.join(words[:2])}'"
        return f"no command '{words[0]}'" if words else ""
    given = list(takewhile(lambda word: not word.startswith("-"), words[len(path) :]))
    if len(given) > _places()[path]:
        return f"'{' '.join(path)}' takes no '{given[-1]}'"
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    odd = sorted(options - known[path] - _EVERYWHERE)
    return f"'{' '.join(path)}' has no {', '.join(odd)}" if odd else ""


def cli_page() -> str:
    """Write the reference of the command line from the app itself."""
    lines = [
        "# The command line",
        "",
        "Written by `python tests/docs_kit.py` from the app; a test compares the two.",
        "",
        "Every command takes `--json` (one document on standard output), `--home FOLDER` (default `./.roadworthy`) and",
        "`--as NAME` (who acts, as an assertion; `ROADWORTHY_KEY` proves it).",
        "Exit codes: 0 done, 1 error, 2 refused, 3 inconclusive.",
    ]
    group = ""
    for words, app, arguments in _walk():
        if (here := _group(words)) != group:
            group = here
            lines += ["", f"## {group}"]
        lines += ["", f"### `roadworthy {' '.join(words)}`", "", *_prose(app)]
        rows = [_row(one, _told(app)) for one in arguments]
        if rows:
            lines += ["", "| | | default |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _walk() -> list[tuple[tuple[str, ...], Any, list[Any]]]:
    from roadworthy.cli.app import app

    found: list[tuple[tuple[str, ...], Any, list[Any]]] = []

    def visit(where: Any, words: tuple[str, ...]) -> None:
        for name in where:
            if name.startswith("-"):
                continue
            child = where[name]
            if child.default_command is not None:
                found.append(((*words, name), child, list(child.assemble_argument_collection())))
            visit(child, (*words, name))

    visit(app, ())
    order = {name: place for place, name in enumerate(_groups())}
    return sorted(found, key=lambda one: (order[_group(one[0])], one[0]))


def _groups() -> list[str]:
    from roadworthy.cli import app as module

    return [group.name for group in (module.PROJECT, module.TRAFFIC, module.LOOK, module.HOME)]


def _group(words: tuple[str, ...]) -> str:
    from roadworthy.cli.app import app

    return str(app[words[0]].group[0].name)


def _prose(app: Any) -> list[str]:
    text = re.split(r"\n\s*Args:", app.default_command.__doc__ or "")[0]
    return [" ".join(part.split()) for part in text.strip().split("\n\n")]


def _row(argument: Any, told: dict[str, str]) -> str:
    field = argument.field_info
    is_positional = argument.index is not None
    options = [name for name in argument.names if not name.startswith(("--no-", "--empty-"))]
    names = f"`{argument.names[0].strip('-').upper()}`" if is_positional else " ".join(f"`{name}`" for name in options)
    default = "" if field.default in (field.empty, None, "", ()) else f"`{_spell(field.default)}`"
    text = (argument.parameter.help or told.get(field.name, "")).replace("|", "\\|")
    return f"| {names} | {text} | {'required' if field.default is field.empty else default} |"


def _told(app: Any) -> dict[str, str]:
    """Read what the docstring says of each argument."""
    _, _, section = (app.default_command.__doc__ or "").partition("Args:")
    return {one[1]: one[2].strip() for one in re.finditer(r"^\s+(\w+): (.+)$", section, re.MULTILINE)}


def _spell(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(str(one) for one in value)
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    CLI_PAGE.parent.mkdir(parents=True, exist_ok=True)
    CLI_PAGE.write_text(cli_page(), encoding="utf-8")
