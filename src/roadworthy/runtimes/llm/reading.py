"""Streams: from pieces of bytes to chunks, whatever protocol, with truncation seen and the cost known at any moment."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from typing import Final

from roadworthy.domain.pin import Pin, Usage
from roadworthy.ports.chat import Chunk, Document, ProviderTrouble, Trouble
from roadworthy.runtimes.llm.counting import estimate_input, estimate_tokens, usage_document
from roadworthy.runtimes.llm.pinned import check_model, text_in
from roadworthy.runtimes.llm.sse import EventReader, EventTooLong

_DRAIN_S: Final = 0.05


class Reading:
    """What has come of one stream so far. A protocol says in `understand` what an event means.

    `head` is the first chunk's document, `characters` what the answer has by now, `is_finished` that a finish reason
    came, `is_done` that nothing more will.
    """

    __slots__ = ("_events", "_request", "characters", "head", "is_done", "is_finished", "pin", "usage")

    def __init__(self, pin: Pin, request: Document) -> None:
        self.pin = pin
        self._request = request
        self._events = EventReader()
        self.head: Document = {}
        self.characters: int = 0
        self.is_finished = self.is_done = False
        self.usage: Usage | None = None

    @abstractmethod
    def understand(self, name: str, data: bytes) -> Iterable[Chunk]:
        """Read one event into chunks.

        Raises:
            ProviderTrouble: the event makes no sense, or says that something is wrong.
        """
        raise NotImplementedError

    def begin(self, head: Document) -> None:
        """Take the first chunk.

        Raises:
            ProviderTrouble: another model answers than the pin fixes.
        """
        self.head = head
        check_model(self.pin, head, None)

    def events(self, piece: bytes) -> list[tuple[str, bytes]]:
        """Return the events that are whole now."""
        try:
            return self._events.feed(piece)
        except EventTooLong:
            raise ProviderTrouble(Trouble.BROKEN, f"{self.pin.name} sent an event without an end") from None

    def so_far(self) -> Usage:
        """Return what the provider has counted, or our estimate of what it will bill."""
        return self.usage or Usage(
            input=estimate_input(self._request), output=estimate_tokens(self.characters), is_estimate=True
        )

    def counted(self) -> Chunk:
        """Make the last chunk that the provider did not send: the usage as far as we know it."""
        usage = self.so_far()
        kept = {name: self.head.get(name) for name in ("id", "object", "created", "model")}
        return Chunk(document={**kept, "choices": [], "usage": usage_document(usage)}, usage=usage)

    def blame(self, trouble: ProviderTrouble) -> ProviderTrouble:
        """Add to a trouble what the stream had cost by then."""
        if self.head:
            trouble.usage = trouble.usage or self.so_far()
            trouble.upstream_id = text_in(self.head.get("id"))
        return trouble


def _chunks(reading: Reading, piece: bytes) -> Iterator[Chunk]:
    """Give the chunks that a piece makes whole; each but the last knows that another one is here."""
    waiting: Chunk | None = None
    try:
        for name, data in reading.events(piece):
            for chunk in reading.understand(name, data):
                if waiting is not None:
                    waiting.more = True
                    yield waiting
                waiting = chunk
    except ProviderTrouble:
        if waiting is not None:
            yield waiting
        raise
    if waiting is not None:
        yield waiting


async def read_stream(reading: Reading, send: Callable[[], AsyncGenerator[bytes]]) -> AsyncIterator[Chunk]:
    """Send a request and give the chunks of its answer; the last one carries the usage.

    Raises:
        ProviderTrouble: it could not be sent, or the answer broke off, took too long or made no sense.
    """
    has_usage = False
    try:
        async with aclosing(send()) as pieces:
            async for piece in pieces:
                for chunk in _chunks(reading, piece):
                    has_usage = chunk.usage is not None
                    yield chunk
                if reading.is_done:
                    await _drain(pieces)
                    break
    except ProviderTrouble as trouble:
        if not (reading.is_finished and trouble.trouble is Trouble.TRUNCATED):
            raise reading.blame(trouble) from None
    if not reading.is_finished:
        name = reading.pin.name
        raise reading.blame(ProviderTrouble(Trouble.TRUNCATED, f"{name} stopped before its answer's end"))
    if not has_usage:
        yield reading.counted()


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read what follows the last event, which is nothing, so that the connection can be used again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in pieces:
                pass
