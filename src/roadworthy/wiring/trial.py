"""The trial of a candidate: what gates may ask of it, answered by the real runtimes and the real serving path."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from roadworthy import plugins
from roadworthy.domain.candidate import Candidate
from roadworthy.domain.system import Kind, System
from roadworthy.errors import InputError, NotFoundError, RoadworthyError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.pace import affordable, pace_of
from roadworthy.lifecycle.run_tests import Subject, run_tests
from roadworthy.lifecycle.split import Split, read_split
from roadworthy.ports.gate import AnyTrial, LoadReport, Rows, TestReport
from roadworthy.ports.plane import Plane
from roadworthy.ports.runtime import Columns, Outputs, Predictor, Runtime
from roadworthy.runtimes.columns import spread, take
from roadworthy.runtimes.outputs import BadAnswer
from roadworthy.wiring.calls import Door, call_all, load
from roadworthy.wiring.stage import echoing, staged

_LOADED_ROWS: Final = 200
_LOADED_S: Final = 4.0
_TEST_ROWS: Final = 100
_WARM_CALLS: Final = 20
_ECHO_S: Final = 1.0
_LEAST_ECHO_RATE: Final = 100.0


@contextmanager
def trial_for(
    plane: Plane,
    system: System,
    candidate: Candidate,
    folder: Path,
    *,
    baseline: Candidate | None = None,
    notes: tuple[str, ...] = (),
) -> Generator[AnyTrial]:
    """Put a candidate on trial: rows from the project's table, artifacts from the home, answers from a real worker.

    A candidate of kind llm is asked the cases of its project's suites instead (`wiring.llm_trial`).

    The worker starts when a gate first asks for it, and ends with the block.

    Args:
        plane: the home that keeps the artifacts and knows the champion.
        system: the resolved manifest.
        candidate: who is judged.
        folder: the project.
        baseline: the rival, as the build gave it.
        notes: what the build noted.
    """
    with ExitStack() as stack:
        if system.kind is Kind.LLM:
            # The libraries that speak to providers are loaded for this kind only.
            from roadworthy.wiring.llm_trial import StagedTrial

            yield StagedTrial(plane, system, candidate, folder, baseline, notes, stack)
            return
        yield HttpTrial(plane, system, candidate, folder, baseline, notes, stack)


class HttpTrial:
    """Fulfils `ports.gate.Trial`. Answers to the hold-out and reference rows are computed once."""

    def __init__(
        self,
        plane: Plane,
        system: System,
        candidate: Candidate,
        folder: Path,
        baseline: Candidate | None,
        notes: tuple[str, ...],
        stack: ExitStack,
    ) -> None:
        self.system = system
        self.candidate = candidate
        self.notes = notes
        self._plane = plane
        self._folder = folder
        self._rival = baseline
        self._stack = stack
        self._split: Split | None = None
        self._rows: dict[str, Rows] = {}
        self._loaded: dict[str, Predictor | None] = {}
        self._known: dict[tuple[str, int], Outputs] = {}
        self._door: Door | None = None
        self._paces: dict[str, float] = {}
        self._asked: list[bytes] = []

    def holdout(self) -> Rows:
        """Return the rows the candidate was not trained on; fewer of them when it is too slow for all."""
        return self._kept("hold-out", ("candidate",), Split.holdout)

    def reference(self) -> Rows:
        """Return the training rows, at most 100,000; fewer of them when the candidate is too slow for all."""
        # The export gate asks the prototype for these rows too, which may be slower than its graph.
        asked = ("candidate", "native") if self.candidate.artifact("native") else ("candidate",)
        return self._kept("reference", asked, Split.reference)

    def predict(self, columns: Columns) -> Outputs:
        """Answer with the artifact that would be served.

        Raises:
            InputError: the model raised; the text names no value.
        """
        return self._answers("candidate", columns)

    def native(self, columns: Columns) -> Outputs | None:
        """Answer as the prototype did, or None when the artifact is the prototype."""
        return self._answers("native", columns) if self.candidate.artifact("native") else None

    def baseline(self, columns: Columns) -> Outputs:
        """Answer with the baseline.

        Raises:
            NotFoundError: the system has none.
        """
        if self._rival is None:
            raise NotFoundError(
                f"{self.system.name} has no baseline", hint="add to system.yaml: baseline: baseline.sql"
            )
        return self._answers("baseline", columns)

    def champion(self, columns: Columns) -> Outputs | None:
        """Answer with the release in force, or None when there is none or it is a baseline."""
        return self._answers("champion", columns) if self._champion() is not None else None

    def serve(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Send each row by itself to a real worker.

        Raises:
            ArtifactError: the worker cannot load the candidate.
            UnavailableError: it does not answer.
        """
        return call_all(self._worker(), [_body(row) for row in rows])

    def load(self, seconds: float, rate: float) -> LoadReport:
        """Load-test the worker with hold-out rows; an echo is measured before and after, for a second each."""
        door, bodies = self._worker(), self._bodies()
        call_all(door, (bodies * _WARM_CALLS)[:_WARM_CALLS])
        echo_rate = max(rate, _LEAST_ECHO_RATE)
        with echoing() as echo:
            call_all(echo, [b"{}"] * _WARM_CALLS)
            before = load(echo, [b"{}"], _ECHO_S, echo_rate).latencies_us
            found = load(door, bodies, seconds, rate)
            after = load(echo, [b"{}"], _ECHO_S, echo_rate).latencies_us
        runtime: Runtime = plugins.load("runtimes", self.candidate.runtime)
        return LoadReport(
            requests=len(found.latencies_us),
            errors=found.wrong,
            p50_us=_quantile(found.latencies_us, 0.5),
            p99_us=_quantile(found.latencies_us, 0.99),
            echo_p50_us=_quantile([*before, *after], 0.5),
            echo_p99_us=_quantile([*before, *after], 0.99),
            native=runtime.native,
            echo_halves_us=(_quantile(before, 0.99), _quantile(after, 0.99)),
        )

    def tests(self, timeout_s: float = 120.0) -> TestReport:
        """Run the project's tests about this candidate."""
        rows = self.holdout()
        index = np.linspace(0, rows.n - 1, min(rows.n, _TEST_ROWS)).astype(np.intp)
        interface = self.candidate.interface
        subject = Subject(
            candidate=self.candidate,
            artifacts=self._plane.home.artifacts,
            rows=spread(take(rows.columns, index), interface.inputs),
        )
        return run_tests(self._folder, subject, timeout_s)

    def _kept(self, name: str, asked: Sequence[str], choose: Callable[[Split, int, str], Rows]) -> Rows:
        """Keep these rows for all gates; fewer, evenly over time, when all would take one of the asked too long."""
        if name not in self._rows:
            if self._split is None:
                self._split = read_split(self._folder, self.system.content)
            columns = choose(self._split, 0, "").columns
            pace = max(self._pace_of(who, columns) for who in asked)
            why = f"the candidate needs {pace * 1e3:.1f} ms a row"
            self._rows[name] = choose(self._split, affordable(pace), why)
        return self._rows[name]

    def _pace_of(self, who: str, columns: Columns) -> float:
        if who not in self._paces:
            self._predictor(who)  # loading is no part of its pace
            self._paces[who] = pace_of(lambda some: self._answers(who, some), columns)
        return self._paces[who]

    def _answers(self, who: str, columns: Columns) -> Outputs:
        key = (who, id(columns))
        if key in self._known:
            return self._known[key]
        try:
            outputs = self._predictor(who).predict(columns)
        except RoadworthyError:
            raise
        except BadAnswer as wrong:
            raise InputError(str(wrong)) from wrong
        except Exception as wrong:
            # A model's own text may quote values of rows, which must not reach a verdict.
            raise InputError(f"it raised {type(wrong).__name__}") from wrong
        # Only columns that this trial holds on to may be known by their identity.
        if any(columns is rows.columns for rows in self._rows.values()):
            self._known[key] = outputs
        return outputs

    def _predictor(self, who: str) -> Predictor:
        found = self._loaded.get(who)
        if found is None:
            found = self._loaded[who] = self._load_one(who)
        return found

    def _load_one(self, who: str) -> Predictor:
        if who == "native":
            runtime: Runtime = plugins.load("runtimes", "sklearn")
            return runtime.load(self.candidate, self._plane.artifacts)
        chosen = {"candidate": self.candidate, "baseline": self._rival, "champion": self._champion()}[who]
        assert chosen is not None
        return _load(self._plane, chosen)

    def _champion(self) -> Candidate | None:
        route = present.route(self._plane, self.system.name, "live")
        release = present.releases(self._plane, self.system.name).get(route.champion) if route else None
        if release is None or release.candidate.is_baseline or release.id == self.candidate.id:
            return None
        return release.candidate

    def _worker(self) -> Door:
        if self._door is None:
            self._door = self._stack.enter_context(staged(self._plane, self.system, self.candidate)).door
        return self._door

    def _bodies(self) -> list[bytes]:
        """Spell hold-out rows that the serving path answers; a refusal is fast and would flatter the candidate."""
        if self._asked:
            return self._asked
        rows = self.holdout()
        n = min(rows.n, _LOADED_ROWS, affordable(self._pace_of("candidate", rows.columns), _LOADED_S))
        index = np.linspace(0, rows.n - 1, n).astype(np.intp)
        bodies = [_body(row) for row in spread(take(rows.columns, index), self.candidate.interface.inputs)]
        answers = call_all(self._worker(), bodies)
        kept = [body for body, answer in zip(bodies, answers, strict=True) if answer["status"] == 200]  # noqa: PLR2004
        self._asked = kept or bodies
        return self._asked


def _load(plane: Plane, candidate: Candidate) -> Predictor:
    runtime: Runtime = plugins.load("runtimes", candidate.runtime)
    return runtime.load(candidate, plane.artifacts)


def _body(row: Mapping[str, Any]) -> bytes:
    # NaN is written as NaN, which is no JSON: gates send it on purpose.
    return json.dumps({"inputs": row}).encode()


def _quantile(values: Sequence[float], q: float) -> float:
    return float(np.quantile(np.asarray(values, dtype=np.float64), q, method="higher")) if values else 0.0
