"""Interface → the text that people review in `interface.yaml`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from roadworthy.domain.interface import Field, FieldRole, Interface, Scalar
from roadworthy.manifest.units import spell_number

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
_PLAIN_CATEGORY: Final = re.compile(r"[A-Za-z0-9_.+/-]+( [A-Za-z0-9_.+/-]+)*")
_PLAIN_LABEL: Final = re.compile(r"[A-Za-z][A-Za-z_-]*")
_WORDS_YAML_READS: Final = frozenset({"null", "true", "false"})


def write_interface(interface: Interface) -> str:
    """Write an interface the way people review it; `read_interface` reads the same interface back."""
    lines = [f"task: {interface.task}"]
    if interface.labels:
        lines.append(f"labels: [{', '.join(_label(label) for label in interface.labels)}]")
    if interface.positive:
        lines.append(f"positive: {_label(interface.positive)}")
    if interface.threshold != 0.5:  # noqa: PLR2004 (the default)
        lines.append(f"threshold: {spell_number(interface.threshold)}")
    lines.append("inputs:")
    for field in interface.inputs:
        lines.extend(_field_lines(field))
    return "\n".join(lines) + "\n"


def resolved_interface(interface: Interface) -> dict[str, Any]:
    """Return an interface in the words of its file, one entry a field: what `plan` compares."""
    inputs = {
        field.name: _compact(field) if _is_compact(field) else dict(_written_out(field)) for field in interface.inputs
    }
    return {
        "task": str(interface.task),
        "labels": list(interface.labels),
        "positive": interface.positive,
        "threshold": interface.threshold,
        "inputs": inputs,
    }


def _label(label: str) -> str:
    return label if _PLAIN_LABEL.fullmatch(label) and label.lower() not in _WORDS_YAML_READS else _quoted(label)


def _field_lines(field: Field) -> list[str]:
    plain = _PLAIN_NAME.fullmatch(field.name) and field.name.lower() not in _WORDS_YAML_READS
    name = field.name if plain else _quoted(field.name)
    if _is_compact(field):
        return [f"  {name}: {_compact(field)}"]
    return [f"  {name}:"] + [f"    {key}: {value}" for key, value in _written_out(field).items()]


def _is_compact(field: Field) -> bool:
    return (
        field.default is None
        and not field.classes
        and all(_PLAIN_CATEGORY.fullmatch(category) for category in field.categories)
        and (not field.age_of or _PLAIN_NAME.fullmatch(field.age_of) is not None)
    )


def _compact(field: Field) -> str:
    parts = [f"{field.type}{'?' if field.nullable else ''}"]
    if field.minimum is not None or field.maximum is not None:
        low, high = (("" if end is None else spell_number(end)) for end in (field.minimum, field.maximum))
        parts.append(f"{low}..{high}")
    if field.categories:
        parts.append(f"[{', '.join(field.categories)}]")
    if field.role is FieldRole.AGE:
        parts.append(f"age of {field.age_of}")
    elif field.role is not FieldRole.FEATURE:
        parts.append(str(field.role))
    if not field.required:
        parts.append("optional")
    return " ".join(parts)


def _written_out(field: Field) -> Mapping[str, str]:
    every: dict[str, tuple[bool, Scalar]] = {
        "type": (True, str(field.type)),
        "nullable": (field.nullable, "true"),
        "required": (not field.required, "false"),
        "min": (field.minimum is not None, spell_number(field.minimum or 0.0)),
        "max": (field.maximum is not None, spell_number(field.maximum or 0.0)),
        "categories": (bool(field.categories), _quoted(list(field.categories))),
        "role": (field.role is not FieldRole.FEATURE, str(field.role)),
        "age_of": (bool(field.age_of), _quoted(field.age_of)),
        "classes": (bool(field.classes), _quoted(list(field.classes))),
        "default": (field.default is not None, _quoted(field.default)),
    }
    return {key: str(text) for key, (shown, text) in every.items() if shown}


def _quoted(value: object) -> str:
    """Write a JSON value as YAML reads it: characters that YAML does not print are escaped its way."""
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in json.dumps(value, ensure_ascii=False))
