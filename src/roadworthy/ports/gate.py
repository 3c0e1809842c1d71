"""Gates and the trial they judge by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.system import System
from roadworthy.domain.verdict import Judgement
from roadworthy.ports.evaluation import LlmTrial
from roadworthy.ports.runtime import Columns, Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows with their truth. `target` is an object array of labels (text) or float64; n is their number."""

    columns: Columns
    target: Any
    n: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """A load test through the real serving path beside an echo on the same machine, in µs.

    Latencies count from when a request was due (open loop), also of requests that were never answered. `errors` are
    answers other than the candidate's own: refusals, fallbacks, timeouts. `echo_halves_us` are the echo's p99 before
    and after the load test; a machine that others use shows in their size and difference.
    """

    requests: int
    errors: int
    p50_us: float
    p99_us: float
    echo_p50_us: float
    echo_p99_us: float
    native: bool = False
    echo_halves_us: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """What the project's own tests said, run by the tool. `suite` is the digest of the tests' files.

    `stopped` is empty, or says why the run did not come to its end (it took too long, the process died).
    """

    __test__: ClassVar[bool] = False  # no test class, whatever its name begins with
    passed: int
    failed: int
    seconds: float
    output: str = ""
    failures: tuple[str, ...] = field(default_factory=tuple)
    stopped: str = ""
    suite: str = ""


class Trial(Protocol):
    """What a gate may ask of a candidate. Fulfilled by wiring with the real serving path.

    `notes` are what the build had to say, such as why a model is served natively.
    """

    system: System
    candidate: Candidate
    notes: tuple[str, ...]

    def holdout(self) -> Rows:
        """Return the rows that the candidate was not trained on (the note says when that is not certain)."""
        ...

    def reference(self) -> Rows:
        """Return the training rows, at most 100,000, the same ones each time."""
        ...

    def predict(self, columns: Columns) -> Outputs:
        """Answer with the artifact that would be served."""
        ...

    def native(self, columns: Columns) -> Outputs | None:
        """Answer as the prototype did where it was trained, or None when the artifact is the prototype."""
        ...

    def baseline(self, columns: Columns) -> Outputs:
        """Answer with the baseline, fitted on the same training rows.

        Raises:
            NotFoundError: the system has none.
        """
        ...

    def champion(self, columns: Columns) -> Outputs | None:
        """Answer with the release in force, or None when there is none or the baseline serves."""
        ...

    def serve(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Send each row as JSON over HTTP to a real worker; return its answers in order.

        Each is the answer's JSON document with `status` added, and `fallback` null when the candidate itself answered.
        """
        ...

    def load(self, seconds: float, rate: float) -> LoadReport:
        """Load-test a real worker, open loop, and an echo on the same machine."""
        ...

    def tests(self, timeout_s: float = 120.0) -> TestReport:
        """Run the project's tests in a process of their own."""
        ...


AnyTrial: TypeAlias = Trial | LlmTrial
"""What a gate is given: the trial of the system's kind."""


class Gate(Protocol):
    """Judges a candidate. `defaults` are its parameters, `needs` says in words what it measures.

    The manifest puts only gates of a system's own kind in force, so that each asks its own kind of trial.
    """

    name: str
    needs: str

    def judge(self, trial: Any, parameters: Mapping[str, Any]) -> Judgement:
        """Return pass, fail or inconclusive with the reason and the evidence. Raises nothing for a bad model."""
        ...
