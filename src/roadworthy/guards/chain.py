"""Several guards, one after another: each sees what the one before it let through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from roadworthy.ports.chat import Document
from roadworthy.ports.guard import Act, Blocked, Guard, GuardContext, Ruling, StreamGuard, allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """What a chain makes of a text. `rulings` are those of each guard that was asked, for the record's steps.

    `action` is the strictest of them, `text` and `request` are what may go on; `blocked` is the ruling that blocked.
    """

    action: Act
    text: str = ""
    request: Document | None = None
    rulings: tuple[Ruling, ...] = ()
    blocked: Ruling | None = None
    finish: str = ""


class GuardChain:
    """Asks the guards in their order, on a question, an answer or a stream; the first that blocks ends it."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self.guards = tuple(guards)

    def question(self, request: Document, context: GuardContext) -> Guarded:
        """Return the request as it may go to a provider, or the ruling that blocks it."""
        rulings: list[Ruling] = []
        for guard in self.guards:
            ruling = guard.question(request, context)
            rulings.append(ruling)
            if ruling.action is Act.BLOCK:
                return _blocked(ruling, rulings)
            request = request if ruling.request is None else ruling.request
        return Guarded(action=_strictest(rulings), request=request, rulings=tuple(rulings))

    def answer(self, text: str, context: GuardContext) -> Guarded:
        """Return the answer as it may leave, or the ruling that blocks it."""
        rulings: list[Ruling] = []
        for guard in self.guards:
            ruling = guard.answer(text, context)
            rulings.append(_textless(ruling))
            if ruling.action is Act.BLOCK:
                return _blocked(ruling, rulings)
            text = ruling.text
        finish = next((ruling.finish for ruling in rulings if ruling.finish), "")
        return Guarded(action=_strictest(rulings), text=text, rulings=tuple(rulings), finish=finish)

    def stream(self, context: GuardContext) -> ChainStream:
        """Start to watch one answer with all of them."""
        return ChainStream([guard.stream(context) for guard in self.guards])


class ChainStream:
    """Passes each piece from guard to guard. Closing closes each in turn, so that nothing held back skips one."""

    def __init__(self, streams: Sequence[StreamGuard]) -> None:
        self._streams = tuple(streams)

    def feed(self, piece: str) -> str:
        """Return what all of them let go of now.

        Raises:
            Blocked: one of them blocks.
        """
        for stream in self._streams:
            if not piece:
                return ""
            piece = stream.feed(piece)
        return piece

    def close(self) -> str:
        """Return what was still held back.

        Raises:
            Blocked: one of them blocks.
        """
        rest = ""
        for stream in self._streams:
            rest = (stream.feed(rest) if rest else "") + stream.close()
        return rest

    def ruling(self) -> Ruling:
        """Return the strictest ruling with every hit; `finish` when one of them cut the answer."""
        rulings = self.rulings()
        return Ruling(
            guard="chain",
            action=_strictest(rulings),
            hits=tuple(hit for ruling in rulings for hit in ruling.hits),
            reason="; ".join(ruling.reason for ruling in rulings if ruling.reason),
            finish=self.finish,
        )

    def rulings(self) -> tuple[Ruling, ...]:
        """Return each guard's ruling so far, for the record's steps."""
        return tuple(stream.ruling() for stream in self._streams)

    @property
    def finish(self) -> str:
        """Return `length` once the answer was cut: whoever reads the provider may stop."""
        return next((ruling.finish for ruling in self.rulings() if ruling.finish), "")


def _textless(ruling: Ruling) -> Ruling:
    has_nothing_to_say = ruling.action is Act.ALLOW and not (ruling.hits or ruling.reason or ruling.finish)
    return allowed(ruling.guard) if has_nothing_to_say else replace(ruling, text="")


def _strictest(rulings: Sequence[Ruling]) -> Act:
    acts = [ruling.action for ruling in rulings]
    return Act.BLOCK if Act.BLOCK in acts else Act.ALTER if Act.ALTER in acts else Act.ALLOW


def _blocked(ruling: Ruling, rulings: Sequence[Ruling]) -> Guarded:
    return Guarded(action=Act.BLOCK, rulings=tuple(rulings), blocked=ruling)


__all__ = ["Blocked", "ChainStream", "GuardChain", "Guarded"]
