"""The guards of a release at work: on a question, on a whole answer, on a tool call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from roadworthy.domain.record import Flag
from roadworthy.guards.questions import texts_of
from roadworthy.ports.guard import Act, Blocked, GuardContext, Ruling
from roadworthy.serving.gateway.place import ChatReady
from roadworthy.serving.gateway.request import BadRequest
from roadworthy.serving.gateway.turn import Said, Turn


def context_of(turn: Turn, ready: ChatReady) -> GuardContext:
    """Return what guards may know of a call whose question is prepared."""
    prepared = turn.prepared[ready.id]
    if prepared.context is None:
        prompt = "\n".join(str(one.get("content")) for one in prepared.messages if one["role"] == "system")
        passages = tuple(hit.text for hit in prepared.found.hits) if prepared.found is not None else ()
        prepared.context = ready.context(turn.place.name, prompt, passages)
    return prepared.context


def check_question(turn: Turn, ready: ChatReady) -> None:
    """Let the guards look at a question; what they alter in it is altered in everything that is sent.

    Raises:
        BadRequest: one of them does not let it pass.
    """
    prepared = turn.prepared[ready.id]
    request = {"messages": turn.request.messages, **turn.request.options}
    guarded = ready.guards.question(request, context_of(turn, ready))
    note_rulings(turn, guarded.rulings)
    if guarded.blocked is not None:
        turn.flags |= Flag.GUARDED
        told = guarded.blocked
        raise BadRequest(f"the question is not let through: {told.reason}", told.guard, hint="ask without it")
    if guarded.request is not None and guarded.request is not request:
        body = {"messages": prepared.messages}
        again = ready.guards.question(body, context_of(turn, ready))
        if again.request is not None:
            prepared.messages, prepared.context = list(again.request["messages"]), None


def watched(turn: Turn, ready: ChatReady, document: Mapping[str, Any]) -> Said | None:
    """Return what the guards let out of a whole answer; None when they stop it."""
    choice: Any = document["choices"][0]
    message: Any = choice.get("message") or {}
    text: str = message.get("content") or ""
    finish = choice.get("finish_reason") or "stop"
    calls, refusal = message.get("tool_calls"), message.get("refusal") or ""
    if not ready.has_guards:
        return Said(text=text, finish=finish, document=document, tool_calls=calls, refusal=refusal)
    seen = {"role": "assistant", "tool_calls": calls} if calls else {"role": "assistant"}
    try:
        for call in calls or ():
            function: dict[str, Any] = call.get("function") or {}
            check_call(turn, ready, function.get("arguments") or "")
        if text or refusal or not calls:
            guarded = ready.guards.answer(text or refusal, context_of(turn, ready))
            note_rulings(turn, guarded.rulings)
            if guarded.blocked is not None:
                turn.flags |= Flag.GUARDED
                return None
            # Token by token the text stands in `logprobs` as it was.
            choice = choice if guarded.text == (text or refusal) else {**choice, "logprobs": None}
            text, refusal = (guarded.text, "") if text else ("", guarded.text)
            finish = guarded.finish or finish
    except Blocked:
        turn.flags |= Flag.GUARDED
        return None
    seen_of_it = {"choices": [{**choice, "message": seen}]}  # other fields, such as thoughts, no guard has seen
    return Said(text=text, finish=finish, document=seen_of_it, tool_calls=calls, refusal=refusal)


def check_call(turn: Turn, ready: ChatReady, arguments: str) -> None:
    """Let the guards look at a tool call; what they would alter in a text, a program must not be given.

    Raises:
        Blocked: it may not leave.
    """
    context = context_of(turn, ready)
    for text in (arguments, *_texts_in(arguments)):
        guarded = ready.call_guards.answer(text, context)
        if guarded.action is not Act.ALLOW:
            note_rulings(turn, guarded.rulings)
            turn.flags |= Flag.GUARDED
            raise Blocked(guarded.blocked or Ruling(guard="chain", action=Act.BLOCK, reason="a tool call"))


def note_rulings(turn: Turn, rulings: tuple[Ruling, ...]) -> None:
    """Write what guards did into the record's steps; one that had nothing to say leaves no step."""
    for ruling in rulings:
        if ruling.action is Act.ALLOW and not ruling.hits:
            continue
        if ruling.action is not Act.ALLOW:
            turn.flags |= Flag.GUARDED
        found = ",".join(f"{hit.rule}:{hit.count}" for hit in ruling.hits)
        turn.step("guard", ruling.guard, ruling.action.value, 0, found)


def _texts_in(arguments: str) -> list[str]:
    """Return the texts of a call's arguments, where JSON's escapes may hide what they say."""
    if "\\" not in arguments:
        return []
    try:
        return list(texts_of({"input": json.loads(arguments)}))
    except (ValueError, RecursionError):
        return []
