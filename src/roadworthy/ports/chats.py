"""Buckets of answers of kind llm: what is kept of them for observation, as counts, never texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class ChatBucket:
    """Answers of kind llm in one span of answered time.

    `asked` counts every question, `answers` those that were answered (no 4xx, no 5xx); the shares of monitors are
    over one of the two. Costs are in picounits, of every call made, also of those that failed. `unpriced` counts
    answers whose model has no known price, `shadow_picos` is what shadow answers cost. `first_token` is
    `stats.quantiles.Latencies.to_doc()` over streamed answers. `guards` counts answers that a guard altered or
    withheld, by guard (0 for one in force that did nothing), `rules` what it found, by "guard: rule". `finishes`
    counts by finish reason, `attempts` by "pin: outcome".
    """

    start: int
    asked: int = 0
    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_picos: int = 0
    shadow_picos: int = 0
    unpriced: int = 0
    refused: int = 0
    abstained: int = 0
    cut: int = 0
    abandoned: int = 0
    looked_up: int = 0
    cache_hits: int = 0
    guarded: int = 0
    guards: dict[str, int] = field(default_factory=dict[str, int])
    rules: dict[str, int] = field(default_factory=dict[str, int])
    finishes: dict[str, int] = field(default_factory=dict[str, int])
    attempts: dict[str, int] = field(default_factory=dict[str, int])
    first_token: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True, kw_only=True)
class GroundedBucket:
    """How far sampled answers rest on their passages, in one span of event time.

    Claims of one answer stand or fall together, so squares and products over answers are kept for the interval.
    `unread` counts sampled answers that could not be judged: their text or a passage is not kept. `skipped` counts
    those that were left out because one look may cost only so much.
    """

    start: int
    answers: int = 0
    claims: int = 0
    supported: int = 0
    claims_squares: int = 0
    supported_squares: int = 0
    products: int = 0
    unread: int = 0
    skipped: int = 0
