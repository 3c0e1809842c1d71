"""A question answered piece by piece. Until the first piece has left, the chain works as it does for a whole answer.

When a model breaks off midway, what was sent cannot be taken back: a line says so, and the next of the chain answers
from the start. A caller who hangs up does not stop the call: it is read to its end, so that its cost is known.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final

from roadworthy.guards.chain import ChainStream
from roadworthy.ports.chat import Chunk, ProviderTrouble
from roadworthy.ports.guard import Blocked
from roadworthy.serving.gateway.answer import ChatAnswerer
from roadworthy.serving.gateway.caching import find_cached, keep_cached
from roadworthy.serving.gateway.chain import Link, has_rival, links
from roadworthy.serving.gateway.events import HeldCalls, Naming, calls_tools, delta_of, says_more
from roadworthy.serving.gateway.guarding import check_call, context_of, note_rulings
from roadworthy.serving.gateway.outlet import Line, Outlet
from roadworthy.serving.gateway.paying import Passed
from roadworthy.serving.gateway.place import ChatReady
from roadworthy.serving.gateway.preparing import body_of
from roadworthy.serving.gateway.told import piece
from roadworthy.serving.gateway.turn import Said, Turn
from roadworthy.serving.problem import Problem

_log: Final = logging.getLogger("roadworthy.serving")
BROKE_OFF: Final = "\n\n[The answer broke off here. What follows is a new answer by {name}.]\n\n"


@dataclass(slots=True)
class Ending:
    """How a stream ended: the finish reason, and the provider's last event, to be sent with ours in it."""

    finish: str
    document: dict[str, Any] | None = None
    refuses: bool = False

    @property
    def field(self) -> str:
        """Return where the text stands in a delta: OpenAI has a field of its own for a model's refusal."""
        return "refusal" if self.refuses else "content"


class Streamer:
    """Answers turns as streams."""

    def __init__(self, answerer: ChatAnswerer) -> None:
        self._answerer = answerer

    async def answer(self, turn: Turn, line: Line) -> None:
        """Answer a turn on a line and record it.

        Raises:
            BadRequest: a guard does not let the question pass; nothing has been sent.
            Problem: nobody could answer, and nothing has been sent.
        """
        out, ending = Outlet(line, turn), None
        name = find_cached(self._answerer.cache, turn)
        if turn.said is not None:
            await out.say(turn.said.text)
        else:
            try:
                ending = await self._chain(turn, out)
            except Problem as problem:
                if not out.has_begun:
                    raise
                await self._break_off(turn, out, problem)
                return
        if turn.said is None:
            if not out.has_begun:
                self._answerer.withhold(turn)
            if turn.said is None:
                await self._give_up(turn, out)
                return
            await out.say("", refusal=turn.said.refusal)
        turn.said.text = "".join(out.text)
        keep_cached(self._answerer.cache, turn, name)
        recorded = self._answerer.recorder.finish(turn, 200)
        await out.end(turn.said.finish, ending, recorded=recorded)

    async def _give_up(self, turn: Turn, out: Outlet) -> None:
        problem = self._answerer.none_left(turn)
        if not out.has_begun:
            raise problem
        await self._break_off(turn, out, problem)

    async def _break_off(self, turn: Turn, out: Outlet, problem: Problem) -> None:
        turn.said = Said(text="".join(out.text), finish="error")
        self._answerer.recorder.refuse(turn, problem)
        await out.fail(problem)

    async def _chain(self, turn: Turn, out: Outlet) -> dict[str, Any] | None:
        """Ask one after another until somebody answered; returns the provider's last event, if there was one."""
        deadline = turn.intake.started + turn.place.deadline_s
        found = links(turn.place, turn.intended)
        for at, link in enumerate(found):
            turn.answered_by, out.opening, out.note = link, b"", ""
            broke_off = bool(out.text)
            plain = self._answerer.say_without_model(turn, link)
            if plain is not None:
                turn.said = plain
                await out.say(BROKE_OFF.format(name=link.name) + plain.text if broke_off else plain.text)
                return None
            ending = await self._ask(turn, link, out, deadline, has_rival=has_rival(found, at))
            if ending is not None:
                turn.said = Said(text="", finish=ending.finish, refusal="".join(out.text) if ending.refuses else "")
                return ending.document
        turn.answered_by = None
        return None

    async def _ask(self, turn: Turn, link: Link, out: Outlet, deadline: float, *, has_rival: bool) -> Ending | None:
        ready = link.ready
        held = ready.models.get(link.pin) if ready is not None else None
        if ready is None or held is None or time.perf_counter() >= deadline:
            turn.step("attempt", link.name, "missing" if held is None else "late")
            return None
        ready.in_flight += 1
        try:
            body = body_of(turn, ready)
            pieces = self._answerer.caller.stream(turn, held, body, deadline, has_rival=has_rival)
            try:
                ending = await self._pass_on(turn, link, pieces, out)
            except Blocked:
                # Nothing more of it leaves, but who hangs up never learns what it cost. Nobody waits for its end.
                turn.unread.append(self._answerer.recorder.later(_read_to_end(pieces)))
                raise
            except BaseException:
                await pieces.aclose()
                raise
            else:
                await pieces.aclose()
                return ending
        except Passed as passed:
            turn.step("attempt", link.name, passed.outcome, 0, passed.detail)
        except Blocked as blocked:
            note_rulings(turn, (blocked.ruling,))
        except ProviderTrouble:
            pass  # its step and its cost are noted already
        except Problem:
            raise
        except Exception as error:  # noqa: BLE001 (a provider's code must not take the answer with it)
            self._answerer.note_fault(turn, link, error)
        finally:
            ready.in_flight -= 1
        return None

    async def _pass_on(self, turn: Turn, link: Link, chunks: AsyncIterator[Chunk], out: Outlet) -> Ending:
        """Send what comes as it comes, past the guards; the event that ends it is kept until its cost is known.

        Raises:
            Blocked: a guard does not let the answer go on.
            ProviderTrouble: the provider broke off.
        """
        ready = link.ready
        assert ready is not None, "a model belongs to a release"
        naming, ending = Naming(turn), Ending("stop")
        if out.text:
            out.note = BROKE_OFF.format(name=link.name)
        if ready.has_guards:
            await self._watch(turn, ready, chunks, out, ending)
            return ending
        async for chunk in chunks:
            if chunk.finish:
                ending.finish, ending.document = chunk.finish, dict(chunk.document)
                if chunk.text:
                    await out.raw(piece(turn, {"content": chunk.text}), chunk.text)
            elif text := _text_of(chunk):
                ending.refuses |= not chunk.text
                await out.raw(naming.event(chunk), text, more=chunk.more)
            elif chunk.document.get("choices"):
                await out.silent(naming.event(chunk), waits=not says_more(chunk), more=chunk.more)
        return ending

    async def _watch(
        self, turn: Turn, ready: ChatReady, chunks: AsyncIterator[Chunk], out: Outlet, ending: Ending
    ) -> None:
        """Pass on what the guards let go.

        Raises:
            Blocked: one of them does not let the answer go on.
            ProviderTrouble: the provider broke off.
        """
        guards = ready.guards.stream(context_of(turn, ready))
        naming, calls, batch = Naming(turn), HeldCalls(), list[Chunk]()
        async for chunk in chunks:
            if chunk.finish:
                ending.finish, ending.document = chunk.finish, dict(chunk.document)
            is_call = calls_tools(chunk)
            if is_call:
                calls.take(chunk)
            if _text_of(chunk):
                ending.refuses |= not chunk.text
                batch.append(chunk)
            elif not chunk.finish and not is_call and chunk.document.get("choices") and not says_more(chunk):
                await out.silent(naming.event(chunk), waits=True)
            if batch and not chunk.more:
                await _let_through(turn, guards, naming, batch, out, ending)
                batch.clear()
        if batch:
            await _let_through(turn, guards, naming, batch, out, ending)
        rest = guards.close() if out.text or not calls.chunks else ""
        if rest:
            await out.raw(piece(turn, {ending.field: rest}), rest)
        note_rulings(turn, guards.rulings())
        ending.finish = guards.finish or ending.finish
        for arguments in calls.arguments():
            check_call(turn, ready, arguments)
        for chunk in calls.chunks:
            await out.raw(naming.event(chunk))


async def _read_to_end(pieces: AsyncGenerator[Chunk]) -> None:
    """Read an answer that nobody is sent, within the call's own deadline; its cost is booked at its end."""
    with suppress(ProviderTrouble):  # its step and its cost are noted already
        async with aclosing(pieces):
            async for _ in pieces:
                pass


async def _let_through(
    turn: Turn, guards: ChainStream, naming: Naming, batch: list[Chunk], out: Outlet, ending: Ending
) -> None:
    """Send what the guards let go of events that came together; as they came, where nothing of them is held back.

    Raises:
        Blocked: a guard does not let the answer go on.
    """
    text = "".join(map(_text_of, batch))
    passed = guards.feed(text)
    if passed == text and not any(chunk.finish or says_more(chunk) for chunk in batch):
        await out.raw(b"".join(map(naming.event, batch)), passed)
    elif passed:
        await out.raw(piece(turn, {ending.field: passed}), passed)


def _text_of(chunk: Chunk) -> str:
    return chunk.text or delta_of(chunk).get("refusal") or ""
