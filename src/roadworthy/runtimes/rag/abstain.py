"""Whether the passages carry a question: a rule calibrated when the index is built, with a stated rate of error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from roadworthy.runtimes.rag.bm25 import Bm25
from roadworthy.runtimes.rag.pseudo_questions import FOREIGN, PseudoQuestion
from roadworthy.runtimes.rag.words import terms

Floats: TypeAlias = NDArray[np.float64]
Measure: TypeAlias = "Callable[[str, NDArray[np.bool_] | None], Signals]"
"""From a question, and which passages are hidden from it, to its signals."""

LEAST_QUESTIONS: Final = 20
"""With fewer no rate can be stated: then only a question that nothing in the corpus touches is abstained from."""

_STEPS: Final = 2_000
_RATE: Final = 0.5
_RIDGE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Signals:
    """What tells that passages carry a question, each from 0 (not at all) to 1.

    Attributes:
        cosine: of the passage nearest in meaning; 0 in an index by words only.
        words: the best BM25 score, as a share of what the question's terms could reach at most.
        coverage: the share of the question's terms, weighted by how much each tells, that the best passage holds.
        known: the same share, for the corpus as a whole.
    """

    cosine: float
    words: float
    coverage: float
    known: float

    @property
    def row(self) -> tuple[float, float, float, float]:
        """Return them in the order of a rule's weights."""
        return (self.cosine, self.words, self.coverage, self.known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When to abstain: when the weighted sum of the signals is below the threshold. No weight is negative.

    The threshold is such that of questions like the `answerable` ones at most the share `at_most` is abstained from.
    The counts tell what the questions that were held out of the fit gave; `calibrated_on` whether they were generated
    from the corpus or given by the project. `hidden` are questions about files that were hidden while they were asked
    (the hardest ones from outside: same subject, same words); `outside` those that the project gave.
    """

    weights: tuple[float, float, float, float]
    threshold: float
    at_most: float
    calibrated_on: Literal["generated", "given"]
    answerable: int
    answerable_abstained: int
    hidden: int
    hidden_abstained: int
    outside: int = 0
    outside_abstained: int = 0

    def score(self, signals: Signals) -> float:
        """Return how well the passages carry a question; comparable within one index only."""
        return math.fsum(weight * value for weight, value in zip(self.weights, signals.row, strict=True))


def should_abstain(rule: Rule | None, signals: Signals) -> bool:
    """Claim that the passages do not carry the question, so that an answer would be made up."""
    if rule is None:
        return signals.words <= 0 and signals.cosine <= 0
    return rule.score(signals) < rule.threshold


def measure(
    question: str,
    bm25: Bm25,
    scores: NDArray[np.float32],
    cosines: NDArray[np.float32] | None,
    hidden: NDArray[np.bool_] | None = None,
) -> Signals:
    """Return the signals of a question from its scores, shape (passages,), as if `hidden` passages did not exist."""
    asked = sorted(set(terms(question)))
    if hidden is not None:
        scores = np.where(hidden, 0, scores)
        cosines = None if cosines is None else np.where(hidden, 0, cosines)
    weights = [bm25.idf_of(term) for term in asked]
    whole = math.fsum(weights)
    nearest = 0.0 if cosines is None else max(float(cosines.max()), 0.0)
    if not whole:
        return Signals(nearest, 0.0, 0.0, 0.0)
    holders = [_visible(bm25.holders(term), hidden) for term in asked]
    best = [int(scores.argmax())] + ([] if cosines is None else [int(cosines.argmax())])
    covered = [math.fsum(w for w, rows in zip(weights, holders, strict=True) if _holds(rows, at)) for at in best]
    known = math.fsum(w for w, rows in zip(weights, holders, strict=True) if len(rows))
    return Signals(nearest, min(float(scores.max()) / whole, 1.0), max(covered) / whole, known / whole)


def calibrate(
    ask: Measure,
    generated: Sequence[PseudoQuestion],
    sources: Sequence[str],
    *,
    at_most: float,
    answerable: Sequence[str] = (),
    outside: Sequence[str] = (),
) -> Rule | None:
    """Fit the rule and choose its threshold, or return None where there are too few questions to state a rate.

    The weights come from half of the generated questions, each asked twice: of the whole corpus, and with its own file
    hidden; and from questions about the world at large. The threshold comes from the other half or, where the project
    gives enough, from its answerable questions.

    Args:
        ask: measures a question.
        generated: see `pseudo_questions.generate`.
        sources: the file of each passage.
        at_most: the share of answerable questions that may be abstained from.
        answerable: questions that the corpus answers, as people ask them.
        outside: questions that it does not answer; they are only counted.

    Source: the threshold is that of split conformal prediction (Vovk 2005): with n questions of the same kind held out,
    it is the floor(at_most (n + 1))-th smallest score.
    """
    if len(generated) < 2 * LEAST_QUESTIONS:
        return None
    files = np.array(sources)
    seen = _rows(ask(one.question, None) for one in generated)
    unseen = _rows(ask(one.question, files == one.source) for one in generated)
    elsewhere = _rows(ask(question, None) for question in FOREIGN)
    weights = _fit(seen[::2], unseen[::2], elsewhere)
    is_given = len(answerable) >= LEAST_QUESTIONS
    scores = (_rows(ask(question, None) for question in answerable) if is_given else seen[1::2]) @ weights
    rank = max(math.floor(at_most * (len(scores) + 1)), 1)
    # Rounded downwards, so that the score it was taken from is not below it.
    threshold = math.floor(float(np.sort(scores)[rank - 1]) * 1e6) / 1e6
    foreign = _rows(ask(question, None) for question in outside) @ weights if outside else np.empty(0)
    first, second, third, fourth = weights.tolist()
    return Rule(
        weights=(first, second, third, fourth),
        threshold=threshold,
        at_most=at_most,
        calibrated_on="given" if is_given else "generated",
        answerable=len(scores),
        answerable_abstained=int((scores < threshold).sum()),
        hidden=len(unseen[1::2]),
        hidden_abstained=int((unseen[1::2] @ weights < threshold).sum()),
        outside=len(foreign),
        outside_abstained=int((foreign < threshold).sum()),
    )


def _visible(rows: NDArray[np.int32], hidden: NDArray[np.bool_] | None) -> NDArray[np.int32]:
    return rows if hidden is None else rows[~hidden[rows]]


def _holds(rows: NDArray[np.int32], passage: int) -> bool:
    at = int(np.searchsorted(rows, passage))
    return at < len(rows) and int(rows[at]) == passage


def _rows(signals: Iterable[Signals]) -> Floats:
    return np.array([one.row for one in signals], dtype=np.float64)


def _fit(answerable: Floats, *unanswerable: Floats) -> Floats:
    """Return the weights of a logistic model, none of them negative, so that a better match never means to abstain.

    Each kind of question weighs as much as any other of its side, however many there are. Projected gradient steps from
    zero: the same rows give the same weights, rounded so that the last bits of a machine's arithmetic do not reach the
    index' bytes.
    """
    rows = np.vstack([answerable, *unanswerable])
    truth = np.repeat([1.0, 0.0], [len(answerable), len(rows) - len(answerable)])
    kinds = [np.full(len(kind), 1 / (2 * len(unanswerable) * len(kind))) for kind in unanswerable]
    mass = np.concatenate([np.full(len(answerable), 1 / (2 * len(answerable))), *kinds])
    spread = rows.std(axis=0)
    width = np.where(spread > 0, spread, 1.0)
    scaled = (rows - rows.mean(axis=0)) / width
    weights, intercept = np.zeros(rows.shape[1]), 0.0
    for _ in range(_STEPS):
        wrong = mass * (1 / (1 + np.exp(-(scaled @ weights + intercept))) - truth)
        weights = np.maximum(weights - _RATE * (scaled.T @ wrong + _RIDGE * weights), 0)
        intercept -= _RATE * float(wrong.sum())
    unscaled: Floats = np.where(spread > 0, weights / width, 0.0)
    return unscaled.round(6)
