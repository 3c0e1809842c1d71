"""A question answered: routed, prepared, asked along the chain, guarded, recorded. One instance a worker."""

from __future__ import annotations

import hmac
import logging
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from zlib import crc32

from roadworthy.domain.moment import Micros
from roadworthy.domain.principal import Key
from roadworthy.domain.record import Flag
from roadworthy.domain.route import bucket, choose
from roadworthy.ports.chat import ProviderTrouble
from roadworthy.ports.records import RecordLog
from roadworthy.runtimes.rag.cite import best_passage
from roadworthy.serving.attempt import Intake
from roadworthy.serving.gateway.cache import ExactCache
from roadworthy.serving.gateway.caching import find_cached, keep_cached
from roadworthy.serving.gateway.calling import Caller
from roadworthy.serving.gateway.chain import Link, has_rival, links
from roadworthy.serving.gateway.guarding import context_of, watched
from roadworthy.serving.gateway.paying import Passed
from roadworthy.serving.gateway.place import ChatPlace
from roadworthy.serving.gateway.preparing import body_of, prepare
from roadworthy.serving.gateway.recording import Recorder
from roadworthy.serving.gateway.request import BadRequest, ChatRequest
from roadworthy.serving.gateway.turn import Said, Turn
from roadworthy.serving.problem import Problem, unavailable

ABSTAINED: Final = "I cannot answer this from the documents I was given."
WITHHELD: Final = "This answer was withheld."
_PASSES: Final = frozenset(("open", "resting", "budget", "late"))
"""Why a model was not asked that might be asked, and take the request, a while later."""
_LONGEST_TOLD: Final = 500
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
        self._new_id = new_id
        self._secret = secret
        self.caller = caller
        self.cache = cache
        self.recorder = Recorder(log, caller.cashier)

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
        name = find_cached(self.cache, turn)
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
        keep_cached(self.cache, turn, name)

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
            found = await self.caller.complete(turn, held, body_of(turn, ready), deadline, has_rival=has_rival)
            return watched(turn, ready, found.document)
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
        prepared = prepare(turn, ready)
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

    def none_left(self, turn: Turn) -> Problem:
        """Say that nobody could answer, and what would have."""
        passes = any(step.kind == "attempt" and step.outcome in _PASSES for step in turn.steps)
        if turn.refused is not None and not passes and not turn.flags & (Flag.FAILED | Flag.TIMED_OUT):
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
        if ready is None or ready.id not in turn.prepared:
            told = ""
        elif told and ready.has_guards:
            told = ready.guards.answer(told, context_of(turn, ready)).text
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
        await self.recorder.shadowed(twin, turn)


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
