"""Bounds on what is asked and on what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self, cast

from roadworthy.guards.questions import texts_of
from roadworthy.guards.settled import settled
from roadworthy.ports.chat import Document
from roadworthy.ports.guard import Act, GuardContext, Hit, Ruling, allowed

_BYTES_A_TOKEN: Final = 4
_A_MESSAGE: Final = 4
_OF_BYTES: Final = ("image_url", "input_audio", "file")
"""Parts of a message that hold bytes, which are counted neither as characters nor as tokens."""
_CUT: Final = "length"


def estimate_tokens(text: str) -> int:
    """Guess how many tokens a text has: a quarter of its UTF-8 bytes, rounded up.

    Within some 30 % for prose with the usual tokenizers, also in scripts of several bytes a letter; code and numbers
    come out lower than they are. A limit, not a bill: bills count what the provider counted.
    """
    size = len(text) if text.isascii() else len(text.encode(errors="replace"))
    return -(-size // _BYTES_A_TOKEN)


class LimitsGuard:
    """Refuses a question that is too large, naming the limit, and cuts an answer that is. A limit of 0 is none."""

    name: ClassVar[str] = "limits"
    needs: ClassVar[str] = "questions and answers keep their bounds"
    defaults: ClassVar[Mapping[str, Any]] = {
        "question_characters": 100_000,
        "question_tokens": 16_000,
        "messages": 100,
        "tools": 64,
        "answer_characters": 0,
        "answer_tokens": 4_096,
    }

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        self._given: dict[str, int] = settled(self.name, self.defaults, parameters or {}, {})

    def configured(self, parameters: Mapping[str, Any]) -> Self:
        """Return this guard with these limits.

        Raises:
            InputError: a limit is unknown or no whole number.
        """
        return type(self)(parameters)

    def question(self, request: Document, context: GuardContext) -> Ruling:
        """Block a request that passes a limit; the reason names each one, what it is and what came."""
        texts = list(texts_of(_readable(request)))
        messages = len(cast("list[Any]", request.get("messages") or ()))
        sizes = {
            "question_characters": sum(map(len, texts)),
            "question_tokens": sum(map(estimate_tokens, texts)) + _A_MESSAGE * messages,
            "messages": messages,
            "tools": len(cast("list[Any]", request.get("tools") or ())),
            "answer_tokens": _asked(request),
        }
        passed = {name: size for name, size in sizes.items() if 0 < self._most(name, context) < size}
        if not passed:
            return allowed(self.name)
        told = ", ".join(
            f"{name} is {size:,}, allowed are {self._most(name, context):,}" for name, size in sorted(passed.items())
        )
        hits = tuple(Hit(name) for name in sorted(passed))
        return Ruling(guard=self.name, action=Act.BLOCK, hits=hits, reason=told)

    def answer(self, text: str, context: GuardContext) -> Ruling:
        """Cut an answer at its limit."""
        characters, tokens = self._most("answer_characters", context), self._most("answer_tokens", context)
        if (
            not 0 < min(characters or tokens, tokens or characters) < len(text)
        ):  # no character has more bytes than a token
            return Ruling(guard=self.name, text=text)
        stream = self.stream(context)
        kept = stream.feed(text)
        ruling = stream.ruling()
        return Ruling(
            guard=self.name,
            action=ruling.action,
            text=kept,
            hits=ruling.hits,
            reason=ruling.reason,
            finish=ruling.finish,
        )

    def stream(self, context: GuardContext) -> LimitedStream:
        """Cut a stream at the same place; nothing is held back."""
        return LimitedStream(self._most("answer_characters", context), self._most("answer_tokens", context))

    def _most(self, name: str, context: GuardContext) -> int:
        given, tighter = self._given[name], getattr(context.limits, name)
        return min(given, tighter) if given and tighter else given or tighter or 0


def _readable(request: Document) -> Document:
    """Return a request without the parts that are bytes, such as images: `max_body` bounds those."""
    messages: Any = request.get("messages")
    if not isinstance(messages, list) or not any(_content_parts(one) for one in cast("list[Any]", messages)):
        return request
    read = [
        {**one, "content": [part for part in parts if not _is_bytes(part)]} if (parts := _content_parts(one)) else one
        for one in cast("list[Any]", messages)
    ]
    return {**request, "messages": read}


def _content_parts(message: Any) -> list[Any]:
    content: Any = message.get("content") if isinstance(message, Mapping) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return cast("list[Any]", content) if isinstance(content, list) else []


def _is_bytes(part: Any) -> bool:
    return isinstance(part, Mapping) and cast("Mapping[str, Any]", part).get("type") in _OF_BYTES


def _asked(request: Document) -> int:
    """Return how many tokens the caller lets the model answer with, 0 when the request does not say."""
    asked = request.get("max_completion_tokens") or request.get("max_tokens") or 0
    return asked if isinstance(asked, int) else 0


class LimitedStream:
    """Lets pieces through until a bound is reached; the piece that passes it is cut, later ones are dropped."""

    def __init__(self, characters: int, tokens: int) -> None:
        self._characters = characters or None
        self._bytes = tokens * _BYTES_A_TOKEN or None
        self._cut = ""

    def feed(self, piece: str) -> str:
        """Return as much of the piece as there is room for."""
        if self._cut:
            return ""
        if self._characters is not None:
            piece = self._within_characters(piece)
        return self._within_bytes(piece) if self._bytes is not None else piece

    def close(self) -> str:
        """Return nothing: nothing was held back."""
        return ""

    def ruling(self) -> Ruling:
        """Say whether and why the answer was cut."""
        if not self._cut:
            return allowed(LimitsGuard.name)
        reason = f"the answer was cut at {self._cut}"
        return Ruling(guard=LimitsGuard.name, action=Act.ALTER, hits=(Hit(self._cut),), reason=reason, finish=_CUT)

    def _within_characters(self, piece: str) -> str:
        assert self._characters is not None
        if len(piece) > self._characters:
            self._cut = "answer_characters"
            piece = piece[: self._characters]
        self._characters -= len(piece)
        return piece

    def _within_bytes(self, piece: str) -> str:
        assert self._bytes is not None
        data = piece.encode(errors="replace")
        if len(data) > self._bytes:
            self._cut = "answer_tokens"
            piece = data[: self._bytes].decode(errors="ignore")
        self._bytes -= len(data)
        return piece
