"""What a caller asked: an OpenAI `chat/completions` body, checked before anything is done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgspec

from roadworthy.serving.problem import Problem

_DECODE: Final = msgspec.json.Decoder().decode
_ROLES: Final = frozenset(("system", "developer", "user", "assistant", "tool", "function"))
_OURS: Final = frozenset(("model", "messages", "stream", "stream_options", "store", "user", "metadata"))
_MOST_MESSAGES: Final = 2_000
_LONGEST_NAME: Final = 200


class BadRequest(Problem):
    """A body that OpenAI's API would refuse too. `param` names the field, as its clients expect."""

    def __init__(self, message: str, param: str = "", *, status: int = 400, hint: str = "") -> None:
        super().__init__(status, "RW200", message, hint=hint)
        self.param = param


@dataclass(slots=True, kw_only=True)
class ChatRequest:
    """A checked request. `options` are what goes on to the provider beside the messages, in OpenAI's words.

    `question` is the text of the last message if it is the user's, else empty (a tool's result goes on as it is).
    `parts` are its images and the like. `earlier` are the messages before it. `user` is whom the caller speaks for.
    `inputs` are the prompt's further inputs, which come in `metadata`.
    """

    system: str
    messages: list[dict[str, Any]]
    question: str
    earlier: list[dict[str, Any]]
    parts: tuple[Mapping[str, Any], ...] = ()
    stream: bool = False
    wants_usage: bool = False
    user: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def adds(self) -> bool:
        """Claim that the caller sent more than a text to answer: options, images, or messages of his own."""
        return bool(self.options or self.parts or self.earlier)


def decode_body(body: bytes) -> dict[str, Any]:
    """Read a body as a JSON object.

    Raises:
        BadRequest: it is none.
    """
    try:
        document = _DECODE(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is no JSON: {str(error)[:200]}") from None
    if document.__class__ is not dict:
        raise BadRequest("the body must be a JSON object")
    return document


def read_chat(document: Mapping[str, Any]) -> ChatRequest:
    """Check a chat request.

    Raises:
        BadRequest: names the first field that is wrong.
    """
    messages = document.get("messages")
    if messages.__class__ is not list or not messages:
        raise BadRequest("'messages' must be a list with at least one message", "messages")
    found = cast("list[dict[str, Any]]", messages)
    if len(found) > _MOST_MESSAGES:
        raise BadRequest(f"'messages' holds more than {_MOST_MESSAGES:,} messages", "messages")
    for at, message in enumerate(found):
        _check_message(message, at)
    stream = document.get("stream") or False
    if stream.__class__ is not bool:
        raise BadRequest("'stream' must be true or false", "stream")
    if document.get("n") not in (None, 1):
        raise BadRequest("'n' must be 1: one answer is what is recorded, judged and paid", "n")
    _check_tools(document.get("tools"))
    _check_numbers(document)
    last = found[-1]
    question = text_of(last.get("content")) if last["role"] == "user" else ""
    # Without a text there is nothing to put into the prompt: what was sent goes on as it is.
    asks = bool(question)
    wanted = document.get("stream_options")
    return ChatRequest(
        system=system_named(document),
        messages=found,
        question=question,
        earlier=found[:-1] if asks else found,
        parts=_other_parts(last["content"]) if asks else (),
        stream=stream,
        wants_usage=isinstance(wanted, dict) and bool(cast("dict[str, Any]", wanted).get("include_usage")),
        user=_user(document),
        inputs=_inputs(document),
        options={name: value for name, value in document.items() if name not in _OURS and value is not None},
    )


def system_named(document: Mapping[str, Any]) -> str:
    """Return the model name, which names a system.

    Raises:
        BadRequest: there is none.
    """
    name = document.get("model")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise BadRequest("'model' must name a system", "model", hint="GET /v1/models lists them")
    return name


def text_of(content: object) -> str:
    """Return the text of a message's content, which is a text or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = cast("list[Any]", content)
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType, reportUnknownVariableType]


def _other_parts(content: object) -> tuple[Mapping[str, Any], ...]:
    parts = cast("list[dict[str, Any]]", content) if isinstance(content, list) else []
    return tuple(part for part in parts if part["type"] != "text")


def _check_message(message: object, at: int) -> None:
    if not isinstance(message, dict):
        raise BadRequest(f"'messages.{at}' must be an object", f"messages.{at}")
    known = cast("dict[str, Any]", message)
    if known.get("role") not in _ROLES:
        some = ", ".join(sorted(_ROLES))
        raise BadRequest(f"'messages.{at}.role' must be one of: {some}", f"messages.{at}.role")
    _check_calls(known, at)
    content = known.get("content")
    if content is None and known["role"] == "assistant":
        return
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise BadRequest(f"'messages.{at}.content' must be a text or a list of parts", f"messages.{at}.content")
    for part in cast("list[Any]", content):
        if not _is_part(part):
            raise BadRequest(f"'messages.{at}.content' holds what is no part", f"messages.{at}.content")


def _is_part(part: object) -> bool:
    if not isinstance(part, dict):
        return False
    stated = cast("dict[str, Any]", part)
    kind = stated.get("type")
    return isinstance(kind, str) and (kind != "text" or isinstance(stated.get("text"), str))


def _check_calls(message: Mapping[str, Any], at: int) -> None:
    if message["role"] == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise BadRequest(f"'messages.{at}' answers no tool call", f"messages.{at}.tool_call_id")
    calls = message.get("tool_calls")
    if calls is None:
        return
    if not isinstance(calls, list) or not all(_is_call(call) for call in cast("list[Any]", calls)):
        raise BadRequest(f"'messages.{at}.tool_calls' must be a list of tool calls", f"messages.{at}.tool_calls")


def _is_call(call: object) -> bool:
    if not isinstance(call, dict):
        return False
    stated = cast("dict[str, Any]", call)
    if stated.get("type", "function") != "function":
        return True
    function = stated.get("function")
    if not isinstance(function, dict) or not isinstance(stated.get("id"), str):
        return False
    named = cast("dict[str, Any]", function)
    return isinstance(named.get("name"), str) and isinstance(named.get("arguments"), str)


def _check_tools(tools: object) -> None:
    if tools is None:
        return
    if not isinstance(tools, list):
        raise BadRequest("'tools' must be a list", "tools")
    for at, tool in enumerate(cast("list[Any]", tools)):
        if not _is_tool(tool):
            raise BadRequest(f"'tools.{at}' must be an object with a 'type', a function with its 'name'", f"tools.{at}")


def _is_tool(tool: object) -> bool:
    if not isinstance(tool, dict):
        return False
    stated = cast("dict[str, Any]", tool)
    if stated.get("type") != "function":
        return isinstance(stated.get("type"), str)
    function = stated.get("function")
    return isinstance(function, dict) and isinstance(cast("dict[str, Any]", function).get("name"), str)


_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "max_tokens": (1, 10_000_000),
    "max_completion_tokens": (1, 10_000_000),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "top_logprobs": (0, 20),
}


def _check_numbers(document: Mapping[str, Any]) -> None:
    if document.keys().isdisjoint(_RANGES):
        return
    for name, (low, high) in _RANGES.items():
        value = document.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise BadRequest(f"'{name}' must be a number between {low:g} and {high:g}", name)


def _user(document: Mapping[str, Any]) -> str:
    user = document.get("user")
    if user is None:
        return ""
    if not isinstance(user, str) or len(user) > _LONGEST_NAME:
        raise BadRequest(f"'user' must be a text of at most {_LONGEST_NAME} characters", "user")
    return user


def _inputs(document: Mapping[str, Any]) -> Mapping[str, Any]:
    given = document.get("metadata")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadRequest("'metadata' must be an object of texts", "metadata")
    return cast("dict[str, Any]", given)
