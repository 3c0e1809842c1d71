"""The child process that runs a project's tests: `python -m roadworthy.lifecycle.project_tests_child REPORT`."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import sys
import traceback
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_NOTHING_COLLECTED: Final = 5
_SETTINGS: Final = ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
_ORDINARY_CODES: Final = frozenset({0, 1, _NOTHING_COLLECTED})


def main() -> None:
    """Run the tests of the working directory and write what they said."""
    sys.path.insert(0, str(Path.cwd()))
    has_pytest = importlib.util.find_spec("pytest") is not None
    said = with_pytest() if has_pytest else without_pytest(Path("tests"))
    Path(sys.argv[1]).write_text(json.dumps(said))


def with_pytest() -> dict[str, Any]:
    """Run `tests/` with pytest, under the project's own pytest settings."""
    import pytest

    tally = Tally()
    # The settings of a folder further up are not the project's.
    settings = [] if any(Path(name).is_file() for name in _SETTINGS) else ["-c", os.devnull]
    where = ["--rootdir=.", "--confcutdir=.", "-p", "no:cacheprovider"]
    code = int(pytest.main(["tests", *where, *settings], plugins=[tally]))
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


def without_pytest(root: Path) -> dict[str, Any]:
    """Run plain test functions and unittest's test cases, where pytest is not installed."""
    passed, failures = 0, list[str]()
    for path in sorted(root.rglob("test_*.py")):
        try:
            module = _imported(path)
        except Exception:  # noqa: BLE001 (whatever a broken file raises)
            traceback.print_exc()
            failures.append(f"{path} (cannot be imported)")
            continue
        for name, call in _tests_of(module):
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


def _tests_of(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if name.startswith("test_") and inspect.isfunction(value):
            yield name, _needs_pytest if inspect.signature(value).parameters else value
        elif inspect.isclass(value) and issubclass(value, unittest.TestCase):
            for method in unittest.TestLoader().getTestCaseNames(value):
                yield f"{name}.{method}", value(method).debug


def _needs_pytest() -> None:
    raise RuntimeError("this test takes fixtures, so it needs pytest: pip install pytest")


if __name__ == "__main__":
    main()
