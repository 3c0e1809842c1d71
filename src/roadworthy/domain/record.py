"""Records and outcomes: what was answered, and what turned out to be true.

Both are NamedTuples: immutable, made in a fraction of a microsecond, written to the log as plain arrays. New
fields are appended at the end with a default, so that old frames stay readable.
"""

from __future__ import annotations

import hashlib
import json
from enum import IntFlag
from typing import NamedTuple, TypeAlias

from roadworthy.domain.moment import Micros

Value: TypeAlias = "str | int | float | bool | None"


class Flag(IntFlag):
    """What was special about an answer. `GUARDED`: altered or withheld; `ABANDONED`: its caller hung up before the end.

    `LOST`: its worker died; the record was written when its cost was settled.
    """

    NONE = 0
    FALLBACK = 1
    SHADOW = 2
    VIOLATED = 4
    DEFAULTED = 8
    FAILED = 16
    TIMED_OUT = 32
    SHED = 64
    FORBIDDEN_USE = 128
    BATCH = 256
    REPLAY = 512
    GUARDED = 1024
    ABSTAINED = 2048
    CACHED = 4096
    ABANDONED = 8192
    LOST = 16384


class StepTaken(NamedTuple):
    """One ordered step of an answer: an attempt, a retrieval, a tool, a guard, a cache look-up."""

    kind: str
    name: str
    outcome: str
    latency_us: int
    detail: str = ""


class Record(NamedTuple):
    """One logged answer with its lineage. `inputs` follow the interface's fields, `outputs` its outputs.

    `id` is 32 hex digits, time-ordered (UUIDv7). `release` answered; `intended` is the release the route chose
    (they differ on a fallback). `shadow_of` is the record a shadow answer belongs to. `ages_ms` are the feature
    ages in milliseconds at the time of the answer, in the order of the fields with role `age`.
    """

    id: str
    system: str
    environment: str
    release: str
    intended: str
    arm: str
    route_version: int
    answered_at: Micros
    event_time: Micros
    latency_us: int
    status: int
    flags: int
    interface: str
    inputs: tuple[Value, ...] = ()
    outputs: tuple[Value, ...] = ()
    violations: tuple[tuple[str, str], ...] = ()
    ages_ms: tuple[int | None, ...] = ()
    steps: tuple[StepTaken, ...] = ()
    entity: str = ""
    subject: str = ""
    key: str = ""
    trace: str = ""
    shadow_of: str = ""
    error: str = ""
    cost_micros: int = 0


class Outcome(NamedTuple):
    """The truth, joined to a record later: label, KPI, feedback or review decision.

    Joined by `record`, or by `entity` and `event_time`. `key` makes posting twice harmless. It never overwrites:
    the last by `known_at` wins in a view.
    """

    key: str
    system: str
    environment: str
    scorer: str
    value: Value
    known_at: Micros
    received_at: Micros
    record: str = ""
    entity: str = ""
    event_time: Micros = 0
    source: str = ""


def outcome_key(*content: Value) -> str:
    """Name an outcome by what it says, so that saying the same twice, by whatever way, counts once.

    Args:
        content: system, environment, scorer, record, entity, event time, value, in this order.
    """
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def is_sampled(record_id: str, share: float) -> bool:
    """Tell whether an answer is in a sample of a share in 0..1: decided by its id alone, the same whoever asks."""
    return int.from_bytes(hashlib.sha256(record_id.encode()).digest()[:8], "big") < share * (1 << 64)


FRAME_RECORD = 1
FRAME_OUTCOME = 2
