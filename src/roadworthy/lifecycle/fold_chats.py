"""Fold answers of kind llm into buckets: tokens, cost, first tokens, refusals, guards, cache, attempts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from roadworthy.domain.llm import TEXT_OUTPUTS
from roadworthy.domain.pin import PICO
from roadworthy.domain.record import Flag, Record, Value
from roadworthy.ports.chats import ChatBucket
from roadworthy.stats.quantiles import Latencies, fold_latencies, merge_latencies

REFUSED_FINISHES: Final = frozenset({"content_filter", "refusal"})
"""Finish reasons of answers that a model, a provider or a guard would not give."""
_CUT: Final = "length"
_ALLOWED: Final = "allow"
_NOT_ANSWERED: Final = 400


class Told(NamedTuple):
    """What a record of kind llm holds beside its text. `cost_picos` is exact where the gateway wrote it."""

    finish: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_picos: int
    first_token_us: int
    model: str
    price: str


def told(record: Record) -> Told:
    """Read a record's outputs; a record settled after its worker died holds its cost and little else."""
    if len(record.outputs) < len(TEXT_OUTPUTS):
        return Told("", 0, 0, 0, record.cost_micros * PICO, 0, "", "")
    said: Mapping[str, Value] = dict(zip(TEXT_OUTPUTS, record.outputs, strict=False))
    return Told(
        str(said["finish"] or ""), _whole(said["input_tokens"]), _whole(said["output_tokens"]),
        _whole(said["cached_tokens"]), _whole(said["cost_picos"]), _whole(said["first_token_us"]),
        str(said["model"] or ""), str(said["price"] or ""),
    )  # fmt: skip


def passages_of(record: Record) -> tuple[str, ...]:
    """Return the ids of the passages that the model was handed, in that order."""
    found = [step for step in record.steps if step.kind == "retrieval"]
    return tuple(found[-1].detail.split(",")) if found and found[-1].detail else ()


def fold_chats(bucket: ChatBucket, records: Sequence[Record], guards: Iterable[str], *, whole: bool) -> None:
    """Add answers to a bucket.

    Args:
        bucket: of a release, or of the whole system.
        records: of one release; a shadow's answers count for the release, and only as cost for the system.
        guards: the names of the guards in force.
        whole: the bucket is the system's.
    """
    for name in guards:
        bucket.guards.setdefault(name, 0)
    first: list[int] = []
    for record in records:
        said, is_shadow = told(record), bool(record.flags & Flag.SHADOW)
        if is_shadow:
            bucket.shadow_picos += said.cost_picos
        if is_shadow and whole:
            continue
        _fold_one(bucket, record, said)
        if said.first_token_us:
            first.append(said.first_token_us)
    if first:
        known = [Latencies.from_doc(bucket.first_token)] if bucket.first_token else []
        bucket.first_token = merge_latencies([*known, fold_latencies(first)]).to_doc()


def _fold_one(bucket: ChatBucket, record: Record, said: Told) -> None:
    bucket.asked += 1
    bucket.input_tokens += said.input_tokens
    bucket.output_tokens += said.output_tokens
    bucket.cached_tokens += said.cached_tokens
    bucket.cost_picos += said.cost_picos
    bucket.unpriced += not said.price and bool(said.input_tokens or said.output_tokens)
    bucket.guarded += bool(record.flags & Flag.GUARDED)
    bucket.abandoned += bool(record.flags & Flag.ABANDONED)
    _fold_steps(bucket, record)
    if record.status >= _NOT_ANSWERED:
        return
    bucket.answers += 1
    bucket.refused += said.finish in REFUSED_FINISHES
    bucket.cut += said.finish == _CUT
    bucket.abstained += bool(record.flags & Flag.ABSTAINED)
    _count(bucket.finishes, said.finish or "none")


def _fold_steps(bucket: ChatBucket, record: Record) -> None:
    acted: set[str] = set()
    for step in record.steps:
        if step.kind == "attempt":
            _count(bucket.attempts, f"{step.name}: {step.outcome}")
        elif step.kind == "cache":
            bucket.looked_up += 1
            bucket.cache_hits += step.outcome == "hit"
        elif step.kind == "guard":
            for rule, n in _found(step.detail):
                _count(bucket.rules, f"{step.name}: {rule}", n)
            if step.outcome != _ALLOWED:
                acted.add(step.name)
    for name in acted:
        _count(bucket.guards, name)


def _found(detail: str) -> list[tuple[str, int]]:
    """Read what a guard found: `rule:count` after `rule:count`, as the gateway writes it."""
    hits = [part.rpartition(":") for part in detail.split(",") if part]
    return [(rule, int(n)) for rule, _, n in hits if rule and n.isdigit()]


def _count(kept: dict[str, int], name: str, n: int = 1) -> None:
    kept[name] = kept.get(name, 0) + n


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0


def merge_chats(start: int, buckets: Iterable[ChatBucket]) -> ChatBucket:
    """Add up buckets to one."""
    whole = ChatBucket(start=start)
    for bucket in buckets:
        for name in _NUMBERS:
            setattr(whole, name, getattr(whole, name) + getattr(bucket, name))
        for name in _COUNTS:
            for key, n in getattr(bucket, name).items():
                _count(getattr(whole, name), key, n)
        if bucket.first_token:
            parts = [Latencies.from_doc(one.first_token) for one in (whole, bucket) if one.first_token]
            whole.first_token = merge_latencies(parts).to_doc()
    return whole


_COUNTS: Final = ("guards", "rules", "finishes", "attempts")
_NUMBERS: Final = (
    "asked", "answers", "input_tokens", "output_tokens", "cached_tokens", "cost_picos", "shadow_picos", "unpriced",
    "refused", "abstained", "cut", "abandoned", "looked_up", "cache_hits", "guarded",
)  # fmt: skip
