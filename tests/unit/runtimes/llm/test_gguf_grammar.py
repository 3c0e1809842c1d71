"""Schemas as grammars: what is written, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from roadworthy.runtimes.llm.gguf_grammar import NotInGrammar, grammar_of

ROUND: dict[str, Any] = {"type": "array", "items": {"$ref": "#/$defs/a"}}
WIDE: dict[str, Any] = {
    "anyOf": [{"$ref": "#/$defs/b"}] * 10,
    "$defs": {"b": {"anyOf": [{"$ref": "#/$defs/c"}] * 10}, "c": {"anyOf": [{"type": "null"}] * 10}},
}


def test_a_schema_becomes_a_rule_and_none_any_object() -> None:
    """Properties stand in their declared order, with their names as they must be written."""
    root = grammar_of({"type": "object", "properties": {'a"b': {"type": "integer"}, "c": {"const": 1}}}).splitlines()[0]
    assert root == r'root ::= "{" ws "\"a\\\"b\"" ":" ws integer "," ws "\"c\"" ":" ws ("1") ws "}"'
    assert grammar_of(None).startswith("root ::= object\n")


@pytest.mark.parametrize(
    "schema",
    [{"type": "string", "maxLength": 3}, {"$ref": "elsewhere"}, {**ROUND, "$defs": {"a": ROUND}}, WIDE, {"not": {}}],
)
def test_what_a_grammar_cannot_hold_is_refused(schema: dict[str, Any]) -> None:
    """No caller can make a grammar without end, or believe in a rule that is not kept."""
    with pytest.raises(NotInGrammar):
        grammar_of(schema)
