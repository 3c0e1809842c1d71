"""An answer that must be JSON of a schema is that, or does not leave."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Final, Self, cast

from roadworthy.errors import InputError, PluginError
from roadworthy.guards.json_repair import repaired
from roadworthy.guards.settled import settled
from roadworthy.ports.chat import Document
from roadworthy.ports.guard import Act, Blocked, GuardContext, Hit, Ruling

try:
    from jsonschema import exceptions, validators
    from referencing import Registry
except ImportError as error:
    raise PluginError(
        f"the guard 'output_schema' needs {error.name}, which is not installed", hint="pip install 'roadworthy[llm]'"
    ) from error

_SHOWN: Final = 3
_OPENINGS: Final = {"object": "{", "array": "["}


class OutputSchemaGuard:
    """Holds a whole answer against the context's JSON Schema, repairs what form alone is wrong, blocks the rest.

    Whether a blocked answer is asked for again, or the fallback answers, is the gateway's affair.
    """

    name: ClassVar[str] = "output_schema"
    needs: ClassVar[str] = "an answer is valid JSON of the declared schema"
    defaults: ClassVar[Mapping[str, Any]] = {"repair": True, "most_characters": 1_000_000}

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        given = settled(self.name, self.defaults, parameters or {}, {})
        self._repair: bool = given["repair"]
        self._most: int = given["most_characters"]

    def configured(self, parameters: Mapping[str, Any]) -> Self:
        """Return this guard with these parameters.

        Raises:
            InputError: a parameter is unknown or of the wrong type.
        """
        return type(self)(parameters)

    def question(self, request: Document, context: GuardContext) -> Ruling:
        """Let every question pass; only an answer has a form to keep."""
        del request, context
        return Ruling(guard=self.name)

    def answer(self, text: str, context: GuardContext) -> Ruling:
        """Allow valid JSON as it is, give repaired JSON, or block with the places that are wrong.

        The reason names places and keywords of the schema, never a value of the answer.

        Raises:
            InputError: the schema is no JSON Schema.
        """
        schema = context.output_schema
        if schema is None:
            return Ruling(guard=self.name, text=text)
        if len(text) > self._most:
            return self._blocked("size", f"the answer is longer than {self._most:,} characters")
        found, value = _read(text)
        faults = _faults(schema, value) if found else []
        if found and not faults:
            return Ruling(guard=self.name, text=text)
        opening = _OPENINGS.get(str(schema.get("type")), "{[")
        mended = repaired(text, opening) if self._repair else None
        if mended is not None:
            found, value = _read(mended.text)
            faults = _faults(schema, value) if found else faults
        if mended is not None and found and not faults:
            hits = tuple(Hit(step) for step in mended.steps)
            reason = f"repaired: {', '.join(mended.steps)}"
            return Ruling(guard=self.name, action=Act.ALTER, text=mended.text, hits=hits, reason=reason)
        if faults:
            return self._blocked("schema", f"the answer breaks its schema: {'; '.join(faults)}")
        return self._blocked("not_json", "the answer is no JSON")

    def stream(self, context: GuardContext) -> WholeStream:
        """Hold the answer until it ended: half a document has no validity. Without a schema nothing is held."""
        return WholeStream(self, context)

    def _blocked(self, rule: str, reason: str) -> Ruling:
        return Ruling(guard=self.name, action=Act.BLOCK, hits=(Hit(rule),), reason=reason)


class WholeStream:
    """Collects an answer and rules on it at its end."""

    def __init__(self, guard: OutputSchemaGuard, context: GuardContext) -> None:
        self._guard, self._context = guard, context
        self._pieces: list[str] = []
        self._ruling = Ruling(guard=guard.name)

    def feed(self, piece: str) -> str:
        """Keep the piece; without a schema it leaves."""
        if self._context.output_schema is None:
            return piece
        self._pieces.append(piece)
        return ""

    def close(self) -> str:
        """Return the whole valid answer.

        Raises:
            Blocked: it is not valid and cannot be repaired.
        """
        if self._context.output_schema is None:
            return ""
        ruling = self._guard.answer("".join(self._pieces), self._context)
        if ruling.action is Act.BLOCK:
            raise Blocked(ruling)
        self._ruling = Ruling(guard=ruling.guard, action=ruling.action, hits=ruling.hits, reason=ruling.reason)
        return ruling.text

    def ruling(self) -> Ruling:
        """Say what was repaired."""
        return self._ruling


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _read(text: str) -> tuple[bool, Any]:
    """Parse strict JSON: `NaN` and `Infinity`, which Python reads, are none."""
    try:
        return True, json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False, None


def _faults(schema: Mapping[str, Any], value: Any) -> list[str]:
    """Return where the value breaks the schema, without any of its values."""
    validator = _validator(json.dumps(schema, sort_keys=True))
    found: list[str] = []
    try:
        for error in cast("Iterable[Any]", validator.iter_errors(value)):
            # The place in the schema, not in the answer: the answer's own keys may hold anything.
            found.append("/".join(map(str, error.absolute_schema_path))[:120])
            if len(found) == _SHOWN:
                break
    except RecursionError:
        return ["nested too deep"]
    except Exception as error:
        # An unresolvable reference shows only when it is reached; nothing is ever fetched.
        raise InputError(f"the output schema cannot be followed: {type(error).__name__}") from error
    return found


@lru_cache(maxsize=128)
def _validator(schema: str) -> Any:
    """Compile a schema once. Its references may point into itself only: nothing is fetched."""
    document = json.loads(schema)
    kind: Any = validators.validator_for(document, default=validators.Draft202012Validator)
    try:
        kind.check_schema(document)
    except exceptions.SchemaError as error:
        raise InputError(f"the output schema is no JSON Schema: {error.validator} is wrong in it") from error
    return kind(document, registry=cast("Any", Registry)())
