"""The door that every kind has, `/v1/systems/{system}/predict`: inputs in, outputs out, the same path within."""

from __future__ import annotations

from typing import Any

import msgspec

from roadworthy.domain.llm import HISTORY, QUESTION
from roadworthy.serving.gateway.place import ChatPlace
from roadworthy.serving.gateway.request import BadRequest, ChatRequest, read_chat
from roadworthy.serving.gateway.turn import Turn


def read_inputs(place: ChatPlace, body: bytes) -> ChatRequest:
    """Read one row of inputs as a chat request. `history` is a JSON list of the messages before the question.

    Raises:
        Problem: 422 naming what breaks the interface.
        BadRequest: there is more than one row, or the history is none.
    """
    call = place.compiled.decode(body)
    if not call.single:
        raise BadRequest("'inputs' must be one object: a question is answered by itself", "inputs")
    given = {field.name: value for field, value in zip(place.compiled.fields, call.rows[0], strict=True)}
    question, history = given.pop(QUESTION, None), given.pop(HISTORY, None)
    if not question:
        raise BadRequest("'question' must not be empty", "inputs")
    messages = [*_history(history), {"role": "user", "content": question}]
    return read_chat({"model": place.name, "messages": messages, "metadata": given})


def outputs_body(turn: Turn) -> bytes:
    """Write an answer as every kind does."""
    said, ready = turn.said, turn.ready
    assert said is not None, "there is an answer"
    outputs = {"text": said.text, "finish": said.finish}
    document: dict[str, Any] = {
        "outputs": outputs | ({"refusal": said.refusal} if said.refusal else {}),
        "record": turn.record,
        "release": ready.name if ready else None,
        "fallback": turn.mark or None,
    }
    return msgspec.json.encode(document)


def _history(text: Any) -> list[Any]:
    if not text:
        return []
    try:
        found = msgspec.json.decode(str(text))
    except msgspec.MsgspecError:
        found = None
    if not isinstance(found, list):
        raise BadRequest("'history' must be a JSON list of messages", "inputs")
    return found  # pyright: ignore[reportUnknownVariableType]
