"""Observe: fold what the record log holds since the last look, join outcomes, and say what the monitors see.

The cost of a look depends on what is new, not on history: buckets are counts and merge exactly. Buckets and the
cursor into the log are saved in one transaction, so each frame counts once, whoever is killed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from roadworthy import plugins
from roadworthy.domain.interface import FieldRole, Task, label_of
from roadworthy.domain.ledger import Noun
from roadworthy.domain.moment import SECOND, Micros
from roadworthy.domain.objective import Signal
from roadworthy.domain.record import Flag, Record
from roadworthy.domain.reference import Reference
from roadworthy.domain.release import Release
from roadworthy.domain.rollout import Progress, Rollout, RolloutState
from roadworthy.domain.route import Route
from roadworthy.domain.system import System
from roadworthy.errors import Conflict
from roadworthy.lifecycle.folding import (
    answer_width,
    by_bucket,
    event_width,
    fold_answers,
    fold_features,
    fold_predictions,
    start_of,
)
from roadworthy.lifecycle.joining import Joined, Joiner, decision_loss
from roadworthy.lifecycle.trials import TrialState, fold_trial, progress_of
from roadworthy.monitors.harm import fold_losses, promise
from roadworthy.ports.monitor import SCORE_BINS, AnswerBucket, FeatureBucket, HarmState, Monitor, QualityBucket, View
from roadworthy.ports.observations import BucketKey
from roadworthy.ports.plane import Plane
from roadworthy.stats.counts import Bins, Counts, merge
from roadworthy.stores.codec import from_doc, to_doc

SLOW_EVERY: Micros = 2 * SECOND
PAST_WINDOWS = 8
_SLOW = frozenset({"drift", "predictions"})
_EVERYTHING = 2**62
_Bucket = TypeVar("_Bucket", AnswerBucket, FeatureBucket, QualityBucket, HarmState, TrialState)


@dataclass(slots=True)
class _Known:
    """A release as observation needs it, read once."""

    release: Release
    reference: Reference | None
    bins: dict[str, Bins] = field(default_factory=dict[str, Bins])
    prediction_bins: Bins | None = None


@dataclass(slots=True)
class _Cache:
    """Buckets in memory, written back with the cursor; dropped whole when a save fails."""

    buckets: dict[BucketKey, Any] = field(default_factory=dict[BucketKey, Any])
    dirty: set[BucketKey] = field(default_factory=set[BucketKey])
    watermarks: dict[tuple[str, str], Micros] = field(default_factory=dict[tuple[str, str], Micros])


class Observer:
    """Looks at the record log for one control process. Not thread-safe: the leader's loop owns it."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._joiner = Joiner(plane.records)
        self._cache = _Cache()
        self._known: dict[str, _Known] = {}
        self._monitors: dict[str, Monitor] = {
            name: plugins.load("monitors", name) for name in plugins.names("monitors")
        }
        self._slow_due: dict[str, Micros] = {}
        self._warm = False

    def observe(self, now: Micros, wall: Micros) -> int:
        """Fold what is new and store fresh signals; return the number of frames folded.

        Args:
            now: the home's time, which windows end at.
            wall: the machine's time in µs, which paces the costly monitors.

        Raises:
            StoreError: the disk is full or read-only; nothing is half kept, the next look folds the same frames.
        """
        if not self._warm:
            self._remember_running_rollouts(now)
        cursor = self._plane.observations.cursor()
        frames = self._plane.records.tail(cursor)
        systems = self._systems()
        try:
            self._fold(frames.records, frames.outcomes, systems, now)
            signals = self._signals(systems, now, wall)
            self._plane.observations.save(
                before=cursor, cursor=frames.cursor, buckets=self._dirty_documents(), signals=signals
            )
        except Exception as error:
            self._cache = _Cache()
            if isinstance(error, Conflict):
                return 0
            raise
        self._cache.dirty.clear()
        self._forget_old_buckets()
        return len(frames.records) + len(frames.outcomes)

    def progress(self, rollout: Rollout) -> Progress:
        """Say what is known of the challenger in the rollout's present stage."""
        state = self._load(self._trial_key(rollout), TrialState, {"rollout": rollout.id})
        system = self._systems().get(rollout.system)
        margin = system.policy.watch.harm_margin if system else 0.0
        if state.rollout != rollout.id or state.stage != rollout.stage_index:
            return Progress()
        return progress_of(state, rollout.stage, margin)

    # Folding

    def _fold(
        self, records: Sequence[Record], outcomes: Sequence[Any], systems: Mapping[str, System], now: Micros
    ) -> None:
        self._joiner.remember(records)
        groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for record in records:
            if record.system in systems:
                groups[record.system, record.environment].append(record)
        for (name, environment), of_system in groups.items():
            self._fold_records(systems[name], environment, of_system)
        joined: dict[tuple[str, str], list[Joined]] = defaultdict(list)
        for one in self._joiner.join(outcomes):
            if one.record.system in systems and one.outcome.scorer == "label":
                joined[one.record.system, one.record.environment].append(one)
        for (name, environment), of_joined in joined.items():
            self._fold_outcomes(systems[name], environment, of_joined, now)
        for name, environment in {*groups, *joined}:
            self._fold_trials(systems[name], environment, groups[name, environment], joined[name, environment])

    def _fold_records(self, system: System, environment: str, records: Sequence[Record]) -> None:
        watch = system.policy.watch
        ages = [one.name for one in system.content.interface.inputs if one.role is FieldRole.AGE]
        answered = by_bucket(records, answer_width(watch), event=False)
        for (release, start), group in answered.items():
            for name in {release, ""}:
                bucket = self._load(
                    BucketKey(system.name, environment, name, start, "answers"), AnswerBucket, {"start": start}
                )
                fold_answers(bucket, group, ages)
        given = [one for one in records if not one.flags & Flag.SHADOW and one.status < 400]  # noqa: PLR2004
        for (release, start), group in by_bucket(given, event_width(watch), event=True).items():
            self._fold_events(system, environment, release, start, group)
        if given:
            place = (system.name, environment)
            newest = max(one.event_time for one in given)
            self._cache.watermarks[place] = max(newest, self._watermark(*place))
            self._mark(BucketKey(*place, "", 0, "watermark"), {"at": self._cache.watermarks[place]})

    def _fold_events(
        self, system: System, environment: str, release: str, start: Micros, records: Sequence[Record]
    ) -> None:
        known = self._release(release)
        for name in {release, ""}:
            quality = self._load(
                BucketKey(system.name, environment, name, start, "quality"), QualityBucket, {"start": start}
            )
            quality.records += len(records)
        if known is None or known.reference is None:
            return
        interface = known.release.candidate.interface
        bucket = self._load(
            BucketKey(system.name, environment, release, start, "features"), FeatureBucket, {"start": start}
        )
        fold_features(bucket, records, interface, known.reference, known.bins)
        own = [one for one in records if one.release == release]
        if known.prediction_bins is not None:
            fold_predictions(bucket, own, interface.task, known.prediction_bins)

    def _fold_outcomes(self, system: System, environment: str, joined: Sequence[Joined], now: Micros) -> None:
        losses: dict[str, list[float]] = defaultdict(list)
        for one in joined:
            for record in (one.record, *one.shadows):
                loss = self._fold_quality(system, environment, record, one)
                if loss is not None and not record.flags & Flag.SHADOW and one.replaces is None:
                    losses[record.release].append(loss)
        for release, of_release in losses.items():
            self._fold_harm(system, environment, release, of_release, now)

    def _fold_quality(self, system: System, environment: str, record: Record, one: Joined) -> float | None:
        known = self._release(record.release)
        if known is None:
            return None
        interface, scale = known.release.candidate.interface, _scale(known)
        loss = decision_loss(interface, record.outputs, one.outcome.value, scale)
        if loss is None:
            return None
        start = start_of(record.event_time, event_width(system.policy.watch))
        before = None
        if one.replaces is not None:
            before = decision_loss(interface, record.outputs, one.replaces.value, scale)
        for name in {record.release} if record.flags & Flag.SHADOW else {record.release, ""}:
            key = BucketKey(system.name, environment, name, start, "quality")
            bucket = self._load(key, QualityBucket, {"start": start})
            if before is not None and one.replaces is not None:
                _count_loss(bucket, before, -1)
                if interface.task is Task.BINARY:
                    _count_score(bucket, record, label_of(interface, one.replaces.value) == interface.positive, -1)
            _count_loss(bucket, loss, 1)
            if interface.task is Task.BINARY:
                _count_score(bucket, record, label_of(interface, one.outcome.value) == interface.positive, 1)
        return loss

    def _fold_harm(self, system: System, environment: str, release: str, losses: Sequence[float], now: Micros) -> None:
        known = self._release(release)
        if known is None or known.reference is None:
            return
        watch = system.policy.watch
        key = BucketKey(system.name, environment, release, 0, "harm")
        since = self._live_since(system.name, environment, release)
        state = self._load(key, HarmState, {"since": since})
        if state.since != since:
            state = HarmState(since=since)
        m0 = promise(known.reference, watch)
        self._mark(key, fold_losses(state, np.asarray(losses), m0, watch.harm_alpha, now))

    def _fold_trials(
        self, system: System, environment: str, records: Iterable[Record], joined: Iterable[Joined]
    ) -> None:
        rollout = self._rollout(system.name, environment)
        if rollout is None or rollout.state is not RolloutState.RUNNING:
            return
        key = self._trial_key(rollout)
        state = self._load(key, TrialState, {"rollout": rollout.id, "stage": rollout.stage_index})
        if state.rollout != rollout.id or state.stage != rollout.stage_index:
            state = TrialState(rollout=rollout.id, stage=rollout.stage_index)

        def loss_of(record: Record, truth: Any) -> float | None:
            known = self._release(record.release)
            if known is None:
                return None
            return decision_loss(known.release.candidate.interface, record.outputs, truth, _scale(known))

        self._mark(key, fold_trial(state, rollout, records, joined, loss_of))

    # Signals

    def _signals(self, systems: Mapping[str, System], now: Micros, wall: Micros) -> list[Signal]:
        signals: list[Signal] = []
        for name, system in systems.items():
            slow_is_due = wall >= self._slow_due.get(name, 0)
            for subject, document in self._plane.ledger.states(Noun.ROUTE, name).items():
                route = from_doc(Route, document)
                for release in ("", *_watched(route)):
                    signals.extend(self._signals_of(system, route.environment, release, now, slow=slow_is_due))
                del subject
            if slow_is_due:
                self._slow_due[name] = wall + SLOW_EVERY
        return signals

    def _signals_of(self, system: System, environment: str, release: str, now: Micros, *, slow: bool) -> list[Signal]:
        view = self._view(system, environment, release, now, slow=slow)
        found: list[Signal] = []
        for name, monitor in self._monitors.items():
            if slow or name not in _SLOW:
                found.extend(monitor.watch(view))
        return found

    def _view(self, system: System, environment: str, release: str, now: Micros, *, slow: bool) -> View:
        watch = system.policy.watch
        known = self._release(release) if release else None
        watermark = self._watermark(system.name, environment)
        start = watermark - watch.drift_window
        place = (system.name, environment, release)
        features: Sequence[FeatureBucket] = ()
        past: Sequence[FeatureBucket] = ()
        if slow and known is not None:
            features = self._between(place, start, _EVERYTHING, "features", FeatureBucket)
            past = self._past(place, start, watch.drift_window)
        return View(
            system=system,
            environment=environment,
            release=known.release if known else None,
            reference=known.reference if known else None,
            now=now,
            watermark=watermark,
            answers=self._between(place, now - watch.window, _EVERYTHING, "answers", AnswerBucket),
            features=features,
            past_features=past,
            quality=self._between(place, start, _EVERYTHING, "quality", QualityBucket),
            harm=self._peek(BucketKey(*place, 0, "harm"), HarmState) if release else None,
        )

    def _past(self, place: tuple[str, str, str], start: Micros, width: Micros) -> list[FeatureBucket]:
        merged: list[FeatureBucket] = []
        for back in range(1, PAST_WINDOWS + 1):
            begin = start - back * width
            window = self._between(place, begin, begin + width, "features", FeatureBucket)
            if window:
                merged.append(_merged(begin, window))
        return merged

    # Buckets

    def _between(
        self, place: tuple[str, str, str], start: Micros, end: Micros, kind: str, sort: type[_Bucket]
    ) -> list[_Bucket]:
        stored = self._plane.observations.buckets(*place, start, end, kind=kind)
        fresh = {
            key.start: bucket
            for key, bucket in self._cache.buckets.items()
            if key[:3] == place and key.kind == kind and start <= key.start < end
        }
        starts = sorted({*stored, *fresh})
        return [fresh[at] if at in fresh else from_doc(sort, stored[at]) for at in starts]

    def _load(self, key: BucketKey, sort: type[_Bucket], blank: Mapping[str, Any]) -> _Bucket:
        """Return the bucket for writing; it is saved at the end of this look."""
        bucket = self._peek(key, sort)
        if bucket is None:
            bucket = sort(**blank)
        self._mark(key, bucket)
        return bucket

    def _peek(self, key: BucketKey, sort: type[_Bucket]) -> _Bucket | None:
        if key in self._cache.buckets:
            return self._cache.buckets[key]
        document = self._plane.observations.bucket(key)
        return from_doc(sort, document) if document is not None else None

    def _mark(self, key: BucketKey, bucket: Any) -> None:
        self._cache.buckets[key] = bucket
        self._cache.dirty.add(key)

    def _dirty_documents(self) -> dict[BucketKey, Mapping[str, Any]]:
        return {key: to_doc(self._cache.buckets[key]) for key in self._cache.dirty}

    def _forget_old_buckets(self) -> None:
        if len(self._cache.buckets) > 2_000:  # noqa: PLR2004 (what is saved can be read again)
            self._cache.buckets.clear()

    def _watermark(self, system: str, environment: str) -> Micros:
        place = (system, environment)
        if place not in self._cache.watermarks:
            document = self._plane.observations.bucket(BucketKey(*place, "", 0, "watermark"))
            self._cache.watermarks[place] = int(document["at"]) if document else 0
        return self._cache.watermarks[place]

    # The ledger's state

    def _systems(self) -> dict[str, System]:
        return {name: from_doc(System, document) for name, document in self._plane.ledger.states(Noun.SYSTEM).items()}

    def _rollout(self, system: str, environment: str) -> Rollout | None:
        document = self._plane.ledger.state(Noun.ROLLOUT, f"{system}/{environment}")
        return from_doc(Rollout, document) if document is not None else None

    def _live_since(self, system: str, environment: str, release: str) -> str:
        rollout = self._rollout(system, environment)
        if rollout is not None and rollout.release == release:
            return rollout.id
        state = self._peek(BucketKey(system, environment, release, 0, "harm"), HarmState)
        return state.since if state is not None else ""

    def _release(self, release: str) -> _Known | None:
        if release not in self._known:
            document = self._plane.ledger.state(Noun.RELEASE, release) if release else None
            if document is None:
                return None
            self._known[release] = self._read_release(from_doc(Release, document))
        return self._known[release]

    def _read_release(self, release: Release) -> _Known:
        artifact = release.candidate.artifact("reference")
        if artifact is None:
            return _Known(release, None)
        reference = _read_reference(self._plane.artifacts.get(artifact.digest))
        bins = {name: Bins.from_doc(document) for name, document in reference.bins.items()}
        answers = Bins.from_doc(reference.prediction_bins) if reference.prediction_bins else None
        return _Known(release, reference, bins, answers)

    def _trial_key(self, rollout: Rollout) -> BucketKey:
        return BucketKey(rollout.system, rollout.environment, rollout.release, 0, "trial")

    def _remember_running_rollouts(self, now: Micros) -> None:
        """After a restart, read the answers of running rollouts again, so that their outcomes find shadow answers."""
        for document in self._plane.ledger.states(Noun.ROLLOUT).values():
            rollout = from_doc(Rollout, document)
            if rollout.state is RolloutState.RUNNING:
                span = self._plane.records.scan(rollout.system, rollout.environment, rollout.stage_started_at, now + 1)
                self._joiner.remember(span)
        self._warm = True


def _read_reference(content: bytes) -> Reference:
    import msgspec

    return msgspec.json.decode(content, type=Reference)


def _watched(route: Route) -> tuple[str, ...]:
    named = [arm.release for arm in route.arms] + ([route.shadow.release] if route.shadow else [])
    return tuple(dict.fromkeys(named))


def _scale(known: _Known) -> float:
    return known.reference.scale if known.reference else 1.0


def _count_loss(bucket: QualityBucket, loss: float, sign: int) -> None:
    bucket.outcomes += sign
    bucket.loss += sign * loss
    bucket.loss_squares += sign * loss * loss


def _count_score(bucket: QualityBucket, record: Record, positive: bool, sign: int) -> None:
    score = record.outputs[0]
    if not isinstance(score, int | float):
        return
    bucket.brier += sign * (float(score) - positive) ** 2
    bucket.scores[int(positive)][min(SCORE_BINS - 1, int(score * SCORE_BINS))] += sign


def _merged(start: Micros, buckets: Sequence[FeatureBucket]) -> FeatureBucket:
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
