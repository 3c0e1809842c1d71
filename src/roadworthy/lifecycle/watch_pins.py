"""Watch pins: ask what routed releases rest on a few one-token questions, at intervals, within a bound on their cost.

One step at a time: choose prompts, take a reference round, or check. Everything is kept after each step, so a killed
process asks a step's questions again and nothing else; what a step may cost is booked before it is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Final

from roadworthy.domain.moment import DAY, SECOND, Micros
from roadworthy.domain.pin import Pin
from roadworthy.domain.pin_watch import (
    FEWEST_ROUNDS,
    Compared,
    Method,
    PinReference,
    PinWatch,
    Round,
    Said,
    checked,
    known,
    referred,
    unseen,
)
from roadworthy.domain.system import Policy, WatchPlan
from roadworthy.lifecycle import present
from roadworthy.lifecycle.ask_pins import (
    AskPin,
    Heard,
    asker_of,
    first_logprobs,
    first_token,
    likeliest,
    most_tokens,
    sampled,
)
from roadworthy.lifecycle.compare_rounds import compare
from roadworthy.lifecycle.pin_books import PinBooks
from roadworthy.ports.chat import Document, ProviderTrouble, Trouble
from roadworthy.ports.plane import Plane
from roadworthy.stats.model_change import border_prompts, steady_prompts

PROBES: Final = 5
"""Prompts of a round by log-probabilities, one call each."""
BORDER_PROMPTS: Final = 10
"""Prompts of a round by tokens, and its calls: one each, more of each where there are fewer prompts."""
REFERENCE_TIMES: Final = 4
"""A reference round by tokens asks so many times as often as a check, to know what is rare."""
SAMPLES: Final = 10
"""First tokens sampled of each candidate for a border prompt."""
TEMPERATURES: Final = (0.2, 1.0)
"""At the lowest at which enough prompts waver they are put on the shortlist."""
SHORTLIST: Final = 3 * BORDER_PROMPTS
STEADY_AT: Final = 0.03
"""The shortlist's prompts should not waver at this temperature: the rounds are asked at 0, so a rival is then so far
away that a provider's own noise, or another day's, does not pass for a change."""
MOST_UNPRICED_CALLS: Final = 500
"""A day, where it is not known what a call costs."""
SOONER: Final = 72
"""Reference rounds, and checks out of turn, come at this part of the interval: five minutes of six hours."""
AGAIN: Final = 12
"""After trouble the next try comes at this part of the interval."""
JOINS_AFTER: Final = 4.5
"""Rounds that join the reference are at least so many intervals apart: every fifth check does, which at six hours is
another hour of another day."""
_CANDIDATES_A_STEP: Final = 4
_LEAST_PAUSE: Final[Micros] = SECOND // 10


@dataclass(frozen=True, slots=True)
class _Watched:
    """A pin of a system, the environments and releases that rest on it, and what their live answers say they are."""

    pin: Pin
    policy: Policy
    live: frozenset[Said]


class PinWatcher:
    """Probes the pins of one home. One thread calls `watch`; another may call `stop`."""

    def __init__(
        self,
        plane: Plane,
        ask: AskPin | None = None,
        *,
        wall: Callable[[], Micros] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self._plane = plane
        self._books = PinBooks(plane)
        self._ended = Event()
        self._ask = ask or asker_of(plane.home.root.parent, self._ended)
        self._wall = wall

    def stop(self) -> None:
        """Let the call under way be the last one."""
        self._ended.set()

    def watch(self) -> int:
        """Take one step for each pin that is due; return how many steps were taken.

        Raises:
            RoadworthyError: the books cannot be read or kept; nothing is half kept.
        """
        steps = 0
        for system in present.systems(self._plane):
            policy = present.policy(self._plane, system)
            if policy.pins:
                steps += sum(self._look(system, one) for one in self._watched(system, policy) if not self._is_over)
        return steps

    @property
    def _is_over(self) -> bool:
        return self._ended.is_set()

    def _watched(self, system: str, policy: Policy) -> list[_Watched]:
        """Gather the remote pins of what is routed, each once, whatever the number of releases that rest on it."""
        found: dict[str, _Watched] = {}
        for release, environment, pin in self._books.of_system(system, policy):
            if pin.is_local:
                continue
            assistant = self._books.assistant(release)
            is_own = assistant is not None and assistant.use == pin.name
            live = frozenset(self._books.said(system, environment, release.id)) if is_own else frozenset[Said]()
            before = found.get(pin.id)
            found[pin.id] = _Watched(pin, policy, live | before.live if before else live)
        return list(found.values())

    def _look(self, system: str, one: _Watched) -> bool:
        watch, plan = self._books.watch(system, one.pin), one.policy.watch
        now = self._plane.clock.now()
        strange = unseen(watch, one.live) if watch.has_reference else ()
        if strange and now - watch.asked_at >= _part(plan, SOONER):
            watch = replace(watch, noticed=known(watch.noticed, strange), due_at=now)
        if now < watch.due_at:
            return False
        _Step(self._plane, self._books, self._ask, one, watch, now=now, wall=self._wall()).take()
        return True


class _OverBound(Exception):
    """A step would cost more than the day allows."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class _Step:
    """One step of one pin's watch."""

    def __init__(
        self, plane: Plane, books: PinBooks, ask: AskPin, one: _Watched, watch: PinWatch, *, now: Micros, wall: Micros
    ) -> None:
        self._clock = plane.clock
        self._books = books
        self._ask = ask
        self._pin = one.pin
        self._policy = one.policy
        self._plan = one.policy.watch
        self._live = one.live
        self._now = now
        self._day = wall - wall % DAY
        self._watch = watch
        self._reference: PinReference = books.reference(watch)

    def take(self) -> None:
        """Ask and keep what follows; a provider in trouble leaves the reason instead."""
        try:
            self._take()
        except (ProviderTrouble, _OverBound) as trouble:
            problem = f"{self._pin.name} could not be probed: {trouble.message}"
            self._keep(replace(self._watch, problem=problem[:300]), _part(self._plan, AGAIN))

    def _take(self) -> None:
        if self._watch.method is None:
            self._begin()
        if self._watch.method is Method.TOKENS and not self._reference.prompts:
            self._sample()
        elif not self._watch.has_reference:
            self._refer(self._round(REFERENCE_TIMES))
        else:
            self._check()

    def _begin(self) -> None:
        """Find out whether the provider lists log-probabilities."""
        prompts = self._books.prompts(self._pin)[:PROBES]
        try:
            heard = self._hear([likeliest(prompts[0])])
            is_listed = first_logprobs(heard.answers[0].document) is not None
        except ProviderTrouble as trouble:
            if trouble.trouble is not Trouble.REFUSED:
                raise
            is_listed = False
        method = Method.LOGPROBS if is_listed else Method.TOKENS
        self._watch = replace(self._watch, method=method)
        if is_listed:
            self._reference = replace(self._reference, prompts=prompts)
        else:
            self._reference = replace(self._reference, temperature=TEMPERATURES[0])

    def _sample(self) -> None:
        """Sample some more candidates; once all are, go one step on in choosing border prompts."""
        samples = dict(self._reference.samples)
        prompts = self._reference.shortlist or self._books.prompts(self._pin)
        wanted = [one for one in prompts if one not in samples][:_CANDIDATES_A_STEP]
        temperature = self._reference.temperature
        heard = self._hear([sampled(one, temperature) for one in wanted for _ in range(SAMPLES)])
        tokens = [first_token(one.document) for one in heard.answers]
        samples |= {one: tuple(tokens[n * SAMPLES : (n + 1) * SAMPLES]) for n, one in enumerate(wanted)}
        self._reference = replace(self._reference, samples=samples)
        told = f"{len(samples)} of {len(prompts)} prompts were sampled at temperature {temperature}"
        if len(samples) == len(prompts):
            self._choose(prompts)
        self._keep(replace(self._watch, problem="", choosing="" if self._reference.prompts else told), 0)

    def _choose(self, prompts: Sequence[str]) -> None:
        """Shortlist the prompts that waver most, or try a warmer temperature; of those, keep the steady ones."""
        blank = replace(self._reference, samples={})
        samples = [self._reference.samples[one] for one in prompts]
        if blank.shortlist:
            steady = tuple(prompts[place] for place in steady_prompts(samples, BORDER_PROMPTS))
            self._reference = replace(blank, prompts=steady, shortlist=(), temperature=0.0)
            return
        found = [prompts[place] for place in border_prompts(samples, SHORTLIST)]
        warmer = [one for one in TEMPERATURES if one > blank.temperature]
        if len(found) < min(BORDER_PROMPTS, len(prompts)) and warmer:
            self._reference = replace(blank, temperature=warmer[0])
        else:
            # Where nothing wavers even so, any prompt is as good as another.
            filled = (*found, *(one for one in prompts if one not in found))[:SHORTLIST]
            self._reference = replace(blank, shortlist=filled, temperature=STEADY_AT)

    def _round(self, times: int = 1) -> Round:
        """Ask one round; by tokens so many times as often."""
        reference = self._reference
        if self._watch.method is Method.LOGPROBS:
            heard = self._hear([likeliest(one) for one in reference.prompts])
            answers = tuple((self._listed(one.document),) for one in heard.answers)
        else:
            n = times * max(1, BORDER_PROMPTS // len(reference.prompts))
            heard = self._hear([sampled(one, reference.temperature) for one in reference.prompts for _ in range(n)])
            calls = [{first_token(one.document): 0.0} for one in heard.answers]
            answers = tuple(tuple(calls[place : place + n]) for place in range(0, len(calls), n))
        return Round(at=self._clock.now(), answers=answers, said=heard.said)

    def _listed(self, answer: Document) -> dict[str, float]:
        found = first_logprobs(answer)
        if found is None:
            raise ProviderTrouble(Trouble.BROKEN, "it lists no log-probabilities any more")
        return dict(found)

    def _refer(self, made: Round) -> None:
        watch, self._reference = referred(self._watch, self._reference, made)
        if watch.has_reference:
            # Whatever live answers said until now belongs to the time of the reference.
            watch = replace(watch, said=known(watch.said, self._live))
        self._keep(watch, _part(self._plan, 1 if watch.rounds >= FEWEST_ROUNDS else SOONER))

    def _check(self) -> None:
        rounds = [self._compared()]
        if rounds[0][1].is_suspicious:
            rounds.append(self._compared())
        apart = round(JOINS_AFTER * self._plan.probe_every)
        watch, self._reference = checked(self._watch, self._reference, rounds, apart=apart)
        self._keep(watch, _part(self._plan, 1))

    def _compared(self) -> tuple[Round, Compared]:
        try:
            made = self._round()
        except ProviderTrouble as trouble:
            if trouble.trouble is not Trouble.WRONG_MODEL:
                raise
            other = f"not {self._pin.version}"
            blank = Compared(distance=None, limit=0.0, p_value=1.0, calls=1, is_far=False, new_models=(other,))
            return Round(at=self._clock.now(), answers=()), blank
        return made, compare(self._watch, self._reference, made)

    def _hear(self, requests: Sequence[Document]) -> Heard:
        """Ask, after booking what it may cost; correct the books by what it did.

        Raises:
            ProviderTrouble: no answer to one of them, or the day's bound does not allow the calls.
        """
        system, pin = self._watch.system, self._pin
        most = [pin.price.at_most(most_tokens(_prompt(one)), 1) if pin.price else 0 for one in requests]
        spent = self._books.spending(system).on(self._day)
        self._within(sum(spent.picos.values()) + sum(most), spent.calls.get(pin.id, 0) + len(requests))
        booked = spent.plus(pin.id, sum(most), len(requests))
        self._books.keep(spending=booked, system=system)
        heard = self._ask(pin, requests)
        cost = sum(pin.price.cost(usage) for usage in heard.usages) if pin.price else 0
        if heard.trouble is not None and heard.trouble.usage is None and heard.calls:
            # The last call may have been billed all the same.
            cost += most[heard.calls - 1]
        self._books.keep(spending=booked.plus(pin.id, cost - sum(most), heard.calls - len(requests)), system=system)
        if heard.trouble is not None:
            raise heard.trouble
        return heard

    def _within(self, picos: int, calls: int) -> None:
        budget = self._plan.probe_budget
        if self._pin.price is not None and picos > budget.limit:
            raise _OverBound("the day's bound on the cost of probing is reached (watch.probe_budget)")
        if self._pin.price is None and calls > MOST_UNPRICED_CALLS:
            raise _OverBound(f"its price is not known, and {MOST_UNPRICED_CALLS} calls were made today")

    def _keep(self, watch: PinWatch, pause: Micros) -> None:
        watch = replace(watch, due_at=self._now + pause, asked_at=max(watch.asked_at, self._now))
        self._books.keep(system=watch.system, watch=watch, reference=self._reference)


def _part(plan: WatchPlan, of: int) -> Micros:
    return max(_LEAST_PAUSE, plan.probe_every // of)


def _prompt(request: Document) -> str:
    return str(request["messages"][0]["content"])
