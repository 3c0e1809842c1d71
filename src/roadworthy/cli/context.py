"""Where a command acts: the settings of this process, the home, the actor, the project in this folder."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from roadworthy.domain.moment import Micros, parse_iso
from roadworthy.domain.principal import Actor, Assurance, Scope
from roadworthy.errors import InputError, NotFoundError, NotPermitted
from roadworthy.settings import Settings, from_environment

if TYPE_CHECKING:
    # Opening a plane loads the database's libraries; a command line that prints help must not.
    from roadworthy.domain.system import System
    from roadworthy.ports.plane import Plane

MANIFEST = "system.yaml"


@dataclass(frozen=True, slots=True)
class Common:
    """The options that every command takes."""

    home: Path | None = None
    actor: str = ""


common: ContextVar[Common] = ContextVar("common", default=Common())  # noqa: B039 (frozen)


def settings() -> Settings:
    """Return the settings with the command line's own on top.

    Raises:
        InputError: an environment variable holds no number where one is needed.
    """
    try:
        found = from_environment()
    except ValueError as problem:
        raise InputError(f"a ROADWORTHY_ setting is no number: {problem}") from problem
    given = common.get()
    return replace(found, home=(given.home or found.home), actor=given.actor or found.actor)


def actor(scope: Scope = Scope.OPERATE, system: str = "") -> Actor:
    """Return who acts on this command line: proven by ROADWORTHY_KEY if it carries the scope, else asserted by name.

    A key that is for some systems only, as an owner's first one is, proves it where `system` is one of them.

    Raises:
        NotPermitted: the key is for approving and does not prove who sends it.
    """
    found = settings()
    asserted = Actor(principal=found.actor, assurance=Assurance.ASSERTED)
    if not found.key:
        return asserted
    from roadworthy.lifecycle.keys import authenticate

    try:
        return authenticate(plane(), found.key, scope, system)
    except NotPermitted:
        # A key for predictions in the environment says nothing about who operates here.
        if scope is Scope.APPROVE:
            raise
        return asserted


def folder() -> Path:
    """Return the project's folder: the nearest one upwards that holds a manifest, else this one."""
    here = Path.cwd()
    return next((place for place in (here, *here.parents) if (place / MANIFEST).is_file()), here)


@cache
def plane() -> Plane:
    """Open the home of this project."""
    from roadworthy.wiring import open_plane

    found = settings()
    home = found.home if found.home.is_absolute() else folder() / found.home
    return open_plane(replace(found, home=home))


def first_plane() -> Plane:
    """Open the home, creating it where there is none. `replay:2013-04-01T04:00:00Z` starts its clock in the past."""
    from roadworthy.stores.home import create, is_home

    if not is_home(home_path()):
        clock, _, start = settings().clock.partition(":")
        create(home_path(), clock=clock, now=moment(start) if start else None)
    return plane()


def home_path() -> Path:
    """Return where the home is or would be."""
    found = settings().home
    return found if found.is_absolute() else folder() / found


def manifest() -> System:
    """Load the manifest of this project.

    Raises:
        ManifestError: it is wrong; every finding at once.
        NotFoundError: there is none here.
    """
    from roadworthy.manifest import load
    from roadworthy.wiring import catalogue

    path = folder() / MANIFEST
    if not path.is_file():
        raise NotFoundError(
            f"there is no {MANIFEST} in {Path.cwd()} or above it", hint="roadworthy init --from train.py"
        )
    return load(path, catalogue())


def system_name(given: str = "") -> str:
    """Return the system a command is about: the one named, the project's, or the only one of the home.

    Raises:
        InputError: there are several and none was named.
    """
    if given:
        return given
    path = folder() / MANIFEST
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("system:"):
                return line.partition(":")[2].split("#")[0].strip().strip("'\"")
    from roadworthy.lifecycle.present import systems

    known = systems(plane())
    if len(known) == 1:
        return known[0]
    raise InputError(f"which system? this home has: {', '.join(known) or 'none yet'}", hint="name it: --system NAME")


def moment(text: str) -> Micros:
    """Read a time that a person typed.

    Raises:
        InputError: it is no ISO 8601 time.
    """
    try:
        return parse_iso(text)
    except ValueError as problem:
        raise InputError(f"'{text}' is no time", hint="write it like 2026-11-23T09:30:00Z") from problem
