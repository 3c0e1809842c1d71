"""The JSON Schema of `system.yaml`, for editors and other tools. Exported to `docs/reference/manifest.schema.json`."""

from __future__ import annotations

from typing import Any, Final

from roadworthy.domain.moment import spell_duration
from roadworthy.manifest.shape import ManifestShape

SCHEMA_ID: Final = "https://json-schema.org/draft/2020-12/schema"
_REQUIRED: Final = ("roadworthy", "system", "kind", "owner", "decision", "use")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a manifest of the newest version.

    It knows shapes and units; what needs the folder or the installed plug-ins is judged by `load` only.
    """
    schema = _tidy(ManifestShape.model_json_schema(mode="validation"))
    schema["required"] = list(_REQUIRED)
    schema["properties"]["roadworthy"] = {
        "const": 1,
        "description": schema["properties"]["roadworthy"]["description"],
    }
    schema["properties"]["kind"] = {
        "enum": ["model", "llm"],
        "description": schema["properties"]["kind"]["description"],
    }
    return {"$schema": SCHEMA_ID, "title": "system.yaml", **{k: v for k, v in schema.items() if k != "title"}}


def _tidy(value: Any) -> Any:
    """Drop what says nothing to a reader: generated titles, and `or null` where a key is merely optional."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {
        key: _tidy(item)
        for key, item in value.items()  # pyright: ignore[reportUnknownVariableType]
        if not (key == "title" and isinstance(item, str)) and not (key == "default" and item is None)
    }
    if isinstance(kept.get("default"), int) and kept.get("type") == "string":
        kept["default"] = spell_duration(kept["default"])
    if {"type": "null"} in kept.get("anyOf", []):
        # Each optional key is one thing or nothing.
        (only,) = (option for option in kept.pop("anyOf") if option != {"type": "null"})
        kept = {**only, **kept}
    return kept
