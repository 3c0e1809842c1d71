"""The call a consumer can copy: real fields of the release in force, no real values."""

from __future__ import annotations

import json

from roadworthy.domain.interface import Field, FieldType, Interface, Scalar, Task

_DEFAULT_URL = "http://127.0.0.1:8080"


def example_call(url: str, system: str, interface: Interface) -> str:
    """Write a curl call with one value per field that the interface allows; `url` is the data plane's, if it runs."""
    if interface.task is Task.TEXT:
        return _chat_call(url, system)
    row = {field.name: _sample(field) for field in interface.inputs if field.required}
    body = json.dumps({"inputs": row}, ensure_ascii=False)
    return (
        f"curl {url or _DEFAULT_URL}/v1/systems/{system}/predict \\\n"
        f"  -H 'Authorization: Bearer rw_…' -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )


def _chat_call(url: str, system: str) -> str:
    body = json.dumps({"model": system, "messages": [{"role": "user", "content": "…"}]}, ensure_ascii=False)
    return (
        f"curl {url or _DEFAULT_URL}/v1/chat/completions \\\n"
        f"  -H 'Authorization: Bearer rw_…' -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )


def _sample(field: Field) -> Scalar:
    if field.default is not None:
        return field.default
    if field.categories and not field.is_classified:
        return field.categories[0]
    match field.type:
        case FieldType.STRING:
            return "…"
        case FieldType.BOOLEAN:
            return True
        case FieldType.TIMESTAMP:
            return "2026-11-23T09:30:00Z"
        case _:
            return _number(field)


def _number(field: Field) -> int | float:
    low, high = field.minimum, field.maximum
    if low is not None and high is not None:
        middle = (low + high) / 2
    else:
        middle = low if low is not None else high if high is not None else 1.0
    return round(middle) if field.type is FieldType.INTEGER else round(middle, 2)
