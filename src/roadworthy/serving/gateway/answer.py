"""A question answered: routed, prepared, asked along the chain, guarded, recorded. One instance a worker."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, cast
from zlib import crc32

from roadworthy.domain.llm import HISTORY, QUESTION
from roadworthy.domain.moment import Micros
from roadworthy.domain.pin import micros
from roadworthy.domain.principal import Key
from roadworthy.domain.record import Flag, Record, Value
from roadworthy.domain.route import bucket, choose
from roadworthy.errors import RoadworthyError
from roadworthy.guards.questions import texts_of
from roadworthy.ports.chat import ProviderTrouble
from roadworthy.ports.guard import Act, Blocked, GuardContext, Ruling
from roadworthy.ports.records import RecordLog
from roadworthy.runtimes.rag.cite import best_passage
from roadworthy.serving.attempt import Intake
from roadworthy.serving.gateway.cache import Cached, ExactCache
from roadworthy.serving.gateway.calling import Caller
from roadworthy.serving.gateway.chain import Link, has_rival, links
from roadworthy.serving.gateway.cleaning import classes_of
from roadworthy.serving.gateway.paying import Passed
from roadworthy.serving.gateway.place import ChatPlace, ChatReady
from roadworthy.serving.gateway.request import BadRequest, ChatRequest
from roadworthy.serving.gateway.turn import Prepared, Said, Turn
from roadworthy.serving.problem import Problem, unavailable

ABSTAINED: Final = "I cannot answer this from the documents I was given."
WITHHELD: Final = "This answer was withheld."
_LONGEST_TOLD: Final = 500
DAY_US: Final = 86_400_000_000
_SPOILED: Final = int(Flag.GUARDED | Flag.ABSTAINED | Flag.DEFAULTED | Flag.FAILED | Flag.TIMED_OUT)
_GUARDED: Final = int(Flag.GUARDED)  # as plain numbers: combining members of an enum costs a microsecond
_CRC_END: Final = 1 << 32
_log: Final = logging.getLogger("roadworthy.serving")


class ChatAnswerer:
    """Joins the parts of the gateway. `new_id` makes record ids; `secret` keys subjects."""

    def __init__(
        self,
        log: RecordLog,
        new_id: Callable[[Micros], str],
        secret: bytes,
        caller: Caller,
        cache: ExactCache,
    ) -> None:
        self._record = log.record
        self._new_id = new_id
        self._secret = secret
        self.caller = caller
        self.cache = cache
        self.extra_flags = 0
        self._later: set[asyncio.Task[None]] = set()

    def begin(
        self,
        place: ChatPlace,
        intake: Intake,
        key: Key,
        request: ChatRequest,
        classes: frozenset[str],
        *,
        use_cache: bool,
    ) -> Turn:
        """Route a request: the same user (or else the same record) goes to the same arm every time."""
        record = self._new_id(intake.now)
        subject = hmac.digest(self._secret, request.user.encode(), "sha256").hex()[:32] if request.user else ""
        arm = choose(place.route, bucket(place.name, subject or record))
        return Turn(
            place=place, intake=intake, key=key, request=request, record=record, intended=arm.release,
            arm=arm.role.value, classes=classes | frozenset(place.classes), subject=subject, use_cache=use_cache,
        )  # fmt: skip

    def must_run(self, turn: Turn) -> None:
        """Refuse every question while the system is stopped.

        Raises:
            Problem: 503.
        """
        route = turn.place.route
        if route.stopped:
            why, start = route.stopped_for or "by its owner", f"roadworthy start --system {turn.place.name}"
            raise unavailable(f"'{turn.place.name}' is stopped: {why}", start, 30)

    async def answer(self, turn: Turn) -> None:
        """Answer at once; `turn.said` is None when nothing was left to answer with.

        Raises:
            BadRequest: a guard does not let the question pass.
        """
        name = self.find_cached(turn)
        if turn.said is not None:
            return
        deadline = turn.intake.started + turn.place.deadline_s
        found = links(turn.place, turn.intended)
        for at, link in enumerate(found):
            said = await self._ask(turn, link, deadline, has_rival=has_rival(found, at))
            if said is not None:
                turn.answered_by, turn.said = link, said
                break
        else:
            self.withhold(turn)
        self.keep_cached(turn, name)

    def withhold(self, turn: Turn) -> None:
        """Answer with a refusal where guards, and nothing else, stood in the way."""
        if turn.flags & Flag.GUARDED and not turn.flags & (Flag.FAILED | Flag.TIMED_OUT):
            turn.said = Said(text="", finish="content_filter", refusal=WITHHELD)

    # One link

    async def _ask(self, turn: Turn, link: Link, deadline: float, *, has_rival: bool = False) -> Said | None:
        plain = self.say_without_model(turn, link)
        if plain is not None or link.ready is None or not link.pin:
            return plain
        ready, held = link.ready, link.ready.models.get(link.pin)
        if held is None or time.perf_counter() >= deadline:
            turn.step("attempt", link.name, "missing" if held is None else "late")
            return None
        ready.in_flight += 1
        try:
            found = await self.caller.complete(turn, held, self.body(turn, ready), deadline, has_rival=has_rival)
            return self._guarded(turn, ready, found.document)
        except Passed as passed:
            turn.step("attempt", link.name, passed.outcome, 0, passed.detail)
        except ProviderTrouble:
            pass  # its step and its cost are noted already
        except Exception as error:  # noqa: BLE001 (a provider's code must not take the answer with it)
            self.note_fault(turn, link, error)
        finally:
            ready.in_flight -= 1
        return None

    def note_fault(self, turn: Turn, link: Link, error: Exception) -> None:
        """Note a fault of ours. Its words stay out of the log: they may repeat what a caller wrote."""
        _log.error("pin %s failed inside the gateway: %s", link.name, place_of_fault(error))
        turn.flags |= Flag.FAILED
        turn.error = turn.error or type(error).__name__
        turn.step("attempt", link.name, "error", 0, type(error).__name__)

    def say_without_model(self, turn: Turn, link: Link) -> Said | None:
        """Answer what needs no model: the stated default, a baseline, a question that the passages do not carry.

        Raises:
            BadRequest: a guard does not let the question pass.
        """
        if link.ready is None:
            stated = turn.place.serve.stated_default or {}
            turn.flags |= Flag.DEFAULTED
            return Said(text=str(stated.get("text", "")))
        assistant, ready = link.ready.assistant, link.ready
        if not link.pin and not assistant.passage:
            return Said(text=assistant.text)
        prepared = self.prepare(turn, ready)
        if prepared.abstains:
            turn.abstained = True
            turn.flags |= Flag.ABSTAINED
            return Said(text=ABSTAINED)
        if link.pin:
            return None
        quoted = best_passage(prepared.found.hits, turn.request.question) if prepared.found is not None else None
        if quoted is None:
            turn.abstained = True
            turn.flags |= Flag.ABSTAINED
        return Said(text=ABSTAINED if quoted is None else quoted.text)

    def prepare(self, turn: Turn, ready: ChatReady) -> Prepared:
        """Find passages and write the messages, once a release; guards look at the question.

        Raises:
            BadRequest: a guard does not let it pass, or the prompt asks for what was not given.
        """
        known = turn.prepared.get(ready.id)
        if known is not None:
            return known
        began = time.perf_counter()
        found = ready.loaded.find(turn.request.question)
        abstains = found is not None and found.abstains and ready.assistant.abstains
        if found is not None:
            outcome = "abstained" if abstains else "ok"
            took = int((time.perf_counter() - began) * 1e6)
            turn.step("retrieval", ready.name, outcome, took, ",".join(hit.id for hit in found.hits))
        if ready.loaded.prompt is None:
            made = Prepared([], found, abstains)
        else:
            made = Prepared(self._messages(turn, ready, found), found, abstains)
            if ready.has_guards:
                self._check_question(turn, ready, made)
        turn.prepared[ready.id] = made
        return made

    def _messages(self, turn: Turn, ready: ChatReady, found: Any) -> list[dict[str, Any]]:
        request = turn.request
        try:
            messages = ready.loaded.messages(
                {**turn.request.inputs, QUESTION: request.question}, request.earlier, found
            )
        except RoadworthyError as error:
            raise BadRequest(error.message, "messages", hint=error.hint) from error
        if messages and request.parts:
            last = messages[-1]
            messages[-1] = {**last, "content": [{"type": "text", "text": last["content"]}, *request.parts]}
        if messages and messages[0]["role"] == "system":
            messages[0]["content"] = ready.plant(messages[0]["content"])
        if messages and ready.knows_clean(messages[0]["content"]):
            turn.known_clean |= {messages[0]["content"]}
        return messages

    def _check_question(self, turn: Turn, ready: ChatReady, prepared: Prepared) -> None:
        request = {"messages": turn.request.messages, **turn.request.options}
        guarded = ready.guards.question(request, self.context(turn, ready, prepared))
        note_rulings(turn, guarded.rulings)
        if guarded.blocked is not None:
            turn.flags |= Flag.GUARDED
            told = guarded.blocked
            raise BadRequest(f"the question is not let through: {told.reason}", told.guard, hint="ask without it")
        if guarded.request is not None and guarded.request is not request:
            # What a guard altered in the question is altered in everything that is sent.
            body = {"messages": prepared.messages}
            again = ready.guards.question(body, self.context(turn, ready, prepared))
            if again.request is not None:
                prepared.messages, prepared.context = list(again.request["messages"]), None

    def context(self, turn: Turn, ready: ChatReady, prepared: Prepared) -> GuardContext:
        """Return what guards may know of this call."""
        if prepared.context is None:
            prepared.context = self._context(turn, ready, prepared)
        return prepared.context

    def _context(self, turn: Turn, ready: ChatReady, prepared: Prepared) -> GuardContext:
        prompt = "\n".join(str(one.get("content")) for one in prepared.messages if one["role"] == "system")
        passages = tuple(hit.text for hit in prepared.found.hits) if prepared.found is not None else ()
        return ready.context(turn.place.name, prompt, passages)

    def body(self, turn: Turn, ready: ChatReady) -> dict[str, Any]:
        """Write what the provider is sent: the release's own options win over the caller's."""
        assistant = ready.assistant
        body: dict[str, Any] = {**turn.request.options, **assistant.parameters}
        body["messages"] = self.prepare(turn, ready).messages
        if assistant.tools:
            body["tools"] = list(assistant.tools)
        if assistant.schema is not None:
            schema = {"name": "answer", "schema": assistant.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _guarded(self, turn: Turn, ready: ChatReady, document: Mapping[str, Any]) -> Said | None:
        choice: Any = document["choices"][0]
        message: Any = choice.get("message") or {}
        text: str = message.get("content") or ""
        finish = choice.get("finish_reason") or "stop"
        calls, refusal = message.get("tool_calls"), message.get("refusal") or ""
        if not ready.has_guards:
            return Said(text=text, finish=finish, document=document, tool_calls=calls, refusal=refusal)
        seen = {"role": "assistant", "tool_calls": calls} if calls else {"role": "assistant"}
        try:
            for call in calls or ():
                function: dict[str, Any] = call.get("function") or {}
                self.guard_call(turn, ready, function.get("arguments") or "")
            if text or refusal or not calls:
                guarded = ready.guards.answer(text or refusal, self.context(turn, ready, self.prepare(turn, ready)))
                note_rulings(turn, guarded.rulings)
                if guarded.blocked is not None:
                    turn.flags |= Flag.GUARDED
                    return None
                # Token by token the text stands in `logprobs` as it was.
                choice = choice if guarded.text == (text or refusal) else {**choice, "logprobs": None}
                text, refusal = (guarded.text, "") if text else ("", guarded.text)
                finish = guarded.finish or finish
        except Blocked:
            turn.flags |= Flag.GUARDED
            return None
        watched = {"choices": [{**choice, "message": seen}]}  # other fields, such as thoughts, no guard has seen
        return Said(text=text, finish=finish, document=watched, tool_calls=calls, refusal=refusal)

    def guard_call(self, turn: Turn, ready: ChatReady, arguments: str) -> None:
        """Let the guards look at a tool call; what they would alter in a text, a program must not be given.

        Raises:
            Blocked: it may not leave.
        """
        context = self.context(turn, ready, self.prepare(turn, ready))
        for text in (arguments, *_texts_in(arguments)):
            guarded = ready.call_guards.answer(text, context)
            if guarded.action is not Act.ALLOW:
                note_rulings(turn, guarded.rulings)
                turn.flags |= Flag.GUARDED
                raise Blocked(guarded.blocked or Ruling(guard="chain", action=Act.BLOCK, reason="a tool call"))

    # The cache

    def find_cached(self, turn: Turn) -> bytes | None:
        """Look the question up; returns the name to keep its answer under, None where nothing is cached."""
        place = turn.place
        if not place.serve.cache_for or not turn.use_cache:
            return None
        if place.route.degraded_by or turn.request.options.get("logprobs"):
            return None
        tenant = (
            place.name, place.served.environment, turn.key.team, turn.key.principal, turn.key.id, turn.request.user,
            str(turn.intake.now // DAY_US), *sorted(turn.classes),
        )  # fmt: skip
        asked = {"messages": turn.request.messages, **turn.request.options, "metadata": turn.request.inputs}
        name = self.cache.name(turn.intended, tenant, asked)
        found = self.cache.get(name, time.monotonic())
        ready = place.ready.get(turn.intended)
        if found is not None and ready is not None:
            turn.answered_by = Link(ready, ready.assistant.use, "")
            turn.said = Said(text=found.text, finish=found.finish)
            turn.model, turn.from_cache = found.model, True
            turn.flags |= Flag.CACHED
            turn.step("cache", "exact", "hit")
            place.meter.count("cache_hits")
        else:
            turn.step("cache", "exact", "miss")
        return name

    def keep_cached(self, turn: Turn, name: bytes | None) -> None:
        """Keep an answer that the intended release itself gave whole, and that holds nothing to be masked."""
        said = turn.said
        if name is None or said is None or turn.from_cache or turn.is_masked or turn.mark or turn.flags & _SPOILED:
            return
        if said.finish != "stop" or said.tool_calls or not said.text:
            return
        if turn.cleaner.clean(said.text, classes_of(frozenset(turn.place.served.mask))).counts:
            return
        until = time.monotonic() + turn.place.serve.cache_for / 1e6
        self.cache.put(name, Cached(said.text, said.finish, turn.intended, turn.model, until))

    # The end

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
        await self.caller.cashier.learn(turn)
        self._finish(turn, status, took_us)

    def _finish(self, turn: Turn, status: int, took_us: int) -> bool:
        place, ready = turn.place, turn.ready
        if turn.mark:
            turn.flags |= Flag.FALLBACK
            place.meter.count("fallbacks", turn.mark)
        place.meter.answered(ready.name if ready else "none", status, took_us, 1)
        self._count_use(turn)
        text = turn.said.text if turn.said is not None else None
        outputs = _outputs(turn, self._kept(turn, text))
        kept = self._record(
            Record(
                turn.record, place.served.name, place.served.environment, ready.id if ready else "", turn.intended,
                turn.arm, place.route.version, turn.intake.now, turn.intake.now, took_us, status,
                int(turn.flags | self.extra_flags), place.interface_id, inputs=self._inputs(turn), outputs=outputs,
                steps=tuple(turn.steps), entity=turn.entity, subject=turn.subject, key=turn.key.id,
                trace=turn.intake.trace, error=turn.error, cost_micros=micros(turn.cost),
            )
        )  # fmt: skip
        self.caller.cashier.settle(turn)
        return kept

    def refuse(self, turn: Turn, problem: Problem) -> bool:
        """Record a question that was not answered."""
        turn.error = turn.error or problem.code
        return self.finish(turn, problem.status)

    def none_left(self, turn: Turn) -> Problem:
        """Say that nobody could answer, and what would have."""
        if turn.refused is not None and not turn.flags & (Flag.FAILED | Flag.TIMED_OUT):
            return self._refusal(turn, turn.refused)
        tried = ", ".join(
            f"{step.name}: {step.detail or step.outcome}" for step in turn.steps if step.kind == "attempt"
        )
        problem = unavailable(
            f"nobody could answer for '{turn.place.name}' ({tried or 'nobody was left to ask'})",
            "a baseline, or serve.default in the manifest, would have answered",
        )
        if any(step.outcome == "budget" for step in turn.steps):
            problem = Problem(429, "RW801", f"the budget of '{turn.place.name}' is spent", hint=problem.hint)
        return problem

    def _refusal(self, turn: Turn, trouble: ProviderTrouble) -> BadRequest:
        """Tell the caller what the provider said of his request, as far as the guards let it out."""
        told, param = told_by_provider(trouble)
        ready = turn.place.ready.get(turn.intended)
        if told and ready is not None and ready.has_guards:
            told = ready.guards.answer(told, self.context(turn, ready, self.prepare(turn, ready))).text
        return BadRequest(f"the model does not take this request{f': {told}' if told else ''}", param)

    def is_sampled(self, turn: Turn) -> bool:
        """Tell whether the shadow sees a turn: the same answer every time, with the route's rate."""
        plan = turn.place.route.shadow
        return plan is not None and (plan.rate >= 1 or crc32(turn.record.encode()) < plan.rate * _CRC_END)

    async def shadow(self, turn: Turn) -> None:
        """Put the question to the shadow too, after the answer; what it says is recorded and goes nowhere."""
        place, ready = turn.place, turn.place.shadow
        if ready is None or ready.is_baseline:
            return
        twin = Turn(
            place=place, intake=Intake(turn.intake.key, turn.intake.trace, time.perf_counter(), turn.intake.now),
            key=turn.key, request=turn.request, record=self._new_id(turn.intake.now), intended=ready.id, arm="shadow",
            classes=turn.classes, subject=turn.subject, use_cache=False, flags=Flag.SHADOW,
        )  # fmt: skip
        link = Link(ready, ready.assistant.use, "")
        try:
            twin.said = await self._ask(twin, link, time.perf_counter() + place.deadline_s)
        except Problem as problem:
            twin.error = problem.code
        twin.answered_by = link
        await self.caller.cashier.learn(twin)
        took_us = int((time.perf_counter() - twin.intake.started) * 1e6)
        self._record(
            Record(
                twin.record, place.served.name, place.served.environment, ready.id, ready.id, "shadow",
                place.route.version, turn.intake.now, turn.intake.now, took_us, 200 if twin.said else 500,
                int(twin.flags | self.extra_flags), place.interface_id,
                outputs=_outputs(twin, self._kept(twin, twin.said.text if twin.said else None)),
                steps=tuple(twin.steps), subject=turn.subject, trace=turn.intake.trace, shadow_of=turn.record,
                error=twin.error, cost_micros=micros(twin.cost),
            )
        )  # fmt: skip
        self.caller.cashier.settle(twin)
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


def told_by_provider(trouble: ProviderTrouble) -> tuple[str, str]:
    """Return a refusal's own words and the field that it names, empty where it has none."""
    error: Any = (trouble.body or {}).get("error")
    stated: Mapping[str, Any] = cast("dict[str, Any]", error) if isinstance(error, dict) else {}
    told, param = stated.get("message"), stated.get("param")
    return (told if isinstance(told, str) else "")[:_LONGEST_TOLD], (param if isinstance(param, str) else "")[:100]


def place_of_fault(error: Exception) -> str:
    """Tell an error by its kind and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}" if frames else type(error).__name__


def note_rulings(turn: Turn, rulings: tuple[Ruling, ...]) -> None:
    """Write what guards did into the record's steps; one that had nothing to say leaves no step."""
    for ruling in rulings:
        if ruling.action is Act.ALLOW and not ruling.hits:
            continue
        if ruling.action is not Act.ALLOW:
            turn.flags |= Flag.GUARDED
        found = ",".join(f"{hit.rule}:{hit.count}" for hit in ruling.hits)
        turn.step("guard", ruling.guard, ruling.action.value, 0, found)


def _texts_in(arguments: str) -> list[str]:
    """Return the texts of a call's arguments, where JSON's escapes may hide what they say."""
    if "\\" not in arguments:
        return []
    try:
        return list(texts_of({"input": json.loads(arguments)}))
    except (ValueError, RecursionError):
        return []


def _outputs(turn: Turn, text: str | None) -> tuple[Value, ...]:
    """Return what `domain.llm.TEXT_OUTPUTS` names."""
    usage = turn.usage
    return (
        text, turn.said.finish if turn.said is not None else "", usage.input, usage.output, usage.cached_input,
        turn.cost, turn.first_token_us, turn.model, turn.fingerprint, turn.price,
    )  # fmt: skip
