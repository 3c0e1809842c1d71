"""Plug-ins: one entry-point group per kind; built-ins register the same way; only what is named is imported."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from roadworthy.errors import NotFoundError, PluginError

GROUPS = ("gates", "monitors", "actions", "guards", "runtimes", "engines")


@cache
def _installed(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"roadworthy.{group}")}


def names(group: str) -> tuple[str, ...]:
    """Return the names that a manifest may use for a kind of plug-in, without importing any."""
    return tuple(sorted(_installed(group)))


def load(group: str, name: str) -> Any:
    """Import the plug-in of this name and return an instance of it.

    Raises:
        NotFoundError: nothing of this name is installed; names the nearest and all that are.
        PluginError: it cannot be imported; names the extra or package that is missing.
    """
    point = _installed(group).get(name)
    if point is None:
        raise NotFoundError.among(group.removesuffix("s"), name, names(group))
    try:
        factory = point.load()
    except ImportError as error:
        raise PluginError(
            f"the {group.removesuffix('s')} '{name}' needs {error.name}, which is not installed",
            hint=f"pip install 'roadworthy[{name}]'",
        ) from error
    return factory()
