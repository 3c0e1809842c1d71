"""A guard's parameters: what is given over its defaults, checked against the defaults' types."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from roadworthy.errors import InputError


def settled(
    guard: str, defaults: Mapping[str, Any], given: Mapping[str, Any], choices: Mapping[str, Collection[str]]
) -> dict[str, Any]:
    """Return the defaults with what is given in their place.

    A guard that is set up in code is held to the same rules as one that a manifest names.

    Raises:
        InputError: a parameter is unknown, of another type than its default, or none of its choices.
    """
    for key, value in given.items():
        if key not in defaults:
            known = ", ".join(sorted(defaults))
            raise InputError(f"the guard '{guard}' has no parameter '{key[:60]}'", hint=f"known: {known}")
        if not _fits(value, defaults[key]):
            raise InputError(f"{guard}.{key} must be {_kind(defaults[key])}")
        if key in choices and value not in choices[key]:
            raise InputError(f"{guard}.{key} must be one of {', '.join(choices[key])}")
    return {**defaults, **given}


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, list):
        return isinstance(value, list | tuple)
    return isinstance(value, type(default))


def _kind(default: Any) -> str:
    words = ((bool, "true or false"), (str, "text"), (list, "a list"), (int, "a whole number"))
    return next((word for kind, word in words if isinstance(default, kind)), "a number")
