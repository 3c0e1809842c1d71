"""Any provider that speaks OpenAI's chat completions: OpenAI itself, vLLM, llama.cpp, Ollama, and many gateways."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from yarl import URL

from roadworthy.domain.open_call import OURS
from roadworthy.domain.pin import Pin, Provider, Usage
from roadworthy.ports.chat import Chunk, Completion, Document, Embedded, ProviderTrouble, Trouble
from roadworthy.runtimes.llm.connection import Connect, Connection, connect_tcp, decode_object
from roadworthy.runtimes.llm.counting import (
    estimate_answer,
    estimate_input,
    estimate_texts,
    usage_in,
)
from roadworthy.runtimes.llm.pinned import check_model, text_in
from roadworthy.runtimes.llm.reading import Reading, read_stream

TAG: Final = "roadworthy"
"""The key of a call's metadata that holds our name of it."""
OPENAI_URL: Final = "https://api.openai.com/v1"
_ENCODE: Final = msgspec.json.Encoder().encode
_CALL_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_ERROR_KINDS: Final = (("rate_limit", Trouble.RATE_LIMITED), ("server", Trouble.DOWN), ("overloaded", Trouble.DOWN))
_LIMITS: Final = ("max_completion_tokens", "max_tokens")
LOOKUP_DEADLINE_S: Final = 10.0


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
        check_model(self.pin, document, usage)
        return Completion(
            document=document,
            usage=usage,
            model=text_in(document.get("model")),
            fingerprint=text_in(document.get("system_fingerprint")),
            upstream_id=text_in(document.get("id")),
        )

    def stream(self, request: Document, deadline_s: float) -> AsyncIterator[Chunk]:
        """Answer piece by piece; the last piece carries the usage. Closing the iterator hangs up on the provider.

        Raises:
            ProviderTrouble: before the first piece, or between two.
        """
        whole = bounded(self.pin, self._fixed, request)
        whole["stream"] = True
        whole["stream_options"] = {"include_usage": True}

        def pieces() -> AsyncGenerator[bytes]:
            return self._connection.pieces(self._chat, self._authorised(), _ENCODE(whole), deadline_s)

        return read_stream(_Reading(self.pin, request), pieces)

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
        check_model(self.pin, document, usage)
        return Embedded(vectors=vectors, usage=usage, model=text_in(document.get("model")))

    async def usage_of(self, upstream_id: str) -> Usage | None:
        """Ask the provider's books what a call cost; None where it keeps none or does not know the call.

        A name that begins with `open_call.OURS` is ours: the call was sent with it as metadata (see `tagged`).

        Raises:
            ProviderTrouble: it did not answer.
        """
        ours = upstream_id.removeprefix(OURS) if upstream_id.startswith(OURS) else ""
        if not self.pin.lookup or not _CALL_ID.fullmatch(ours or upstream_id):
            return None
        if ours:
            return await self._usage_of_ours(ours)
        url = URL(f"{self._place}/chat/completions/{upstream_id}")
        try:
            text = await self._connection.call("GET", url, self._authorised(), None, LOOKUP_DEADLINE_S)
        except ProviderTrouble as trouble:
            if trouble.status == 404:  # noqa: PLR2004 (not found)
                return None
            raise
        return usage_in(decode_object(text, self.pin.name))

    async def _usage_of_ours(self, name: str) -> Usage | None:
        query = {f"metadata[{TAG}]": name, "limit": "2"}
        url = URL(f"{self._place}/chat/completions").with_query(query)
        document = decode_object(
            await self._connection.call("GET", url, self._authorised(), None, LOOKUP_DEADLINE_S), self.pin.name
        )
        try:
            # A server that does not know the filter lists everything: what is not ours is left out.
            mine = [call for call in document["data"] if call["metadata"][TAG] == name]
        except (KeyError, TypeError):
            raise ProviderTrouble(Trouble.BROKEN, f"{self.pin.name} sent no list of calls") from None
        return usage_in(mine[0]) if mine else None

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


def tagged(pin: Pin, request: Document, name: str) -> Document:
    """Return the request with our name of the call in its metadata, where the provider keeps books to find it in."""
    if not pin.lookup or pin.provider is not Provider.OPENAI:
        return request
    return {**request, "metadata": {**(request.get("metadata") or {}), TAG: name}}


def bounded(pin: Pin, fixed: Mapping[str, Any], request: Document) -> dict[str, Any]:
    """Write a pin's request: its parameters, what the request says over them, and never more output than it allows."""
    body = {**fixed, **request, "model": pin.model}
    for name in ("stream", "stream_options", "service_tier"):  # a dearer tier is the pin's to choose
        if name in request:
            del body[name]
    limit = next((name for name in _LIMITS if body.get(name) is not None), "max_tokens")
    asked = body.get(limit)
    body[limit] = min(asked, pin.max_output) if isinstance(asked, int) else pin.max_output
    return body


class _Reading(Reading):
    """OpenAI's chunks, which are passed on as they are."""

    __slots__ = ()

    def understand(self, name: str, data: bytes) -> Iterable[Chunk]:
        """Read one event."""
        if data == b"[DONE]":
            self.is_done = True
            return ()
        document = decode_object(data, self.pin.name)
        if name == "error" or "error" in document:
            raise _error_in_stream(document, self.pin.name)
        return (self._chunk(document, data),)

    def _chunk(self, document: dict[str, Any], raw: bytes) -> Chunk:
        if not self.head:
            self.begin(document)
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
            raise ProviderTrouble(Trouble.BROKEN, f"{self.pin.name} sent a chunk of no known shape") from None
        if finish:
            self.is_finished = True
        usage = usage_in(document) if document.get("usage") else None
        if usage is not None:
            self.usage = usage
        return Chunk(document=document, raw=raw, text=text, finish=finish, usage=usage)


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
