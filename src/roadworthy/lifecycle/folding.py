"""Fold records into buckets: what is kept of traffic for observation, as counts, never rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from roadworthy.domain.interface import FieldRole, FieldType, Interface, Task
from roadworthy.domain.moment import MINUTE, SECOND, Micros
from roadworthy.domain.record import Flag, Record
from roadworthy.domain.reference import Reference
from roadworthy.domain.system import WatchPlan
from roadworthy.ports.monitor import AnswerBucket, FeatureBucket
from roadworthy.stats.counts import Bins, Counts, fold, merge
from roadworthy.stats.quantiles import Latencies, fold_latencies, merge_latencies

ANSWER_BUCKETS_A_WINDOW = 20
EVENT_BUCKETS_A_WINDOW = 28
_UNSERVED = 500
_NOT_GIVEN = Flag.FAILED | Flag.TIMED_OUT


def answer_width(watch: WatchPlan) -> Micros:
    """Return the span of one answer bucket in answered time."""
    return max(SECOND, watch.window // ANSWER_BUCKETS_A_WINDOW)


def event_width(watch: WatchPlan) -> Micros:
    """Return the span of one feature or quality bucket in event time."""
    return max(MINUTE, watch.drift_window // EVENT_BUCKETS_A_WINDOW)


def start_of(moment: Micros, width: Micros) -> Micros:
    """Return the first moment of the bucket that holds a moment."""
    return moment - moment % width


def fold_answers(bucket: AnswerBucket, records: Sequence[Record], age_fields: Sequence[str]) -> None:
    """Add answers to a bucket. Shadow answers are counted apart: nobody waited for them."""
    latencies: list[int] = []
    for record in records:
        if record.flags & Flag.SHADOW:
            bucket.shadows += 1
            continue
        bucket.answers += 1
        bucket.unserved += record.status >= _UNSERVED
        bucket.failed += bool(record.flags & _NOT_GIVEN) or record.status >= _UNSERVED
        if record.flags & Flag.FALLBACK:
            level = record.arm if record.arm.startswith("fallback") else "fallback"
            bucket.fallbacks[level] = bucket.fallbacks.get(level, 0) + 1
        bucket.violated += bool(record.violations)
        for field, rule in record.violations:
            name = f"{field}: {rule}"
            bucket.violations[name] = bucket.violations.get(name, 0) + 1
        _fold_ages(bucket.ages_ms, record.ages_ms, age_fields)
        latencies.append(record.latency_us)
    if latencies:
        known = [Latencies.from_doc(bucket.latencies)] if bucket.latencies else []
        bucket.latencies = merge_latencies([*known, fold_latencies(latencies)]).to_doc()


def _fold_ages(kept: dict[str, list[int]], ages: Sequence[int | None], fields: Sequence[str]) -> None:
    for field, age in zip(fields, ages, strict=False):
        if age is None:
            continue
        n, total, oldest = kept.get(field, (0, 0, 0))
        kept[field] = [n + 1, total + age, max(oldest, age)]


def fold_features(
    bucket: FeatureBucket,
    records: Sequence[Record],
    interface: Interface,
    reference: Reference,
    bins: Mapping[str, Bins],
) -> None:
    """Add the features of records to a bucket; records without payload or with violations are not folded."""
    rows = [record for record in records if len(record.inputs) == len(interface.inputs)]
    if not rows:
        return
    bucket.rows += len(rows)
    columns = list(zip(*(record.inputs for record in rows), strict=True))
    broken = [{name for name, _ in record.violations} for record in rows]
    for place, field in enumerate(interface.inputs):
        if field.name not in reference.counts or field.role is not FieldRole.FEATURE:
            continue
        values = _as_array(columns[place], field.type)
        outside = np.array([field.name in names for names in broken]) if any(broken) else None
        fresh = fold(bins[field.name], values, out_of_contract=outside)
        bucket.counts[field.name] = _added(bucket.counts.get(field.name), fresh)


def fold_predictions(bucket: FeatureBucket, records: Iterable[Record], task: Task, bins: Bins) -> None:
    """Add the answers a release gave: score, label or value."""
    answers = [record.outputs[0] for record in records if record.outputs]
    if not answers:
        return
    kind = FieldType.STRING if task is Task.MULTICLASS else FieldType.NUMBER
    bucket.predictions = _added(bucket.predictions or None, fold(bins, _as_array(answers, kind)))


def _added(known: Mapping[str, Any] | None, fresh: Counts) -> dict[str, Any]:
    if known is None or known["bins"] != fresh.bins:
        return fresh.to_doc()
    return merge(Counts.from_doc(known), fresh).to_doc()


def _as_array(values: Sequence[object], kind: FieldType) -> Any:
    if kind in (FieldType.NUMBER, FieldType.INTEGER, FieldType.TIMESTAMP):
        return np.array([_number(value) for value in values], dtype=np.float64)
    return np.array(values, dtype=object)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def by_bucket(records: Iterable[Record], width: Micros, *, event: bool) -> dict[tuple[str, Micros], list[Record]]:
    """Group records by (intended release, bucket start), by event time or by answered time."""
    groups: dict[tuple[str, Micros], list[Record]] = defaultdict(list)
    for record in records:
        moment = record.event_time if event else record.answered_at
        groups[record.intended or record.release, start_of(moment, width)].append(record)
    return groups
