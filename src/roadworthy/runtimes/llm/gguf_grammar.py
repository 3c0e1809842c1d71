"""JSON Schema written as a GBNF grammar, so that a local model can only write what the schema allows.

Every declared property is written, in its declared order; texts have no length or pattern, numbers no bounds. What the
grammar cannot hold is refused by name, so that no answer merely looks as if it kept to its schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

MAX_DEPTH: Final = 12
MAX_PARTS: Final = 500
_JSON: Final = r"""
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws
array ::= "[" ws (value ("," ws value)*)? "]" ws
string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F]))* "\""
integer ::= "-"? ("0" | [1-9] [0-9]*)
number ::= integer ("." [0-9]+)? ([eE] [-+]? [0-9]+)?
ws ::= " "?
"""
_PLAIN: Final = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": '("true" | "false")',
    "null": '"null"',
}
_UNDERSTOOD: Final = frozenset(
    (
        "type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "oneOf", "$ref",
        "$defs", "definitions", "$schema", "title", "description", "default", "examples", "strict",
    )
)  # fmt: skip


class NotInGrammar(ValueError):
    """The schema asks for what a grammar cannot hold."""


def grammar_of(schema: Mapping[str, Any] | None) -> str:
    """Write the grammar of a schema's values; of any JSON object where there is no schema.

    Raises:
        NotInGrammar: a keyword that the grammar cannot hold, which it names.
    """
    root = "object" if schema is None else _Writer(schema).rule(schema)
    return f"root ::= {root}\n{_JSON}"


class _Writer:
    """Writes rules for parts of one schema; parts referred to twice are written twice, within a bound."""

    def __init__(self, whole: Mapping[str, Any]) -> None:
        self._whole = whole
        self._left = MAX_PARTS

    def rule(self, schema: Mapping[str, Any], depth: int = 0) -> str:
        """Write what a schema allows."""
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise NotInGrammar("the schema is too large, nests too deep, or refers to itself")
        for name in schema:
            if name not in _UNDERSTOOD:
                raise NotInGrammar(f"the schema's keyword {name!r} cannot be held to")
        if "$ref" in schema:
            return self.rule(self._referred(str(schema["$ref"])), depth + 1)
        choices = self._choices(schema, depth)
        return f"({' | '.join(choices)})" if choices else self._typed(schema, depth)

    def _choices(self, schema: Mapping[str, Any], depth: int) -> list[str]:
        if "enum" in schema or "const" in schema:
            return [_literal(value) for value in schema.get("enum", [schema.get("const")])]
        parts: list[Mapping[str, Any]] = list(schema.get("anyOf") or schema.get("oneOf") or ())
        if isinstance(schema.get("type"), list):
            parts = [{**schema, "type": one} for one in schema["type"]]
        return [self.rule(part, depth + 1) for part in parts]

    def _typed(self, schema: Mapping[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if kind == "object" or "properties" in schema:
            fields: Mapping[str, Any] = schema.get("properties") or {}
            parts = [f'{_literal(name)} ":" ws {self.rule(part, depth + 1)}' for name, part in fields.items()]
            return '"{" ws ' + ' "," ws '.join(parts) + ' ws "}"' if parts else "object"
        if kind == "array":
            item = self.rule(schema.get("items") or {}, depth + 1)
            return f'"[" ws ({item} ("," ws {item})*)? "]"'
        return _PLAIN.get(str(kind), "value")

    def _referred(self, reference: str) -> Mapping[str, Any]:
        found: Any = self._whole
        for step in reference.removeprefix("#/").split("/"):
            found = cast("dict[str, Any]", found).get(step) if isinstance(found, dict) else None
        if not isinstance(found, dict) or not reference.startswith("#/"):
            raise NotInGrammar(f"the schema refers to {reference!r}, which it does not hold")
        return cast("dict[str, Any]", found)


def _literal(value: object) -> str:
    """Write a JSON value as the text it must be."""
    text = json.dumps(value, ensure_ascii=True)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
