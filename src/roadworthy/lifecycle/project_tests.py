"""Run a project's own tests on a candidate, in a process of their own. They are plain functions; no pytest is needed.

`tests/test_*.py` hold functions `test_*`. One may ask for `predict` (a list of JSON rows → a list of JSON answers, by
the artifact that would be served), `rows` (up to 100 rows the candidate was not trained on) and `candidate` (its
document).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from roadworthy.domain.candidate import Candidate
from roadworthy.lifecycle.training import child_environment
from roadworthy.ports.gate import Rows, TestReport
from roadworthy.ports.plane import Plane
from roadworthy.runtimes.columns import spread, take
from roadworthy.stores.codec import to_doc

_MOST_ROWS: Final = 100
_MOST_OUTPUT: Final = 20_000


def run_tests(folder: Path, candidate: Candidate, plane: Plane, rows: Rows, *, timeout_s: float = 120.0) -> TestReport:
    """Run the tests and return what they said. A project without tests has 0 passed and 0 failed.

    Args:
        folder: the project.
        candidate: what they test; its artifacts are kept in the plane.
        plane: the home.
        rows: rows that the candidate was not trained on.
        timeout_s: seconds until the process is ended and all of its tests count as one failure.
    """
    files = sorted((folder / "tests").glob("test_*.py"))
    if not files:
        return TestReport(passed=0, failed=0, seconds=0.0, output="the project has no tests/test_*.py")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="roadworthy-tests-") as scratch:
        job = {
            "folder": str(folder.resolve()),
            "files": [str(path.resolve()) for path in files],
            "candidate": to_doc(candidate),
            "artifacts": str(plane.home.artifacts),
            "rows": spread(take(rows.columns, slice(0, _MOST_ROWS)), candidate.interface.inputs),
            "report": str(Path(scratch) / "report.json"),
        }
        path = Path(scratch) / "job.json"
        path.write_text(json.dumps(job))
        output, trouble = _run(folder, path, timeout_s)
        report = Path(scratch) / "report.json"
        said: Sequence[Mapping[str, Any]] = json.loads(report.read_text()) if report.exists() else []
    failures = [f"{one['name']}: {one['error']}" for one in said if one["error"]] + trouble
    return TestReport(
        passed=sum(not one["error"] for one in said),
        failed=len(failures),
        seconds=round(time.monotonic() - started, 3),
        output=output[-_MOST_OUTPUT:],
        failures=tuple(failures),
    )


def _run(folder: Path, job: Path, timeout_s: float) -> tuple[str, list[str]]:
    command = [sys.executable, "-P", "-s", "-m", "roadworthy.lifecycle.project_tests_child", str(job)]
    try:
        done = subprocess.run(  # noqa: S603 (this interpreter, our own module)
            command, cwd=folder, env=child_environment(0), capture_output=True, text=True, errors="replace",
            timeout=timeout_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        said = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
        return said, [f"the tests did not end within {timeout_s:g} s"]
    output = done.stdout + done.stderr
    if done.returncode:
        last = output.strip().splitlines()[-1:] or ["it said nothing"]
        return output, [f"the test process ended with code {done.returncode}: {last[0]}"]
    return output, []
