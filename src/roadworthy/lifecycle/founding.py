"""What every `init` shares: a name, an owner, files that overwrite nothing, a first commit and a first key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from roadworthy.domain.principal import Actor, Scope
from roadworthy.errors import InputError
from roadworthy.lifecycle import checkout
from roadworthy.lifecycle.first_files import ignored
from roadworthy.lifecycle.keys import create_key
from roadworthy.ports.people import Person
from roadworthy.ports.plane import Plane
from roadworthy.stores.atomic import write_bytes

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_CONTACT: Final = re.compile(r"[^@\s]+@[^@\s]+")
_SCOPES: Final = (Scope.PREDICT, Scope.OUTCOME, Scope.READ, Scope.OPERATE, Scope.APPROVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class InitResult:
    """What was made. `key` is shown once; `call` is a command line that gets an answer from the running system."""

    name: str
    folder: Path
    files: tuple[str, ...]
    key: str
    call: str
    commit: str
    notes: tuple[str, ...]


def check_owner(owner: str) -> None:
    """Refuse an owner who cannot be reached.

    Raises:
        InputError: it is no address.
    """
    if not _CONTACT.fullmatch(owner):
        raise InputError(f"'{owner}' is no address to reach the owner at", hint="--owner ana@example.com")


def system_name(name: str, folder: Path) -> str:
    """Return the system's name: the given one, or the folder's as a name.

    Raises:
        InputError: the given one is no name.
    """
    if name:
        if not _NAME.fullmatch(name):
            hint = "a name has small letters, digits and hyphens, begins with a letter and has at most 63 characters"
            raise InputError(f"'{name}' is not a name for a system", hint=hint)
        return name
    made = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:63].strip("-")
    return made if _NAME.fullmatch(made) else "system"


def refuse_a_project(folder: Path) -> None:
    """Refuse a folder that holds a project.

    Raises:
        InputError: it does.
    """
    if (folder / "system.yaml").exists():
        raise InputError(
            f"{folder.name}/ is a project already: it has a system.yaml",
            hint="roadworthy plan shows what it says; then: roadworthy release",
        )


def kept_files(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Return which of the files that init would write are there already; any test in tests/ stands for the first."""
    tested = any((folder / "tests").rglob("*.py"))
    return tuple(name for name in names if (folder / name).exists() or (name.startswith("tests/") and tested))


def here(folder: Path, kept: Sequence[str]) -> list[str]:
    """Return the kept files that are files of their own name (any test stands for the first one)."""
    return [name for name in kept if (folder / name).is_file()]


def write_texts(folder: Path, texts: Mapping[str, str], large: list[str]) -> list[str]:
    """Write texts, the manifest last: a folder with a manifest is whole. `large` are files to be left out of Git."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ignored(folder, large)
    named = dict(texts) if lines is None else {".gitignore": lines, **texts}
    for name in sorted(named, key=lambda name: name == "system.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, named[name].encode(), "home")
    return list(named)


def commit_first(folder: Path, written: list[str]) -> tuple[str, str]:
    """Commit the files in a new repository; in an existing one that is for its people to do."""
    if checkout.git_is_missing():
        return "", "Git is not installed, so nobody can tell from which code a release was built"
    if checkout.in_repository(folder):
        return checkout.look(folder).commit, "the folder is in a Git repository already: commit the new files there"
    return checkout.start(folder, written, "Begin the project"), ""


def first_key(plane: Plane, owner: str, system: str) -> str:
    """Make the owner's first key; return it as its holder sends it."""
    principal = owner.split("@", 1)[0]
    plane.people.put(Person(principal=principal, contact=owner))
    made = create_key(
        plane, principal, _SCOPES, Actor(principal=principal), systems=(system,), reason="the owner's first key"
    )
    return made.text
