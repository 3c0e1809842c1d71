"""Guards: one layer each on a language model's question, its answer, or the stream that the answer comes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Protocol, Self

from roadworthy.ports.chat import Document


class Act(StrEnum):
    """What a guard does about a text."""

    ALLOW = "allow"
    ALTER = "alter"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that found something, and how often. What was found is not kept: a hit may be logged."""

    rule: str
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What one guard says about one text.

    `text` may leave: as it came, altered, or empty when blocked. `request` is the altered question, None when nothing
    of it changed. `reason` is fit for a caller and a log: it holds nothing of the text. `finish` is a finish reason
    that the guard imposes (`length` when it cut the answer), else empty.
    """

    guard: str = ""
    action: Act = Act.ALLOW
    text: str = ""
    hits: tuple[Hit, ...] = ()
    reason: str = ""
    request: Document | None = None
    finish: str = ""


@cache
def allowed(guard: str) -> Ruling:
    """Return the ruling of a guard that has nothing to say of a question or a stream: the same one every time."""
    return Ruling(guard=guard)


class Blocked(Exception):
    """A stream may not go on. `ruling` says by which guard and why; nothing more of the answer may leave."""

    def __init__(self, ruling: Ruling) -> None:
        super().__init__(f"{ruling.guard}: {ruling.reason}")
        self.ruling = ruling


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one call that are tighter than the guard's own parameters; None leaves the parameter in force."""

    question_characters: int | None = None
    question_tokens: int | None = None
    messages: int | None = None
    tools: int | None = None
    answer_characters: int | None = None
    answer_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardContext:
    """What a guard may know of the call besides its text.

    `canary` is the token planted in the system prompt (16 random letters and digits or more), `system_prompt` the
    prompt as sent, `passages` what was retrieved. `allowed_hosts` are those that links may lead to (`docs.example.com`,
    `*.example.com`, `host:8443`). `allowed_classes` are the data classes that may pass (`email`, `ip`, `key`, …).
    `output_schema` is a JSON Schema, or None when the answer is free text.
    """

    system: str = ""
    release: str = ""
    canary: str = ""
    system_prompt: str = ""
    allowed_hosts: tuple[str, ...] = ()
    output_schema: Mapping[str, Any] | None = None
    passages: tuple[str, ...] = ()
    allowed_classes: frozenset[str] = frozenset()
    limits: Limits = Limits()


class StreamGuard(Protocol):
    """Watches one answer as it passes. It holds back only what might still become something it must not let out."""

    def feed(self, piece: str) -> str:
        """Take the next piece and return what may leave now (often a little less or more than the piece).

        Raises:
            Blocked: the answer may not go on.
        """
        ...

    def close(self) -> str:
        """Say that the answer ended and return what was held back.

        Raises:
            Blocked: as `feed`.
        """
        ...

    def ruling(self) -> Ruling:
        """Return what was done so far, for the record's step. Its `text` is empty: the text has left."""
        ...


class Guard(Protocol):
    """One layer. `defaults` are its parameters (their types decide what a manifest may state), `needs` says its rule.

    Pure: no I/O, no clock, no state between calls, so that one instance serves all requests.
    """

    name: str
    needs: str
    defaults: Mapping[str, Any]

    def configured(self, parameters: Mapping[str, Any]) -> Self:
        """Return this guard with these parameters over its defaults."""
        ...

    def question(self, request: Document, context: GuardContext) -> Ruling:
        """Rule on an OpenAI `chat/completions` body before it goes to a provider."""
        ...

    def answer(self, text: str, context: GuardContext) -> Ruling:
        """Rule on a whole answer."""
        ...

    def stream(self, context: GuardContext) -> StreamGuard:
        """Start to watch one answer that comes in pieces."""
        ...
