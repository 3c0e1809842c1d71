"""A model changed without a word is noticed; a provider's noise is not taken for one."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from roadworthy.stats.model_change import (
    Change,
    border_prompts,
    confirmed,
    first_token_change,
    logprob_change,
    steady_prompts,
    text_change,
)

PROMPTS, TOP = 5, 20
CHECKS = 1000
# Enough for p <= 0.005, and fast.
FEW = 199


@dataclass
class Provider:
    """An API that lists the likeliest tokens, with the noise that such APIs have."""

    generator: np.random.Generator
    call_noise: float = 0.01
    batch_noise: float = 0.0
    day_noise: float = 0.0
    machines_apart: float = 0.0
    second_machine: float = 0.0
    sticky: bool = False
    truth: np.ndarray = field(init=False)
    other: np.ndarray = field(init=False)

    def __post_init__(self):
        logits = self.generator.normal(0, 2, (PROMPTS, 60))
        self.truth = normalised(logits)
        self.other = normalised(self.truth + self.generator.normal(0, self.machines_apart * 1.25, logits.shape))

    def requantised(self, shift):
        """Change all log-probabilities by `shift` on average."""
        change = self.generator.normal(0, shift * math.sqrt(math.pi / 2), self.truth.shape)
        self.truth, self.other = normalised(self.truth + change), normalised(self.other + change)

    def round(self, calls=1):
        """Return one check: per prompt its calls' lists of top tokens."""
        day = self.generator.normal(0, self.day_noise, self.truth.shape)
        machine = self.generator.random() < self.second_machine
        return [[self.call(prompt, day, machine) for _ in range(calls)] for prompt in range(PROMPTS)]

    def call(self, prompt, day, machine):
        """Return one call's list of the likeliest tokens."""
        second = machine if self.sticky else self.generator.random() < self.second_machine
        values = (self.other if second else self.truth)[prompt] + day[prompt]
        values = values + self.generator.normal(0, self.call_noise, values.shape)
        values = values * (1 + self.generator.normal(0, self.batch_noise))
        return {f"t{i}": float(values[i]) for i in np.argsort(-values)[:TOP]}


def normalised(logits):
    """Return log-probabilities over the last axis."""
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


NOISES = {
    "none": {"call_noise": 0.0},
    "of each call": {"call_noise": 0.01},
    "loud": {"call_noise": 0.1},
    "of each batch": {"call_noise": 0.003, "batch_noise": 0.002},
    "of each day": {"call_noise": 0.005, "day_noise": 0.01},
    "two kinds of machines": {"machines_apart": 0.1, "second_machine": 0.3},
    "two kinds of machines, one a day": {"machines_apart": 0.1, "second_machine": 0.4, "sticky": True},
}


def reference_of(provider, rounds=10):
    """Return a reference; where machines differ by the day, one that has seen both."""
    seen = [provider.round() for _ in range(rounds)]
    return seen if not provider.sticky else [*seen, *two_machines(provider)]


def two_machines(provider):
    """Return two rounds from each kind of machine."""
    share = provider.second_machine
    found = []
    for certain in (0.0, 1.0):
        provider.second_machine = certain
        found += [provider.round(), provider.round()]
    provider.second_machine = share
    return found


def alarm(reference, provider, generator, **options):
    """Return whether a check, and where it is suspicious a second one, raise the alarm."""
    first = logprob_change(reference, provider.round(), generator, **options)
    return first.suspicious and confirmed(first, logprob_change(reference, provider.round(), generator, **options))


@pytest.mark.parametrize("noise", NOISES)
def test_a_thousand_clean_checks_raise_at_most_ten_alarms(noise):
    """Whatever the provider's noise, with new references every 50 checks, at most 1 % of clean checks alarm."""
    generator = np.random.default_rng(51)
    alarms = 0
    for _ in range(CHECKS // 50):
        provider = Provider(generator, **NOISES[noise])
        reference = reference_of(provider)
        alarms += sum(alarm(reference, provider, generator, permutations=FEW) for _ in range(50))
    assert alarms <= CHECKS / 100


@pytest.mark.parametrize("shift", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("noise", ["none", "of each call", "of each batch", "of each day"])
def test_a_requantised_model_is_found_within_ten_one_token_calls(shift, noise):
    """Five probes and five to confirm find shifts of 0.05 to 0.3 nats in at least 95 of 100 cases."""
    generator, found = np.random.default_rng(52), 0
    for _ in range(100):
        provider = Provider(generator, **NOISES[noise])
        reference = reference_of(provider)
        provider.requantised(shift)
        found += alarm(reference, provider, generator, permutations=FEW)
    assert found >= 95


@pytest.mark.parametrize("noise", ["two kinds of machines", "two kinds of machines, one a day"])
def test_two_kinds_of_machines_hide_only_changes_smaller_than_their_own_difference(noise):
    """Where machines differ by 0.1 nats, a change of 0.3 is still found in 9 of 10 cases."""
    generator, found = np.random.default_rng(53), 0
    for _ in range(50):
        provider = Provider(generator, **NOISES[noise])
        reference = reference_of(provider)
        provider.requantised(0.3)
        found += alarm(reference, provider, generator, permutations=FEW)
    assert found >= 45


def test_without_rounds_in_the_reference_the_rate_is_the_permutation_tests():
    """With calls exchangeable and no demand on distance, p-values at or below 5 % come in about 5 % of checks."""
    generator = np.random.default_rng(54)
    provider, low = Provider(generator), 0
    for _ in range(400):
        reference = [provider.round(2) for _ in range(5)]
        low += logprob_change(reference, provider.round(2), generator, permutations=FEW).p_value <= 0.05
    assert 4 <= low <= 36


def test_a_token_missing_from_a_list_counts_as_the_lists_floor():
    """A token that fell out of the list is at most as likely as the last one listed."""
    before = [{"a": -0.1, "b": -3.0}]
    found = logprob_change([[before]] * 3, [[{"a": -0.1, "c": -2.0}]], np.random.default_rng(0))
    # a: 0, b: -3 against the floor -2, c: the floor -3 against -2.
    assert found.distance == pytest.approx(2 / 3)
    assert (found.usual, found.calls) == (pytest.approx(0), 1)


def test_arithmetic_noise_below_the_least_distance_is_no_change():
    """A deterministic model on another number of threads differs by a thousandth of a nat, and is the same model."""
    before = [[{"a": -0.1 * p, "b": -3.0}] for p in range(1, 6)]
    after = [[{"a": -0.1 * p - 0.001, "b": -3.001}] for p in range(1, 6)]
    assert not logprob_change([before] * 8, after, np.random.default_rng(0)).suspicious
    assert logprob_change([before] * 8, after, np.random.default_rng(0), least=0.0).suspicious


@dataclass
class Silent:
    """An API without log-probabilities, asked at temperature 0: each call adds noise, the likeliest token answers.

    `logits`: per prompt the first answer's and its two rivals'.
    """

    generator: np.random.Generator
    logits: np.ndarray
    call_noise: float = 0.01

    def round(self, calls):
        """Return one check: per prompt the tokens of its calls."""
        noisy = self.logits[:, None] + self.generator.normal(0, self.call_noise, (len(self.logits), calls, 3))
        return [["abc"[token] for token in row] for row in noisy.argmax(axis=2)]

    def requantised(self, shift):
        """Change all logits by `shift` on average."""
        self.logits = self.logits + self.generator.normal(0, shift * math.sqrt(math.pi / 2), self.logits.shape)


def silent(generator, **noise):
    """Return a provider asked ten prompts with two close rivals each, and its reference."""
    gaps = generator.uniform(0, 0.25, (10, 1)) * np.array([0.0, 1.0, 2.0])
    provider = Silent(generator, -gaps, **noise)
    return provider, [*(provider.round(4) for _ in range(3)), *(provider.round(1) for _ in range(7))]


def silent_alarm(reference, provider, generator):
    """Return whether two rounds of ten prompts, one call each, raise the alarm: 20 calls at most."""
    first = first_token_change(reference, provider.round(1), generator, permutations=FEW)
    return first.suspicious and confirmed(
        first, first_token_change(reference, provider.round(1), generator, permutations=FEW)
    )


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1])
def test_a_thousand_clean_checks_of_border_inputs_raise_at_most_ten_alarms(noise):
    """Where a rival is so close that noise decides, that is in the reference, and not an alarm."""
    generator, alarms = np.random.default_rng(55), 0
    for _ in range(CHECKS // 50):
        provider, reference = silent(generator, call_noise=noise)
        alarms += sum(silent_alarm(reference, provider, generator) for _ in range(50))
    assert alarms <= CHECKS / 100


@pytest.mark.parametrize("shift", [0.3, 0.45, 0.8])
def test_border_inputs_find_a_large_change_within_twenty_calls(shift):
    """Rivals that shift by as much as a requantised model's are answered on so many prompts that 20 calls tell."""
    generator, found = np.random.default_rng(56), 0
    for _ in range(100):
        provider, reference = silent(generator)
        provider.requantised(shift)
        found += silent_alarm(reference, provider, generator)
    assert found >= 95


def test_one_prompt_alone_is_no_change_of_the_model():
    """A rival next door is answered for good now: one surprise in ten is the weather, whatever its p-value."""
    before = [["a"] * 40] * 10
    found = first_token_change([before] * 3, [["b"], *[["a"]] * 9], np.random.default_rng(1))
    assert found.distance == pytest.approx(0.1)
    assert not found.suspicious
    assert first_token_change([before] * 3, [*[["b"]] * 2, *[["a"]] * 8], np.random.default_rng(1)).suspicious


def test_steady_prompts_come_first_in_their_order():
    """What is answered the same each time is kept before what wavers, and that by how little it does."""
    samples = [["a", "b"], ["a", "a"], ["a", "a", "a", "b"], ["b", "b"]]
    assert steady_prompts(samples, 3) == [1, 3, 2]


def test_border_prompts_are_those_that_waver_most():
    """The more a prompt wavers the earlier it is taken; one that never wavers is of no use."""
    samples = [["a"] * 10, ["a"] * 9 + ["b"], ["a", "b"] * 5, ["a"] * 7 + ["b"] * 3, ["a", "b", "c", "a", "d"] * 2]
    assert border_prompts(samples, 2) == [4, 2]
    assert border_prompts(samples, 9) == [4, 2, 3, 1]


def words(generator, shares, count):
    """Return texts of 12 words drawn by their shares."""
    return [" ".join(generator.choice(["red", "green", "blue"], 12, p=shares)) for _ in range(count)]


def test_texts_confirm_a_change_and_not_noise():
    """Twenty texts a prompt tell two ways of writing apart; samples of the same model stay below alpha in 99 of 100."""
    generator, found, false = np.random.default_rng(57), 0, 0
    for _ in range(100):
        before = [words(generator, [0.6, 0.3, 0.1], 20) for _ in range(2)]
        same = [words(generator, [0.6, 0.3, 0.1], 20) for _ in range(2)]
        other = [words(generator, [0.1, 0.3, 0.6], 20) for _ in range(2)]
        false += text_change(before, same, generator, permutations=FEW).suspicious
        found += text_change(before, other, generator, permutations=FEW).suspicious
    assert found >= 95
    assert false <= 2


def test_texts_may_be_token_ids_and_end_early():
    """Token ids are compared like characters, and two texts that both ended agree there."""
    before, now = [[[1, 2, 3], [1, 2, 3]]], [[[1, 2], [1, 2]]]
    found = text_change(before, now, np.random.default_rng(1), length=4, permutations=FEW)
    # Within a side all four positions agree, across three of four: 1 + 1 - 2 * 0.75.
    assert found.distance == pytest.approx(0.5)
    assert found.calls == 2


def test_an_alarm_needs_two_suspicious_rounds():
    """One odd round is looked at again before anyone is paged."""
    odd, even = Change(0.1, 0.01, 0.001, 5, suspicious=True), Change(0.01, 0.01, 0.5, 5, suspicious=False)
    assert confirmed(odd, odd)
    assert not confirmed(odd, even)


ROUND = [[{"a": -0.1}]]


@pytest.mark.parametrize(
    ("reference", "now", "options", "message"),
    [
        ([ROUND] * 2, ROUND, {}, "2 reference rounds"),
        ([ROUND] * 3, ROUND * 2, {}, "the same prompts"),
        ([[]] * 3, [], {}, "the same prompts"),
        ([ROUND] * 3, [[]], {}, "no call"),
        ([ROUND] * 3, [[{}]], {}, "no token"),
        ([ROUND] * 3, ROUND, {"permutations": 100}, "cannot give a p-value"),
    ],
)
def test_what_cannot_be_compared_is_refused(reference, now, options, message):
    """Too few rounds, other prompts, empty calls and too few permutations are the caller's mistake."""
    with pytest.raises(ValueError, match=message):
        logprob_change(reference, now, np.random.default_rng(0), **options)
