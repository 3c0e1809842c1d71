"""Has the model behind an API been changed without a word? Three tests, from cheap and sharp to plain and slow.

`logprob_change` reads the log-probabilities of one token per probe; `first_token_change` only the token itself, on
prompts where a rival is close; `text_change` confirms on whole texts. All are permutation tests: exact at their
stated rate where calls are exchangeable. Providers are not always so kind (a day's batches differ, two kinds of
machines answer), so the first two also demand a distance beyond what the reference's own rounds show among
themselves, and an alarm needs a second, independent round (`confirmed`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import numpy as np

from roadworthy.stats.arrays import Floats, Ints, Mask

# One call's most likely tokens with their log-probabilities (natural), as the provider lists them.
Call: TypeAlias = Mapping[str, float]
# Per probe prompt, its calls of one check.
LogprobRound: TypeAlias = Sequence[Sequence[Call]]
TokenRound: TypeAlias = Sequence[Sequence[str]]
Text: TypeAlias = str | Sequence[int]

_One = TypeVar("_One")

FEWEST_ROUNDS: Final = 3
_ROUNDING: Final = 1e-12
_PADDING: Final = -1


@dataclass(frozen=True, slots=True)
class Change:
    """How far now is from the reference: `distance`, with the permutation test's p-value over `calls` calls.

    `usual` is the largest distance of one of the reference's rounds from the others (0 where there are no rounds).
    `suspicious` asks for a second round; only two in a row are an alarm.
    """

    distance: float
    usual: float
    p_value: float
    calls: int
    suspicious: bool


@dataclass(frozen=True, slots=True)
class _Prompt:
    """All calls of one prompt as rows, and which round each came from (the last round is now)."""

    rows: Floats
    rounds: Ints


def logprob_change(
    reference: Sequence[LogprobRound],
    now: LogprobRound,
    generator: np.random.Generator,
    *,
    alpha: float = 0.005,
    beyond: float = 1.25,
    least: float = 0.005,
    permutations: int = 1999,
) -> Change:
    """Compare one token's log-probabilities with those of the reference time; five one-token calls usually do.

    Args:
        reference: at least 3 checks (10 are good), made as the daily check is and at different hours, so that they
            show what noise, load and kinds of machines the provider has.
        now: today's check: per prompt the same probes, one or more calls each.
        generator: draws the permutations.
        alpha: the largest p-value that is suspicious.
        beyond: how many times the reference's own largest distance today's must exceed.
        least: in nats; smaller distances are arithmetic, not another model.
        permutations: how many; 1 / (permutations + 1) must not exceed alpha.

    Raises:
        ValueError: fewer than 3 reference rounds, unequal prompts, a prompt or call without entries, or too few
            permutations for alpha.

    Source: "Log probability tracking of LLM APIs", arXiv 2512.03816: mean over prompts and tokens of |difference of
    means|; a token missing from a call's list counts as that list's smallest entry. The rounds are ours.
    """
    prompts = _prompts(reference, now, _logprob_rows)
    limits = _Limits(alpha, beyond, least, permutations)
    return _compare(prompts, len(reference), generator, limits, _mean_gap)


def first_token_change(
    reference: Sequence[TokenRound],
    now: TokenRound,
    generator: np.random.Generator,
    *,
    alpha: float = 0.01,
    beyond: float = 1.0,
    least: float = 0.15,
    permutations: int = 1999,
) -> Change:
    """Compare which first token is answered at temperature 0, where the provider gives no log-probabilities.

    Choose the prompts with `border_prompts` by samples at a low temperature (0.2), then `steady_prompts` by samples
    at a lower one (0.03): a rival is close, yet not so close that noise answers it. A changed model answers it on
    about every second one, so that ten prompts with one call each find large changes. (Where the model wavers evenly,
    either answer is no surprise.) The distance is the mean over prompts of the total variation between shares, in
    [0, 1].

    Arguments and errors as `logprob_change`, with the token of each call instead of its list; the reference's rounds
    may hold more calls than today's.

    Source: border inputs, arXiv 2602.11083. That they be steady, and the rounds, are ours.
    """
    prompts = _prompts(reference, now, _token_rows)
    limits = _Limits(alpha, beyond, least, permutations)
    return _compare(prompts, len(reference), generator, limits, _total_variation)


def text_change(
    reference: Sequence[Sequence[Text]],
    now: Sequence[Sequence[Text]],
    generator: np.random.Generator,
    *,
    alpha: float = 0.005,
    length: int = 50,
    permutations: int = 1999,
) -> Change:
    """Compare sampled texts, to confirm an alarm in the terms users see.

    Args:
        reference: per prompt, texts (characters) or token ids sampled at reference time.
        now: per prompt, the same from today.
        generator: draws the permutations.
        alpha: the largest p-value that is suspicious.
        length: how many positions of each text count.
        permutations: as `logprob_change`.

    Raises:
        ValueError: unequal prompts, a prompt without texts, or too few permutations for alpha.

    Source: "Model equality testing", arXiv 2410.20247: maximum mean discrepancy with the Hamming kernel (share of
    positions that agree; both ended counts as agreeing), summed over prompts, permuted within each.
    """
    _enough(alpha, permutations)
    _same_prompts([reference, now])
    distance, permuted, calls = 0.0, np.zeros(permutations), 0
    for before, today in zip(reference, now, strict=True):
        kernel = _hamming([*before, *today], length)
        n, k = len(kernel), len(today)
        distance += float(_discrepancy(kernel, np.arange(n)[None, n - k :])[0])
        permuted += _discrepancy(kernel, _subsets(n, k, permutations, generator))
        calls += k
    p_value = _p_value(distance, permuted)
    return Change(distance, 0.0, p_value, calls, p_value <= alpha)


def confirmed(first: Change, second: Change) -> bool:
    """Return whether to raise the alarm: a suspicious round, and a second one made at once, suspicious too.

    The chance of a false alarm of one day is thus at most alpha where calls are exchangeable, and far below it
    where the two rounds' noise is independent.
    """
    return first.suspicious and second.suspicious


def border_prompts(samples: Sequence[Sequence[str]], most: int) -> list[int]:
    """Return which prompts make the model waver most, best first, at most `most`; those that never do are left out.

    Args:
        samples: per candidate prompt, first tokens sampled from the model as it is at reference time.
        most: how many prompts to keep.
    """
    wavering = [_wavering(tokens) for tokens in samples]
    order = sorted(range(len(wavering)), key=lambda i: -wavering[i])
    return [i for i in order if wavering[i] > 0][:most]


def steady_prompts(samples: Sequence[Sequence[str]], most: int) -> list[int]:
    """Return which prompts the model answers with the same token each time, in the order given, then the others.

    Args:
        samples: per prompt, first tokens at a temperature a little above that of the rounds.
        most: how many prompts to keep.
    """
    return sorted(range(len(samples)), key=lambda i: _wavering(samples[i]))[:most]


@dataclass(frozen=True, slots=True)
class _Limits:
    alpha: float
    beyond: float
    least: float
    permutations: int


def _compare(
    prompts: Sequence[_Prompt],
    rounds: int,
    generator: np.random.Generator,
    limits: _Limits,
    size: Callable[[Floats], Floats],
) -> Change:
    _enough(limits.alpha, limits.permutations)
    distance = float(np.mean([_distance(p.rows, p.rounds == rounds, size) for p in prompts]))
    usual = max(_usual(prompts, one, rounds, size) for one in range(rounds))
    permuted = np.zeros(limits.permutations)
    for p in prompts:
        n, k = len(p.rows), int((p.rounds == rounds).sum())
        permuted += _gaps(p.rows, _subsets(n, k, limits.permutations, generator), size) / len(prompts)
    p_value = _p_value(distance, permuted)
    far = distance > max(limits.least, limits.beyond * usual)
    calls = sum(int((p.rounds == rounds).sum()) for p in prompts)
    return Change(distance, usual, p_value, calls, far and p_value <= limits.alpha)


def _usual(prompts: Sequence[_Prompt], one: int, now: int, size: Callable[[Floats], Floats]) -> float:
    """Return how far one of the reference's rounds is from its others."""
    kept = [(p.rows[p.rounds != now], p.rounds[p.rounds != now] == one) for p in prompts]
    return float(np.mean([_distance(rows, chosen, size) for rows, chosen in kept]))


def _distance(rows: Floats, chosen: Mask, size: Callable[[Floats], Floats]) -> float:
    return float(_gaps(rows, np.flatnonzero(chosen)[None, :], size)[0])


def _gaps(rows: Floats, subsets: Ints, size: Callable[[Floats], Floats]) -> Floats:
    """Return, per subset of rows, the size of (the subset's mean - the mean of all others)."""
    k, n = subsets.shape[1], len(rows)
    inside = rows[subsets].sum(axis=1)
    return size(inside / k - (rows.sum(axis=0) - inside) / (n - k))


def _mean_gap(difference: Floats) -> Floats:
    return np.abs(difference).mean(axis=1)


def _total_variation(difference: Floats) -> Floats:
    return np.abs(difference).sum(axis=1) / 2


def _subsets(n: int, k: int, count: int, generator: np.random.Generator) -> Ints:
    """Return `count` random subsets of k out of n, shape (count, k)."""
    return np.argpartition(generator.random((count, n)), k - 1, axis=1)[:, :k]


def _p_value(observed: float, permuted: Floats) -> float:
    # The observed order is one of the permutations, and equal ones must not lose by rounding.
    return float(1 + (permuted >= observed - _ROUNDING).sum()) / (len(permuted) + 1)


def _hamming(texts: Sequence[Text], length: int) -> Floats:
    codes = np.full((len(texts), length), _PADDING, dtype=np.int64)
    for row, text in zip(codes, texts, strict=True):
        start = [ord(c) for c in text[:length]] if isinstance(text, str) else list(text[:length])
        row[: len(start)] = start
    return np.array([(codes == row).mean(axis=1) for row in codes])


def _discrepancy(kernel: Floats, subsets: Ints) -> Floats:
    """Return, per subset, the squared distance of its mean from that of all others, in the kernel's space."""
    (count, k), n = subsets.shape, len(kernel)
    weights = np.full((count, n), -1 / (n - k))
    np.put_along_axis(weights, subsets, 1 / k, axis=1)
    return ((weights @ kernel) * weights).sum(axis=1)


def _prompts(
    reference: Sequence[Sequence[Sequence[_One]]],
    now: Sequence[Sequence[_One]],
    read: Callable[[Sequence[_One]], Floats],
) -> list[_Prompt]:
    rounds = [*reference, now]
    if len(reference) < FEWEST_ROUNDS:
        raise ValueError(f"{len(reference)} reference rounds cannot show their own noise; {FEWEST_ROUNDS} are needed")
    _same_prompts(rounds)
    built: list[_Prompt] = []
    for calls in zip(*rounds, strict=True):
        numbers = np.repeat(np.arange(len(rounds)), [len(c) for c in calls])
        built.append(_Prompt(read([one for c in calls for one in c]), numbers))
    return built


def _same_prompts(rounds: Sequence[Sequence[Sequence[object]]]) -> None:
    counts = {len(one) for one in rounds}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(f"every round must ask the same prompts, at least one; got {sorted(counts)}")
    if any(len(calls) == 0 for one in rounds for calls in one):
        raise ValueError("a prompt has no call in one of the rounds")


def _enough(alpha: float, permutations: int) -> None:
    if (permutations + 1) * alpha < 1:
        raise ValueError(f"{permutations} permutations cannot give a p-value of {alpha} or less")


def _logprob_rows(calls: Sequence[Call]) -> Floats:
    if not all(calls):
        raise ValueError("a call lists no token at all")
    tokens = {token: column for column, token in enumerate(sorted({t for call in calls for t in call}))}
    rows = np.empty((len(calls), len(tokens)))
    for row, call in zip(rows, calls, strict=True):
        row[:] = min(call.values())
        row[[tokens[t] for t in call]] = list(call.values())
    return rows


def _token_rows(tokens: Sequence[str]) -> Floats:
    known, codes = np.unique(np.array(tokens, dtype=np.str_), return_inverse=True)
    return np.eye(len(known))[codes]


def _wavering(tokens: Sequence[str]) -> float:
    """Return the share of answers that are not the commonest one."""
    return 1 - max(tokens.count(t) for t in set(tokens)) / len(tokens)
