"""Quality: the thresholds that the manifest states, or else no worse than the release in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from roadworthy.domain.verdict import Judgement
from roadworthy.gates.judging import answers, failed, figure, finite, inconclusive, judged, passed
from roadworthy.gates.measures import LOSS_NAMES, METRICS, metric, metrics, row_losses
from roadworthy.manifest.defaults_v1 import GATE_PARAMETERS
from roadworthy.ports.gate import Rows, Trial
from roadworthy.ports.runtime import Outputs
from roadworthy.stats.intervals import Interval
from roadworthy.stats.quality import paired_difference

FEWEST_ROWS: Final = 30


class QualityGate:
    """Measures the candidate on the hold-out rows, with an interval, against a threshold or the champion."""

    name: ClassVar[str] = "quality"
    needs: ClassVar[str] = "the stated metric beyond its threshold, or no worse than the release in force"
    defaults: ClassVar[Mapping[str, Any]] = GATE_PARAMETERS["quality"]

    def judge(self, trial: Trial, parameters: Mapping[str, Any]) -> Judgement:
        """Pass, fail or, where the interval straddles the line, say that the evidence does not suffice."""
        return judged(self._judge, trial, {**self.defaults, **parameters})

    def _judge(self, trial: Trial, given: Mapping[str, Any]) -> Judgement:
        rows, interface = trial.holdout(), trial.system.content.interface
        if rows.n < FEWEST_ROWS:
            return inconclusive(f"{rows.n} hold-out rows are too few; {FEWEST_ROWS} are needed", {"n": rows.n})
        own = answers(trial.predict, rows.columns, "the hold-out rows")
        evidence: dict[str, Any] = {"n": rows.n, "rows": rows.note, "candidate": metrics(interface, rows.target, own)}
        if given["metric"]:
            return self._against_thresholds(trial, given, rows, own, evidence)
        return self._against_champion(trial, given, rows, own, evidence)

    def _against_thresholds(
        self, trial: Trial, given: Mapping[str, Any], rows: Rows, own: Outputs, evidence: dict[str, Any]
    ) -> Judgement:
        interface, name = trial.system.content.interface, str(given["metric"])
        known = METRICS[interface.task]
        if name not in known:
            return failed(f"a {interface.task} task has no metric '{name}' (it has: {', '.join(known)})", evidence)
        least, most = given["at_least"], given["at_most"]
        if least is None and most is None:
            return failed(f"the threshold of '{name}' is missing: state at_least or at_most", evidence)
        found = metric(name, interface, rows.target, own, float(given["confidence"]))
        if found is None:
            return inconclusive(f"'{name}' is not defined on these {rows.n:,} rows", evidence)
        evidence |= {"metric": name, "measured": figure(found), "at_least": least, "at_most": most}
        return _beyond(name, found, least, most, evidence)

    def _against_champion(
        self, trial: Trial, given: Mapping[str, Any], rows: Rows, own: Outputs, evidence: dict[str, Any]
    ) -> Judgement:
        interface = trial.system.content.interface
        champion = trial.champion(rows.columns)
        if champion is None:
            return passed("no earlier release to compare with; the gate 'baseline' judges", evidence)
        loss, other = row_losses(interface, rows.target, own), row_losses(interface, rows.target, champion)
        gap = paired_difference(loss, other, float(given["confidence"]))
        allowed = float(given["margin"]) * float(other.mean())
        evidence |= {
            "champion": metrics(interface, rows.target, champion),
            "loss": {
                "name": LOSS_NAMES[interface.task],
                "candidate": float(loss.mean()),
                "champion": float(other.mean()),
            },
            "difference": figure(gap),
            "allowed": finite(allowed),
        }
        text = (
            f"{LOSS_NAMES[interface.task]} {loss.mean():.4g} against the champion's {other.mean():.4g} on the same "
            f"{rows.n:,} rows, difference {gap.estimate:+.4g} [{gap.low:+.4g}, {gap.high:+.4g}], allowed {allowed:+.4g}"
        )
        if gap.low > allowed:
            return failed(f"worse than the release in force: {text}", evidence)
        if gap.estimate > allowed:
            return inconclusive(f"it may be worse than the release in force: {text}", evidence)
        return passed(f"no worse than the release in force: {text}", evidence)


def _beyond(
    name: str, found: Interval, least: float | None, most: float | None, evidence: Mapping[str, Any]
) -> Judgement:
    """Fail only when the whole interval misses a threshold; straddling one is no answer."""
    shown = f"{name} {found.estimate:.4g} [{found.low:.4g}, {found.high:.4g}], n={found.n:,}"
    asked = [f"at least {least:g}"] if least is not None else []
    asked += [f"at most {most:g}"] if most is not None else []
    wanted = " and ".join(asked)
    if (least is not None and found.high < least) or (most is not None and found.low > most):
        return failed(f"{shown}; {wanted} is asked", evidence)
    if (least is not None and found.low < least) or (most is not None and found.high > most):
        return inconclusive(f"{shown} does not settle whether it is {wanted}; more hold-out rows would", evidence)
    return passed(f"{shown}; {wanted} is asked", evidence)
