"""The end of a turn: what it cost is learnt, its record is written, its use counted, its cost settled."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine
from typing import Any, Final

from roadworthy.domain.llm import HISTORY, QUESTION
from roadworthy.domain.pin import micros
from roadworthy.domain.record import Flag, Record, Value
from roadworthy.ports.records import RecordLog
from roadworthy.serving.gateway.cleaning import classes_of
from roadworthy.serving.gateway.paying import Cashier
from roadworthy.serving.gateway.turn import Turn
from roadworthy.serving.problem import Problem

_GUARDED: Final = int(Flag.GUARDED)  # as plain numbers: combining members of an enum costs a microsecond


class Recorder:
    """Writes records of turns. One a worker; `extra_flags` are set in each record."""

    def __init__(self, log: RecordLog, cashier: Cashier) -> None:
        self._record = log.record
        self._cashier = cashier
        self.extra_flags = 0
        self._later: set[asyncio.Task[None]] = set()

    def finish(self, turn: Turn, status: int) -> bool:
        """Record the turn, count it and settle what it cost; False when the record was lost.

        Where it is not known yet what a call cost, that is found out after the answer: a stopped stream is read to its
        end, a provider's books are asked.
        """
        turn.is_recorded = True
        took_us = int((time.perf_counter() - turn.intake.started) * 1e6)
        if not turn.unknown and not turn.unread:
            return self._finish(turn, status, took_us)
        self.later(self._learn_and_finish(turn, status, took_us))
        return True

    def later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside or after the answer; it ends with the worker."""
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)
        return task

    async def close(self) -> None:
        """End what is done after answers; control settles what was not finished."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)

    async def _learn_and_finish(self, turn: Turn, status: int, took_us: int) -> None:
        if turn.unread:
            await asyncio.wait(turn.unread)
        await self._cashier.learn(turn)
        self._finish(turn, status, took_us)

    def _finish(self, turn: Turn, status: int, took_us: int) -> bool:
        place, ready = turn.place, turn.ready
        if turn.mark:
            turn.flags |= Flag.FALLBACK
            place.meter.count("fallbacks", turn.mark)
        place.meter.answered(ready.name if ready else "none", status, took_us, 1)
        self._count_use(turn)
        outputs = _outputs(turn, self._kept(turn, _text(turn)))
        kept = self._record(
            Record(
                turn.record, place.served.name, place.served.environment, ready.id if ready else "", turn.intended,
                turn.arm, place.route.version, turn.intake.now, turn.intake.now, took_us, status,
                int(turn.flags | self.extra_flags), place.interface_id, inputs=self._inputs(turn), outputs=outputs,
                steps=tuple(turn.steps), entity=turn.entity, subject=turn.subject, key=turn.key.id,
                trace=turn.intake.trace, error=turn.error, cost_micros=micros(turn.cost),
            )
        )  # fmt: skip
        self._cashier.settle(turn)
        return kept

    def refuse(self, turn: Turn, problem: Problem) -> bool:
        """Record a question that was not answered."""
        turn.error = turn.error or problem.code
        return self.finish(turn, problem.status)

    async def shadowed(self, twin: Turn, turn: Turn) -> None:
        """Record what a shadow said of a turn, and settle what it cost."""
        place, ready = twin.place, twin.ready
        assert ready is not None, "a shadow is a release"
        await self._cashier.learn(twin)
        took_us = int((time.perf_counter() - twin.intake.started) * 1e6)
        self._record(
            Record(
                twin.record, place.served.name, place.served.environment, ready.id, ready.id, "shadow",
                place.route.version, turn.intake.now, turn.intake.now, took_us, 200 if twin.said else 500,
                int(twin.flags | self.extra_flags), place.interface_id,
                outputs=_outputs(twin, self._kept(twin, _text(twin))),
                steps=tuple(twin.steps), subject=turn.subject, trace=turn.intake.trace, shadow_of=turn.record,
                error=twin.error, cost_micros=micros(twin.cost),
            )
        )  # fmt: skip
        self._cashier.settle(twin)
        place.meter.count("shadows")

    def _count_use(self, turn: Turn) -> None:
        meter = turn.place.meter
        for name, n in (("input", turn.usage.input), ("output", turn.usage.output)):
            if n:
                meter.count("tokens", name, n=n)
        if turn.cost:
            meter.count("cost_micros", n=micros(turn.cost))
        if turn.flags & _GUARDED:
            meter.count("guarded")

    def _kept(self, turn: Turn, text: str | None) -> str | None:
        """Return what may be kept of a text: masked as the policy says, nothing where payloads are not kept."""
        if text is None or not turn.place.served.keep_payload:
            return None
        forbidden = classes_of(frozenset(turn.place.served.mask))
        return turn.cleaner.clean(text, forbidden).text if forbidden else text

    def _inputs(self, turn: Turn) -> tuple[Value, ...]:
        place, request = turn.place, turn.request
        if not place.served.keep_payload:
            return ()
        given: dict[str, Any] = {**turn.request.inputs, QUESTION: request.question}
        if request.earlier:
            # Masked before it becomes one text: within JSON a key may stand behind an escape and not be seen.
            earlier, _ = turn.cleaner.request({"messages": request.earlier}, classes_of(frozenset(place.served.mask)))
            given[HISTORY] = json.dumps(earlier["messages"], ensure_ascii=False)
        row: list[Value] = []
        for field in place.compiled.fields:
            value = given.get(field.name)
            row.append(self._kept(turn, value) if isinstance(value, str) else value)
        return place.compiled.kept(tuple(row))


def _text(turn: Turn) -> str | None:
    """Return what was said, be it why nothing else was."""
    return turn.said and (turn.said.text or turn.said.refusal)


def _outputs(turn: Turn, text: str | None) -> tuple[Value, ...]:
    """Return what `domain.llm.TEXT_OUTPUTS` names."""
    usage = turn.usage
    return (
        text, turn.said.outcome if turn.said is not None else "", usage.input, usage.output, usage.cached_input,
        turn.cost, turn.first_token_us, turn.model, turn.fingerprint, turn.price,
    )  # fmt: skip
