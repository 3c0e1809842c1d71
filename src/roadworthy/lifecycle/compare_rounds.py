"""Compare a round of probes with the reference: the arrays of statistics here, the rounds of the domain there."""

from __future__ import annotations

from typing import Final

import numpy as np

from roadworthy.domain.pin_watch import Compared, Method, PinReference, PinWatch, Round, known
from roadworthy.stats.model_change import Change, first_token_change, logprob_change

_BEYOND: Final = {Method.LOGPROBS: 1.25, Method.TOKENS: 1.0}
_LEAST: Final = {Method.LOGPROBS: 0.005, Method.TOKENS: 0.15}
LEAST_AT_FIRST: Final = {Method.LOGPROBS: 0.05, Method.TOKENS: 0.25}
"""While the reference has not met other days: a day's own noise is smaller, a requantised model is farther away."""


def compare(watch: PinWatch, reference: PinReference, made: Round) -> Compared:
    """Return how far a round is from the reference, and which names it carries that reference time did not know.

    The permutations are drawn from a seed that the round itself gives, so that a finding can be computed again.
    """
    assert watch.method is not None, "a pin with a reference is asked in a known way"
    generator = np.random.default_rng([made.at % 2**63, len(reference.rounds)])
    change = _change(watch.method, reference, made, generator)
    least = (_LEAST if watch.is_whole else LEAST_AT_FIRST)[watch.method]
    limit = max(least, _BEYOND[watch.method] * change.usual)
    names = known((), made.said)
    return Compared(
        distance=change.distance,
        limit=limit,
        p_value=change.p_value,
        calls=change.calls,
        is_far=change.suspicious and change.distance > limit,
        new_models=tuple(sorted({one.model for one in names} - watch.models)),
        new_fingerprints=tuple(sorted({one.fingerprint for one in names} - watch.fingerprints)),
    )


def _change(method: Method, reference: PinReference, made: Round, generator: np.random.Generator) -> Change:
    if method is Method.LOGPROBS:
        return logprob_change(
            [one.answers for one in reference.rounds], made.answers, generator,
            beyond=_BEYOND[method], least=_LEAST[method],
        )  # fmt: skip
    return first_token_change(
        [_tokens(one) for one in reference.rounds], _tokens(made), generator,
        beyond=_BEYOND[method], least=_LEAST[method],
    )  # fmt: skip


def _tokens(made: Round) -> list[list[str]]:
    return [[next(iter(call)) for call in calls] for calls in made.answers]
