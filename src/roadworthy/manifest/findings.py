"""What pydantic says of a shape, as findings with line, column and the nearest known key."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError

from roadworthy.manifest.conditions import ConditionError
from roadworthy.manifest.marked_yaml import Document, Mark, Path

_TYPES = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must hold keys and values",
    "model_type": "must hold keys and values",
    "model_attributes_type": "must hold keys and values",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must be one line",
}


def validate(shape: type[BaseModel], document: Document, context: Any = None) -> Any:
    """Read a document into its shape, noting every mistake.

    What is wrong is noted and cut out, and the rest is read again, so that one mistake hides no other. Returns None
    when nothing that makes sense is left.
    """
    value: Any = document.value
    for _ in range(8):
        try:
            return shape.model_validate(value, context=context)
        except ValidationError as error:
            wrong = _note(error, shape, document)
            value = _without(value, wrong)
    return None


def _note(error: ValidationError, shape: type[BaseModel], document: Document) -> set[Path]:
    wrong: set[Path] = set()
    seen: set[Path] = set()
    for detail in error.errors(include_url=False):
        path = _in_document(detail["loc"], document.value)
        kind = detail["type"]
        if kind == "extra_forbidden":
            _unknown_key(path, shape, document)
        elif kind == "missing":
            parent = path[:-1]
            name = ".".join(str(part) for part in parent) or "the file"
            document.note(document.mark_of(parent, key=True), f"'{path[-1]}' is missing in {name}")
            path = parent
        elif path not in seen:
            seen.add(path)
            _wrong_value(path, detail, document)
        wrong.add(_up_to_list(path))
    return wrong


def _up_to_list(path: Path) -> Path:
    """Cut a path before its first place in a list: a list is cut out whole, so that places keep their marks."""
    return next((path[:depth] for depth, part in enumerate(path) if isinstance(part, int)), path)


def _in_document(location: tuple[int | str, ...], value: Any) -> Path:
    """Drop what pydantic adds to a location (union members, `[key]`) and keep what is in the text."""
    path: list[str | int] = []
    here = value
    for place, part in enumerate(location):
        if _holds(here, part):
            here = here[part]
        elif isinstance(here, dict) and place == len(location) - 1 and isinstance(part, str):
            path.append(part)
            break
        else:
            break
        path.append(part)
    return tuple(path)


def _holds(here: Any, part: int | str) -> bool:
    if isinstance(here, dict):
        return part in here
    return isinstance(here, list) and isinstance(part, int) and part < len(cast("list[Any]", here))


def _unknown_key(path: Path, shape: type[BaseModel], document: Document) -> None:
    known = sorted(_keys_at(shape, path[:-1]))
    key = str(path[-1])
    near = get_close_matches(key, known, n=1)
    where = f" in {'.'.join(str(part) for part in path[:-1])}" if len(path) > 1 else ""
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    document.note(document.mark_of(path, key=True), f"unknown key '{key[:60]}'{where}", hint)


def _wrong_value(path: Path, detail: Mapping[str, Any], document: Document) -> None:
    name = ".".join(str(part) for part in path) or "the file"
    cause = detail.get("ctx", {}).get("error")
    mark = document.mark_of(path)
    if isinstance(cause, ConditionError):
        document.note(mark, f"{name}: {cause}", cause.hint, shift=_shift(path, mark, document, cause.offset))
        return
    message, hint = _sentence(name, detail, cause)
    document.note(mark, message, hint)


def _shift(path: Path, mark: Mark, document: Document, offset: int) -> int:
    """Point into a condition where the text says so; a text over several lines keeps the mark of its start."""
    return offset if "\n" not in document.raw.get(path, "\n") and mark.column else 0


def _sentence(name: str, detail: Mapping[str, Any], cause: object) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    if cause is not None:
        return f"{name}: {cause}", ""
    if kind == "literal_error":
        known = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        near = get_close_matches(str(detail["input"]), known, n=1)
        return f"{name} must be one of: {', '.join(known)}", f"did you mean '{near[0]}'?" if near else ""
    hint = "put it in quotes" if kind == "string_type" and isinstance(detail["input"], int | float) else ""
    if kind in _TYPES:
        return f"{name} {_TYPES[kind]}", hint
    return f"{name}: {str(detail['msg']).lower()}", ""


def _keys_at(shape: type[BaseModel], path: Path) -> set[str]:
    """Return the keys that a shape knows at a path."""
    here: Any = shape
    for part in path:
        here = _step(here, part)
    model = _model(here)
    return set(model.model_fields) if model else set()


def _step(here: Any, part: str | int) -> Any:
    model = _model(here)
    if model is not None and isinstance(part, str):
        field = model.model_fields.get(part)
        return field.annotation if field else None
    return next((argument for argument in _flat(here) if _model(argument)), None)


def _model(here: Any) -> type[BaseModel] | None:
    if isinstance(here, type) and issubclass(here, BaseModel):
        return here
    return next(
        (found for item in get_args(here) if isinstance(found := item, type) and issubclass(found, BaseModel)), None
    )


def _flat(here: Any) -> list[Any]:
    return [inner for item in get_args(here) for inner in (item, *_flat(item))]


def _without(value: Any, paths: set[Path]) -> Any:
    """Copy a value without what stands at these paths."""
    if () in paths:
        return {}
    if isinstance(value, dict):
        kept: dict[str, Any] = {}
        for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            if (key,) not in paths:
                kept[key] = _without(item, {path[1:] for path in paths if path[:1] == (key,)})
        return kept
    return value
