"""How a language model is called. The lingua franca is OpenAI's chat completions, as plain JSON documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from roadworthy.domain.pin import Pin, Usage

Document: TypeAlias = Mapping[str, Any]
"""A JSON object. Requests are OpenAI `chat/completions` bodies, answers `chat.completion` objects."""


class Trouble(StrEnum):
    """What can be wrong with a provider, which decides whether to ask again, elsewhere, or not at all."""

    DOWN = "down"
    SLOW = "slow"
    RATE_LIMITED = "rate_limited"
    BROKEN = "broken"
    TRUNCATED = "truncated"
    WRONG_MODEL = "wrong_model"
    REFUSED = "refused"
    UNAUTHORISED = "unauthorised"
    NO_SECRET = "no_secret"  # noqa: S105 (a name of a trouble)


AGAIN = frozenset((Trouble.DOWN, Trouble.SLOW, Trouble.RATE_LIMITED, Trouble.BROKEN, Trouble.TRUNCATED))
"""Troubles that another try may get over. A refused call (4xx) would be refused again."""


class ProviderTrouble(Exception):
    """A provider did not answer as it should. `message` holds nothing of the prompt and no secret.

    `usage` is what the provider had counted (or we had, then `is_estimate`) before it went wrong; `upstream_id` names
    the call in its books where it got as far as that. `body` is the provider's own error document.
    """

    def __init__(
        self,
        trouble: Trouble,
        message: str,
        *,
        status: int = 0,
        retry_after_s: float | None = None,
        usage: Usage | None = None,
        body: Document | None = None,
        upstream_id: str = "",
    ) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.message = message
        self.status = status
        self.retry_after_s = retry_after_s
        self.usage = usage
        self.body = body
        self.upstream_id = upstream_id


@dataclass(slots=True, kw_only=True)
class Completion:
    """A whole answer. `document` is a `chat.completion`; `usage` is the provider's count where it gave one.

    `model` and `fingerprint` are what the provider says it is; `upstream_id` names the call in its books.
    """

    document: Document
    usage: Usage
    model: str = ""
    fingerprint: str = ""
    upstream_id: str = ""


@dataclass(slots=True, kw_only=True)
class Chunk:
    """One event of a stream: a `chat.completion.chunk` document.

    `raw` is its exact SSE payload where the provider speaks OpenAI's protocol, so that passing it on costs nothing.
    `text` is what it adds to the first choice's content. The last chunk carries `usage` (and may have no choices).
    `more` says that the next chunk is here already, so that both may be passed on at once.
    """

    document: Document
    raw: bytes = b""
    text: str = ""
    finish: str = ""
    usage: Usage | None = None
    more: bool = False


@dataclass(slots=True, kw_only=True)
class Embedded:
    """Vectors, one a text, and what they cost."""

    vectors: Sequence[Sequence[float]]
    usage: Usage = field(default_factory=Usage)
    model: str = ""


class ChatModel(Protocol):
    """One pin, ready to be called from one event loop. Keeps its connections; never retries by itself."""

    pin: Pin

    async def complete(self, request: Document, deadline_s: float) -> Completion:
        """Answer at once. `request` is an OpenAI body without `model` and `stream`; the pin adds its own.

        Raises:
            ProviderTrouble: no usable answer within the deadline.
        """
        ...

    def stream(self, request: Document, deadline_s: float) -> AsyncIterator[Chunk]:
        """Answer piece by piece; the last piece carries the usage. Closing the iterator hangs up on the provider.

        Raises:
            ProviderTrouble: before the first piece, or between two (then `truncated`, `broken` or `slow`).
        """
        ...

    async def embed(self, texts: Sequence[str], deadline_s: float) -> Embedded:
        """Embed texts.

        Raises:
            ProviderTrouble: as `complete`; `refused` where the provider has no embeddings.
        """
        ...

    async def usage_of(self, upstream_id: str) -> Usage | None:
        """Ask the provider's books what a call cost that we lost sight of; None where it keeps none, or knows it not.

        The call is named by the provider's id, or by `open_call.OURS` and our own name that it was sent with.

        Raises:
            ProviderTrouble: it did not answer.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
