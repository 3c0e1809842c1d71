"""Observe: fold what the record log holds since the last look, join outcomes, and say what the monitors see.

The cost of a look depends on what is new, not on history: buckets are counts and merge exactly. Buckets and the
cursor into the log are saved in one transaction, so each frame counts once, whoever is killed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from roadworthy import plugins
from roadworthy.domain.interface import FieldRole, Task, label_of
from roadworthy.domain.moment import SECOND, Micros
from roadworthy.domain.objective import Signal
from roadworthy.domain.pin_watch import MOST_NAMES
from roadworthy.domain.record import Flag, Outcome, Record, Value
from roadworthy.domain.rollout import Progress, Rollout, RolloutState
from roadworthy.domain.route import Route
from roadworthy.domain.system import Policy
from roadworthy.errors import Conflict, StoreError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.buckets import Buckets, harm_key, merge_features
from roadworthy.lifecycle.budgets import shares
from roadworthy.lifecycle.chat_folder import ChatFolder
from roadworthy.lifecycle.fold_chats import told
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
from roadworthy.lifecycle.pin_books import SAID, PinBooks, names_said
from roadworthy.lifecycle.references import Known, References
from roadworthy.lifecycle.trials import TrialState, fold_trial, progress_of
from roadworthy.monitors.harm import fold_losses, promise
from roadworthy.ports.monitor import SCORE_BINS, AnswerBucket, FeatureBucket, HarmState, Monitor, QualityBucket, View
from roadworthy.ports.observations import BucketKey
from roadworthy.ports.plane import Plane

SLOW_EVERY: Micros = 2 * SECOND
PAST_WINDOWS = 8
LABEL = "label"
TEXT_SCORERS = frozenset({"score", "feedback"})
"""What says how good a text was, beside a label: the scorers of the gates, and whoever read it."""
_SLOW = frozenset({"drift", "predictions"})
_OF_RESERVES = ("model_change",)
_ALWAYS = 2**62
_REFUSED = 400


class _Here(NamedTuple):
    """One system in one environment, under the policy in force."""

    system: str
    environment: str
    policy: Policy

    @property
    def has_budgets(self) -> bool:
        """Claim that what the system spends is capped."""
        return bool(self.policy.serve.budgets)

    def of(self, release: str) -> tuple[str, str, str]:
        """Return the place of a release's buckets; an empty release is the whole system."""
        return (self.system, self.environment, release)


class Observer:
    """Looks at the record log for one control process. Not thread-safe: the leader's loop owns it.

    `offer` is handed the records of each look once they are folded, for what is built from them besides.
    """

    def __init__(self, plane: Plane, offer: Callable[[Sequence[Record]], None] | None = None) -> None:
        self._plane = plane
        self._offer = offer
        self._joiner = Joiner(plane.records)
        self._buckets = Buckets(plane.observations)
        self._references = References(plane)
        self._pins = PinBooks(plane)
        self._chats = ChatFolder(self._buckets, self._references, plane.artifacts)
        self._monitors: dict[str, Monitor] = {}
        self._slow_due: dict[tuple[str, str], Micros] = {}
        self._is_warm = False

    def observe(self, now: Micros, wall: Micros) -> int:
        """Fold what is new and store fresh signals; return the number of frames folded.

        Args:
            now: the home's time, at which windows end.
            wall: the machine's time in µs, which paces the costly monitors.

        Raises:
            StoreError: the disk is full or read-only; nothing is half kept, the next look folds the same frames.
        """
        if not self._is_warm:
            self._warm(now)
        policies = {name: present.policy(self._plane, name) for name in present.systems(self._plane)}
        cursor = self._plane.observations.cursor()
        frames = self._plane.records.tail(cursor)
        try:
            self._fold(frames.records, frames.outcomes, policies, now)
            signals = self._signals(policies, now, wall)
            self._plane.observations.save(
                before=cursor, cursor=frames.cursor, buckets=self._buckets.unsaved(), signals=signals
            )
        except Conflict:
            self._start_over()
            return 0
        except StoreError:
            self._start_over()
            raise
        self._buckets.saved()
        if self._offer is not None:
            self._offer(frames.records)
        self._plane.records.mark_read(frames.cursor)
        return len(frames.records) + len(frames.outcomes)

    def progress(self, rollout: Rollout) -> Progress:
        """Say what is known of the challenger in the rollout's present stage."""
        state = self._buckets.get(_trial_key(rollout), TrialState)
        if state is None or (state.rollout, state.stage) != (rollout.id, rollout.stage_index):
            return Progress()
        margin = present.policy(self._plane, rollout.system).watch.harm_margin
        return progress_of(state, rollout.stage, margin)

    def _start_over(self) -> None:
        self._buckets.drop()
        self._joiner = Joiner(self._plane.records)
        self._is_warm = False

    def _warm(self, now: Micros) -> None:
        """Read the answers of running rollouts again, so that their outcomes find shadow answers after a restart."""
        for system in present.systems(self._plane):
            for route in present.routes(self._plane, system):
                rollout = present.running(self._plane, system, route.environment)
                if rollout is not None:
                    span = (rollout.stage_started_at, now + 1)
                    self._joiner.remember(self._plane.records.scan(system, route.environment, *span))
        self._is_warm = True

    # Fold

    def _fold(
        self, records: Sequence[Record], outcomes: Sequence[Outcome], policies: Mapping[str, Policy], now: Micros
    ) -> None:
        self._joiner.remember(records)
        self._chats.begin_look()
        answered: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for record in records:
            answered[record.system, record.environment].append(record)
        joined: dict[tuple[str, str], list[Joined]] = defaultdict(list)
        for one in self._joiner.join(outcomes):
            if one.outcome.scorer == LABEL or self._scores_text(one):
                joined[one.record.system, one.record.environment].append(one)
        for system, environment in {*answered, *joined}:
            if system not in policies:
                continue
            here = _Here(system, environment, policies[system])
            self._fold_records(here, answered[system, environment])
            self._chats.fold(system, environment, here.policy.watch, answered[system, environment])
            self._fold_outcomes(here, joined[system, environment], now)
            self._fold_trial(here, answered[system, environment], joined[system, environment])

    def _scores_text(self, one: Joined) -> bool:
        """Claim that an outcome scores a text; its parts by single scorers are kept, and decide nothing."""
        known = self._references.get(one.record.release) if one.outcome.scorer in TEXT_SCORERS else None
        return known is not None and known.interface.task is Task.TEXT

    def _fold_records(self, here: _Here, records: Sequence[Record]) -> None:
        for (release, start), group in by_bucket(records, answer_width(here.policy.watch), event=False).items():
            known = self._references.get(release)
            ages = [one.name for one in known.interface.inputs if one.role is FieldRole.AGE] if known else []
            if known is not None and known.interface.task is Task.TEXT:
                self._fold_names(here, release, group)
            for name in {release, ""}:
                fold_answers(self._buckets.timed(here.of(name), start, "answers", AnswerBucket), group, ages)
        given = [one for one in records if not one.flags & Flag.SHADOW and one.status < _REFUSED]
        for (release, start), group in by_bucket(given, event_width(here.policy.watch), event=True).items():
            for name in {release, ""}:
                self._buckets.timed(here.of(name), start, "quality", QualityBucket).records += len(group)
            known = self._references.get(release)
            if known is not None and known.reference is not None:
                self._fold_features(here, known, start, group)
        if given:
            newest = max(*(one.event_time for one in given), self._watermark(here))
            self._buckets.put(BucketKey(*here.of(""), 0, "watermark"), {"at": newest})

    def _fold_names(self, here: _Here, release: str, group: Sequence[Record]) -> None:
        """Count what answers of a release's own pin said they are; a switch in the middle of a day shows here first."""
        key = BucketKey(*here.of(release), 0, SAID)
        counts = self._buckets.get(key, dict[str, int]) or {}
        fresh = names_said(group)
        names = [*counts, *(name for name in fresh if name not in counts)][:MOST_NAMES]
        self._buckets.put(key, {name: counts.get(name, 0) + fresh.get(name, 0) for name in names})

    def _fold_features(self, here: _Here, known: Known, start: Micros, group: Sequence[Record]) -> None:
        assert known.reference is not None
        bucket = self._buckets.timed(here.of(known.release.id), start, "features", FeatureBucket)
        fold_features(bucket, group, known.interface, known.reference, known.bins)
        if known.prediction_bins is not None:
            own = [one for one in group if one.release == known.release.id]
            fold_predictions(bucket, own, known.interface.task, known.prediction_bins)

    def _fold_outcomes(self, here: _Here, joined: Sequence[Joined], now: Micros) -> None:
        losses: dict[str, list[float]] = defaultdict(list)
        for one in joined:
            for record in (one.record, *one.shadows):
                loss = self._fold_quality(here, record, one)
                if loss is not None and not record.flags & Flag.SHADOW and one.replaces is None:
                    losses[record.release].append(loss)
        for release, of_release in losses.items():
            self._fold_harm(here, release, of_release, now)

    def _fold_quality(self, here: _Here, record: Record, one: Joined) -> float | None:
        """Count an outcome in its span of event time, taking back the one it corrects."""
        loss = self._loss(record, one.outcome.value)
        known = self._references.get(record.release)
        if loss is None or known is None:
            return None
        start = start_of(record.event_time, event_width(here.policy.watch))
        entries = [(one.outcome.value, loss, 1)]
        if one.replaces is not None:
            taken_back = self._loss(record, one.replaces.value)
            entries += [(one.replaces.value, taken_back, -1)] if taken_back is not None else []
        for name in {record.release} if record.flags & Flag.SHADOW else {record.release, ""}:
            bucket = self._buckets.timed(here.of(name), start, "quality", QualityBucket)
            for truth, of_truth, sign in entries:
                _count(bucket, record, known, truth, of_truth, sign)
        return loss

    def _fold_harm(self, here: _Here, release: str, losses: Sequence[float], now: Micros) -> None:
        known = self._references.get(release)
        if known is None or known.reference is None:
            return
        state = self._buckets.get(harm_key(*here.of(release)), HarmState)
        since = self._live_since(here, release, state)
        if state is None or state.since != since:
            state = HarmState(since=since)
        watch = here.policy.watch
        fresh = fold_losses(state, np.asarray(losses), promise(known.reference, watch), watch.harm_alpha, now)
        self._buckets.put(harm_key(*here.of(release)), fresh)

    def _fold_trial(self, here: _Here, records: Iterable[Record], joined: Iterable[Joined]) -> None:
        rollout = present.running(self._plane, here.system, here.environment)
        if rollout is None or rollout.state is not RolloutState.RUNNING:
            return
        state = self._buckets.get(_trial_key(rollout), TrialState)
        if state is None or (state.rollout, state.stage) != (rollout.id, rollout.stage_index):
            route = present.route(self._plane, here.system, here.environment)
            version = route.version if route is not None else 0
            state = TrialState(rollout=rollout.id, stage=rollout.stage_index, route=version)
        self._buckets.put(_trial_key(rollout), fold_trial(state, rollout, records, joined, self._loss))

    def _loss(self, record: Record, truth: Value) -> float | None:
        known = self._references.get(record.release)
        return decision_loss(known.interface, record.outputs, truth, known.scale) if known else None

    def _harm(self, here: _Here, release: str) -> HarmState | None:
        """Return the harm test since the release was last put in front; what an earlier one found is over."""
        state = self._buckets.get(harm_key(*here.of(release)), HarmState)
        return state if state and state.since == self._live_since(here, release, state) else None

    def _live_since(self, here: _Here, release: str, state: HarmState | None) -> str:
        """Name the promotion that a release is judged since; a forced or repeated one starts its test anew."""
        rollout = present.rollout(self._plane, here.system, here.environment)
        if rollout is not None and rollout.release == release:
            return rollout.id
        return state.since if state is not None else ""

    # Look

    def _signals(self, policies: Mapping[str, Policy], now: Micros, wall: Micros) -> list[Signal]:
        found: list[Signal] = []
        for system, policy in policies.items():
            for route in present.routes(self._plane, system):
                here = _Here(system, route.environment, policy)
                slow = wall >= self._slow_due.get(here[:2], 0)
                if slow:
                    self._slow_due[here[:2]] = wall + SLOW_EVERY
                watched = _watched(route)
                for release in ("", *watched):
                    found.extend(self._signals_of(here, route, release, now, slow=slow))
                for release in route.releases:
                    # Whoever may have to answer instead must not rest on the same changed model.
                    if release not in watched:
                        found.extend(self._signals_of(here, route, release, now, slow=slow, only=_OF_RESERVES))
        return found

    def _signals_of(
        self, here: _Here, route: Route, release: str, now: Micros, *, slow: bool, only: tuple[str, ...] = ()
    ) -> list[Signal]:
        known = self._references.get(release or route.champion)
        if known is None:
            return []
        view = self._view(here, known, whole=not release, now=now, slow=slow)
        found: list[Signal] = []
        for name in only or plugins.names("monitors"):
            if name in _SLOW and not slow:
                continue
            if name not in self._monitors:
                self._monitors[name] = plugins.load("monitors", name)
            found.extend(self._monitors[name].watch(view))
        return found

    def _view(self, here: _Here, known: Known, *, whole: bool, now: Micros, slow: bool) -> View:
        watch, watermark = here.policy.watch, self._watermark(here)
        place = here.of("" if whole else known.release.id)
        start = watermark - watch.drift_window
        has_features = slow and not whole
        harm = None if whole else self._harm(here, known.release.id)
        is_clean = harm is None or not harm.rejected_at
        return View(
            system=here.system,
            policy=here.policy,
            interface=known.interface,
            environment=here.environment,
            release=None if whole else known.release,
            reference=known.reference,
            now=now,
            watermark=watermark,
            answers=self._buckets.between(place, now - watch.window, _ALWAYS, "answers", AnswerBucket),
            features=self._buckets.between(place, start, _ALWAYS, "features", FeatureBucket) if has_features else (),
            past_features=self._past(place, start, watch.drift_window) if has_features and is_clean else (),
            quality=self._buckets.between(place, start, _ALWAYS, "quality", QualityBucket),
            harm=harm,
            pins=() if whole else self._pins.seen(known.release, here.policy, here.environment),
            budgets=shares(self._plane, here.system, here.environment, now) if whole and here.has_budgets else {},
            **self._chats.seen(place, known, now=now, start=start, window=watch.window),
        )

    def _past(self, place: tuple[str, str, str], start: Micros, width: Micros) -> list[FeatureBucket]:
        merged: list[FeatureBucket] = []
        for back in range(1, PAST_WINDOWS + 1):
            begin = start - back * width
            window = self._buckets.between(place, begin, begin + width, "features", FeatureBucket)
            if window:
                merged.append(merge_features(begin, window))
        return merged

    def _watermark(self, here: _Here) -> Micros:
        document = self._buckets.get(BucketKey(*here.of(""), 0, "watermark"), dict[str, int])
        return document["at"] if document else 0


def _trial_key(rollout: Rollout) -> BucketKey:
    return BucketKey(rollout.system, rollout.environment, rollout.release, 0, "trial")


def _watched(route: Route) -> tuple[str, ...]:
    named = [arm.release for arm in route.arms] + ([route.shadow.release] if route.shadow else [])
    return tuple(dict.fromkeys(named))


def _count(bucket: QualityBucket, record: Record, known: Known, truth: Value, loss: float, sign: int) -> None:
    bucket.outcomes += sign
    bucket.loss += sign * loss
    bucket.loss_squares += sign * loss * loss
    bucket.cost_picos += sign * told(record).cost_picos
    score = record.outputs[0] if record.outputs and known.interface.task is Task.BINARY else None
    if not isinstance(score, int | float):
        return
    positive = label_of(known.interface, truth) == known.interface.positive
    bucket.brier += sign * (float(score) - positive) ** 2
    bucket.scores[int(positive)][min(SCORE_BINS - 1, int(score * SCORE_BINS))] += sign
