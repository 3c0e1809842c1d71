"""The project's own tests, run by the tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from roadworthy.domain.verdict import Judgement
from roadworthy.gates.judging import failed, judged, passed
from roadworthy.manifest.defaults_v1 import GATE_PARAMETERS
from roadworthy.ports.gate import Trial

_SHOWN: Final = 5


class TestsGate:
    """Runs `tests/` in a process of its own. What a file says about earlier runs counts for nothing."""

    __test__ = False  # no test class, whatever its name begins with
    name: ClassVar[str] = "tests"
    needs: ClassVar[str] = "at least one test in tests/, and none that fails"
    defaults: ClassVar[Mapping[str, Any]] = GATE_PARAMETERS["tests"]

    def judge(self, trial: Trial, parameters: Mapping[str, Any]) -> Judgement:
        """Pass when at least one test ran and all passed; a failure is named."""
        return judged(self._judge, trial, {**self.defaults, **parameters})

    def _judge(self, trial: Trial, given: Mapping[str, Any]) -> Judgement:
        report = trial.tests(float(given["timeout_s"]))
        evidence = {
            "passed": report.passed,
            "failed": report.failed,
            "seconds": round(report.seconds, 3),
            "failures": list(report.failures[:_SHOWN]),
            "suite": report.suite,
        }
        if report.failed:
            shown = ", ".join(report.failures[:_SHOWN])
            more = f" and {report.failed - _SHOWN} more" if report.failed > _SHOWN else ""
            return failed(f"{report.failed} of {report.passed + report.failed} tests failed: {shown}{more}", evidence)
        if report.stopped:
            return failed(f"the tests did not come to their end: {report.stopped}", evidence)
        if not report.passed:
            return failed("there are no tests in tests/; write at least one", evidence)
        what = "test" if report.passed == 1 else "tests"
        return passed(f"{report.passed} {what} passed in {report.seconds:.1f} s", evidence)
