"""Where answers of kind llm are folded and read back: the part of observation that other kinds do not have."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from roadworthy.domain.interface import Task
from roadworthy.domain.moment import Micros
from roadworthy.domain.record import Flag, Record, is_sampled
from roadworthy.domain.system import WatchPlan
from roadworthy.errors import ArtifactError
from roadworthy.lifecycle.assistants import assistant_of
from roadworthy.lifecycle.buckets import Buckets
from roadworthy.lifecycle.fold_chats import fold_chats
from roadworthy.lifecycle.folding import answer_width, by_bucket, event_width
from roadworthy.lifecycle.passages import (
    MOST_AT_ONCE,
    SHARE,
    Passages,
    fold_grounded,
    grounded,
    rests_on_passages,
)
from roadworthy.lifecycle.questions import AskedReference, features, fold_questions
from roadworthy.lifecycle.references import Known, References
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.chats import ChatBucket, GroundedBucket
from roadworthy.ports.monitor import FeatureBucket
from roadworthy.ports.observations import BucketKey

CHATS: Final = "chats"
GROUNDED: Final = "grounded"
ASKED: Final = "asked"
_ALWAYS: Final = 2**62
_NOT_ANSWERED: Final = 400


class ChatFolder:
    """Folds answers of kind llm for one observer, into its buckets."""

    def __init__(self, buckets: Buckets, references: References, artifacts: Artifacts) -> None:
        self._buckets = buckets
        self._references = references
        self._artifacts = artifacts
        self._passages = Passages(artifacts)
        self._guards: dict[str, tuple[str, ...]] = {}
        self._judged = 0

    def begin_look(self) -> None:
        """Give the next look its full measure of answers to judge."""
        self._judged = 0

    def fold(self, system: str, environment: str, watch: WatchPlan, records: Sequence[Record]) -> None:
        """Fold what is new of one system in one environment; answers of other kinds are passed over."""
        for (release, start), group in by_bucket(records, answer_width(watch), event=False).items():
            known = self._text(release)
            if known is None:
                continue
            for name in (release, ""):
                bucket = self._buckets.timed((system, environment, name), start, CHATS, ChatBucket)
                fold_chats(bucket, group, self._guards_of(known), whole=not name)
        for (release, start), group in by_bucket(records, event_width(watch), event=True).items():
            if (known := self._text(release)) is not None:
                self._fold_questions((system, environment, release), start, known, group)
                self._fold_grounded((system, environment), start, group)

    def seen(
        self, place: tuple[str, str, str], known: Known, *, now: Micros, start: Micros, window: Micros
    ) -> dict[str, Any]:
        """Return the fields of a `View` that only kind llm has; nothing for other kinds.

        Args:
            place: system, environment, and release or nothing for the whole system.
            known: the release, or the system's champion.
            now: where windows of answered time end.
            start: where windows of event time begin.
            window: how long windows of answered time are.
        """
        if known.interface.task is not Task.TEXT:
            return {}
        asked = self._buckets.get(_asked_key(place), AskedReference) or AskedReference()
        return {
            "chats": self._buckets.between(place, now - window, _ALWAYS, CHATS, ChatBucket),
            "grounded": self._buckets.between(place, start, _ALWAYS, GROUNDED, GroundedBucket),
            "asked": asked.counts,
            "asked_rows": len(asked.rows),
        }

    def _fold_questions(
        self, place: tuple[str, str, str], start: Micros, known: Known, group: Sequence[Record]
    ) -> None:
        asked = [one for one in group if not one.flags & Flag.SHADOW and one.status < _NOT_ANSWERED]
        if not asked:
            return
        key = _asked_key(place)
        reference = self._buckets.get(key, AskedReference) or AskedReference()
        bucket = self._buckets.timed(place, start, "features", FeatureBucket)
        fold_questions(reference, bucket, [features(one, known.interface) for one in asked])
        self._buckets.put(key, reference)

    def _fold_grounded(self, here: tuple[str, str], start: Micros, group: Sequence[Record]) -> None:
        """Judge sampled answers for the release that gave them, and for the system where a caller got them."""
        for record in group:
            known = self._text(record.release)
            if known is None or not is_sampled(record.id, SHARE) or not rests_on_passages(record):
                continue
            names = (record.release,) if record.flags & Flag.SHADOW else (record.release, "")
            buckets = [self._buckets.timed((*here, name), start, GROUNDED, GroundedBucket) for name in names]
            if self._judged >= MOST_AT_ONCE:
                for bucket in buckets:
                    bucket.skipped += 1
                continue
            self._judged += 1
            judged = None
            with suppress(ArtifactError):  # an index that is gone must not stop what watches errors and cost
                judged = grounded(record, known.release.candidate, self._passages)
            for bucket in buckets:
                fold_grounded(bucket, judged)

    def _guards_of(self, known: Known) -> tuple[str, ...]:
        name = known.release.id
        if name not in self._guards:
            self._guards[name] = ()
            with suppress(ArtifactError):
                assistant = assistant_of(known.release.candidate, self._artifacts)
                self._guards[name] = tuple(guard.name for guard in assistant.guards) if assistant else ()
        return self._guards[name]

    def _text(self, release: str) -> Known | None:
        known = self._references.get(release)
        return known if known is not None and known.interface.task is Task.TEXT else None


def _asked_key(place: tuple[str, str, str]) -> BucketKey:
    return BucketKey(*place, 0, ASKED)
