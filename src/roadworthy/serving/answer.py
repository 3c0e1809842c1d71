"""Answer a request: route, predict, fall back, record. One instance a worker."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast
from zlib import crc32

from roadworthy.domain.digest import Digest
from roadworthy.domain.moment import Micros
from roadworthy.domain.record import Flag, Record, StepTaken
from roadworthy.domain.route import bucket, choose
from roadworthy.ports.clock import Clock
from roadworthy.ports.records import RecordLog
from roadworthy.runtimes.columns import gather, spread
from roadworthy.serving.attempt import Attempt, Intake, Part, Reply, Spent
from roadworthy.serving.batcher import DeadlineMissed
from roadworthy.serving.compiled import Call, Row
from roadworthy.serving.faults import MODEL_RAISES, MODEL_SLOW, Fault, InjectedFault
from roadworthy.serving.outputs import Answer
from roadworthy.serving.problem import Problem, unavailable
from roadworthy.serving.table import Place, Ready, fallback_kind

# A NamedTuple made from a whole tuple costs a third of one made from 25 arguments.
_as_record: Any = cast("Any", tuple).__new__
_CRC_END: Final = 1 << 32
MOST_SHADOWS: Final = 1024
DEFAULT: Final = "default"


class Answerer:
    """Joins the parts of the request path. `new_id` makes record ids; `secret` keys the subject digests."""

    def __init__(self, log: RecordLog, clock: Clock, new_id: Callable[[Micros], str], secret: bytes) -> None:
        self._record = log.record
        self._now = clock.now
        self._new_id = new_id
        self._secret = secret
        self._loop = asyncio.get_running_loop()
        self.faults: Mapping[str, tuple[Fault, ...]] = {}
        self.extra_flags = 0

    async def answer(self, place: Place, intake: Intake, call: Call) -> Reply:
        """Answer rows that were validated, and record each.

        Raises:
            Problem: 503, when the system is stopped or nothing is left to answer; recorded too.
        """
        if place.route.stopped:
            why = place.route.stopped_for or "by its owner"
            raise unavailable(f"'{place.name}' is stopped: {why}", f"roadworthy start --system {place.name}", 30)
        if call.single:
            return await self._answer_one(place, intake, call)
        ids = [self._new_id(intake.now) for _ in call.rows]
        parts: list[Part] = [
            (attempt, [ids[at] for at in places], places) for attempt, places in self._split(place, call.rows, ids)
        ]
        for attempt, _, _ in parts:
            await self._try(place, attempt)
        return self._finish(place, intake, call, parts)

    async def _answer_one(self, place: Place, intake: Intake, call: Call) -> Reply:
        """Answer a single row: what `answer` does for many, without lists to sort rows into and out of."""
        record_id = self._new_id(intake.now)
        if place.only_arm is not None:
            attempt = Attempt(call.rows, place.only_arm.id, place.only_role)
        else:
            key = place.compiled.entity(call.rows[0]) or record_id
            arm = choose(place.route, bucket(place.name, key))
            attempt = Attempt(call.rows, arm.release, arm.role.value)
        await self._try(place, attempt)
        if not attempt.answers:
            return self._finish(place, intake, call, [(attempt, [record_id], None)])
        took_us = int((time.perf_counter() - intake.started) * 1e6)
        answer, ready = attempt.answers[0], attempt.release
        kept = self._keep(place, intake, call, attempt, call.rows[0], 0, record_id, answer, 200, took_us)
        if place.shadow is not None and self._is_sampled(place, record_id):
            self._loop.call_soon(self._shadow, place, intake, attempt.rows, [record_id])
        if ready is None:
            name, spoken = "", place.shape.spoken(answer)
        else:
            name, spoken = ready.name, ready.shape.spoken(answer)
        place.meter.answered(name or "none", 200, took_us, 1)
        return Reply([record_id], [spoken], [name], [attempt.mark], kept)

    def _split(self, place: Place, rows: list[Row], ids: Sequence[str]) -> list[tuple[Attempt, list[int]]]:
        """Send each row to the arm of its entity (or of its record), the same one every time."""
        parts: dict[Digest, tuple[Attempt, list[int]]] = {}
        for at, row in enumerate(rows):
            key = place.compiled.entity(row) or ids[at]
            arm = choose(place.route, bucket(place.name, key))
            part = parts.get(arm.release)
            if part is None:
                part = parts[arm.release] = (Attempt([], arm.release, arm.role.value), [])
            part[0].rows.append(row)
            part[1].append(at)
        return list(parts.values())

    async def _try(self, place: Place, attempt: Attempt) -> None:
        """Ask the intended release; whatever goes wrong, go down the chain."""
        ready = place.ready.get(attempt.intended)
        if ready is not None and not place.route.degraded_by and not self.faults and not ready.breaker.is_open:
            ready.in_flight += 1
            began = time.perf_counter()
            try:
                attempt.answers = await ready.batcher.submit(attempt.rows, place.deadline_s)
                attempt.release = ready
                ready.breaker.note(ok=True, now=began)
            except Exception as error:  # noqa: BLE001 (whatever a model raises leads to the fallback)
                self._note_failure(attempt, ready, error, began)
            else:
                return
            finally:
                ready.in_flight -= 1
        await self._go_down(place, attempt)

    async def _go_down(self, place: Place, attempt: Attempt) -> None:
        tried = {step.name for step in attempt.steps}
        for ready in self._chain(place, attempt):
            if ready.name in tried:
                continue
            tried.add(ready.name)
            if await self._ask(place, attempt, ready):
                self._mark_fallback(place, attempt, ready)
                return
        self._give_default(place, attempt)
        if not attempt.answers:
            await self._ask_the_last(place, attempt)

    async def _ask_the_last(self, place: Place, attempt: Attempt) -> None:
        """Ask the last of the chain past its open breaker: a likely failure beats the certain one of not asking."""
        spared = {step.name for step in attempt.steps if step.outcome == "open"}
        last = next((one for one in reversed(self._chain(place, attempt)) if one.name in spared), None)
        if last is not None and await self._ask(place, attempt, last, past_breaker=True):
            self._mark_fallback(place, attempt, last)

    def _mark_fallback(self, place: Place, attempt: Attempt, ready: Ready) -> None:
        if ready.id != attempt.intended:
            attempt.mark = fallback_kind(ready)
            attempt.flags |= Flag.FALLBACK
            place.meter.count("fallbacks", attempt.mark, n=len(attempt.rows))

    def _chain(self, place: Place, attempt: Attempt) -> list[Ready]:
        """Order who may answer: the chosen release, for a challenger then the champion, then the fallbacks."""
        intended = place.ready.get(attempt.intended)
        first = [one for one in (intended, place.champion) if one is not None]
        return [*place.fallback, *first] if place.route.degraded_by else [*first, *place.fallback]

    async def _ask(self, place: Place, attempt: Attempt, ready: Ready, *, past_breaker: bool = False) -> bool:
        began = time.perf_counter()
        if not past_breaker and not ready.breaker.allows(began):
            attempt.steps.append(StepTaken("attempt", ready.name, "open", 0))
            return False
        ready.in_flight += 1
        drilled = self._drilled(place, attempt, ready)
        try:
            rows = self._recast(place, ready, attempt.rows)
            if drilled is not None:
                await _suffer(drilled, place.deadline_s)
            attempt.answers = await ready.batcher.submit(rows, place.deadline_s)
            attempt.release = ready
            ready.breaker.note(ok=True, now=time.perf_counter())
        except Exception as error:  # noqa: BLE001 (whatever a model raises leads to the next of the chain)
            # A release is shared by its environments: a drill in one must not open its breaker for the others.
            self._note_failure(attempt, ready, error, began, blame=drilled is None or not drilled.environment)
            return False
        finally:
            ready.in_flight -= 1
        took_us = int((time.perf_counter() - began) * 1e6)
        attempt.steps.append(StepTaken("attempt", ready.name, "ok", took_us))
        return True

    def _recast(self, place: Place, ready: Ready, rows: list[Row]) -> list[Row]:
        """Give rows to a release with another interface, by field name; it may refuse them."""
        if ready.interface_id == place.interface_id:
            return rows
        fields = place.compiled.fields
        named = [dict(zip(place.compiled.names, row, strict=True)) for row in rows]
        texts = spread(gather(named, fields), fields)
        known = set(ready.compiled.names)
        return ready.compiled.accept([{n: v for n, v in row.items() if n in known} for row in texts]).rows

    def _drilled(self, place: Place, attempt: Attempt, ready: Ready) -> Fault | None:
        for fault in self.faults.get(place.name, ()):
            if fault.environment not in ("", place.served.environment):
                continue
            hit = fault.release in (ready.id, ready.name) if fault.release else ready.id == attempt.intended
            if hit and fault.fault in (MODEL_RAISES, MODEL_SLOW):
                return fault
        return None

    def _note_failure(
        self, attempt: Attempt, ready: Ready, error: Exception, began: float, *, blame: bool = True
    ) -> None:
        ended = time.perf_counter()
        late = isinstance(error, DeadlineMissed)
        if blame and not isinstance(error, Problem):
            ready.breaker.note(ok=False, now=ended)
        attempt.flags |= Flag.TIMED_OUT if late else Flag.FAILED
        attempt.error = attempt.error or type(error).__name__
        outcome = "timeout" if late else "error"
        attempt.steps.append(
            StepTaken("attempt", ready.name, outcome, int((ended - began) * 1e6), type(error).__name__)
        )

    def _give_default(self, place: Place, attempt: Attempt) -> None:
        stated = place.served.serve.stated_default
        if stated is None or DEFAULT not in place.served.serve.fallback:
            return
        attempt.answers = [place.shape.stated(stated)] * len(attempt.rows)
        attempt.mark = DEFAULT
        attempt.flags |= Flag.FALLBACK | Flag.DEFAULTED
        place.meter.count("fallbacks", DEFAULT, n=len(attempt.rows))

    def _finish(
        self,
        place: Place,
        intake: Intake,
        call: Call,
        parts: list[Part],
    ) -> Reply:
        """Record every row, then tell the caller. A part without an answer makes the whole request a 503."""
        took_us = int((time.perf_counter() - intake.started) * 1e6)
        failed = any(not attempt.answers for attempt, _, _ in parts)
        status = 503 if failed else 200
        count = len(call.rows)
        reply = Reply([""] * count, [{}] * count, [""] * count, [""] * count, recorded=True)
        for attempt, ids, places in parts:
            spoken = place.shape.spoken if attempt.release is None else attempt.release.shape.spoken
            name = attempt.release.name if attempt.release else ""
            for n, at in enumerate(places if places is not None else range(count)):
                answer = attempt.answers[n] if attempt.answers else ()
                kept = self._keep(place, intake, call, attempt, attempt.rows[n], at, ids[n], answer, status, took_us)
                reply.recorded = kept and reply.recorded
                reply.ids[at], reply.names[at], reply.marks[at] = ids[n], name, attempt.mark
                if answer:
                    reply.answers[at] = spoken(answer)
            sampled = [n for n, one in enumerate(ids) if self._is_sampled(place, one)] if not failed else []
            if sampled:
                rows = [attempt.rows[n] for n in sampled]
                self._loop.call_soon(self._shadow, place, intake, rows, [ids[n] for n in sampled])
        place.meter.answered(reply.names[0] or "none", status, took_us, count)
        if failed:
            if not reply.recorded:
                place.meter.count("unrecorded")
            raise Spent(reply.ids, f"no release of '{place.name}' could answer")
        return reply

    def _keep(
        self,
        place: Place,
        intake: Intake,
        call: Call,
        attempt: Attempt,
        row: Row,
        at: int,
        record_id: str,
        answer: Answer,
        status: int,
        took_us: int,
    ) -> bool:
        ready = attempt.release
        made = place.compiled
        entity, subject = self._subject(place, row)
        flags = attempt.flags | self.extra_flags
        violations: tuple[tuple[str, str], ...] = ()
        if call.violations:
            violations = tuple((one.field, one.rule) for one in call.violations if one.row == at)
            flags |= Flag.VIOLATED if violations else 0
        return self._record(
            _as_record(
                Record,
                (
                    record_id,
                    place.served.name,
                    place.served.environment,
                    ready.id if ready else "",
                    attempt.intended,
                    attempt.arm,
                    place.route.version,
                    intake.now,
                    made.event_time(row, intake.now),
                    took_us,
                    status,
                    int(flags),
                    place.interface_id,
                    made.kept(row) if place.served.keep_payload else (),
                    answer,
                    violations,
                    made.ages_ms(row),
                    tuple(attempt.steps),
                    entity,
                    subject,
                    intake.key,
                    intake.trace,
                    "",
                    attempt.error,
                    0,
                ),
            )
        )

    def _subject(self, place: Place, row: Row) -> tuple[str, str]:
        """Return the entity and its keyed digest; a classified entity is kept only as the digest."""
        entity = place.compiled.entity(row)
        if not entity:
            return "", ""
        return ("" if place.compiled.entity_is_classified else entity), self.subject_of(entity)

    def subject_of(self, entity: str) -> str:
        """Return the keyed digest of an entity: 32 hex digits that only this home can make."""
        return hmac.digest(self._secret, entity.encode("utf-8", "surrogatepass"), "sha256").hex()[:32]

    def refuse(self, place: Place, intake: Intake, problem: Problem, flags: int = 0) -> tuple[str, bool]:
        """Record a request that got no prediction; return its id and whether it was recorded."""
        record_id = self._new_id(intake.now)
        took_us = int((time.perf_counter() - intake.started) * 1e6)
        violated = tuple((one.field, one.rule) for one in problem.violations)
        flags |= (Flag.VIOLATED if violated else 0) | self.extra_flags
        if violated:
            place.meter.count("violations", n=len(violated))
        place.meter.answered("none", problem.status, took_us, 1)
        kept = self._record(
            Record(
                record_id, place.served.name, place.served.environment, "", place.route.champion, "",
                place.route.version, intake.now, intake.now, took_us, problem.status, int(flags), place.interface_id,
                violations=violated, key=intake.key, trace=intake.trace, error=problem.code,
            )
        )  # fmt: skip
        return record_id, kept

    def _is_sampled(self, place: Place, record_id: str) -> bool:
        """Tell whether the shadow sees a record: the same answer every time, with the route's rate."""
        plan = place.route.shadow
        return plan is not None and (plan.rate >= 1 or crc32(record_id.encode()) < plan.rate * _CRC_END)

    def _shadow(self, place: Place, intake: Intake, rows: list[Row], ids: list[str]) -> None:
        """Ask the shadow, after the answer; a full queue drops and counts."""
        shadow, gate = place.shadow, place.gate
        if shadow is None:
            return
        try:
            if gate.shadows + len(ids) > MOST_SHADOWS:
                raise unavailable("the shadow's queue is full")
            cast = self._recast(place, shadow, rows)
        except Problem:
            place.meter.count("shadows_dropped", n=len(ids))
            return
        gate.shadows += len(ids)
        began = time.perf_counter()
        future = shadow.shadows.submit(cast, max(place.deadline_s * 4, 1.0))
        future.add_done_callback(lambda done: self._shadowed(place, shadow, intake, rows, ids, done, began))

    def _shadowed(
        self,
        place: Place,
        shadow: Ready,
        intake: Intake,
        rows: list[Row],
        ids: list[str],
        done: asyncio.Future[list[Answer]],
        began: float,
    ) -> None:
        place.gate.shadows -= len(ids)
        error = "" if done.cancelled() or done.exception() is None else type(done.exception()).__name__
        answers: list[Answer] = [] if error or done.cancelled() else done.result()
        took_us = int((time.perf_counter() - began) * 1e6)
        flags = Flag.SHADOW | (Flag.FAILED if error else 0) | self.extra_flags
        for at, (row, shadow_of) in enumerate(zip(rows, ids, strict=True)):
            entity, subject = self._subject(place, row)
            self._record(
                Record(
                    self._new_id(intake.now), place.served.name, place.served.environment, shadow.id, shadow.id,
                    "shadow", place.route.version, intake.now, place.compiled.event_time(row, intake.now), took_us,
                    500 if error else 200, int(flags), place.interface_id,
                    outputs=answers[at] if answers else (), entity=entity, subject=subject, trace=intake.trace,
                    shadow_of=shadow_of, error=error,
                )
            )  # fmt: skip
        place.meter.count("shadows", n=len(ids))


async def _suffer(fault: Fault, deadline_s: float) -> None:
    if fault.fault == MODEL_RAISES:
        raise InjectedFault
    delay_s = fault.delay_ms / 1e3
    await asyncio.sleep(min(delay_s, deadline_s))
    if delay_s >= deadline_s:
        raise DeadlineMissed
