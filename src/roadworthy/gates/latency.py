"""Latency: p99 through the real serving path, beside an echo that says what the machine was worth meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from roadworthy.domain.verdict import Judgement, VerdictState
from roadworthy.gates.judging import failed, inconclusive, judged, passed
from roadworthy.manifest.defaults_v1 import GATE_PARAMETERS
from roadworthy.ports.gate import LoadReport, Trial

ATTEMPTS: Final = 3
MOST_ERRORS: Final = 0.01
NOISY_SHARE: Final = 0.25
NOISY_FACTOR: Final = 3.0
_FEWEST_REQUESTS: Final = 50


class LatencyGate:
    """Load-tests a real worker at a fixed rate and holds its p99 against the budget."""

    name: ClassVar[str] = "latency"
    needs: ClassVar[str] = "p99 within the budget, through a real worker at the stated rate"
    defaults: ClassVar[Mapping[str, Any]] = GATE_PARAMETERS["latency"]

    def judge(self, trial: Trial, parameters: Mapping[str, Any]) -> Judgement:
        """Pass within the budget, fail beyond it; when the machine itself was too noisy to tell, say so.

        Noise only adds to a latency, and p99 of a short test rests on a request or two: the best of three tests counts.
        """
        return judged(self._judge, trial, {**self.defaults, **parameters})

    def _judge(self, trial: Trial, given: Mapping[str, Any]) -> Judgement:
        found = failed("it was never measured", {})
        for attempt in range(1, ATTEMPTS + 1):
            report = trial.load(float(given["seconds"]), float(given["rate"]))
            found = _decided(report, given, attempt)
            if found.state is VerdictState.PASS or _is_sure(report, given):
                break
        return found


_MACHINE: Final = "machine:"


def _decided(report: LoadReport, given: Mapping[str, Any], attempt: int) -> Judgement:
    budget_us = float(given["p99_ms"]) * 1e3
    evidence = _evidence(report, given, attempt)
    text = (
        f"p99 {report.p99_us / 1e3:.1f} ms, budget {budget_us / 1e3:.1f} ms "
        f"(p50 {report.p50_us / 1e3:.1f} ms, {report.requests:,} requests at {given['rate']:g} a second; "
        f"echo p99 {report.echo_p99_us / 1e3:.1f} ms)"
    )
    if report.requests < _FEWEST_REQUESTS:
        return inconclusive(f"{report.requests} requests give no p99; raise rate or seconds", evidence)
    failing = report.errors > MOST_ERRORS * report.requests
    if failing:
        text = f"{report.errors} of {report.requests:,} requests were not answered by the candidate; {text}"
    if report.p99_us <= budget_us:
        return failed(text, evidence) if failing else passed(text, evidence)
    noise = "" if _is_sure(report, given) else _noise(report, budget_us)
    return inconclusive(f"{_MACHINE} {noise}; {text}", evidence) if noise else failed(text, evidence)


def _is_sure(report: LoadReport, given: Mapping[str, Any]) -> bool:
    """Tell whether half of the requests exceed the budget by more than the slowest echo cost: no noise does that."""
    return report.p50_us - report.echo_p99_us > float(given["p99_ms"]) * 1e3


def _noise(report: LoadReport, budget_us: float) -> str:
    """Say what is wrong with the machine, or nothing.

    Noise only adds to a latency, so it never spoils a pass. It spoils a fail when an echo that does no work needs a
    quarter of the budget, or when the echo before and after the load test differ by more than a factor of three and
    the slower one needs a tenth of the budget.
    """
    if report.echo_p99_us > NOISY_SHARE * budget_us:
        return f"an empty answer already takes {report.echo_p99_us / 1e3:.1f} ms at p99, over a quarter of the budget"
    low, high = sorted(report.echo_halves_us)
    if low > 0 and high / low > NOISY_FACTOR and high > 0.1 * budget_us:
        return f"the echo's p99 changed from {low / 1e3:.1f} to {high / 1e3:.1f} ms within the test"
    return ""


def _evidence(report: LoadReport, given: Mapping[str, Any], attempt: int) -> dict[str, Any]:
    return {
        "p50_us": round(report.p50_us),
        "p99_us": round(report.p99_us),
        "budget_us": round(float(given["p99_ms"]) * 1e3),
        "requests": report.requests,
        "errors": report.errors,
        "rate": float(given["rate"]),
        "echo_p50_us": round(report.echo_p50_us),
        "echo_p99_us": round(report.echo_p99_us),
        "echo_halves_us": [round(half) for half in report.echo_halves_us],
        "native": report.native,
        "attempt": attempt,
    }
