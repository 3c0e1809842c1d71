"""OpenAI's request written as one of Anthropic's Messages API. Pure: a document in, a document out.

Source: the public reference of the Messages API, version 2023-06-01. What it cannot express is refused by name rather
than left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from roadworthy.ports.chat import Document, ProviderTrouble, Trouble

_HARMLESS: Final = frozenset(
    (
        "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop", "tools",
        "tool_choice", "parallel_tool_calls", "response_format", "user", "stream", "stream_options", "seed", "store",
        "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "reasoning_effort", "verbosity",
    )
)  # fmt: skip
"""Fields that are translated, or that only ask for what need not be given."""
_NEUTRAL: Final[Mapping[str, tuple[object, ...]]] = {
    "n": (1,), "logprobs": (False,), "top_logprobs": (0,), "frequency_penalty": (0,), "presence_penalty": (0,),
    "logit_bias": ({},), "modalities": (["text"],),
}  # fmt: skip
"""Values of fields that Anthropic lacks, at which they change nothing."""
_CHOICES: Final = {"auto": "auto", "required": "any", "none": "none"}
WRAPPED: Final = "value"


@dataclass(slots=True, kw_only=True)
class Translated:
    """A request, and the tool that stands for a JSON answer, if one does. `is_wrapped`: the answer is its `value`."""

    body: dict[str, Any]
    answer_tool: str = ""
    is_wrapped: bool = False


def translate(request: Document) -> Translated:
    """Write an OpenAI request as Anthropic's.

    Raises:
        ProviderTrouble: `refused`, naming what the Messages API cannot do.
    """
    try:
        return _translated(request)
    except (TypeError, KeyError, AttributeError) as error:
        # Providers of OpenAI's own protocol check the shape of what callers add; here nobody else does.
        raise refused("a field of the request does not have the shape that OpenAI's API asks for", "") from error


def _translated(request: Document) -> Translated:
    for name, value in request.items():
        if name not in _HARMLESS and value is not None and value not in _NEUTRAL.get(name, ()):
            raise refused(f"{name} cannot be asked of this provider", name)
    limit = request.get("max_completion_tokens")
    body: dict[str, Any] = {
        "model": request["model"],
        "max_tokens": limit if limit is not None else request["max_tokens"],
        **_messages(request["messages"]),
    }
    for name in ("top_p", "top_k"):
        if request.get(name) is not None:
            body[name] = request[name]
    if (temperature := request.get("temperature")) is not None:
        body["temperature"] = min(temperature, 1)
    if stop := request.get("stop"):
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if user := request.get("user"):
        body["metadata"] = {"user_id": user}
    _add_tools(body, request)
    return _add_format(body, request)


def refused(message: str, field: str) -> ProviderTrouble:
    """Say what cannot be asked, in the shape of OpenAI's errors."""
    error = {"message": message, "type": "invalid_request_error", "param": field, "code": "unsupported_value"}
    return ProviderTrouble(Trouble.REFUSED, message, status=400, body={"error": error})


def _messages(messages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    system: list[str] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] in {"system", "developer"}:
            system += [block["text"] for block in _text_blocks(message.get("content"))]
            continue
        role, blocks = _turn(message)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return {"messages": turns, **({"system": "\n\n".join(system)} if system else {})}


def _turn(message: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    content = message.get("content")
    if message["role"] == "tool":
        result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id", "")}
        return "user", [{**result, "content": _text_blocks(content)}]
    if message["role"] == "assistant":
        calls = [_tool_use(call) for call in message.get("tool_calls") or ()]
        return "assistant", _text_blocks(content) + calls
    if message["role"] == "user":
        return "user", _text_blocks(content)
    raise refused(f"messages of role {str(message['role'])[:40]!r} cannot be sent to this provider", "messages")


def _text_blocks(content: object) -> list[dict[str, Any]]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    blocks: list[dict[str, Any]] = []
    for part in cast("Iterable[Mapping[str, Any]]", content):
        if part.get("type") not in {"text", "refusal"}:
            raise refused("only text can be sent to this provider, no images, sounds or files", "messages")
        text = part.get("text") or part.get("refusal") or ""
        if text.strip():
            blocks.append({"type": "text", "text": text})
    return blocks


def _tool_use(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    try:
        arguments = msgspec.json.decode(function.get("arguments") or "{}")
    except msgspec.DecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise refused("the arguments of a tool call in the history are no JSON object", "messages")
    return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": arguments}


def _add_tools(body: dict[str, Any], request: Document) -> None:
    tools = request.get("tools")
    if not tools:
        return
    body["tools"] = [_tool(tool["function"]) for tool in tools]
    choice = request.get("tool_choice")
    chosen: dict[str, Any] = {"type": "auto"}
    if isinstance(choice, dict):
        chosen = {"type": "tool", "name": cast("dict[str, Any]", choice)["function"]["name"]}
    elif choice is not None:
        chosen = {"type": _CHOICES.get(choice, "auto")}
    if request.get("parallel_tool_calls") is False and chosen["type"] != "none":
        chosen["disable_parallel_tool_use"] = True
    if choice is not None or len(chosen) > 1:
        body["tool_choice"] = chosen


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    stated = {"description": function["description"]} if function.get("description") else {}
    schema: dict[str, Any] = {"type": "object", **(function.get("parameters") or {})}
    return {"name": function["name"], **stated, "input_schema": schema}


def _add_format(body: dict[str, Any], request: Document) -> Translated:
    """Ask for JSON through a tool that the model must call: its input is the answer."""
    form: dict[str, Any] = request.get("response_format") or {}
    kind = form.get("type", "text")
    if kind == "text":
        return Translated(body=body)
    if kind not in {"json_object", "json_schema"}:
        raise refused(f"answers of format {str(kind)[:40]!r} cannot be asked of this provider", "response_format")
    named: dict[str, Any] = form.get("json_schema") or {}
    schema: dict[str, Any] = named.get("schema") or {"type": "object"}
    is_wrapped = schema.get("type") != "object"
    if is_wrapped:
        schema = {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED]}
    tools: list[dict[str, Any]] = body.get("tools", [])
    name = "answer_in_json"
    while any(tool["name"] == name for tool in tools):
        name += "_"
    if body.get("tool_choice", {}).get("type") == "none":
        tools = []
    answer = {"name": name, "description": "Give your final answer by calling this.", "input_schema": schema}
    forced = {"type": "any"} if tools else {"type": "tool", "name": name}
    if body.get("tool_choice", {}).get("type") != "tool":
        body["tool_choice"] = {**forced, "disable_parallel_tool_use": True}
    body["tools"] = [*tools, answer]
    return Translated(body=body, answer_tool=name, is_wrapped=is_wrapped)
