"""The buckets of observation in memory, written back together with the cursor into the record log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from roadworthy.domain.moment import Micros
from roadworthy.ports.chats import ChatBucket, GroundedBucket
from roadworthy.ports.monitor import AnswerBucket, FeatureBucket, QualityBucket
from roadworthy.ports.observations import BucketKey, Observations
from roadworthy.stats.counts import Counts, merge
from roadworthy.stores.codec import from_doc, to_doc

_KEPT_IN_MEMORY = 4_000
_Timed = TypeVar("_Timed", AnswerBucket, FeatureBucket, QualityBucket, ChatBucket, GroundedBucket)
_Any = TypeVar("_Any")


class Buckets:
    """A write-back view of stored buckets: what was touched since the last save is newer here than on disk."""

    def __init__(self, stored: Observations) -> None:
        self._stored = stored
        self._held: dict[BucketKey, Any] = {}
        self._touched: set[BucketKey] = set()

    def get(self, key: BucketKey, sort: type[_Any]) -> _Any | None:
        """Return a bucket for reading, or None."""
        if key not in self._held:
            document = self._stored.bucket(key)
            if document is None:
                return None
            self._held[key] = from_doc(sort, document)
        return self._held[key]

    def put(self, key: BucketKey, bucket: Any) -> None:
        """Replace a bucket; it is written at the next save."""
        self._held[key] = bucket
        self._touched.add(key)

    def timed(self, place: tuple[str, str, str], start: Micros, kind: str, sort: type[_Timed]) -> _Timed:
        """Return a bucket for writing, a blank one if there is none yet."""
        key = BucketKey(*place, start, kind)
        bucket = self.get(key, sort) or sort(start=start)
        self.put(key, bucket)
        return bucket

    def between(
        self, place: tuple[str, str, str], start: Micros, end: Micros, kind: str, sort: type[_Timed]
    ) -> list[_Timed]:
        """Return the buckets that begin in [start, end), oldest first."""
        stored = self._stored.buckets(*place, start, end, kind=kind)
        touched = {key.start for key in self._touched if key[:3] == place and key.kind == kind}
        starts = sorted({*stored, *(at for at in touched if start <= at < end)})
        found: list[_Timed] = []
        for at in starts:
            key = BucketKey(*place, at, kind)
            if key not in self._held:
                self._held[key] = from_doc(sort, stored[at])
            found.append(self._held[key])
        return found

    def unsaved(self) -> dict[BucketKey, Mapping[str, Any]]:
        """Return the documents of what was touched."""
        return {key: to_doc(self._held[key]) for key in self._touched}

    def saved(self) -> None:
        """Note that what was touched is on disk."""
        self._touched.clear()
        if len(self._held) > _KEPT_IN_MEMORY:
            self._held.clear()

    def drop(self) -> None:
        """Forget everything: a save failed, so the disk knows better."""
        self._held.clear()
        self._touched.clear()


def harm_key(system: str, environment: str, release: str) -> BucketKey:
    """Name the harm test of a release."""
    return BucketKey(system, environment, release, 0, "harm")


def merge_features(start: Micros, buckets: Sequence[FeatureBucket]) -> FeatureBucket:
    """Add up feature buckets to one."""
    whole = FeatureBucket(start=start)
    for bucket in buckets:
        whole.rows += bucket.rows
        for name, document in bucket.counts.items():
            whole.counts[name] = _sum(whole.counts.get(name), document)
        if bucket.predictions:
            whole.predictions = _sum(whole.predictions or None, bucket.predictions)
    return whole


def _sum(known: Mapping[str, Any] | None, document: Mapping[str, Any]) -> dict[str, Any]:
    if known is None or known["bins"] != document["bins"]:
        return dict(document)
    return merge(Counts.from_doc(known), Counts.from_doc(document)).to_doc()
