"""Two releases on the same cases: the paired differences of score, cost and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from roadworthy.domain.pin import micros
from roadworthy.gates.cases import Asked, ask, cases_of, figures, in_full, scored_cases
from roadworthy.gates.judging import figure
from roadworthy.ports.evaluation import LlmTrial
from roadworthy.stats.intervals import Interval, mean_interval
from roadworthy.stats.judged import scored_difference, scored_mean


@dataclass(frozen=True, slots=True)
class Compared:
    """Candidate and rival on the same cases; differences are candidate minus rival."""

    own: Asked
    rival: Asked
    gap: Interval
    cost: Interval
    latency: Interval
    level: float

    @property
    def is_dearer(self) -> bool:
        """Claim that an answer of the candidate costs more, beyond what chance in its length explains."""
        return self.cost.low > 0

    def is_slower(self, slack: float) -> bool:
        """Claim that an answer of the candidate takes longer, beyond chance and by more than a share of the rival's."""
        own, rival = median(self.own.latencies), median(self.rival.latencies)
        return self.latency.low > 0 and own > rival * (1 + slack)

    @property
    def text(self) -> str:
        """Say the difference of the scores."""
        gap = self.gap
        own, rival = scored_mean(self.own.values, self.level), scored_mean(self.rival.values, self.level)
        return (
            f"score {own.estimate:.3f} against {rival.estimate:.3f}, difference {gap.estimate:+.3f} "
            f"[{gap.low:+.3f}, {gap.high:+.3f}] on the same {gap.n} cases"
        )

    @property
    def costs(self) -> str:
        """Say what an answer of each costs and how long it takes."""
        prices = [f"{micros(one.cost_picos) / one.count:,.1f}" for one in (self.own, self.rival)]
        times = [f"{median(one.latencies) / 1e3:,.0f}" for one in (self.own, self.rival)]
        return f"{prices[0]} against {prices[1]} micro-units and {times[0]} against {times[1]} ms an answer"


def compare(trial: LlmTrial, who: str, given: Mapping[str, Any]) -> Compared | None:
    """Put the same cases to the candidate and to a rival; None when there is no such rival.

    A judge's bias that is the same for both falls out of the difference; the gate `suite` asks whether the judges may
    be believed at all.

    Raises:
        InconclusiveError: there are no cases, or too many answers could not be had or judged.
    """
    cases, repeats, level = scored_cases(cases_of(trial, given)), int(given["repeats"]), float(given["confidence"])
    rival = ask(trial, who, cases, repeats)
    if rival is None:
        return None
    own = ask(trial, "candidate", cases, repeats)
    assert own is not None, "a trial has a candidate"
    return Compared(
        own,
        rival,
        scored_difference(own.values, rival.values, level),
        _paired(own.costs, rival.costs, level),
        _paired(own.latencies, rival.latencies, level),
        level,
    )


def evidence_of(trial: LlmTrial, found: Compared) -> dict[str, Any]:
    """Return what a verdict shows of a comparison; the answers of both are kept in full."""
    who = found.rival.who
    return {
        "n": found.gap.n,
        "difference": figure(found.gap),
        "cost_difference_picos": figure(found.cost),
        "latency_difference_us": figure(found.latency),
        "candidate": {**figures(found.own), "score": figure(scored_mean(found.own.values, found.level))},
        who: {**figures(found.rival), "score": figure(scored_mean(found.rival.values, found.level))},
        "in_full": {one.who: trial.evidence(f"{who}-{one.who}", in_full(one)) for one in (found.own, found.rival)},
    }


def _paired(own: list[float], rival: list[float], level: float) -> Interval:
    return mean_interval([a - b for a, b in zip(own, rival, strict=True)], level)
