"""Where the pieces of a streamed answer leave: they open and end the stream, and who hangs up is noticed."""

from __future__ import annotations

import time
from typing import Any, Protocol

from roadworthy.domain.record import Flag
from roadworthy.serving.gateway.told import DONE, encode, error_document, mark_of, piece, usage_piece
from roadworthy.serving.gateway.turn import Turn
from roadworthy.serving.problem import Problem


class Line(Protocol):
    """Where the pieces go. `start` sends the headers; `send` raises `Gone` when the caller hung up."""

    def start(self, turn: Turn) -> None:
        """Send status and headers."""
        ...

    async def send(self, data: bytes) -> None:
        """Send one or more events."""
        ...


class Gone(Exception):
    """The caller hung up."""


class Outlet:
    """Sends pieces while the caller is there; remembers the text that left, and whether anything did."""

    def __init__(self, line: Line, turn: Turn) -> None:
        self._line = line
        self._turn = turn
        self.text: list[str] = []
        self.has_begun = False
        self.opening = b""
        self.note = ""
        self._held = b""

    async def silent(self, data: bytes, *, waits: bool, more: bool = False) -> None:
        """Send an event without text. One that only opens the answer waits for the first that says something."""
        if not waits:
            await self.raw(data, more=more)
        elif not self.has_begun:
            self.opening += data

    async def raw(self, data: bytes, text: str = "", *, more: bool = False) -> None:
        """Send bytes that are events already; with `more` to come at once, together with those."""
        turn = self._turn
        if self.opening:
            data, self.opening = self.opening + data, b""
        if self.note:
            note, self.note = self.note, ""
            data = piece(turn, {"content": note}) + data
            self.text.append(note)
        if not self.has_begun:
            self.has_begun = True
            turn.first_token_us = int((time.perf_counter() - turn.intake.started) * 1e6)
            self._begin()
        if text:
            self.text.append(text)
        if more:
            self._held += data
        else:
            await self._send(data)

    async def say(self, text: str, refusal: str = "") -> None:
        """Send a text, or why there is none, as one event."""
        if not self.has_begun:
            await self.raw(piece(self._turn, {"role": "assistant", "content": ""}))
        if text:
            await self.raw(piece(self._turn, {"content": text}), text)
        if refusal:
            await self.raw(piece(self._turn, {"refusal": refusal}))

    async def end(self, finish: str, document: dict[str, Any] | None, *, recorded: bool) -> None:
        """Send the finish, what it cost, and the last word."""
        turn = self._turn
        if not self.has_begun:
            await self.raw(b"")
        mark = mark_of(turn, recorded=recorded)
        if document is None:
            data = piece(turn, {}, finish, roadworthy=mark)
        else:
            first: dict[str, Any] = {**document["choices"][0], "delta": {}, "finish_reason": finish}
            named = {**document, "id": f"chatcmpl-{turn.record}", "model": turn.place.name}
            data = b"data: " + encode({**named, "choices": [first], "roadworthy": mark}) + b"\n\n"
        await self._send(data + (usage_piece(turn) if turn.request.wants_usage else b"") + DONE)

    async def fail(self, problem: Problem) -> None:
        """Say that it went wrong after it began; without the last word, so that no client takes it for whole."""
        await self._send(b"data: " + encode(error_document(problem)) + b"\n\n")

    def _begin(self) -> None:
        try:
            self._line.start(self._turn)
        except Gone:
            self._leave()

    async def _send(self, data: bytes) -> None:
        if self._turn.is_gone:
            return
        if self._held:
            data, self._held = self._held + data, b""
        try:
            await self._line.send(data)
        except Gone:
            self._leave()

    def _leave(self) -> None:
        self._turn.is_gone = True
        self._turn.flags |= Flag.ABANDONED
