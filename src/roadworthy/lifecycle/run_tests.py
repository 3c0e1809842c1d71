"""Run a project's tests in a process of their own, bounded in time; the process's word counts, no file's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import Digest, digest
from roadworthy.domain.interface import Scalar
from roadworthy.lifecycle.table import digest_file
from roadworthy.ports.gate import TestReport
from roadworthy.stores.codec import to_doc

FOLDER: Final = "tests"
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_TAIL_LINES: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the tests are about: a candidate, the folder its artifacts lie in, and rows as a caller sends them."""

    candidate: Candidate
    artifacts: Path
    rows: Sequence[Mapping[str, Scalar]]


def run_tests(folder: Path, subject: Subject, timeout_s: float) -> TestReport:
    """Run everything under `tests/` with this interpreter and its packages, the ones a worker has.

    A test may ask for `predict` (rows in, answers out, by the artifact that would be served), for `rows` and for
    `candidate` (its document). The project's folder is the working directory and on the import path; of this process's
    environment the child gets nothing that matters: no key, no home. With pytest where it is installed, else by calling
    each test function. The child and whatever it started end at the time limit.
    """
    suite = suite_digest(folder)
    if not suite:
        return TestReport(passed=0, failed=0, seconds=0.0)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="roadworthy-tests-") as scratch:
        report, log = Path(scratch) / "report.json", Path(scratch) / "log"
        job = _write_job(Path(scratch), subject, report)
        stopped = _run(folder, job, log, timeout_s)
        said: Mapping[str, Any] = json.loads(report.read_bytes()) if report.exists() else {}
        output = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
    failures = tuple(str(name) for name in said.get("failures", ()))
    if not said and not stopped:
        stopped = "the test process died before it could report"
    return TestReport(
        passed=int(said.get("passed", 0)),
        failed=len(failures),
        seconds=time.monotonic() - started,
        output=output,
        failures=failures,
        stopped=stopped or str(said.get("stopped", "")),
        suite=suite,
    )


def suite_digest(folder: Path) -> Digest:
    """Name the tests' files as they are now, so that an edited test is judged again; empty when there are none."""
    root = folder / FOLDER
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    if not any(path.suffix == ".py" for path in files):
        return ""
    return digest({path.relative_to(root).as_posix(): digest_file(path) for path in files})


def _write_job(place: Path, subject: Subject, report: Path) -> Path:
    path = place / "job.json"
    job = {
        "candidate": to_doc(subject.candidate),
        "artifacts": str(subject.artifacts),
        "rows": list(subject.rows),
        "report": str(report),
    }
    path.write_text(json.dumps(job))
    return path


def _run(folder: Path, job: Path, log: Path, timeout_s: float) -> str:
    """Run the child to its end or the time limit; say why it did not come to its end, or nothing."""
    with log.open("wb") as file:
        child = subprocess.Popen(  # noqa: S603 (this interpreter, our own module)
            [sys.executable, "-P", "-s", "-m", "roadworthy.lifecycle.run_tests_child", str(job)],
            cwd=folder, env=_environment(job.parent), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return f"they took longer than {timeout_s:g} s"
        finally:
            # The session may outlive its first process: a test that left a server behind is ended too.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return f"the test process was ended by signal {-child.returncode}" if child.returncode < 0 else ""


def _environment(scratch: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **dict.fromkeys(_ONE_THREAD, "1"), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(scratch)}
