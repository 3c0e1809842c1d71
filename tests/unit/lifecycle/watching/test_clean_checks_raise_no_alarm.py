"""The whole rule, reference rounds and confirmation included, over thousands of checks with a provider's noise."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from roadworthy.domain.pin_watch import Method, PinReference, PinWatch, Round, Said, checked, referred
from roadworthy.lifecycle.compare_rounds import compare
from roadworthy.lifecycle.watch_pins import (
    BORDER_PROMPTS,
    PROBES,
    REFERENCE_TIMES,
    SAMPLES,
    SHORTLIST,
    STEADY_AT,
    TEMPERATURES,
)
from roadworthy.stats.arrays import Floats
from roadworthy.stats.model_change import border_prompts, steady_prompts

pytestmark = pytest.mark.long

PROMPTS, TOKENS, TOP, APART = 144, 60, 20, 5
NOISES = {
    "none": {},
    "of each call": {"call": 0.01},
    "loud": {"call": 0.1},
    "of each day": {"call": 0.005, "day": 0.02},
    "two kinds of machines": {"call": 0.005, "apart": 0.1},
}


@dataclass
class Noisy:
    """A provider whose model stays as it is, but for what `shift` adds to it."""

    luck: np.random.Generator
    method: Method = Method.LOGPROBS
    call: float = 0.0
    day: float = 0.0
    apart: float = 0.0
    at: int = 0
    asked: list[int] = field(default_factory=lambda: list(range(PROBES)))

    def __post_init__(self) -> None:
        self.truth = self.luck.normal(0, 2, (PROMPTS, TOKENS))
        self.other = self.truth + self.luck.normal(0, self.apart, self.truth.shape)
        self.today = np.zeros_like(self.truth)

    def shift(self, by: float) -> None:
        """Requantise the model."""
        change = self.luck.normal(0, by, self.truth.shape)
        self.truth, self.other = self.truth + change, self.other + change

    def dawn(self) -> None:
        """Begin another day."""
        self.today = self.luck.normal(0, self.day, self.truth.shape)

    def choose(self) -> None:
        """Choose border prompts, as the watch does where no log-probabilities are listed."""
        warm = [self.sampled(prompt, SAMPLES, TEMPERATURES[0]) for prompt in range(PROMPTS)]
        found = border_prompts(warm, SHORTLIST)
        cold = [self.sampled(prompt, SAMPLES, STEADY_AT) for prompt in found]
        self.asked = [found[place] for place in steady_prompts(cold, BORDER_PROMPTS)]

    def round(self, times: int = 1) -> Round:
        """Answer one round."""
        if self.method is Method.LOGPROBS:
            answers = tuple((self._listed(prompt),) for prompt in self.asked)
        else:
            answers = tuple(tuple({t: 0.0} for t in self.sampled(prompt, times)) for prompt in self.asked)
        return Round(at=self.at, answers=answers, said=(Said("m", "f"),))

    def sampled(self, prompt: int, calls: int, temperature: float = 0.0) -> list[str]:
        """Return first tokens."""
        luck = temperature * self.luck.gumbel(size=(calls, TOKENS))
        return [f"t{(self._shown(prompt) + one).argmax()}" for one in luck]

    def _listed(self, prompt: int) -> dict[str, float]:
        values = self._shown(prompt)
        return {f"t{n}": float(values[n]) for n in np.argsort(-values)[:TOP]}

    def _shown(self, prompt: int) -> Floats:
        model: Floats = self.other if self.apart and self.luck.random() < 0.3 else self.truth
        logits = model[prompt] + self.today[prompt]
        return logits - np.log(np.exp(logits).sum()) + self.luck.normal(0, self.call, TOKENS)


def begun(provider: Noisy) -> tuple[PinWatch, PinReference]:
    """Take the first three rounds, all of one day, as after a promotion."""
    watch = PinWatch(system="s", pin="main", id="p", method=provider.method)
    reference = PinReference()
    provider.dawn()
    if provider.method is Method.TOKENS:
        provider.choose()
    for _ in range(3):
        watch, reference = referred(watch, reference, provider.round(REFERENCE_TIMES))
    return watch, reference


def check(watch: PinWatch, reference: PinReference, provider: Noisy) -> tuple[PinWatch, PinReference]:
    """Check as control does: a second round where the first is suspicious."""
    provider.at += 1
    first = provider.round()
    rounds = [(first, compare(watch, reference, first))]
    if rounds[0][1].is_suspicious:
        second = provider.round()
        rounds.append((second, compare(watch, reference, second)))
    return checked(watch, reference, rounds, apart=APART)


def alarms(method: Method, noise: dict[str, float], checks: int, each: int) -> int:
    """Count the alarms of clean checks, four a day, with a new reference every `each` of them."""
    luck, found = np.random.default_rng(8), 0
    for _ in range(checks // each):
        provider = Noisy(luck, method, **noise)
        watch, reference = begun(provider)
        for place in range(each):
            if place % 4 == 0:
                provider.dawn()
            watch, reference = check(watch, reference, provider)
            assert watch.finding is not None
            found += watch.finding.alarm
    return found


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("noise", NOISES)
def test_at_most_one_percent_of_a_thousand_clean_checks_are_alarms(noise, method):
    """References that grow from three rounds, a day's own noise, two kinds of machines: ten false alarms at most."""
    assert alarms(method, NOISES[noise], 1000, 50) <= 10


@pytest.mark.parametrize(
    ("method", "shift", "calls"),
    [
        *((Method.LOGPROBS, shift, 10) for shift in (0.1, 0.3, 0.8)),
        *((Method.TOKENS, shift, 20) for shift in (0.3, 0.45, 0.8)),
    ],
)
def test_a_requantised_model_is_found_in_ten_calls_or_by_tokens_in_twenty(method, shift, calls):
    """Shifts as requantising makes them are found at the first check after them, in 19 of 20 cases at least."""
    luck, found = np.random.default_rng(9), 0
    for _ in range(40):
        provider = Noisy(luck, method, call=0.01)
        watch, reference = begun(provider)
        while not watch.is_whole:
            provider.at += APART
            watch, reference = check(watch, reference, provider)
        provider.shift(shift)
        watch, reference = check(watch, reference, provider)
        assert watch.finding is not None
        assert watch.finding.calls <= calls
        found += watch.finding.alarm
    assert found >= 38
