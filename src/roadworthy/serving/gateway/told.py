"""Answers in OpenAI's words: whole ones, pieces of a stream, and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from roadworthy.runtimes.llm.counting import usage_document
from roadworthy.serving.gateway.request import BadRequest
from roadworthy.serving.gateway.turn import Turn
from roadworthy.serving.problem import Problem

encode: Final = msgspec.json.Encoder().encode
DONE: Final = b"data: [DONE]\n\n"
_KINDS: Final[Mapping[int, tuple[str, str | None]]] = {
    400: ("invalid_request_error", None),
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "permission_denied"),
    404: ("invalid_request_error", "model_not_found"),
    405: ("invalid_request_error", "method_not_allowed"),
    413: ("invalid_request_error", "request_too_large"),
    415: ("invalid_request_error", "unsupported_media_type"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}


def answer_body(turn: Turn, *, recorded: bool) -> bytes:
    """Write a whole answer as a `chat.completion`; what the provider said beside its text is kept."""
    said = turn.said
    assert said is not None, "there is an answer"
    given: Mapping[str, Any] = said.document or {}
    message: dict[str, Any] = {"role": "assistant"}
    choice: dict[str, Any] = {"index": 0}
    if given:
        choice = dict(given["choices"][0])
        message = dict(choice["message"])
    message["content"] = said.text if said.text or not (said.tool_calls or said.refusal) else None
    if said.refusal:
        message["refusal"] = said.refusal
    choice |= {"message": message, "finish_reason": said.finish}
    document = {
        "id": f"chatcmpl-{turn.record}",
        "object": "chat.completion",
        "created": turn.intake.now // 1_000_000,
        "model": turn.place.name,
        "choices": [choice],
        "usage": usage_document(turn.usage),
        "system_fingerprint": turn.fingerprint or None,
        "roadworthy": mark_of(turn, recorded=recorded),
    }
    return encode(document)


def mark_of(turn: Turn, *, recorded: bool = True) -> dict[str, Any]:
    """Say where an answer came from: what no provider says."""
    ready = turn.ready
    found: dict[str, Any] = {
        "record": turn.record,
        "release": ready.name if ready else None,
        "fallback": turn.mark or None,
        "abstained": turn.abstained,
        "cached": turn.from_cache,
        "cost_picos": turn.cost,
        "first_token_us": turn.first_token_us,
        "passages": turn.passages,
    }
    if not recorded:
        found["unrecorded"] = True
    return found


def headers_of(turn: Turn, *, recorded: bool = True) -> list[tuple[str, str]]:
    """Say the same in headers."""
    found = [("x-roadworthy-record", turn.record)]
    if turn.ready is not None:
        found.append(("x-roadworthy-release", turn.ready.name))
    for name, value in (
        ("fallback", turn.mark),
        ("abstained", "1" if turn.abstained else ""),
        ("cached", "1" if turn.from_cache else ""),
        ("unrecorded", "" if recorded else "1"),
    ):
        if value:
            found.append((f"x-roadworthy-{name}", value))
    return found


def piece(turn: Turn, delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """Write one event of a stream."""
    document = {
        "id": f"chatcmpl-{turn.record}",
        "object": "chat.completion.chunk",
        "created": turn.intake.now // 1_000_000,
        "model": turn.place.name,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return b"data: " + encode(document) + b"\n\n"


def usage_piece(turn: Turn) -> bytes:
    """Write the last event of a stream whose caller asked for its usage."""
    document: dict[str, Any] = {
        "id": f"chatcmpl-{turn.record}",
        "object": "chat.completion.chunk",
        "created": turn.intake.now // 1_000_000,
        "model": turn.place.name,
        "choices": [],
        "usage": usage_document(turn.usage),
    }
    return b"data: " + encode(document) + b"\n\n"


def error_document(problem: Problem) -> dict[str, Any]:
    """Write a problem as OpenAI's clients expect it."""
    kind, code = _KINDS.get(problem.status, ("server_error", None))
    message = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
    param = problem.param or None if isinstance(problem, BadRequest) else None
    if problem.code == "RW801":
        kind = code = "insufficient_quota"
    return {"error": {"message": message, "type": kind, "param": param, "code": code or problem.code}}
