"""The child process that runs a project's tests: `python -m roadworthy.lifecycle.run_tests_child JOB`."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import sys
import traceback
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from roadworthy import plugins
from roadworthy.domain.candidate import Candidate
from roadworthy.domain.interface import Interface, Task
from roadworthy.ports.runtime import Outputs, Predictor, Runtime
from roadworthy.runtimes.columns import gather
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.codec import from_doc

_NOTHING_COLLECTED: Final = 5
_SETTINGS: Final = ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
_ORDINARY_CODES: Final = frozenset({0, 1, _NOTHING_COLLECTED})


def main() -> None:
    """Run the tests of the working directory and write what they said."""
    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_bytes())
    sys.path.insert(0, str(Path.cwd()))
    subject = Subject(job)
    has_pytest = importlib.util.find_spec("pytest") is not None
    said = with_pytest(subject) if has_pytest else without_pytest(Path("tests"), subject)
    Path(job["report"]).write_text(json.dumps(said))


class Subject:
    """The candidate under test: loaded when the first test asks for it."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._job = job
        self._predictor: Predictor | None = None
        self.given: Mapping[str, Callable[[], Any]] = {
            "predict": lambda: self.predict,
            "rows": lambda: job["rows"],
            "candidate": lambda: job["candidate"],
        }
        """What a test may ask for by name."""

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Answer rows as callers send them, with what the HTTP interface calls `outputs`."""
        candidate = from_doc(Candidate, self._job["candidate"])
        if self._predictor is None:
            runtime: Runtime = plugins.load("runtimes", candidate.runtime)
            self._predictor = runtime.load(candidate, FileArtifacts(Path(self._job["artifacts"])))
        outputs = self._predictor.predict(gather(rows, candidate.interface.features))
        return spoken(outputs, candidate.interface)


def spoken(outputs: Outputs, interface: Interface) -> list[dict[str, Any]]:
    """Spell answers row by row as the HTTP interface does."""
    if interface.task is Task.REGRESSION:
        return [{"value": value} for value in outputs["value"].tolist()]
    labels: list[str] = outputs["label"].tolist()
    if interface.task is Task.BINARY:
        pairs = zip(outputs["probability"].tolist(), labels, strict=True)
        return [{"probability": share, "label": label} for share, label in pairs]
    shares = [dict(zip(interface.labels, row, strict=True)) for row in outputs["probabilities"].tolist()]
    return [{"label": label, "probabilities": share} for label, share in zip(labels, shares, strict=True)]


def with_pytest(subject: Subject) -> dict[str, Any]:
    """Run `tests/` with pytest, under the project's own pytest settings."""
    import pytest

    tally, given = Tally(), ModuleType("roadworthy_given")
    for name, call in subject.given.items():
        # pytest looks for fixtures in modules and classes, not in instances.
        setattr(given, name, pytest.fixture(name=name)(_plain(call)))
    # The settings of a folder further up are not the project's.
    settings = [] if any(Path(name).is_file() for name in _SETTINGS) else ["-c", os.devnull]
    where = ["--rootdir=.", "--confcutdir=.", "-p", "no:cacheprovider"]
    code = int(pytest.main(["tests", *where, *settings], plugins=[tally, given]))
    stopped = "" if code in _ORDINARY_CODES else f"pytest ended with code {code}"
    return {"passed": tally.passed, "failures": tally.failures, "stopped": stopped}


class Tally:
    """A pytest plug-in that counts what passed and names what failed."""

    def __init__(self) -> None:
        self.passed = 0
        self.failures: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Count a test once; one that fails while it sets up or clears away has failed."""
        if report.failed and report.nodeid not in self.failures:
            self.failures.append(report.nodeid)
        elif report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
            self.passed += 1

    def pytest_collectreport(self, report: Any) -> None:
        """Name a file that cannot even be imported."""
        if report.failed:
            self.failures.append(f"{report.nodeid} (cannot be imported)")


def _plain(call: Callable[[], Any]) -> Callable[[], Any]:
    def give() -> Any:
        return call()

    return give


def without_pytest(root: Path, subject: Subject) -> dict[str, Any]:
    """Run plain test functions and unittest's test cases, where pytest is not installed."""
    passed, failures = 0, list[str]()
    for path in sorted(root.rglob("test_*.py")):
        try:
            module = _imported(path)
        except Exception:  # noqa: BLE001 (whatever a broken file raises)
            traceback.print_exc()
            failures.append(f"{path} (cannot be imported)")
            continue
        for name, call in _tests_of(module, subject):
            try:
                call()
            except Exception:  # noqa: BLE001 (a failed test)
                traceback.print_exc()
                failures.append(f"{path}::{name}")
            else:
                passed += 1
    return {"passed": passed, "failures": failures, "stopped": ""}


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _tests_of(module: ModuleType, subject: Subject) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if name.startswith("test_") and inspect.isfunction(value):
            asked = inspect.signature(value).parameters
            known = all(one in subject.given for one in asked)
            yield name, partial(value, **{one: subject.given[one]() for one in asked}) if known else _needs_pytest
        elif inspect.isclass(value) and issubclass(value, unittest.TestCase):
            for method in unittest.TestLoader().getTestCaseNames(value):
                yield f"{name}.{method}", value(method).debug


def _needs_pytest() -> None:
    raise RuntimeError("this test asks for other things than `predict`, `rows` and `candidate`: pip install pytest")


if __name__ == "__main__":
    main()
