"""The whole rule, reference rounds and confirmation included, over thousands of checks with a provider's noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from roadworthy.domain.pin_watch import Method, PinReference, PinWatch, Round, Said, checked, referred
from roadworthy.lifecycle.compare_rounds import compare
from roadworthy.stats.arrays import Floats

PROMPTS, TOKENS, TOP = 5, 60, 20
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
    call: float = 0.0
    day: float = 0.0
    apart: float = 0.0
    at: int = 0

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

    def round(self) -> Round:
        """Answer one round."""
        answers = tuple((self._listed(prompt),) for prompt in range(PROMPTS))
        return Round(at=self.at, answers=answers, said=(Said("m", "f"),))

    def _listed(self, prompt: int) -> dict[str, float]:
        model: Floats = self.other if self.apart and self.luck.random() < 0.3 else self.truth
        logits = model[prompt] + self.today[prompt]
        values = logits - np.log(np.exp(logits).sum()) + self.luck.normal(0, self.call, TOKENS)
        return {f"t{n}": float(values[n]) for n in np.argsort(-values)[:TOP]}


def begun(provider: Noisy) -> tuple[PinWatch, PinReference]:
    """Take the first three rounds, all of one day, as after a promotion."""
    watch = PinWatch(system="s", pin="main", id="p", method=Method.LOGPROBS)
    reference = PinReference()
    provider.dawn()
    for _ in range(3):
        watch, reference = referred(watch, reference, provider.round())
    return watch, reference


def check(watch: PinWatch, reference: PinReference, provider: Noisy) -> tuple[PinWatch, PinReference]:
    """Check as control does: a second round where the first is suspicious."""
    provider.at += 1
    first = provider.round()
    rounds = [(first, compare(watch, reference, first))]
    if rounds[0][1].is_suspicious:
        second = provider.round()
        rounds.append((second, compare(watch, reference, second)))
    return checked(watch, reference, rounds, apart=5)


def alarms(noise: dict[str, float], checks: int, each: int) -> int:
    """Count the alarms of clean checks, four a day, with a new reference every `each` of them."""
    luck, found = np.random.default_rng(8), 0
    for _ in range(checks // each):
        provider = Noisy(luck, **noise)
        watch, reference = begun(provider)
        for place in range(each):
            if place % 4 == 0:
                provider.dawn()
            watch, reference = check(watch, reference, provider)
            assert watch.finding is not None
            found += watch.finding.alarm
    return found


@pytest.mark.parametrize("noise", NOISES)
def test_at_most_one_percent_of_a_thousand_clean_checks_are_alarms(noise):
    """References that grow from three rounds, a day's own noise, two kinds of machines: ten false alarms at most."""
    assert alarms(NOISES[noise], 1000, 50) <= 10


@pytest.mark.parametrize("shift", [0.1, 0.3, 0.8])
def test_a_requantised_model_is_found_within_ten_calls(shift):
    """Shifts as requantising makes them are found at the first check after them, in 19 of 20 cases at least."""
    luck, found = np.random.default_rng(9), 0
    for _ in range(40):
        provider = Noisy(luck, call=0.01)
        watch, reference = begun(provider)
        for _ in range(4):
            watch, reference = check(watch, reference, provider)
        provider.shift(shift)
        watch, reference = check(watch, reference, provider)
        assert watch.finding is not None
        assert watch.finding.calls <= 10
        found += watch.finding.alarm
    assert found >= 38
