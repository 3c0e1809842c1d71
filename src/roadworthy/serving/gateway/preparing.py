"""A question put as a release puts it: passages found, messages written, guards asked, options joined."""

from __future__ import annotations

import time
from typing import Any

from roadworthy.domain.llm import QUESTION
from roadworthy.errors import RoadworthyError
from roadworthy.serving.gateway.guarding import check_question
from roadworthy.serving.gateway.place import ChatReady
from roadworthy.serving.gateway.request import BadRequest
from roadworthy.serving.gateway.turn import Prepared, Turn


def prepare(turn: Turn, ready: ChatReady) -> Prepared:
    """Find passages and write the messages, once a release; guards look at the question.

    Raises:
        BadRequest: a guard does not let it pass, or the prompt asks for what was not given.
    """
    known = turn.prepared.get(ready.id)
    if known is not None:
        return known
    began = time.perf_counter()
    found = ready.loaded.find(turn.request.question)
    abstains = found is not None and found.abstains and ready.assistant.abstains
    if found is not None:
        outcome = "abstained" if abstains else "ok"
        took = int((time.perf_counter() - began) * 1e6)
        turn.step("retrieval", ready.name, outcome, took, ",".join(hit.id for hit in found.hits))
    if ready.loaded.prompt is None:
        made = Prepared([], found, abstains)
    else:
        made = Prepared(_messages(turn, ready, found), found, abstains)
    turn.prepared[ready.id] = made
    if made.messages and ready.has_guards:
        check_question(turn, ready)
    return made


def _messages(turn: Turn, ready: ChatReady, found: Any) -> list[dict[str, Any]]:
    request = turn.request
    try:
        messages = ready.loaded.messages({**turn.request.inputs, QUESTION: request.question}, request.earlier, found)
    except RoadworthyError as error:
        raise BadRequest(error.message, "messages", hint=error.hint) from error
    if messages and request.parts:
        last = messages[-1]
        messages[-1] = {**last, "content": [{"type": "text", "text": last["content"]}, *request.parts]}
    if messages and messages[0]["role"] == "system":
        messages[0]["content"] = ready.plant(messages[0]["content"])
    if messages and ready.knows_clean(messages[0]["content"]):
        turn.known_clean |= {messages[0]["content"]}
    return messages


def body_of(turn: Turn, ready: ChatReady) -> dict[str, Any]:
    """Write what the provider is sent: the release's own options win over the caller's."""
    assistant = ready.assistant
    body: dict[str, Any] = {**turn.request.options, **assistant.parameters}
    body["messages"] = prepare(turn, ready).messages
    if assistant.tools:
        body["tools"] = list(assistant.tools)
    if assistant.schema is not None:
        schema = {"name": "answer", "schema": assistant.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body
