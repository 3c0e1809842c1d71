"""Answers on the wire: status, headers, body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from roadworthy.serving.attempt import Reply
from roadworthy.serving.problem import Problem, not_found

Headers: TypeAlias = list[tuple[str, str]]


def respond(
    proto: Any, status: int, headers: Sequence[tuple[str, str]], body: bytes, kind: str = "application/json"
) -> None:
    """Send an answer."""
    proto.response_bytes(status, [("content-type", kind), *headers], body)


def reply_headers(reply: Reply) -> Headers:
    """Tell record, release and fallback in headers; of a list, the first hundred ids and each name once."""
    if len(reply.ids) == 1 and reply.recorded and not reply.marks[0]:
        return [("x-roadworthy-record", reply.ids[0]), ("x-roadworthy-release", reply.names[0])]
    headers: Headers = [
        ("x-roadworthy-record", ",".join(reply.ids[:100])),
        ("x-roadworthy-release", ",".join(dict.fromkeys(name for name in reply.names if name))),
    ]
    marks = ",".join(dict.fromkeys(mark for mark in reply.marks if mark))
    if marks:
        headers.append(("x-roadworthy-fallback", marks))
    if not reply.recorded:
        headers.append(("x-roadworthy-unrecorded", "1"))
    return headers


def wrong_method(*allowed: str) -> Problem:
    """Say which methods a path takes."""
    return Problem(405, "RW400", f"use {' or '.join(allowed)} here", headers=(("allow", ", ".join(allowed)),))


def no_such_path(path: str) -> Problem:
    """Say that nothing is served at a path."""
    return not_found(f"nothing is served at '{path[:120]}'", "GET /openapi.json lists what is")
