"""What systems of kind llm add to the OpenAPI document: the paths of OpenAI's API, as far as they are served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_OBJECT: Final[Mapping[str, Any]] = {"type": "object"}
_STATUSES: Final[Mapping[str, str]] = {
    "400": "The request is wrong, or a guard does not let it pass; `param` names the field.",
    "401": "No key, or one that is unknown, expired or revoked.",
    "403": "The key lacks the scope, or the stated purpose is a forbidden use.",
    "404": "No such model in this environment.",
    "429": "Too many requests in flight, or the budget is spent.",
    "503": "Not ready, stopped, or nothing left to answer with.",
}
_ERROR: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type"],
        }
    },
    "required": ["error"],
}
_MESSAGE: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]},
        "content": {"type": ["string", "array", "null"]},
    },
    "required": ["role"],
}


def chat_paths(models: Sequence[str]) -> dict[str, Any]:
    """Describe the paths by which these systems are asked as models."""
    if not models:
        return {}
    model = {"type": "string", "enum": list(models)}
    chat = {
        "type": "object",
        "properties": {
            "model": model,
            "messages": {"type": "array", "items": _reference("ChatMessage"), "minItems": 1},
            "stream": {"type": ["boolean", "null"]},
            "user": {"type": ["string", "null"], "maxLength": 200},
        },
        "required": ["model", "messages"],
    }
    texts = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    spelling = {"enum": ["float", "base64", None]}
    embeddings = {
        "type": "object",
        "properties": {"model": model, "input": texts, "encoding_format": spelling},
        "required": ["model", "input"],
    }
    named = {"name": "model", "in": "path", "required": True, "schema": model}
    return {
        "/v1/chat/completions": {
            "post": _operation("chat", "Ask a system; with `stream` the answer comes as events.", chat, _streamed())
        },
        "/v1/embeddings": {"post": _operation("embeddings", "Turn texts into vectors.", embeddings, _json("Vectors."))},
        "/v1/models": {"get": _operation("models", "List the systems that the key may ask.", None, _json("Models."))},
        "/v1/models/{model}": {
            "get": {**_operation("model", "Describe one of them.", None, _json("The model.")), "parameters": [named]}
        },
    }


def chat_schemas() -> dict[str, Any]:
    """Return the schemas that these paths refer to."""
    return {"ChatError": _ERROR, "ChatMessage": _MESSAGE}


def _operation(name: str, told: str, body: Mapping[str, Any] | None, answer: Mapping[str, Any]) -> dict[str, Any]:
    refusals = {
        status: {"description": why, "content": {"application/json": {"schema": _reference("ChatError")}}}
        for status, why in _STATUSES.items()
    }
    found: dict[str, Any] = {"operationId": name, "summary": told, "responses": {"200": answer, **refusals}}
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def _json(told: str) -> dict[str, Any]:
    return {"description": told, "content": {"application/json": {"schema": _OBJECT}}}


def _streamed() -> dict[str, Any]:
    found = _json("The answer.")
    found["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return found


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
