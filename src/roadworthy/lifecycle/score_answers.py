"""Score live answers with the scorers of the gates, off the request path, and post the scores as outcomes.

Which answers are scored is decided by their ids alone, and what was scored is read back from the outcomes, so that a
restart neither repeats nor skips one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.interface import Interface
from roadworthy.domain.llm import HISTORY, QUESTION, TEXT_OUTPUTS
from roadworthy.domain.moment import DAY, HOUR, SECOND, Micros
from roadworthy.domain.pin import Usage
from roadworthy.domain.record import Flag, Outcome, Record, is_sampled, outcome_key
from roadworthy.domain.system import Policy, ScorePlan
from roadworthy.lifecycle import present
from roadworthy.lifecycle.outcomes import append
from roadworthy.manifest.suites import read_suite
from roadworthy.ports.evaluation import Answered, Case, Scored, Scorer, Scores, Suite
from roadworthy.ports.plane import Plane
from roadworthy.runtimes.scoring.score import score_checks
from roadworthy.stores.codec import from_json
from roadworthy.stores.records import open_log

SCORE: Final = "score"
COST: Final = "score.cost"
"""What the judges of one answer cost, in picounits: how a restart knows what the day has spent."""
WRITER: Final = "scores"
SOURCE: Final = "roadworthy"
AT_ONCE: Final = 16
LOOK_BACK: Final[Micros] = HOUR
"""How far behind its newest score a look begins: answers that came in out of order are not skipped."""
_SETTLED: Final[Micros] = 2 * SECOND
_SEGMENT_BYTES: Final = 1 << 20
_WAIT_S: Final = 30.0
_OK: Final = 200
_TRIES: Final = 3

ScorerFor = Callable[[Plane, Candidate, Policy], Scorer]
"""Opens the judges of a release; given by wiring, which can start local models."""


def case_of(suite: Suite, record: Record, interface: Interface) -> Case | None:
    """Return what a recorded answer is scored by; None where its payload was not kept."""
    given = dict(zip((field.name for field in interface.inputs), record.inputs, strict=False))
    question = given.get(QUESTION)
    if not isinstance(question, str) or not record.outputs or not isinstance(record.outputs[0], str):
        return None
    known = suite.case_for(question)
    history = given.get(HISTORY)
    return Case(
        id=known.id, question=question, history=tuple(from_json(history)) if isinstance(history, str) else (),
        inputs={name: value for name, value in given.items() if name not in (QUESTION, HISTORY) and value is not None},
        checks=known.checks, judges=known.judges, passages=known.passages, answerable=known.answerable,
        suite=known.suite,
    )  # fmt: skip


def answered_of(record: Record, case: Case) -> Answered:
    """Read an answer from its record, as a caller of the gates' trial got it."""
    said: dict[str, Any] = dict(zip(TEXT_OUTPUTS, record.outputs, strict=False))
    found = [step for step in record.steps if step.kind == "retrieval"]
    passages = found[-1].detail.split(",") if found and found[-1].detail else []
    return Answered(
        case=case.name,
        repeat=0,
        text=str(said.get("text") or ""),
        finish=str(said.get("finish") or ""),
        usage=Usage(
            input=said.get("input_tokens") or 0,
            output=said.get("output_tokens") or 0,
            cached_input=said.get("cached_tokens") or 0,
        ),
        cost_picos=said.get("cost_picos") or 0,
        latency_us=record.latency_us,
        first_token_us=said.get("first_token_us") or 0,
        passages=tuple(passages),
        abstained=bool(record.flags & Flag.ABSTAINED),
        record=record.id,
    )


def is_answer(record: Record) -> bool:
    """Claim that a record is an answer that its release itself gave to a live caller."""
    return record.status == _OK and not record.flags & (Flag.SHADOW | Flag.FALLBACK)


@dataclass(slots=True)
class _Place:
    """Where the scoring of one system in one environment has got to, and what its judges cost today."""

    since: Micros
    day: Micros
    spent: int
    done: set[str]
    tries: dict[str, int]


class AnswerScorer:
    """Scores a share of live answers for one control process. Not thread-safe: one job of control owns it."""

    def __init__(self, plane: Plane, scorer_for: ScorerFor) -> None:
        self._plane = plane
        self._scorer_for = scorer_for
        self._places: dict[tuple[str, str], _Place] = {}

    def score(self) -> int:
        """Score what is due, a few answers at a time; return how many got their outcomes.

        Raises:
            StoreError: the disk is full; what was posted counts once when it is posted again.
        """
        scored = 0
        for system in present.systems(self._plane):
            policy = present.policy(self._plane, system)
            if policy.watch.score is None:
                continue
            for route in present.routes(self._plane, system):
                scored += self._score(system, route.environment, policy, policy.watch.score)
        return scored

    def _score(self, system: str, environment: str, policy: Policy, plan: ScorePlan) -> int:
        now = self._plane.clock.now()
        place = self._place(system, environment, now)
        if place.day != now - now % DAY:
            place.day, place.spent = now - now % DAY, 0
        due = list(self._due(system, environment, plan, place, now))
        if not due:
            return 0
        suite = read_suite(plan.text, plan.suite)
        releases, outcomes = present.releases(self._plane, system), list[Outcome]()
        ended = list[str]()
        for record in due:
            release = releases.get(record.release)
            case = case_of(suite, record, release.candidate.interface) if release is not None else None
            if release is None or case is None:
                ended.append(record.id)
                continue
            scores = self._scores((case, answered_of(record, case)), policy, plan, release.candidate, place)
            place.tries[record.id] = place.tries.get(record.id, 0) + 1
            if scores.troubles and place.tries[record.id] < _TRIES:
                continue
            outcomes += _outcomes(record, scores, now)
            ended.append(record.id)
        self._append(outcomes)
        place.done.update(ended)
        place.since = max(place.since, min(record.answered_at for record in due) - LOOK_BACK)
        return len({outcome.record for outcome in outcomes})

    def _scores(self, scored: Scored, policy: Policy, plan: ScorePlan, candidate: Candidate, place: _Place) -> Scores:
        """Score by checks always, by judges while the day's cap is not spent."""
        known = score_checks(scored)
        if not scored[0].judges or place.spent >= plan.cap_picos or candidate.is_baseline:
            return known
        (found,) = self._scorer_for(self._plane, candidate, policy)([scored])
        place.spent += found.cost_picos
        return found

    def _due(self, system: str, environment: str, plan: ScorePlan, place: _Place, now: Micros) -> Iterator[Record]:
        """Yield the next answers to score, oldest first; the newest moments may still miss frames of other workers."""
        count = 0
        for record in self._plane.records.scan(system, environment, place.since, now - _SETTLED):
            if record.id in place.done or not is_answer(record) or not is_sampled(record.id, plan.share):
                continue
            if any(_is_score(known.scorer) for known in self._plane.records.outcomes_of(record.id)):
                place.done.add(record.id)
                continue
            yield record
            count += 1
            if count == AT_ONCE:
                return

    def _place(self, system: str, environment: str, now: Micros) -> _Place:
        """Find where an earlier process got to: behind its newest score, or a day back where there is none."""
        known = self._places.get((system, environment))
        if known is None:
            day = now - now % DAY
            rows = self._plane.records.query(
                "select max(r.answered_at) as newest from outcomes o join records r on r.id = o.record"
                " where o.system = ? and o.environment = ? and (o.scorer = ? or starts_with(o.scorer, ?))",
                (system, environment, SCORE, f"{SCORE}."),
            )
            newest = rows[0]["newest"] if rows and rows[0]["newest"] is not None else None
            since = now - DAY if newest is None else int(newest) - LOOK_BACK
            known = _Place(since=since, day=day, spent=self._spent(system, environment, day), done=set(), tries={})
            self._places[system, environment] = known
        return known

    def _spent(self, system: str, environment: str, day: Micros) -> int:
        costs = self._plane.records.query(
            "select record from outcomes where system = ? and environment = ? and scorer = ? and known_at >= ?",
            (system, environment, COST, day),
        )
        posted = (one for row in costs for one in self._plane.records.outcomes_of(str(row["record"])))
        return sum(int(one.value) for one in posted if one.scorer == COST and isinstance(one.value, int | float))

    def _append(self, outcomes: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        log = open_log(self._plane.home.records, WRITER, segment_bytes=_SEGMENT_BYTES, wait_s=_WAIT_S)
        try:
            append(log, outcomes)
        finally:
            log.close()


def _is_score(scorer: str) -> bool:
    return scorer == SCORE or scorer.startswith(f"{SCORE}.")


def _outcomes(record: Record, scores: Scores, now: Micros) -> list[Outcome]:
    """Return the outcomes of one answer: one a scorer, their mean where it is whole, and what the judges cost."""
    found: dict[str, float] = {f"{SCORE}.{name}": value for name, value in scores.checks.items()}
    found |= {f"{SCORE}.{name}": value for name, value in scores.judges.items() if value is not None}
    if scores.value is not None:
        found[SCORE] = scores.value
    if scores.cost_picos:
        found[COST] = float(scores.cost_picos)
    return [_outcome(record, scorer, value, now) for scorer, value in found.items()]


def _outcome(record: Record, scorer: str, value: float, now: Micros) -> Outcome:
    # The key leaves the value out: an answer is scored once by each scorer, whatever a judge would say the next time.
    key = outcome_key(record.system, record.environment, scorer, record.id, "", 0, "once")
    return Outcome(
        key, record.system, record.environment, scorer, value, now, now, record.id, "", record.event_time, SOURCE
    )
