"""OpenAPI 3.1 of the systems that a worker serves, made from their interfaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from roadworthy import __version__
from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface, Task
from roadworthy.domain.snapshot import ServedSystem
from roadworthy.domain.system import Kind, OnViolation
from roadworthy.serving.compiled import MAX_ROWS, Compiled
from roadworthy.serving.openapi_chat import chat_paths, chat_schemas
from roadworthy.serving.outcomes import MAX_OUTCOMES

_TYPES: Final[Mapping[FieldType, str]] = {
    FieldType.NUMBER: "number",
    FieldType.INTEGER: "integer",
    FieldType.STRING: "string",
    FieldType.BOOLEAN: "boolean",
    FieldType.TIMESTAMP: "string",
}
_REFUSALS: Final[Mapping[str, str]] = {
    "400": "The body is not JSON.",
    "401": "No key, or one that is unknown, expired or revoked.",
    "403": "The key lacks the scope, or the stated purpose is a forbidden use.",
    "404": "No such system in this environment.",
    "413": "The body or the number of rows is too large.",
    "415": "The content type is not JSON.",
    "422": "Values break the interface; each is named.",
    "429": "Too many requests in flight.",
    "500": "The server failed.",
    "503": "Not ready, stopped, or nothing left to answer with.",
}
_PURPOSE: Final = {
    "name": "x-roadworthy-purpose",
    "in": "header",
    "description": "What the answer is for; declared non-goals are refused.",
    "schema": {"type": "string"},
}


class Described(Protocol):
    """What is told of a system, of whatever kind."""

    @property
    def name(self) -> str:
        """Return its name."""
        ...

    @property
    def served(self) -> ServedSystem:
        """Return its kind and its limits."""
        ...

    @property
    def compiled(self) -> Compiled:
        """Return its interface."""
        ...


def document(places: Sequence[Described]) -> dict[str, Any]:
    """Describe what these systems take and give."""
    schemas: dict[str, Any] = {"Error": _ERROR, "TensorError": _TENSOR_ERROR, "Outcome": _OUTCOME}
    paths: dict[str, Any] = dict(_SERVER_PATHS)
    chats = [place.name for place in places if place.served.kind == Kind.LLM]
    for place in places:
        interface = place.compiled.interface
        schemas[f"{place.name}.Row"] = _row(interface, place.served.serve.on_violation)
        schemas[f"{place.name}.Outputs"] = _outputs(interface)
        paths.update(_paths(place.name, has_tensors=place.name not in chats))
    if chats:
        paths |= chat_paths(chats)
        schemas |= chat_schemas()
    return {
        "openapi": "3.1.0",
        "info": {"title": "Roadworthy data plane", "version": __version__},
        "security": [{"key": []}, {"header": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "bearerFormat": "rw_<id>_<secret>"},
                "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _row(interface: Interface, policy: OnViolation) -> dict[str, Any]:
    strict = policy is OnViolation.REJECT
    return {
        "type": "object",
        "properties": {field.name: _value(field) for field in interface.inputs},
        "required": [field.name for field in interface.inputs if field.required],
        "additionalProperties": not strict,
    }


def _value(field: Field) -> dict[str, Any]:
    kind = _TYPES[field.type]
    schema: dict[str, Any] = {"type": [kind, "null"] if field.nullable else kind}
    if field.categories:
        schema["enum"] = [*field.categories, None] if field.nullable else list(field.categories)
    if field.type is FieldType.TIMESTAMP:
        schema["format"] = "date-time"
    if field.type is FieldType.INTEGER:
        schema |= {"minimum": -(2**63), "maximum": 2**63 - 1}
    numeric = field.type in (FieldType.NUMBER, FieldType.INTEGER)
    schema |= {"minimum": field.minimum} if numeric and field.minimum is not None else {}
    schema |= {"maximum": field.maximum} if numeric and field.maximum is not None else {}
    told = {
        FieldRole.ENTITY: "Names whom or what the request is about.",
        FieldRole.EVENT_TIME: "When the thing happened.",
        FieldRole.AGE: f"Age in minutes of '{field.age_of}'.",
    }.get(field.role)
    return schema | ({"description": told} if told else {})


def _outputs(interface: Interface) -> dict[str, Any]:
    share: dict[str, Any] = {"type": ["number", "null"]}
    label: dict[str, Any] = {"type": ["string", "null"]}
    shapes: dict[Task, dict[str, Any]] = {
        Task.BINARY: {"probability": share, "label": label},
        Task.MULTICLASS: {
            "label": label,
            "probabilities": {"type": "object", "properties": dict.fromkeys(interface.labels, share)},
        },
        Task.REGRESSION: {"value": share},
        Task.TEXT: {"text": label, "finish": label},
    }
    properties = shapes[interface.task]
    return {"type": "object", "properties": properties, "required": list(properties)}


def _paths(system: str, *, has_tensors: bool) -> dict[str, Any]:
    row, outputs = _reference(f"{system}.Row"), _reference(f"{system}.Outputs")
    rows = {"type": "array", "items": row, "minItems": 1, "maxItems": MAX_ROWS}
    inputs = {
        "type": "object",
        "properties": {"inputs": {"anyOf": [row, rows]}},
        "required": ["inputs"],
        "additionalProperties": False,
    }
    outcome = _reference("Outcome")
    outcomes = {"anyOf": [outcome, {"type": "array", "items": outcome, "minItems": 1, "maxItems": MAX_OUTCOMES}]}
    return {
        f"/v1/systems/{system}/predict": {
            "post": {
                "operationId": f"predict_{system}",
                "summary": f"Ask {system} for one answer or many.",
                "parameters": [_PURPOSE],
                "requestBody": _body(inputs),
                "responses": {"200": _reply("The answer.", _told(outputs)), **_refusals("Error")},
            }
        },
        f"/v1/systems/{system}/outcomes": {
            "post": {
                "operationId": f"outcomes_{system}",
                "summary": f"Say what turned out to be true of answers of {system}.",
                "requestBody": _body(outcomes),
                "responses": {"202": _reply("Taken into the log.", _ACCEPTED), **_refusals("Error")},
            }
        },
        **(_tensor_paths(system) if has_tensors else {}),
    }


def _tensor_paths(system: str) -> dict[str, Any]:
    return {
        f"/v2/models/{system}": {
            "get": {
                "operationId": f"metadata_{system}",
                "responses": {"200": _reply("Tensors of the model.", {"type": "object"}), **_refusals("TensorError")},
            }
        },
        f"/v2/models/{system}/ready": {
            "get": {
                "operationId": f"ready_{system}",
                "responses": {"200": _reply("Ready.", {"type": "object"}), **_refusals("TensorError")},
            }
        },
        f"/v2/models/{system}/infer": {
            "post": {
                "operationId": f"infer_{system}",
                "parameters": [_PURPOSE],
                "requestBody": _body(_TENSORS),
                "responses": {"200": _reply("Output tensors.", {"type": "object"}), **_refusals("TensorError")},
            }
        },
    }


def _told(outputs: Mapping[str, Any]) -> dict[str, Any]:
    text = {"type": ["string", "null"]}
    each = {"anyOf": [text, {"type": "array", "items": text}]}
    return {
        "type": "object",
        "properties": {
            "outputs": {"anyOf": [outputs, {"type": "array", "items": outputs}]},
            "record": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            "release": each,
            "fallback": each,
        },
        "required": ["outputs", "record", "release", "fallback"],
    }


def _refusals(schema: str) -> dict[str, Any]:
    return {status: _reply(told, _reference(schema)) for status, told in _REFUSALS.items()}


def _reply(told: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": told, "content": {"application/json": {"schema": schema}}}


def _body(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_ACCEPTED: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"accepted": {"type": "integer"}},
    "required": ["accepted"],
}
_ERROR: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string", "pattern": "^RW[0-9]{3}$"},
                "message": {"type": "string"},
                "hint": {"type": "string"},
                "field": {"type": "string"},
                "rule": {"type": "string"},
                "value": {},
                "violations": {"type": "array", "items": {"type": "object"}},
            },
            "required": ["code", "message"],
        }
    },
    "required": ["error"],
}
_TENSOR_ERROR: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}
_TIME: Final = {"type": "string", "format": "date-time"}
_OUTCOME: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "record": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "entity": {"type": "string", "minLength": 1, "maxLength": 1000},
        "event_time": _TIME,
        "value": {"type": ["number", "string", "boolean"], "minimum": -(2**63), "maximum": 2**63 - 1},
        "scorer": {"type": "string", "maxLength": 1000},
        "known_at": _TIME,
        "key": {"type": "string", "maxLength": 1000},
    },
    "required": ["value"],
    "anyOf": [{"required": ["record"]}, {"required": ["entity", "event_time"]}],
    "additionalProperties": False,
}
_TENSORS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "inputs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "datatype": {"type": "string"},
                    "shape": {"type": "array", "items": {"type": "integer"}},
                    "data": {"type": "array"},
                },
                "required": ["name", "datatype", "shape"],
            },
        },
        "outputs": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
    "required": ["inputs"],
}
_OPEN: Final[list[Any]] = []
_TEXT: Final = {"description": "Counters.", "content": {"text/plain": {"schema": {"type": "string"}}}}
_SERVER_PATHS: Final[Mapping[str, Any]] = {
    "/healthz": {"get": {"security": _OPEN, "responses": {"200": _reply("Alive.", {"type": "object"})}}},
    "/v2": {"get": {"security": _OPEN, "responses": {"200": _reply("The server.", {"type": "object"})}}},
    "/v2/health/live": {"get": {"security": _OPEN, "responses": {"200": _reply("Alive.", {"type": "object"})}}},
    "/v2/health/ready": {
        "get": {
            "security": _OPEN,
            "responses": {
                "200": _reply("Ready.", {"type": "object"}),
                "503": _reply("Not ready.", _reference("TensorError")),
            },
        }
    },
    "/metrics": {
        "get": {"responses": {"200": _TEXT, **{s: r for s, r in _refusals("Error").items() if s in "401 403 503"}}}
    },
}
