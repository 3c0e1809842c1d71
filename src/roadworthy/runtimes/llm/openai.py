"""Any provider that speaks OpenAI's chat completions: OpenAI itself, vLLM, llama.cpp, Ollama, and many gateways."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final, cast

import msgspec
from yarl import URL

from roadworthy.domain.pin import Pin, Usage
from roadworthy.ports.chat import Chunk, Completion, Document, Embedded, ProviderTrouble, Trouble
from roadworthy.runtimes.llm.connection import Connect, Connection, connect_tcp, decode_object
from roadworthy.runtimes.llm.counting import (
    estimate_answer,
    estimate_input,
    estimate_texts,
    estimate_tokens,
    usage_document,
    usage_in,
)
from roadworthy.runtimes.llm.sse import EventReader, EventTooLong

OPENAI_URL: Final = "https://api.openai.com/v1"
_ENCODE: Final = msgspec.json.Encoder().encode
_CALL_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_ERROR_KINDS: Final = (("rate_limit", Trouble.RATE_LIMITED), ("server", Trouble.DOWN), ("overloaded", Trouble.DOWN))
_LIMITS: Final = ("max_completion_tokens", "max_tokens")
LOOKUP_DEADLINE_S: Final = 10.0
_DRAIN_S: Final = 0.05


class OpenAIModel:
    """A pin of a provider that speaks OpenAI's protocol. `secret` reads the pin's key whenever it is needed."""

    def __init__(self, pin: Pin, secret: Callable[[str], str], connect: Connect = connect_tcp) -> None:
        self.pin = pin
        self._secret = secret
        self._headers: Mapping[str, str] = {}
        self._key: str | None = None
        self._connection = Connection(pin.name, connect)
        place = (pin.url or OPENAI_URL).rstrip("/")
        self._place = place
        self._chat = URL(f"{place}/chat/completions")
        self._embeddings = URL(f"{place}/embeddings")
        self._fixed: dict[str, Any] = dict(pin.parameters)
        if pin.lookup:
            self._fixed["store"] = True

    async def complete(self, request: Document, deadline_s: float) -> Completion:
        """Answer at once.

        Raises:
            ProviderTrouble: no usable answer within the deadline.
        """
        body = _ENCODE(bounded(self.pin, self._fixed, request))
        text = await self._connection.call("POST", self._chat, self._authorised(), body, deadline_s)
        document = decode_object(text, self.pin.name)
        if not _is_answer(document):
            raise ProviderTrouble(Trouble.BROKEN, f"{self.pin.name} sent no answer", body=_error_of(document))
        usage = usage_in(document)
        if usage is None:
            usage = Usage(input=estimate_input(request), output=estimate_answer(document), is_estimate=True)
        self._check_model(document, usage)
        return Completion(
            document=document,
            usage=usage,
            model=_text(document.get("model")),
            fingerprint=_text(document.get("system_fingerprint")),
            upstream_id=_text(document.get("id")),
        )

    async def stream(self, request: Document, deadline_s: float) -> AsyncIterator[Chunk]:
        """Answer piece by piece; the last piece carries the usage. Closing the iterator hangs up on the provider.

        Raises:
            ProviderTrouble: before the first piece, or between two.
        """
        whole = bounded(self.pin, self._fixed, request)
        whole["stream"] = True
        whole["stream_options"] = {"include_usage": True}
        reading = _Reading(self.pin, request)
        pieces = self._connection.pieces(self._chat, self._authorised(), _ENCODE(whole), deadline_s)
        try:
            async with aclosing(cast("Any", pieces)):
                async for piece in pieces:
                    for chunk in reading.chunks(piece):
                        if not reading.is_checked:
                            reading.is_checked = True
                            self._check_model(chunk.document, None)
                        yield chunk
                    if reading.is_done:
                        await _drain(pieces)
                        break
        except ProviderTrouble as trouble:
            if not (reading.finished and trouble.trouble is Trouble.TRUNCATED):
                raise reading.blame(trouble) from None
        if not reading.finished:
            raise reading.blame(ProviderTrouble(Trouble.TRUNCATED, f"{self.pin.name} stopped before its answer's end"))
        if reading.usage is None:
            yield reading.counted()

    async def embed(self, texts: Sequence[str], deadline_s: float) -> Embedded:
        """Embed texts.

        Raises:
            ProviderTrouble: as `complete`; `refused` where the provider has no embeddings.
        """
        body = _ENCODE({"model": self.pin.model, "input": list(texts), "encoding_format": "float"})
        text = await self._connection.call("POST", self._embeddings, self._authorised(), body, deadline_s)
        document = decode_object(text, self.pin.name)
        vectors = _vectors(document, len(texts))
        if vectors is None:
            raise ProviderTrouble(Trouble.BROKEN, f"{self.pin.name} did not send one vector a text")
        usage = usage_in(document) or Usage(input=estimate_texts(texts), is_estimate=True)
        self._check_model(document, usage)
        return Embedded(vectors=vectors, usage=usage, model=_text(document.get("model")))

    async def usage_of(self, upstream_id: str) -> Usage | None:
        """Ask the provider's books what a call cost; None where it keeps none or does not know the call.

        Raises:
            ProviderTrouble: it did not answer.
        """
        if not self.pin.lookup or not _CALL_ID.fullmatch(upstream_id):
            return None
        url = URL(f"{self._place}/chat/completions/{upstream_id}")
        try:
            text = await self._connection.call("GET", url, self._authorised(), None, LOOKUP_DEADLINE_S)
        except ProviderTrouble as trouble:
            if trouble.status == 404:  # noqa: PLR2004 (not found)
                return None
            raise
        return usage_in(decode_object(text, self.pin.name))

    async def close(self) -> None:
        """Let go of connections."""
        await self._connection.close()

    def _authorised(self) -> Mapping[str, str]:
        key = self._secret(self.pin.key) if self.pin.key else ""
        if key != self._key:
            self._key = key
            self._headers = {"content-type": "application/json"}
            if key:
                self._headers = {**self._headers, "authorization": f"Bearer {key}"}
        return self._headers

    def _check_model(self, document: Document, usage: Usage | None) -> None:
        if is_pinned(self.pin, document):
            return
        raise ProviderTrouble(
            Trouble.WRONG_MODEL,
            f"{self.pin.name} answered as {_text(document.get('model'))[:100]!r}, not as {self.pin.version!r}",
            usage=usage,
            upstream_id=_text(document.get("id")),
        )


def bounded(pin: Pin, fixed: Mapping[str, Any], request: Document) -> dict[str, Any]:
    """Write a pin's request: its parameters, what the request says over them, and never more output than it allows."""
    body = {**fixed, **request, "model": pin.model}
    body.pop("stream", None)
    body.pop("stream_options", None)
    limit = next((name for name in _LIMITS if body.get(name) is not None), "max_tokens")
    asked = body.get(limit)
    body[limit] = min(asked, pin.max_output) if isinstance(asked, int) else pin.max_output
    return body


def is_pinned(pin: Pin, document: Document) -> bool:
    """Claim that an answer came from the version that the pin fixes, if it fixes one.

    A version is what the provider answers as `model`, the part of it after the model's name, or its
    `system_fingerprint`.
    """
    if not pin.version:
        return True
    names = (pin.version, f"{pin.model}-{pin.version}")
    return document.get("model") in names or document.get("system_fingerprint") == pin.version


class _Reading:
    """What has come of one stream so far."""

    __slots__ = (
        "_events", "_first", "_pin", "_request", "begun", "characters", "finished", "is_checked", "is_done", "usage",
    )  # fmt: skip

    def __init__(self, pin: Pin, request: Document) -> None:
        self._pin = pin
        self._request = request
        self._events = EventReader()
        self._first: Document = {}
        self.begun = self.is_checked = False
        self.characters = 0
        self.finished = False
        self.is_done = False
        self.usage: Usage | None = None

    def chunks(self, piece: bytes) -> list[Chunk]:
        """Return the chunks that are whole now."""
        try:
            events = self._events.feed(piece)
        except EventTooLong:
            raise ProviderTrouble(Trouble.BROKEN, f"{self._pin.name} sent an event without an end") from None
        found: list[Chunk] = []
        for name, data in events:
            if data == b"[DONE]":
                self.is_done = True
                break
            document = decode_object(data, self._pin.name)
            if name == "error" or "error" in document:
                raise _error_in_stream(document, self._pin.name)
            found.append(self._chunk(document, data))
        return found

    def _chunk(self, document: dict[str, Any], raw: bytes) -> Chunk:
        if not self._first:
            self._first = document
        self.begun = True
        text = finish = ""
        try:
            choices = document["choices"]
            if choices:
                choice = choices[0]
                delta = choice["delta"]
                text = delta.get("content") or ""
                finish = choice.get("finish_reason") or ""
                self.characters += len(text)
                if calls := delta.get("tool_calls"):
                    self.characters += len(_ENCODE(calls))
        except (KeyError, TypeError, AttributeError):
            raise ProviderTrouble(Trouble.BROKEN, f"{self._pin.name} sent a chunk of no known shape") from None
        if finish:
            self.finished = True
        usage = usage_in(document) if document.get("usage") else None
        if usage is not None:
            self.usage = usage
        return Chunk(document=document, raw=raw, text=text, finish=finish, usage=usage)

    def so_far(self) -> Usage:
        """Return what the provider has counted, or our estimate of what it will bill."""
        return self.usage or Usage(
            input=estimate_input(self._request), output=estimate_tokens(self.characters), is_estimate=True
        )

    def counted(self) -> Chunk:
        """Make the last chunk that the provider did not send: our estimate of the usage."""
        usage = self.so_far()
        kept = {name: self._first.get(name) for name in ("id", "object", "created", "model")}
        return Chunk(document={**kept, "choices": [], "usage": usage_document(usage)}, usage=usage)

    def blame(self, trouble: ProviderTrouble) -> ProviderTrouble:
        """Add to a trouble what the stream had cost by then."""
        if self.begun:
            trouble.usage = trouble.usage or self.so_far()
            trouble.upstream_id = _text(self._first.get("id"))
        return trouble


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read what follows `[DONE]`, which is nothing, so that the connection can be used again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in pieces:
                pass


def _is_answer(document: Mapping[str, Any]) -> bool:
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices:
        return False
    return all(
        isinstance(choice, dict) and isinstance(cast("dict[str, Any]", choice).get("message"), dict)
        for choice in cast("list[object]", choices)
    )


def _error_of(document: dict[str, Any]) -> Document | None:
    return document if "error" in document else None


def _error_in_stream(document: dict[str, Any], name: str) -> ProviderTrouble:
    error = document.get("error")
    stated = cast("dict[str, Any]", error) if isinstance(error, dict) else {}
    kind = f"{stated.get('type', '')} {stated.get('code', '')}"
    trouble = next((found for word, found in _ERROR_KINDS if word in kind), Trouble.BROKEN)
    return ProviderTrouble(trouble, f"{name} sent an error within its answer", body=document)


def _vectors(document: Mapping[str, Any], count: int) -> list[list[float]] | None:
    try:
        rows = sorted(document["data"], key=lambda row: row["index"])
        vectors: list[list[float]] = [row["embedding"] for row in rows]
    except (KeyError, TypeError):
        return None
    whole = len(vectors) == count and all(type(vector) is list and vector for vector in vectors)
    return vectors if whole else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
